//! What is wrong with backends that can't be reached with TLS: kept by address for the pages, and told in the log now and
//! then, not for each request.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hotswap_matcher::Address;
use rustls::{AlertDescription, CertificateError, Error};

/// What stays wrong is told again after this time.
const AGAIN: Duration = Duration::from_secs(60);
/// Addresses of which something is kept, at most.
const MOST: usize = 4_096;

/// What was told, by address.
#[derive(Debug, Default)]
pub(super) struct Told {
    by_address: Mutex<HashMap<Address, Trouble>>,
    /// There may be some; where there is none a success costs one look.
    any: AtomicBool,
}

#[derive(Debug)]
struct Trouble {
    wrong: String,
    logged: Instant,
    over: bool,
}

impl Told {
    pub(super) fn tell(&self, address: &Address, wrong: Option<&str>) {
        let Some(wrong) = wrong else {
            if self.any.load(Ordering::Relaxed)
                && let Some(trouble) = self.lock().get_mut(address)
            {
                trouble.over = true;
            }
            return;
        };
        let (now, mut all) = (Instant::now(), self.lock());
        self.any.store(true, Ordering::Relaxed);
        let known = all.get(address).filter(|known| known.wrong == wrong);
        let logged = known.map(|known| known.logged).filter(|at| now.duration_since(*at) < AGAIN);
        if all.len() >= MOST {
            all.clear();
        }
        let trouble = Trouble { wrong: wrong.to_owned(), logged: logged.unwrap_or(now), over: false };
        all.insert(address.clone(), trouble);
        drop(all);
        if logged.is_none() {
            tracing::warn!(backend = %address, error = wrong, "a backend can't be reached with TLS");
        }
    }

    pub(super) fn trouble(&self, address: &Address) -> Option<String> {
        self.lock().get(address).filter(|trouble| !trouble.over).map(|trouble| trouble.wrong.clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Trouble>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a handshake came to nothing, in words; `name` is what the backend was asked for.
pub(crate) fn why(error: &io::Error, name: &str) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(of)) => certificate(of, name),
        Some(Error::InvalidMessage(_)) => "what it sent is no TLS".to_owned(),
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            "it wants a certificate of the gateway: tls.client_certificate".to_owned()
        }
        Some(Error::AlertReceived(alert)) => format!("it refused the handshake: {alert:?}"),
        Some(other) => format!("the handshake failed: {other}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it ended the connection in the handshake".to_owned()
        }
        None => format!("the connection failed in the handshake: {error}"),
    }
}

/// Of `DnsName("shop.internal")`.
fn bare(name: &str) -> &str {
    name.split('"').nth(1).unwrap_or(name)
}

fn certificate(of: &CertificateError, name: &str) -> String {
    match of {
        CertificateError::NotValidForName => format!("its certificate is not for {name}"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = if presented.is_empty() {
                "no name".to_owned()
            } else {
                presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
            };
            format!("its certificate is not for {name}, but for {names}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate that it shows for {name} has run out")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate that it shows for {name} is not valid yet")
        }
        // One who has the name of somebody trusted, and another key, is a stranger too.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!(
                "nobody whom the pool trusts vouches for the certificate that it shows for {name}: tls.ca"
            )
        }
        other => format!("the certificate that it shows for {name} is refused: {other}"),
    }
}

/// Whether a connection that agreed at first was refused over the gateway's certificate: a backend may say so only after
/// the handshake.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    use AlertDescription as A;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(
        inner,
        Some(Error::AlertReceived(
            A::CertificateRequired
                | A::BadCertificate
                | A::UnsupportedCertificate
                | A::CertificateRevoked
                | A::CertificateExpired
                | A::CertificateUnknown
                | A::UnknownCA
                | A::AccessDenied
                | A::HandshakeFailure
                | A::DecryptError
        ))
    )
}
