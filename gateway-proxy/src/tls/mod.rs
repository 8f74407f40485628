//! TLS towards clients: certificates from files, which are read again while the gateway runs, and from the control plane,
//! chosen by name; sessions that are taken up again; and what is known of a client by its own certificate. TLS to backends
//! stands in `backend`.
//!
//! ```text
//!   pairs of files ─► Contents ─► Names ─┐
//!   the control plane ─────────► Served ─┼► Chooser ─┐
//!   client CA ───────────────────────────────────────┴► ServerConfig ─► each handshake that begins
//!        every 5 s: changed? ──► the next handshakes use the new ones; what does not fit leaves the old in force
//! ```

mod backend;
mod files;
mod names;
mod options;
mod served;
mod shown;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use hotswap_certificate::{Chain, ChainError, Facts};
pub use hotswap_runtime::tls::TlsError;
use hotswap_runtime::{StartError, Supervisor, TaskKind};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

pub use backend::{BackendFiles, BackendTlsOptions};
pub(crate) use backend::{HTTP2, is_refusal, why};
pub(crate) use options::needs_own;
pub use options::{ClientTlsOptions, PairOption, TlsVersion};
pub use served::Served;
pub(crate) use shown::ShownCertificate;

use crate::engine::EngineKind;
use crate::metrics::ControlMetrics;
use files::{Contents, Pair};
use names::{Chooser, Names, Resources};

/// How often the files are read. They are small, and their contents are compared: a time stamp tells nothing where a
/// link was led elsewhere.
const ROUND: Duration = Duration::from_secs(5);
/// Sessions that are kept for clients that bring no ticket, at most.
const SESSIONS: usize = 16_384;
/// What is spoken in a connection, what is preferred first.
const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// How the gateway presents itself to clients; cheap to clone, one for all cores.
#[derive(Clone, Debug)]
pub struct ClientTls {
    inner: Arc<Inner>,
}

struct Inner {
    options: ClientTlsOptions,
    listen: SocketAddr,
    /// Made once: a session goes on over a change of certificates.
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<ServerSessionMemoryCache>,
    resources: Resources,
    current: ArcSwap<Current>,
}

struct Current {
    digest: [u8; 32],
    config: Arc<ServerConfig>,
    certificates: Vec<InForce>,
}

/// A certificate in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Its file, or its name where the control plane has given it.
    pub file: String,
    /// The names that it bears.
    pub names: Vec<String>,
    /// When it runs out, in seconds since 1970.
    pub until: i64,
}

impl InForce {
    fn of(file: String, facts: &Facts) -> Self {
        Self { file, names: facts.dns_names.clone(), until: facts.not_after }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ClientTls {
    /// Reads the files; `None`: there is no TLS towards clients.
    ///
    /// # Errors
    /// Where an option is missing, or a file is of no use; it is named.
    pub fn load(options: &ClientTlsOptions, engine: EngineKind) -> Result<Option<Self>, StartError> {
        options.check(engine)?;
        let Some(listen) = options.gateway_tls_listen else { return Ok(None) };
        let tickets = aws_lc_rs::Ticketer::new()
            .map_err(|e| StartError::failed("making keys for TLS tickets")(e.into()))?;
        let sessions = ServerSessionMemoryCache::new(SESSIONS);
        let resources = Resources::default();
        let current = Current::new(Contents::read(options)?, options, (&tickets, &sessions), &resources)?;
        let current = ArcSwap::from_pointee(current);
        let inner = Inner { options: options.clone(), listen, tickets, sessions, resources, current };
        Ok(Some(Self { inner: Arc::new(inner) }))
    }

    /// Shows those of the control plane, too: what is found here when a handshake begins.
    pub(crate) fn serve_also(&self, certificates: Arc<ArcSwap<Served>>) {
        // The first one stays: there is one configuration.
        let _ = self.inner.resources.set(certificates);
    }

    /// The address of the option.
    pub(crate) fn address(&self) -> SocketAddr {
        self.inner.listen
    }

    /// Reads the files again, and takes them for the next handshakes where they have changed. `true`: they have.
    ///
    /// # Errors
    /// As [`Self::load`]; what was in force stays so.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Inner { options, tickets, sessions, resources, current, .. } = &*self.inner;
        let contents = Contents::read(options)?;
        if contents.digest == current.load().digest {
            return Ok(false);
        }
        current.store(Arc::new(Current::new(contents, options, (tickets, sessions), resources)?));
        Ok(true)
    }

    /// What a handshake that begins now uses.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.inner.current.load().config)
    }

    /// How long a handshake may take.
    pub(crate) fn handshake(&self) -> Duration {
        self.inner.options.handshake()
    }

    /// The certificates in force: those in files, and those of the control plane.
    pub fn certificates(&self) -> Vec<InForce> {
        let mut all = self.inner.current.load().certificates.clone();
        if let Some(resources) = self.inner.resources.get() {
            all.extend_from_slice(resources.load().in_force());
        }
        all
    }

    /// Follows the files for as long as the process runs. New ones that can't be used are told once, and those before
    /// stay in force.
    pub(crate) fn follow(&self, supervisor: &Supervisor, metrics: &Arc<ControlMetrics>) {
        let (tls, metrics, shutdown) = (self.clone(), Arc::clone(metrics), supervisor.shutdown());
        supervisor.spawn("client-certificates", TaskKind::Background, async move {
            let mut told = None;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(ROUND) => {}
                    () = shutdown.cancelled() => return,
                }
                told = tls.follow_once(&metrics, told);
            }
        });
    }

    /// One round; what was told of trouble, before and after.
    fn follow_once(&self, metrics: &ControlMetrics, told: Option<String>) -> Option<String> {
        match self.reload() {
            Ok(changed) => {
                metrics.tls_stale.store(0, Ordering::Relaxed);
                if changed {
                    metrics.tls_reloads.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(certificates = self.certificates().len(), "new certificates are in force");
                }
                metrics.set_tls_trouble(String::new());
                None
            }
            Err(error) => {
                let error = error.to_string();
                metrics.tls_stale.store(1, Ordering::Relaxed);
                if told.as_ref() != Some(&error) {
                    tracing::error!(error, "the certificates for clients stay as they were");
                }
                metrics.set_tls_trouble(error.clone());
                Some(error)
            }
        }
    }
}

impl Current {
    fn new(
        contents: Contents,
        options: &ClientTlsOptions,
        (tickets, sessions): (&Arc<dyn ProducesTickets>, &Arc<ServerSessionMemoryCache>),
        resources: &Resources,
    ) -> Result<Self, TlsError> {
        let mut names = Names::default();
        let mut certificates = Vec::with_capacity(contents.pairs.len());
        for pair in &contents.pairs {
            let (key, in_force) = pair.parse()?;
            names.add(key, in_force.names.iter().map(String::as_str));
            certificates.push(in_force);
        }
        let versions: &[_] = match options.gateway_tls_min_version {
            TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_protocol_versions(versions);
        let builder = match verifier(&contents, options.gateway_tls_client_optional)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let refuse_unknown = options.gateway_tls_refuse_unknown;
        let chooser = Chooser { files: names, resources: Arc::clone(resources), refuse_unknown };
        let mut config = builder.with_cert_resolver(Arc::new(chooser));
        config.alpn_protocols = PROTOCOLS.iter().map(|p| p.to_vec()).collect();
        if contents.client_ca.is_none() {
            config.ticketer = Arc::clone(tickets);
            config.session_storage = Arc::clone(sessions) as Arc<_>;
        } else {
            // A session that is taken up again skips the look at the client's certificate.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Self { digest: contents.digest, config: Arc::new(config), certificates })
    }
}

impl Pair {
    fn parse(&self) -> Result<(Arc<CertifiedKey>, InForce), TlsError> {
        let Self { cert_file, key_file, cert, key } = self;
        let told = |error: ChainError| match error {
            ChainError::None | ChainError::Malformed => TlsError::content(cert_file, error.to_string()),
            ChainError::Key(error) => TlsError::content(key_file, error.to_string()),
            ChainError::OtherKey => {
                let why = format!("the key in {} is that of another certificate", key_file.display());
                TlsError::content(cert_file, why)
            }
        };
        let chain = Chain::parse(cert).map_err(told)?;
        let key = chain.with_key(key).map_err(told)?;
        Ok((key, InForce::of(cert_file.display().to_string(), chain.facts())))
    }
}

fn certificates(bytes: &[u8], path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match certs {
        Ok(certs) if !certs.is_empty() => Ok(certs),
        _ => Err(TlsError::content(path, "there is no certificate in PEM form")),
    }
}

fn verifier(contents: &Contents, optional: bool) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some((path, bytes)) = &contents.client_ca else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    for cert in certificates(bytes, path)? {
        roots.add(cert).map_err(|e| TlsError::wrong(path, &e))?;
    }
    let builder = WebPkiClientVerifier::builder(Arc::new(roots));
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    Ok(Some(builder.build().map_err(|e| TlsError::wrong(path, &e))?))
}

#[cfg(test)]
mod tests;
