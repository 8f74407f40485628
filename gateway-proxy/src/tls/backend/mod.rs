//! TLS to backends: who may vouch for them, and what is shown to them, from a folder whose files pools name.
//!
//! ```text
//!   folder ─► Folder ─┐
//!   Address.tls() ────┴► ClientConfig, one for each address ─► each handshake that begins
//!        every 5 s: changed? ──► what was made of other files is made anew, and connections that it made are not used again
//! ```
//! What is made for an address keeps its sessions, so that one is taken up again only with the backend that it was begun
//! with, and never over a change of those who vouch: a session that is taken up again shows no certificate.

mod any;
mod folder;
mod told;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use hotswap_matcher::{Address, BackendProtocol, BackendTls};
use hotswap_runtime::{StartError, Supervisor, TaskKind};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use self::any::Any;
use self::folder::{Folder, Uses};
use self::told::Told;
use super::{InForce, ROUND, TlsError};

pub(crate) use self::told::{is_refusal, why};

/// HTTP/2, as the handshake calls it (ALPN).
pub(crate) const HTTP2: &[u8] = b"h2";
/// Addresses for which something is kept, at most; beyond, it is made anew.
const MOST: usize = 4_096;
/// Sessions that are kept of one address: those of one name, of which rustls keeps eight.
const SESSIONS: usize = 8;

/// TLS to backends.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "TLS to backends")]
pub struct BackendTlsOptions {
    /// A folder with what pools name in `tls`: NAME.pem or NAME.crt has the certificates of those who may vouch for
    /// backends, and with NAME.key beside it what the gateway shows to them; or a folder NAME with ca.crt, and with
    /// tls.crt and tls.key. They are read again when they change.
    #[arg(long, env = "HOTSWAP_BACKEND_TLS_DIR", value_name = "DIR")]
    pub backend_tls_dir: Option<PathBuf>,
}

/// How backends are reached with TLS; cheap to clone, one for all cores and checks.
#[derive(Clone, Debug)]
pub struct BackendFiles(Arc<Inner>);

struct Inner {
    folder: Option<PathBuf>,
    current: ArcSwap<Folder>,
    /// Made when an address is first reached.
    made: Mutex<HashMap<Address, Made>>,
    system: OnceLock<Arc<RootCertStore>>,
    told: Told,
    /// Why the folder can't be used; empty: it can.
    trouble: Mutex<String>,
}

/// How an address is reached.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// For its handshakes.
    pub(crate) config: Arc<ClientConfig>,
    /// Other files are in force: its connections are not used again.
    pub(crate) retired: Arc<AtomicBool>,
    uses: Uses,
}

/// Why a backend can't be reached as its pool says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("tls.{0}: the gateway has no --backend-tls-dir")]
    NoFolder(&'static str),
    #[error(
        "tls.ca: {0}.pem, {0}.crt or {0}/ca.crt is not in --backend-tls-dir, or is a certificate with its key"
    )]
    NoCa(String),
    #[error(
        "tls.client_certificate: {0}.pem or {0}.crt with {0}.key, or {0}/tls.crt with tls.key, is not in --backend-tls-dir"
    )]
    NoCertificate(String),
    #[error(
        "tls.ca names nobody, and the gateway's machine trusts nobody: no certificates of authorities were found"
    )]
    NobodyTrusted,
    #[error("{0}")]
    Rustls(#[from] rustls::Error),
}

/// What is offered to speak with a backend (ALPN), what is preferred first.
fn protocols(address: &Address) -> &'static [&'static [u8]] {
    match address.protocol() {
        BackendProtocol::Http1 => &[b"http/1.1"],
        BackendProtocol::Http2 => &[HTTP2],
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl BackendFiles {
    /// Reads the folder.
    ///
    /// # Errors
    /// Where a file is of no use; it is named.
    pub fn load(options: &BackendTlsOptions) -> Result<Self, StartError> {
        let folder = options.backend_tls_dir.clone();
        let current = folder.as_deref().map(Folder::read).transpose()?.unwrap_or_default();
        Ok(Self(Arc::new(Inner {
            folder,
            current: ArcSwap::from_pointee(current),
            made: Mutex::default(),
            system: OnceLock::new(),
            told: Told::default(),
            trouble: Mutex::default(),
        })))
    }

    /// Reads the folder again, and takes what it has for connections from now on where it has changed. `true`: it has.
    ///
    /// # Errors
    /// As [`Self::load`]; what was in force stays so.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some(folder) = &self.0.folder else { return Ok(false) };
        let read = Folder::read(folder)?;
        if read.digest() == self.0.current.load().digest() {
            return Ok(false);
        }
        let read = Arc::new(read);
        self.0.current.store(Arc::clone(&read));
        self.made().retain(|address, made| {
            let same = address.tls().is_some_and(|tls| read.uses(tls) == made.uses);
            if !same {
                made.retired.store(true, Ordering::Relaxed);
            }
            same
        });
        Ok(true)
    }

    /// How to reach an address whose pool wants TLS so.
    pub(crate) fn config(&self, address: &Address, tls: &BackendTls) -> Result<Made, Unusable> {
        let mut made = self.made();
        if let Some(made) = made.get(address) {
            return Ok(made.clone());
        }
        let new = self.make(address, tls)?;
        if made.len() >= MOST {
            // Nobody would tell their connections of other files.
            made.drain().for_each(|(_, made)| made.retired.store(true, Ordering::Relaxed));
        }
        made.insert(address.clone(), new.clone());
        Ok(new)
    }

    fn make(&self, address: &Address, tls: &BackendTls) -> Result<Made, Unusable> {
        let folder = self.0.current.load();
        let (no_folder, builder) = (self.0.folder.is_none(), ClientConfig::builder());
        let builder = match &tls.ca {
            _ if !tls.verify => {
                let any = Any::new(aws_lc_rs::default_provider());
                builder.dangerous().with_custom_certificate_verifier(Arc::new(any))
            }
            Some(_) if no_folder => return Err(Unusable::NoFolder("ca")),
            Some(name) => {
                let roots = folder.roots(name).ok_or_else(|| Unusable::NoCa(name.clone()))?;
                builder.with_root_certificates(Arc::clone(roots))
            }
            None if self.system().is_empty() => return Err(Unusable::NobodyTrusted),
            None => builder.with_root_certificates(Arc::clone(self.system())),
        };
        let mut config = match &tls.client_certificate {
            Some(_) if no_folder => return Err(Unusable::NoFolder("client_certificate")),
            Some(name) => {
                let key = folder.shown(name).ok_or_else(|| Unusable::NoCertificate(name.clone()))?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(key))))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols(address).iter().map(|p| p.to_vec()).collect();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Made { config: Arc::new(config), retired: Arc::default(), uses: folder.uses(tls) })
    }

    /// Whom the machine trusts; read once.
    fn system(&self) -> &Arc<RootCertStore> {
        self.0.system.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(roots)
        })
    }

    /// Whether the next look at what this wants may read files.
    pub(crate) fn needs_system(&self, tls: &BackendTls) -> bool {
        tls.verify && tls.ca.is_none() && self.0.system.get().is_none()
    }

    /// Reads whom the machine trusts; it blocks the thread.
    pub(crate) fn load_system(&self) {
        self.system();
    }

    fn made(&self) -> MutexGuard<'_, HashMap<Address, Made>> {
        self.0.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of reaching an address with TLS: `Some`: what is wrong.
    pub(crate) fn tell(&self, address: &Address, wrong: Option<&str>) {
        self.0.told.tell(address, wrong);
    }

    /// What is wrong with reaching an address with TLS, since it was last reached.
    pub fn trouble_with(&self, address: &Address) -> Option<String> {
        self.0.told.trouble(address)
    }

    /// The folder; `None`: there is none.
    pub(crate) fn folder(&self) -> Option<&PathBuf> {
        self.0.folder.as_ref()
    }

    /// Why the folder can't be used; empty: it can.
    pub(crate) fn trouble(&self) -> String {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the gateway can show to backends.
    pub(crate) fn certificates(&self) -> Vec<InForce> {
        self.0.current.load().in_force()
    }

    /// Follows the folder for as long as the process runs. What can't be used is told once, and what was before stays
    /// in force.
    pub(crate) fn follow(&self, supervisor: &Supervisor) {
        if self.0.folder.is_none() {
            return;
        }
        let (files, shutdown) = (self.clone(), supervisor.shutdown());
        supervisor.spawn("backend-certificates", TaskKind::Background, async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(ROUND) => {}
                    () = shutdown.cancelled() => return,
                }
                files.follow_once();
            }
        });
    }

    fn follow_once(&self) {
        let trouble = match self.reload() {
            Ok(true) => {
                tracing::info!("new certificates for backends are in force");
                String::new()
            }
            Ok(false) => String::new(),
            Err(error) => error.to_string(),
        };
        let mut told = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != trouble && !trouble.is_empty() {
            tracing::error!(error = trouble, "the certificates for backends stay as they were");
        }
        *told = trouble;
    }
}

#[cfg(test)]
mod tests;
