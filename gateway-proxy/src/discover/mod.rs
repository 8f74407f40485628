//! The watch: a stream from the control plane, and what is done with what comes. It runs on the control
//! thread; a core only ever sees a configuration that is whole.
//!
//! ```text
//!   connect ─► Hello(token, digest) ─► Reset? ─► Snapshot … last ─┐
//!      ▲                                         Delta ───────────┤
//!      │ backoff                                                  ▼
//!      │                                    Held: parse, compile ─► Refusal of what is unsound
//!      │                                                          ├► Ack VALIDATED
//!      │                                       swap (config::Live) ┤
//!      └───────── the stream ends, stalls, or is refused          └► Ack ACTIVE
//! ```
//!
//! What is served never depends on the stream: when it breaks, traffic goes on with what there is. A gateway
//! that starts while the control plane is away begins with what it kept on disk ([`crate::state`]), and is
//! stale until the stream has confirmed it: a delta or a snapshot was applied, or a bookmark agreed.

mod answers;
mod arms;
mod backoff;
mod checks;
mod held;
mod parse;
mod planes;
mod reports;
mod session;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hotswap_api::gateway::v1::{Hello, ResourceError};
use hotswap_core::Ids;
use hotswap_runtime::admin::Readiness;
use hotswap_runtime::{CancellationToken, StartError};

pub use backoff::Backoff;
pub use held::{Applied, Held, Misfit, Restored, Sign};

use self::answers::Answers;
use self::checks::Checks;
use self::planes::Planes;
use self::session::{End, Session};
use crate::config::Live;
use crate::keys::KeyRing;
use crate::metrics::ControlMetrics;
use crate::options::GatewayOptions;
use crate::state::{Saved, Secrets, StateHandle};

/// Before the next control plane is tried: not all gateways of one that ended at the same moment.
const BETWEEN: Duration = Duration::from_millis(20);

/// What this build can do beyond the first contract.
const FEATURES: &[&str] = &["explain", "rollouts"];
/// It takes certificates, with their keys: said only where clients connect with TLS.
const CERTIFICATES: &str = "certificates";

/// The part of readiness that a first configuration gives.
pub const READY_PART: &str = "configuration";

/// The part of readiness that a certificate gives, where all of them come from the control plane.
const CERTIFICATES_PART: &str = "certificates";

/// What is noted while what is served was not confirmed.
const STALE: &str = "stale";

/// Watches the control plane for as long as the gateway runs.
#[derive(Debug)]
pub struct Discovery {
    planes: Planes,
    token_file: Option<PathBuf>,
    hello: Hello,
    config: Live,
    metrics: Arc<ControlMetrics>,
    readiness: Readiness,
    backoff: Backoff,
    held: Held,
    disk: Option<StateHandle>,
    checks: Checks,
    shown: Shown,
}

/// Whether there is a certificate to show.
#[derive(Clone, Copy, Debug)]
struct Shown {
    /// All of them come from the control plane.
    needed: bool,
}

impl Shown {
    /// Tells readiness.
    fn tell(self, config: &Live, readiness: &Readiness) {
        if !self.needed {
            return;
        }
        if config.certificates().load().is_empty() {
            readiness
                .not_ready(CERTIFICATES_PART, "none yet from the control plane for --gateway-tls-listen");
        } else {
            readiness.ready(CERTIFICATES_PART);
        }
    }
}

impl Discovery {
    /// Gets ready; nothing is connected yet.
    ///
    /// # Errors
    /// Where the address of the control plane is none, or a certificate is of no use.
    pub fn new(
        options: &GatewayOptions,
        ids: &impl Ids,
        config: Live,
        metrics: Arc<ControlMetrics>,
        readiness: Readiness,
    ) -> Result<Self, StartError> {
        readiness.not_ready(READY_PART, "none yet from the control plane");
        let shown = Shown { needed: options.client_tls.waits_for_certificates() };
        shown.tell(&config, &readiness);
        let takes = options.client_tls.takes_certificates().then_some(CERTIFICATES);
        let instance = ids.uuid();
        let hello = Hello {
            proxy: options.proxy_name.clone(),
            instance_id: instance.to_string(),
            labels: options.labels.iter().map(|l| (l.key.clone(), l.value.clone())).collect(),
            features: FEATURES.iter().copied().chain(takes).map(str::to_owned).collect(),
            build_version: env!("CARGO_PKG_VERSION").to_owned(),
            have: None,
            have_digest: Default::default(),
        };
        Ok(Self {
            planes: Planes::new(&options.control_plane, &options.security, instance.as_u128())?,
            token_file: options.token_file.clone(),
            hello,
            config,
            metrics,
            readiness,
            backoff: Backoff::new(instance.as_u128()),
            held: Held::default(),
            disk: None,
            checks: Checks::default(),
            shown,
        })
    }

    /// The key sets that the routes fetch that it will bring.
    pub fn keys(&self) -> &KeyRing {
        self.held.keys()
    }

    /// Keeps private keys on disk sealed with these; without, it keeps none.
    pub fn with_secrets(mut self, secrets: Secrets) -> Self {
        self.held.seal_with(secrets);
        self
    }

    /// Puts what was kept on disk in force. It counts as stale until the control plane has confirmed it.
    /// Gives what this build refuses of it.
    pub fn start_from(&mut self, saved: &Saved<'_>) -> Vec<ResourceError> {
        let at = saved.at();
        let Restored { compiled, refused } =
            self.held.restore(saved.resources(), at.clone(), saved.is_resumable());
        for error in &refused {
            let ResourceError { name, field, message, .. } = error;
            tracing::warn!(resource = name, field, message, "kept resource not used");
        }
        self.config.replace(compiled);
        self.shown.tell(&self.config, &self.readiness);
        self.metrics.revision.store(at.revision, Ordering::Relaxed);
        self.metrics.state_revision.store(at.revision, Ordering::Relaxed);
        self.metrics.stale.store(1, Ordering::Relaxed);
        self.readiness.ready(READY_PART);
        let revision = at.revision;
        let why = format!("revision {revision}, kept on disk; the control plane has not confirmed it");
        self.readiness.note(STALE, why);
        tracing::warn!(
            revision = at.revision,
            "serving the configuration kept on disk, stale until the control plane confirms it"
        );
        refused
    }

    /// Keeps on disk, from now on, what is applied.
    pub fn keep_in(&mut self, disk: StateHandle) {
        self.disk = Some(disk);
    }

    /// Watches until `shutdown`. A stream that ends is begun again, later and later while none succeeds. From `last` on the
    /// one that is open is the last: another process watches under the same name, and must remain the newer one.
    pub async fn run(mut self, shutdown: CancellationToken, last: CancellationToken) {
        let metrics = Arc::clone(&self.metrics);
        let in_vain = || async {
            last.cancelled().await;
            if metrics.connected.load(Ordering::Relaxed) == 1 {
                std::future::pending::<()>().await;
            }
        };
        loop {
            let ended = tokio::select! {
                () = shutdown.cancelled() => return,
                () = in_vain() => return,
                ended = self.watch_once() => ended,
            };
            self.metrics.connected.store(0, Ordering::Relaxed);
            let pause = self.pause_after(ended);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = last.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// What the end of a stream means, and how long to wait before the next.
    fn pause_after(&mut self, ended: Result<End, session::Error>) -> Duration {
        let all_failed = self.planes.pass_on(ended.is_err());
        match ended {
            Ok(End::Later(pause)) => pause,
            Ok(End::Closed) => self.backoff.pause(),
            Ok(End::Adrift) => {
                tracing::warn!("the configuration does not fit what the control plane says: starting anew");
                self.held.forget_place();
                self.backoff.pause()
            }
            Err(error) => {
                let pause = if all_failed { self.backoff.pause() } else { BETWEEN };
                let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                self.metrics.set_trouble(error.to_string());
                tracing::warn!(%error, retry_in_ms = ms, "no configuration stream");
                pause
            }
        }
    }

    async fn watch_once(&mut self) -> Result<End, session::Error> {
        let mut hello = self.hello.clone();
        hello.have = self.held.place().cloned();
        hello.have_digest = self.held.digest().to_bytes().to_vec().into();
        let endpoint = self.planes.current()?;
        let session = Session {
            held: &mut self.held,
            config: &self.config,
            metrics: &self.metrics,
            readiness: &self.readiness,
            backoff: &mut self.backoff,
            disk: self.disk.as_ref(),
            answers: Answers::default(),
            turn: None,
            shown: self.shown,
        };
        session.run(&endpoint, self.token_file.as_deref(), hello, &mut self.checks).await
    }
}
