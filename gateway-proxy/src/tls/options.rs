//! Options of TLS towards clients.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hotswap_runtime::StartError;

use crate::engine::EngineKind;

/// TLS towards clients.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS to clients")]
pub struct ClientTlsOptions {
    /// Where clients connect with TLS, beside --gateway-listen; port 0 takes a free one. Certificates come from the control
    /// plane (`kind: Certificate`), and from files: these come first.
    #[arg(long, env = "HOTSWAP_GATEWAY_TLS_LISTEN", value_name = "ADDRESS")]
    pub gateway_tls_listen: Option<SocketAddr>,

    /// A certificate and its key, two PEM files with a colon between: shop.pem:shop.key. May be given several times: a
    /// client gets the one that bears the name it asks for, and else the first. They are read again when they change.
    #[arg(long, env = "HOTSWAP_GATEWAY_TLS_CERTIFICATE", value_name = "CERT:KEY", value_delimiter = ',')]
    pub gateway_tls_certificate: Vec<PairOption>,

    /// A folder with more of them, each as NAME.crt or NAME.pem with NAME.key beside it; or in a folder of its own as
    /// tls.crt and tls.key, or as fullchain.pem and privkey.pem.
    #[arg(long, env = "HOTSWAP_GATEWAY_TLS_CERTIFICATES", value_name = "DIR")]
    pub gateway_tls_certificates: Option<PathBuf>,

    /// Turn away clients that ask for a name which no certificate bears, or for none. Default: they get the first.
    #[arg(long, env = "HOTSWAP_GATEWAY_TLS_REFUSE_UNKNOWN")]
    pub gateway_tls_refuse_unknown: bool,

    /// Certificates (PEM) of those who may vouch for clients: a client must then show one of theirs.
    #[arg(long, env = "HOTSWAP_GATEWAY_TLS_CLIENT_CA", value_name = "FILE")]
    pub gateway_tls_client_ca: Option<PathBuf>,

    /// Let clients in that show no certificate, too; one that is shown must still be good.
    #[arg(long, env = "HOTSWAP_GATEWAY_TLS_CLIENT_OPTIONAL")]
    pub gateway_tls_client_optional: bool,

    /// The oldest version of TLS that clients may use: 1.2 or 1.3.
    #[arg(long, env = "HOTSWAP_GATEWAY_TLS_MIN_VERSION", value_name = "VERSION", default_value = "1.2")]
    pub gateway_tls_min_version: TlsVersion,

    /// How long a handshake may take, in ms.
    #[arg(long, env = "HOTSWAP_GATEWAY_TLS_HANDSHAKE_MS", value_name = "MS", default_value_t = 10_000)]
    pub gateway_tls_handshake_ms: u64,

    /// Answer every request without TLS with a redirect (308) to the same address with it; the port is that of
    /// --gateway-tls-listen, or this one where clients see another.
    #[arg(
        long,
        env = "HOTSWAP_REDIRECT_TO_HTTPS",
        value_name = "PORT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "0"
    )]
    pub redirect_to_https: Option<u16>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairOption {
    /// The certificate (PEM), with those that lead to its issuer behind it.
    pub cert: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
}

impl FromStr for PairOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((cert, key)) if !cert.is_empty() && !key.is_empty() && !key.contains(':') => {
                Ok(Self { cert: cert.into(), key: key.into() })
            }
            _ => Err("must be two files with a colon between, as shop.pem:shop.key".into()),
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2.
    #[default]
    V1_2,
    /// 1.3.
    V1_3,
}

impl FromStr for TlsVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1.2" => Ok(Self::V1_2),
            "1.3" => Ok(Self::V1_3),
            _ => Err("must be 1.2 or 1.3; what is older is broken".into()),
        }
    }
}

impl ClientTlsOptions {
    /// Whether there are certificates in files.
    fn has_files(&self) -> bool {
        !self.gateway_tls_certificate.is_empty() || self.gateway_tls_certificates.is_some()
    }

    /// Whether clients connect with TLS, so that certificates of the control plane are of use.
    pub(crate) fn takes_certificates(&self) -> bool {
        self.gateway_tls_listen.is_some()
    }

    /// Whether all of them come from the control plane.
    pub(crate) fn waits_for_certificates(&self) -> bool {
        self.takes_certificates() && !self.has_files()
    }

    /// How long a handshake may take.
    pub(crate) fn handshake(&self) -> Duration {
        Duration::from_millis(self.gateway_tls_handshake_ms)
    }

    /// # Errors
    /// Where an option needs another that is not there.
    pub(super) fn check(&self, engine: EngineKind) -> Result<(), StartError> {
        let wrong = |what: &str| Err(StartError::Option(what.to_owned()));
        let certificates = self.has_files();
        if self.gateway_tls_listen.is_none() {
            let given = [
                (certificates, "--gateway-tls-certificate"),
                (self.gateway_tls_client_ca.is_some(), "--gateway-tls-client-ca"),
                (self.redirect_to_https == Some(0), "--redirect-to-https without a port"),
            ];
            return match given.into_iter().find(|(given, _)| *given) {
                Some((_, option)) => wrong(&format!("{option} needs --gateway-tls-listen beside it")),
                None if self.redirect_to_https.is_some() => needs_own(engine, "--redirect-to-https"),
                None => Ok(()),
            };
        }
        if self.gateway_tls_client_optional && self.gateway_tls_client_ca.is_none() {
            return wrong("--gateway-tls-client-optional needs --gateway-tls-client-ca beside it");
        }
        needs_own(engine, "--gateway-tls-listen")
    }
}

/// The engine on hyper is there to be compared with, and has none of this.
pub(crate) fn needs_own(engine: EngineKind, option: &str) -> Result<(), StartError> {
    match engine {
        EngineKind::Own => Ok(()),
        EngineKind::Hyper => {
            let why = format!("{option} is not there with --gateway-engine hyper; use --gateway-engine own");
            Err(StartError::Option(why))
        }
    }
}
