//! The frame of a process: its runtime, its signals, its exit.

use std::future::Future;
use std::io::Write as _;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

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
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks the supervisor to stop at the first SIGINT or SIGTERM; the second ends the process at once.
///
/// # Errors
/// Where signals can't be caught.
pub fn stop_on_signals(supervisor: &Supervisor) -> Result<(), StartError> {
    let catch =
        |kind| signal(kind).map_err(|e| StartError::Failed { what: "catching signals", source: e.into() });
    let (mut int, mut term) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    let watched = supervisor.clone();
    let shutdown = supervisor.shutdown();
    supervisor.spawn("signals", TaskKind::Background, async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            () = shutdown.cancelled() => return,
        }
        tracing::info!("stopping; once more to stop at once");
        watched.request_stop(None);
        block_on_second(int, term);
    });
    Ok(())
}

/// Waits, outside the supervisor, for the second signal: a drain must not wait for it.
fn block_on_second(mut int: tokio::signal::unix::Signal, mut term: tokio::signal::unix::Signal) {
    #[expect(
        clippy::disallowed_methods,
        reason = "it must outlive the drain that waits for supervised tasks"
    )]
    tokio::spawn(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        }
        std::process::exit(130);
    });
}

/// Waits until the supervisor is asked to stop.
pub async fn block_on_signals(supervisor: &Supervisor) {
    supervisor.shutdown().cancelled().await;
}
