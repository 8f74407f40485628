//! Questions to proxies. What is asked and answered is the wire's affair: here it is a text.

use hotswap_core::Reason;

/// A question to a proxy, on its way to the replica that holds the proxy's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its id.
    pub id: String,
    /// The proxy's id.
    pub proxy: String,
    /// What is asked.
    pub request: String,
}

/// What comes back.
pub type Answer = Result<String, Unanswered>;

/// Why a proxy gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// The stable reason.
    pub reason: Reason,
    /// In words.
    pub message: String,
}

impl Unanswered {
    /// No stream of the proxy is open.
    pub fn not_connected(proxy: &str) -> Self {
        let message = format!("proxies/{proxy} is not connected");
        Self { reason: Reason::ProxyNotConnected, message }
    }

    /// It does not know what it is asked.
    pub fn too_old(proxy: &str, version: &str) -> Self {
        let message = format!("proxies/{proxy} is of build {version:?}, which can't explain requests");
        Self { reason: Reason::ProxyTooOld, message }
    }

    /// It did not answer in time.
    pub fn silent(proxy: &str) -> Self {
        let message = format!("proxies/{proxy} is connected, and did not answer in time");
        Self { reason: Reason::ProxySilent, message }
    }

    /// It could not answer.
    pub fn refused(proxy: &str, why: &str) -> Self {
        let message = format!("proxies/{proxy} could not answer: {why}");
        Self { reason: Reason::ProxyRefused, message }
    }
}
