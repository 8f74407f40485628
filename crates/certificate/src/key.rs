//! Private keys.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::SigningKey;

/// A private key in PEM form, as it was given. Nothing shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(String);

/// Why a text is no private key. Nothing of the text is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no key in it.
    #[error("there is no private key in PEM form")]
    None,
    /// The key is of another kind.
    #[error("the private key is of no kind that TLS uses")]
    Kind,
}

impl PrivateKey {
    /// Takes a text, unchecked.
    pub fn new(pem: impl Into<String>) -> Self {
        Self(pem.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The key, ready to sign.
    ///
    /// # Errors
    /// Where there is none that TLS uses.
    pub fn signing(&self) -> Result<Arc<dyn SigningKey>, KeyError> {
        signing(self.0.as_bytes())
    }
}

/// The key in a PEM text.
pub(crate) fn signing(pem: &[u8]) -> Result<Arc<dyn SigningKey>, KeyError> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| KeyError::None)?;
    any_supported_type(&key).map_err(|_| KeyError::Kind)
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey")
    }
}
