//! Certificates of one's own.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Somebody who vouches for others, and a folder for the files.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
    file: PathBuf,
}

/// A certificate and its key, as files (PEM).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub cert: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one; its certificate lies in `dir` as `NAME.pem`.
    ///
    /// # Panics
    /// Where a file can't be written.
    pub fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
        let issuer = issuer.expect("signed");
        let file = dir.join(format!("{name}.pem"));
        fs::write(&file, issuer.pem()).expect("written");
        Self { issuer, dir: dir.to_owned(), file }
    }

    /// Its own certificate, for those who trust it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// A certificate for the names and addresses of a host, in `NAME.crt` and `NAME.key`, over what is there. It is
    /// good for servers and clients.
    ///
    /// # Panics
    /// Where a file can't be written.
    pub fn issue(&self, name: &str, hosts: &[&str]) -> Identity {
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        let file = |end: &str| self.dir.join(format!("{name}.{end}"));
        let identity = Identity { cert: file("crt"), key: file("key") };
        fs::write(&identity.cert, certificate.pem()).expect("written");
        fs::write(&identity.key, key.serialize_pem()).expect("written");
        identity
    }
}
