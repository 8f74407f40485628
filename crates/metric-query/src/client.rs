//! The client.

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use form_urlencoded::Serializer;
use hotswap_core::{Timestamp, Violations};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, Url};

use crate::{QueryError, Sample, answer};

/// The longest answer, in bytes. One number is short; a million series are a mistake in the query.
const MAX_ANSWER: usize = 1024 * 1024;
/// The longest query, in bytes.
const MAX_QUERY: usize = 64 * 1024;

/// Where a Prometheus is, and how it is asked.
#[derive(Clone)]
pub struct PrometheusOptions {
    /// Its address, as "https://prometheus.example.com/prefix"; http or https, without a user.
    pub address: String,
    /// The hosts that the operator allows, as "prometheus.example.com" (with the scheme's own port) or "10.0.0.7:9090";
    /// an IPv6 address in brackets. Where the address is not among them nothing is asked. None: none is allowed.
    ///
    /// The operator says these, and not whoever says the address: a host that should not be asked is refused here,
    /// whatever its name resolves to.
    pub allow: Vec<String>,
    /// How long a query may take, from the connection to the last byte: at most 5 min.
    pub timeout: Duration,
    /// A file with a bearer token, read for each query.
    pub token_file: Option<PathBuf>,
    /// A file of certificates (PEM) that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
}

impl PrometheusOptions {
    /// An address that may be asked, 10 s, no token.
    pub fn new(address: impl Into<String>, allow: Vec<String>) -> Self {
        let timeout = Duration::from_secs(10);
        Self { address: address.into(), allow, timeout, token_file: None, ca_file: None }
    }

    /// Whether the address is one, and allowed. Nothing is asked, and no file read.
    ///
    /// # Errors
    /// What is wrong with it, in words that do not show it.
    pub fn check_address(&self) -> Result<(), &'static str> {
        address(self).map(drop)
    }
}

impl fmt::Debug for PrometheusOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address may hold a password, until it is refused for it.
        let host = Url::parse(&self.address).ok().and_then(|u| u.host_str().map(str::to_owned));
        f.debug_struct("PrometheusOptions")
            .field("host", &host)
            .field("allow", &self.allow)
            .field("timeout", &self.timeout)
            .field("token_file", &self.token_file)
            .finish_non_exhaustive()
    }
}

/// Asks one Prometheus; cheap to clone. It keeps its connections.
#[derive(Clone)]
pub struct PrometheusClient {
    client: Client,
    query: Url,
    timeout: Duration,
    token_file: Option<PathBuf>,
}

impl fmt::Debug for PrometheusClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusClient").field("host", &self.query.host_str()).finish_non_exhaustive()
    }
}

impl PrometheusClient {
    /// A client. Nothing is asked yet.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] with all that is wrong with the options.
    pub fn new(options: &PrometheusOptions) -> Result<Self, QueryError> {
        let mut v = Violations::new();
        let query = v.take("address", address(options));
        if options.timeout.is_zero() || options.timeout > Duration::from_secs(300) {
            v.add("timeout", "must be more than 0 and at most 5 min");
        }
        if options.token_file.is_some() {
            v.take("token_file", bearer(options.token_file.as_ref()));
        }
        // Redirects lead where nobody allowed anything, with the token.
        let mut builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(options.timeout)
            .user_agent(concat!("HotSwap/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &options.ca_file {
            let pem = fs::read(path).map_err(|e| format!("{}: {}", path.display(), e.kind()));
            let pem = v.take("ca_file", pem);
            match pem.map(|pem| Certificate::from_pem_bundle(&pem)) {
                Some(Ok(certificates)) if !certificates.is_empty() => {
                    builder = builder.tls_certs_merge(certificates);
                }
                Some(_) => v.add("ca_file", "holds no certificates in PEM"),
                None => {}
            }
        }
        let client = v.take("ca_file", builder.build().map_err(|e| told(&e)));
        let (timeout, token_file) = (options.timeout, options.token_file.clone());
        match (client, query) {
            (Some(client), Some(query)) if v.is_empty() => Ok(Self { client, query, timeout, token_file }),
            _ => Err(v.into()),
        }
    }

    /// The number that a query gives at a moment.
    ///
    /// # Errors
    /// Why there is none; see [`QueryError`].
    pub async fn instant(&self, query: &str, at: Timestamp) -> Result<Sample, QueryError> {
        if query.trim().is_empty() || query.len() > MAX_QUERY {
            let message = format!("it must have 1 to {MAX_QUERY} bytes");
            return Err(QueryError::BadQuery { message });
        }
        let seconds = format!("{}.{:06}", at.seconds(), at.subsec_nanos() / 1_000);
        // So that the server does not go on when nobody waits any more.
        let timeout = format!("{}ms", self.timeout.as_millis().max(1));
        let body = Serializer::new(String::new())
            .append_pair("query", query)
            .append_pair("time", &seconds)
            .append_pair("timeout", &timeout)
            .finish();
        let mut request = self
            .client
            .post(self.query.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        if self.token_file.is_some() {
            let bearer = bearer(self.token_file.as_ref()).map_err(|what| QueryError::Token { what })?;
            request = request.header(AUTHORIZATION, bearer);
        }
        let mut answer = request.send().await.map_err(|e| self.failed(&e))?;
        let bytes = self.bytes(&mut answer).await?;
        answer::read(answer.status().as_u16(), &bytes)
    }

    async fn bytes(&self, answer: &mut Response) -> Result<Vec<u8>, QueryError> {
        let mut bytes = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|e| self.failed(&e))? {
            if bytes.len() + part.len() > MAX_ANSWER {
                return Err(QueryError::malformed(format!("it is longer than {MAX_ANSWER} bytes")));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(bytes)
    }

    fn failed(&self, error: &reqwest::Error) -> QueryError {
        if error.is_timeout() {
            QueryError::TimedOut { after: self.timeout }
        } else {
            QueryError::Unreachable { message: told(error) }
        }
    }
}

/// Where queries go, where that is allowed. The address is not shown.
fn address(options: &PrometheusOptions) -> Result<Url, &'static str> {
    const SHAPE: &str = "must be as https://prometheus.example.com, http or https";
    let mut url = Url::parse(&options.address).map_err(|_| SHAPE)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(SHAPE);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user and password; a token comes from a file");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end with its path");
    }
    if !options.allow.iter().any(|allowed| allows(allowed, &url)) {
        return Err("is not among the hosts that the operator allows (--prometheus-allow)");
    }
    let path = format!("{}/api/v1/query", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Ok(url)
}

/// Whether an entry of the list allows an address: the same host, and the same port.
fn allows(entry: &str, url: &Url) -> bool {
    // Parsed like the address, so that both have one way to write a host.
    let Ok(allowed) = Url::parse(&format!("{}://{entry}", url.scheme())) else { return false };
    let bare = allowed.path() == "/" && allowed.username().is_empty() && allowed.query().is_none();
    bare && allowed.host() == url.host() && allowed.port_or_known_default() == url.port_or_known_default()
}

/// The header with the token.
fn bearer(file: Option<&PathBuf>) -> Result<HeaderValue, String> {
    let path = file.ok_or("there is none")?;
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {}", path.display(), e.kind()))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(format!("{} is empty", path.display()));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| format!("{} holds what no header can", path.display()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// An error with its causes, and without the address.
fn told(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    if causes.is_empty() { "the request failed".to_owned() } else { causes.join(": ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(address: &str, allow: &[&str]) -> bool {
        let allow = allow.iter().map(|a| (*a).to_owned()).collect();
        PrometheusClient::new(&PrometheusOptions::new(address, allow)).is_ok()
    }

    #[test]
    fn only_allowed_hosts_are_asked() {
        for (address, entry) in [
            ("https://prometheus.example.com", "prometheus.example.com"),
            ("https://PROMETHEUS.example.com/x", "prometheus.example.com:443"),
            ("http://10.0.0.7:9090/", "10.0.0.7:9090"),
            ("http://[::1]:9090", "[::1]:9090"),
        ] {
            assert!(allowed(address, &["other.example", entry]), "{address}");
            assert!(!allowed(address, &[]), "{address}");
            assert!(!allowed(address, &["other.example", "example.com"]), "{address}");
        }
        // The same place, written otherwise, and places that only look alike.
        assert!(allowed("http://2130706433:9090", &["127.0.0.1:9090"]));
        assert!(!allowed("http://10.0.0.7:9091/", &["10.0.0.7:9090"]));
        assert!(!allowed("http://10.0.0.7/", &["10.0.0.7:9090"]));
        assert!(!allowed("http://169.254.169.254/", &["10.0.0.7"]));
        assert!(!allowed("http://10.0.0.7.evil.example/", &["10.0.0.7"]));
    }

    #[test]
    fn what_is_no_address_of_a_prometheus_is_refused_without_being_shown() {
        let allow = ["a.example", "hunter2", "*", ""];
        for bad in [
            "ftp://a.example",
            "file:///etc/passwd",
            "gopher://a.example/",
            "https://u:hunter2@a.example",
            "https://a.example?x=hunter2",
            "a.example",
            "https://",
        ] {
            let allow = allow.iter().map(|a| (*a).to_owned()).collect();
            let options = PrometheusOptions { timeout: Duration::ZERO, ..PrometheusOptions::new(bad, allow) };
            let error = PrometheusClient::new(&options).expect_err(bad).to_string();
            assert!(
                error.contains("address") && error.contains("timeout") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
