//! The files of a certificate.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::{StartError, chain};

/// Which files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate (PEM), and behind it those that lead to its issuer.
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// Certificates (PEM) of those who vouch for clients; `None`: clients need none.
    pub client_ca: Option<PathBuf>,
}

/// Why they can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {why}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong. Nothing of a key is in it.
        why: String,
    },
}

impl From<TlsError> for StartError {
    fn from(error: TlsError) -> Self {
        Self::Option(error.to_string())
    }
}

impl TlsError {
    /// A file does not hold what it should. Nothing of a key may be in the words.
    pub fn content(path: &Path, why: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), why: why.into() }
    }

    /// The same, in the words of an error and of what stands behind it.
    pub fn wrong(path: &Path, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::content(path, chain(error))
    }
}

/// What the files held.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl TlsFiles {
    /// The files that options name, which begin with `prefix`; `None` where there is none.
    ///
    /// # Errors
    /// [`StartError::Option`] where one is missing that another needs.
    pub fn named(
        prefix: &str,
        cert: Option<&Path>,
        key: Option<&Path>,
        client_ca: Option<&Path>,
    ) -> Result<Option<Self>, StartError> {
        match (cert, key, client_ca) {
            (None, None, None) => Ok(None),
            (Some(cert), Some(key), _) => {
                let client_ca = client_ca.map(Path::to_owned);
                Ok(Some(Self { cert: cert.to_owned(), key: key.to_owned(), client_ca }))
            }
            (None, Some(_), _) => {
                Err(StartError::Option(format!("{prefix}-key needs {prefix}-cert beside it")))
            }
            (Some(_), None, _) => {
                Err(StartError::Option(format!("{prefix}-cert needs {prefix}-key beside it")))
            }
            (None, None, Some(_)) => Err(StartError::Option(format!(
                "{prefix}-client-ca needs {prefix}-cert and {prefix}-key beside it"
            ))),
        }
    }

    pub(super) fn read(&self) -> Result<Contents, TlsError> {
        let read =
            |path: &PathBuf| fs::read(path).map_err(|source| TlsError::File { path: path.clone(), source });
        let client_ca = self.client_ca.as_ref().map(read).transpose()?;
        Ok(Contents { cert: read(&self.cert)?, key: read(&self.key)?, client_ca })
    }
}

impl Contents {
    /// A configuration of them, which says nothing of protocols yet.
    pub(super) fn config(&self, files: &TlsFiles) -> Result<ServerConfig, TlsError> {
        let certs = certificates(&self.cert, &files.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| TlsError::content(&files.key, "there is no private key in PEM form"))?;
        let builder = ServerConfig::builder();
        let builder = match (&self.client_ca, &files.client_ca) {
            (Some(bytes), Some(path)) => {
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots(bytes, path)?)).build();
                builder.with_client_cert_verifier(verifier.map_err(|e| TlsError::wrong(path, &e))?)
            }
            _ => builder.with_no_client_auth(),
        };
        builder.with_single_cert(certs, key).map_err(|e| TlsError::wrong(&files.cert, &e))
    }
}

fn certificates(bytes: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match certs {
        Ok(certs) if !certs.is_empty() => Ok(certs),
        _ => Err(TlsError::content(path, "there is no certificate in PEM form")),
    }
}

fn roots(bytes: &[u8], path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for cert in certificates(bytes, path)? {
        roots.add(cert).map_err(|e| TlsError::wrong(path, &e))?;
    }
    Ok(roots)
}
