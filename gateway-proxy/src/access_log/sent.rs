//! Who sent a request, and how.

use std::net::IpAddr;

use http::{HeaderValue, Version};

/// Who sent a request, and how. It is put together for requests that are logged alone.
#[derive(Debug)]
pub struct Sent {
    /// The client's address, as limits by address count it: what the PROXY protocol says, and trusted proxies in
    /// X-Forwarded-For.
    pub client: IpAddr,
    /// Of HTTP; `None`: its head could not be read.
    pub version: Option<Version>,
    /// The version of TLS, as "1.3"; `None`: without TLS.
    pub tls: Option<&'static str>,
    /// As it came.
    pub user_agent: Option<HeaderValue>,
    /// The trace that it belongs to, 32 hexadecimal digits.
    pub trace: Option<String>,
    /// Bytes of the request's body that were taken.
    pub bytes: u64,
}

impl Sent {
    /// The version of HTTP in words.
    pub(super) fn version(&self) -> Option<&'static str> {
        Some(match self.version? {
            Version::HTTP_09 | Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_11 => "HTTP/1.1",
            _ => "HTTP/2",
        })
    }
}
