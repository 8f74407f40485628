//! TLS: on the way to the control plane, and of the admin page.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hotswap_runtime::tls::{ServerTls, TlsFiles, is_loopback, may_listen};
use hotswap_runtime::{StartError, chain};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

/// Options of TLS.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Gateway TLS")]
pub struct SecurityOptions {
    /// Certificates (PEM) of those who may vouch for an https control plane. Default: those that this machine trusts.
    /// Like the other files here, it is read again when it changes.
    #[arg(long, env = "HOTSWAP_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// The certificate (PEM) to show to an https control plane that asks for one.
    #[arg(long, env = "HOTSWAP_CLIENT_CERT", value_name = "FILE")]
    pub client_cert: Option<PathBuf>,

    /// The private key (PEM) of that certificate.
    #[arg(long, env = "HOTSWAP_CLIENT_KEY", value_name = "FILE")]
    pub client_key: Option<PathBuf>,

    /// The name that the control plane's certificate must bear, where it is not the URL's.
    #[arg(long, env = "HOTSWAP_TLS_NAME", value_name = "NAME")]
    pub tls_name: Option<String>,

    /// The certificate (PEM) of the admin page, with those that lead to its issuer behind it.
    #[arg(long, env = "HOTSWAP_GATEWAY_ADMIN_TLS_CERT", value_name = "FILE")]
    pub gateway_admin_tls_cert: Option<PathBuf>,

    /// The private key (PEM) of that certificate.
    #[arg(long, env = "HOTSWAP_GATEWAY_ADMIN_TLS_KEY", value_name = "FILE")]
    pub gateway_admin_tls_key: Option<PathBuf>,

    /// Certificates (PEM) of those who may vouch for readers of the admin page: they must then show one of theirs.
    #[arg(long, env = "HOTSWAP_GATEWAY_ADMIN_TLS_CLIENT_CA", value_name = "FILE")]
    pub gateway_admin_tls_client_ca: Option<PathBuf>,

    /// Do without TLS also where others could listen in: on the way to the control plane, and on the admin page.
    #[arg(long, env = "HOTSWAP_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,
}

impl SecurityOptions {
    /// TLS of the admin page; `None`: it has none.
    ///
    /// # Errors
    /// Where a file is of no use, or `address` needs TLS.
    pub fn admin_page(&self, address: SocketAddr) -> Result<Option<ServerTls>, StartError> {
        let prefix = "--gateway-admin-tls";
        let cert = self.gateway_admin_tls_cert.as_deref();
        let (key, ca) = (self.gateway_admin_tls_key.as_deref(), self.gateway_admin_tls_client_ca.as_deref());
        let files = TlsFiles::named(prefix, cert, key, ca)?;
        may_listen(address, "--gateway-admin-listen", prefix, files.is_some() || self.allow_plaintext)?;
        Ok(files.map(ServerTls::load).transpose()?)
    }

    /// How to reach a control plane, with the certificates as they are now.
    ///
    /// # Errors
    /// Where a file is of no use.
    pub(crate) fn secure(&self, endpoint: Endpoint) -> Result<Endpoint, Error> {
        if endpoint.uri().scheme_str() != Some("https") {
            return Ok(endpoint);
        }
        let mut tls = ClientTlsConfig::new();
        tls = match &self.ca_file {
            Some(file) => tls.ca_certificate(Certificate::from_pem(read(file, "CERTIFICATE")?)),
            None => tls.with_native_roots(),
        };
        if let Some(name) = &self.tls_name {
            tls = tls.domain_name(name);
        }
        if let (Some(cert), Some(key)) = (&self.client_cert, &self.client_key) {
            tls = tls.identity(Identity::from_pem(read(cert, "CERTIFICATE")?, read(key, "PRIVATE KEY")?));
        }
        endpoint.tls_config(tls).map_err(|e| Error::Unusable(chain(&e)))
    }

    /// Whether a control plane may be reached at this address: the token must not pass where others could read it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn may_reach(&self, endpoint: &Endpoint) -> Result<(), String> {
        let uri = endpoint.uri();
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let here = host == "localhost" || host.parse().is_ok_and(is_loopback);
        match uri.scheme_str() {
            Some("https") => Ok(()),
            Some("http") if here || self.allow_plaintext => Ok(()),
            Some("http") => Err("the token would pass where others can read it; \
                 use https://, or --allow-plaintext where something else protects the way"
                .to_owned()),
            _ => Err("must begin with http:// or https://, or be unix:/PATH".to_owned()),
        }
    }

    /// # Errors
    /// Where one of two files is missing, or one can't be used now.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        if self.client_cert.is_some() != self.client_key.is_some() {
            let why = "--client-cert and --client-key need each other".to_owned();
            return Err(StartError::Option(why));
        }
        let probe = Endpoint::from_static("https://localhost");
        self.secure(probe).map(drop).map_err(|e| StartError::Option(e.to_string()))
    }
}

/// The text of a PEM file that holds what is looked for. A file without it would be taken as an empty one.
fn read(file: &Path, what: &str) -> Result<String, Error> {
    let path = || file.to_owned();
    let text = fs::read_to_string(file).map_err(|source| Error::File { path: path(), source })?;
    let ends = format!("{what}-----");
    let holds = text.lines().any(|l| l.starts_with("-----BEGIN ") && l.trim_end().ends_with(&ends));
    if holds { Ok(text) } else { Err(Error::Empty { path: path(), what: what.to_owned() }) }
}

/// Why there is no TLS to the control plane.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    #[error("{path} holds no {what} in PEM form")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: String,
    },
    #[error("a certificate is of no use: {0}")]
    Unusable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(url: &'static str, allow_plaintext: bool) -> Result<(), String> {
        let options = SecurityOptions { allow_plaintext, ..SecurityOptions::default() };
        options.may_reach(&Endpoint::from_static(url))
    }

    #[test]
    fn a_token_does_not_leave_this_machine_unprotected_unless_that_is_asked_for() {
        for url in ["http://127.0.0.1:7400", "http://[::1]:7400", "http://localhost:7400", "https://a:1"] {
            assert_eq!(reach(url, false), Ok(()), "{url}");
        }
        assert!(reach("http://control.example:7400", false).expect_err("refused").contains("https://"));
        assert_eq!(reach("http://control.example:7400", true), Ok(()));
        assert!(reach("ftp://127.0.0.1", true).is_err());
    }

    #[test]
    fn files_that_are_of_no_use_end_the_start_with_their_name() {
        let missing = SecurityOptions { ca_file: Some("/none/ca.pem".into()), ..SecurityOptions::default() };
        let told = missing.check().expect_err("missing").to_string();
        assert!(told.contains("cannot read /none/ca.pem"), "{told}");
        let half = SecurityOptions { client_cert: Some("c.pem".into()), ..SecurityOptions::default() };
        assert!(half.check().expect_err("half").to_string().contains("--client-key"));
        assert!(SecurityOptions::default().check().is_ok());
    }
}
