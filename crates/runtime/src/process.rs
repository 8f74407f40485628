//! The frame of a process: its runtime, its signals, its exit.

use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{StartError, Supervisor, TaskKind};

/// Runs a process to its end. An error is one line on standard error, `error: …`, and exit code 1.
pub fn run<F>(main: F) -> ExitCode
where
    F: Future<Output = Result<(), StartError>>,
{
    // With a second provider anywhere in the graph rustls could not choose by itself. The error says only
    // that one is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(main),
        Err(source) => Err(StartError::Failed { what: "starting the runtime", source: source.into() }),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks the supervisor to stop at the first SIGINT or SIGTERM. One that comes while the process is stopping,
/// for whatever reason, ends it at once, with exit code 130.
///
/// # Errors
/// Where signals can't be caught.
pub fn stop_on_signals(supervisor: &Supervisor) -> Result<(), StartError> {
    let mut signals = Signals::catch()
        .map_err(|source| StartError::Failed { what: "catching signals", source: source.into() })?;
    let watched = supervisor.clone();
    let shutdown = supervisor.shutdown();
    supervisor.spawn("signals", TaskKind::Background, async move {
        tokio::select! {
            () = signals.next() => {
                tracing::info!("stopping; once more to stop at once");
                watched.request_stop(None);
            }
            () = shutdown.cancelled() => {}
        }
        exit_at_next(signals);
    });
    Ok(())
}

/// Waits, outside the supervisor, for a signal that ends the process: a drain must not wait for it.
fn exit_at_next(mut signals: Signals) {
    #[expect(
        clippy::disallowed_methods,
        reason = "it must outlive the drain that waits for supervised tasks"
    )]
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(130);
    });
}

/// The signals that ask a process to stop. Once caught they do nothing by themselves any more.
struct Signals {
    int: Signal,
    term: Signal,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        Ok(Self { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
