//! Certificates of one's own, as files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// One who vouches for names, with a folder for what it makes.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pub folder: tempfile::TempDir,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct Files {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("made");
        let authority = Self { issuer, folder: tempfile::tempdir().expect("a folder") };
        std::fs::write(authority.ca(), authority.issuer.pem()).expect("written");
        authority
    }

    /// The file with its own certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for these names, in files named so.
    pub fn issue(&self, file: &str, names: &[&str]) -> Files {
        self.issue_in(self.folder.path(), file, names)
    }

    pub fn issue_in(&self, folder: &Path, file: &str, names: &[&str]) -> Files {
        self.issue_with(folder, file, names, |_| {})
    }

    /// The same, with a change to what the certificate says.
    pub fn issue_with(
        &self,
        folder: &Path,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Files {
        let names: Vec<_> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, file);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("signed");
        let files =
            Files { cert: folder.join(format!("{file}.pem")), key: folder.join(format!("{file}.key")) };
        write_key(&files.key, &key.serialize_pem());
        std::fs::write(&files.cert, cert.pem()).expect("written");
        files
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        roots
    }

    /// A client that trusts it, and speaks HTTP/1.1.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::builder().with_root_certificates(self.roots()).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }

    /// The same, of this version of TLS alone.
    pub fn client_of(&self, version: &'static SupportedProtocolVersion) -> ClientConfig {
        let builder = ClientConfig::builder_with_protocol_versions(&[version]);
        let mut config = builder.with_root_certificates(self.roots()).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }

    /// A client with a certificate to show.
    pub fn client_with(&self, shown: &Files) -> ClientConfig {
        let builder = ClientConfig::builder().with_root_certificates(self.roots());
        builder.with_client_auth_cert(vec![shown.certificate()], shown.private_key()).expect("fits")
    }
}

impl Files {
    /// As the option of the gateway has them.
    pub fn option(&self) -> String {
        format!("{}:{}", self.cert.display(), self.key.display())
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(&self.cert).expect("a certificate")
    }

    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(&self.key).expect("a key")
    }

    /// Puts another certificate in the place of this one.
    pub fn replace_by(&self, other: &Files) {
        write_key(&self.key, &std::fs::read_to_string(&other.key).expect("read"));
        std::fs::copy(&other.cert, &self.cert).expect("copied");
    }
}

pub fn write_key(path: &Path, pem: &str) {
    std::fs::write(path, pem).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("set");
}
