//! The gateway as a process of its own: started from this binary, started again when it dies, and never left
//! behind. It watches its standard input, which closes with this process however that ends; closing it is
//! also how it is asked to stop.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use hotswap_runtime::tls::TlsFiles;
use hotswap_runtime::{StartError, Supervisor, TaskKind, listen};
use hotswap_telemetry::{LogFormat, LogOptions, TraceOptions};
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The first wait before a start over; it doubles up to the longest, and begins again once the gateway was
/// ready.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long the gateway may take to end before it is killed: its own drain takes 12 s at most.
const STOP_LIMIT: Duration = Duration::from_secs(13);
/// How often the ready file is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// How the gateway is to run.
#[derive(Clone, Debug)]
pub(crate) struct GatewayPlan {
    /// Where the control plane is.
    pub(crate) control_plane: String,
    /// TLS of the admin page.
    pub(crate) admin_tls: Option<TlsFiles>,
    pub(crate) allow_plaintext: bool,
    /// The suite's data folder, for the ready file and for the folder that the gateway keeps its state in.
    pub(crate) data_dir: PathBuf,
    pub(crate) token_file: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
    pub(crate) workers: Option<usize>,
    /// Where exchanges that went wrong are noted; `None`: on standard output.
    pub(crate) access_log_file: Option<PathBuf>,
    pub(crate) log: LogOptions,
    pub(crate) trace: TraceOptions,
}

/// Where a gateway that is ready listens: what it writes into its ready file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: SocketAddr,
}

/// A gateway under supervision.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    ready: watch::Receiver<Option<Addresses>>,
}

impl Gateway {
    /// Starts it.
    ///
    /// # Errors
    /// Where an address is taken. The gateway would say so too, but this way it is one line.
    pub(crate) fn start(plan: GatewayPlan, supervisor: &Supervisor) -> Result<Self, StartError> {
        drop(listen::bind(plan.listen, "gateway", "--gateway-listen")?);
        drop(listen::bind(plan.admin_listen, "gateway admin", "--gateway-admin-listen")?);
        let (tell, ready) = watch::channel(None);
        let keeper = Keeper { plan, tell, supervisor: supervisor.clone() };
        supervisor.spawn("gateway process", TaskKind::Essential, keeper.run());
        Ok(Self { ready })
    }

    /// Waits until it is ready; `None` where the process stops before.
    pub(crate) async fn ready(&mut self) -> Option<Addresses> {
        self.ready.wait_for(Option::is_some).await.ok().and_then(|ready| *ready)
    }
}

struct Keeper {
    plan: GatewayPlan,
    tell: watch::Sender<Option<Addresses>>,
    supervisor: Supervisor,
}

/// How one run of the gateway ended.
enum End {
    /// It was asked to.
    Stopped,
    /// By itself.
    Died { status: ExitStatus, was_ready: bool },
    /// It could not be started.
    NotStarted(std::io::Error),
}

impl Keeper {
    async fn run(mut self) {
        let shutdown = self.supervisor.shutdown();
        let mut wait = FIRST_WAIT;
        loop {
            match self.once().await {
                End::Stopped => return,
                End::NotStarted(error) => {
                    let why = format!("the gateway could not be started: {error}");
                    return self.supervisor.request_stop(Some(why));
                }
                // The first start must succeed: what is wrong with it is the user's to mend.
                End::Died { status, .. } if self.tell.borrow().is_none() => {
                    let why = format!("the gateway ended before it was ready ({status})");
                    return self.supervisor.request_stop(Some(why));
                }
                End::Died { status, was_ready } => {
                    if was_ready {
                        wait = FIRST_WAIT;
                    }
                    tracing::error!(%status, restart_in_ms = wait.as_millis(), "gateway died");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => return,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// One life of the gateway.
    async fn once(&mut self) -> End {
        let ready_file = self.plan.data_dir.join("gateway.ready");
        // One of an earlier life would be taken for this one's. That there is none is the usual case.
        let _ = std::fs::remove_file(&ready_file);
        let mut child = match self.plan.command(&ready_file).and_then(|mut command| command.spawn()) {
            Ok(child) => child,
            Err(error) => return End::NotStarted(error),
        };
        // Held apart: waiting for a child closes the standard input that is still in it.
        let stdin = child.stdin.take();
        let shutdown = self.supervisor.shutdown();
        let mut was_ready = false;
        loop {
            tokio::select! {
                ended = child.wait() => return match ended {
                    Ok(status) => End::Died { status, was_ready },
                    Err(error) => End::NotStarted(error),
                },
                () = shutdown.cancelled() => {
                    drop(stdin);
                    stop(child).await;
                    return End::Stopped;
                }
                () = tokio::time::sleep(LOOK), if !was_ready => {
                    if let Some(addresses) = read_ready(&ready_file) {
                        was_ready = true;
                        self.plan.listen = addresses.listen;
                        self.plan.admin_listen = addresses.admin_listen;
                        self.tell.send_replace(Some(addresses));
                    }
                }
            }
        }
    }
}

/// What a ready gateway wrote; `None` where it has not yet.
fn read_ready(file: &Path) -> Option<Addresses> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Waits for its end, which it was asked for, and kills it where it does not come.
async fn stop(mut child: Child) {
    if tokio::time::timeout(STOP_LIMIT, child.wait()).await.is_err() {
        tracing::warn!("gateway did not stop in time and is killed");
        if let Err(error) = child.kill().await {
            tracing::error!(%error, "gateway not killed");
        }
    }
}

impl GatewayPlan {
    fn command(&self, ready_file: &Path) -> std::io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("gateway")
            .args(["--control-plane", &self.control_plane])
            .arg("--token-file")
            .arg(&self.token_file)
            .args(["--gateway-listen", &self.listen.to_string()])
            .args(["--gateway-admin-listen", &self.admin_listen.to_string()])
            .arg("--gateway-data-dir")
            .arg(self.data_dir.join("gateway"))
            .arg("--ready-file")
            .arg(ready_file)
            .args(["--log", &self.log.filter, "--log-format", log_format(self.log.format)])
            .arg("--exit-on-stdin-close")
            .stdin(Stdio::piped())
            // A terminal's Ctrl-C is for this process, which then ends the gateway in order.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(TlsFiles { cert, key, client_ca }) = &self.admin_tls {
            command.arg("--gateway-admin-tls-cert").arg(cert).arg("--gateway-admin-tls-key").arg(key);
            if let Some(ca) = client_ca {
                command.arg("--gateway-admin-tls-client-ca").arg(ca);
            }
        }
        if self.allow_plaintext {
            command.arg("--allow-plaintext");
        }
        if let Some(file) = &self.access_log_file {
            command.arg("--access-log-file").arg(file);
        }
        if let Some(workers) = self.workers {
            command.args(["--gateway-workers", &workers.to_string()]);
        }
        if let Some(endpoint) = &self.trace.otlp_endpoint {
            // Not on the command line, which all users of the machine can read.
            command.env("HOTSWAP_OTLP_ENDPOINT", endpoint);
        }
        command.args(["--trace-sample", &self.trace.trace_sample.to_string()]);
        Ok(command)
    }
}

fn log_format(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}
