//! The control planes, one after the other. Any of them will do: replicas on one store give the same configuration,
//! and a token of one is good at all.

use std::time::Duration;

use hotswap_runtime::StartError;
use tonic::transport::Endpoint;

use crate::security::{self, SecurityOptions};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the configuration comes from.
#[derive(Debug)]
pub(super) struct Planes {
    endpoints: Vec<Endpoint>,
    security: SecurityOptions,
    at: usize,
    /// How many in a row gave nothing.
    failed: usize,
}

impl Planes {
    /// Begins at one that differs between gateways, so that they spread.
    ///
    /// # Errors
    /// Where an address is none, or one that the token must not go to, or a certificate is of no use.
    pub(super) fn new(urls: &[String], security: &SecurityOptions, seed: u128) -> Result<Self, StartError> {
        security.check()?;
        let endpoints: Vec<_> = urls.iter().map(|url| endpoint(url, security)).collect::<Result<_, _>>()?;
        let count = u128::try_from(endpoints.len()).unwrap_or(1);
        if count == 0 {
            return Err(StartError::Option("--control-plane needs an address".into()));
        }
        let at = usize::try_from(seed % count).unwrap_or(0);
        Ok(Self { endpoints, security: security.clone(), at, failed: 0 })
    }

    /// The one to connect to, with the certificates as they are now.
    ///
    /// # Errors
    /// Where one can't be used.
    pub(super) fn current(&self) -> Result<Endpoint, security::Error> {
        // `at` is a remainder by their number, which is not 0.
        self.security.secure(self.endpoints[self.at % self.endpoints.len()].clone())
    }

    /// The stream ended: the next one is another's. `true`: all of them failed one after the other, so it is time to
    /// wait.
    pub(super) fn pass_on(&mut self, failed: bool) -> bool {
        self.at = (self.at + 1) % self.endpoints.len();
        self.failed = if failed { self.failed + 1 } else { 0 };
        self.failed.is_multiple_of(self.endpoints.len())
    }
}

fn endpoint(url: &str, security: &SecurityOptions) -> Result<Endpoint, StartError> {
    let wrong = |why: String| StartError::Option(format!("--control-plane {url}: {why}"));
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|e| wrong(e.to_string()))?;
    // A socket in a folder is guarded by the folder.
    if !url.starts_with("unix:") {
        security.may_reach(&endpoint).map_err(wrong)?;
    }
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planes(seed: u128) -> Planes {
        let urls = ["http://a:1", "http://b:1", "http://c:1"].map(str::to_owned);
        Planes::new(&urls, &anything(), seed).expect("addresses")
    }

    fn anything() -> SecurityOptions {
        SecurityOptions { allow_plaintext: true, ..SecurityOptions::default() }
    }

    fn host(planes: &Planes) -> String {
        planes.current().expect("usable").uri().host().expect("a host").to_owned()
    }

    #[test]
    fn an_address_that_is_none_is_one_clear_line() {
        let endpoint = |url| endpoint(url, &SecurityOptions::default());
        assert!(endpoint("http://127.0.0.1:7400").is_ok());
        assert!(endpoint("unix:/run/control.sock").is_ok());
        let error = endpoint("127.0.0.1:7400").expect_err("no scheme").to_string();
        assert!(error.starts_with("--control-plane 127.0.0.1:7400: "), "{error}");
        assert!(endpoint("ftp://a").is_err());
        assert!(Planes::new(&[], &anything(), 0).is_err());
    }

    #[test]
    fn gateways_begin_at_different_ones_and_go_round() {
        assert_eq!([0, 1, 2, 3].map(|seed| host(&planes(seed))), ["a", "b", "c", "a"]);
        let mut planes = planes(2);
        planes.pass_on(true);
        assert_eq!(host(&planes), "a");
    }

    #[test]
    fn it_is_time_to_wait_when_all_have_failed() {
        let mut planes = planes(0);
        let waits: Vec<bool> = (0..7).map(|_| planes.pass_on(true)).collect();
        assert_eq!(waits, [false, false, true, false, false, true, false]);
        assert!(planes.pass_on(false), "after one that worked the pause is the usual one");
        assert!(!planes.pass_on(true));
    }
}
