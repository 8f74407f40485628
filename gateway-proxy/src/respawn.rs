//! SIGUSR2: the gateway starts its own program again, with its own arguments, to be taken over from. So a new version that
//! was put in the place of the old one comes into service without a supervisor's help.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};

use hotswap_runtime::{CancellationToken, StartError, Supervisor, TaskKind};
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The option that makes a gateway take over.
const TAKE_OVER: &str = "--take-over";

/// Starts the program again at each SIGUSR2, until another gateway has taken over. `is_kept`: never, but the signal does not
/// end the process either.
///
/// # Errors
/// Where the signal can't be caught.
pub(crate) fn on_signal(
    supervisor: &Supervisor,
    left: &CancellationToken,
    is_kept: bool,
) -> Result<(), StartError> {
    let signals = signal(SignalKind::user_defined2())
        .map_err(|source| StartError::Failed { what: "catching signals", source: source.into() })?;
    let (left, shutdown) = (left.clone(), supervisor.shutdown());
    supervisor.spawn("respawn", TaskKind::Background, async move {
        tokio::select! {
            () = each(signals, &left, is_kept) => {}
            () = shutdown.cancelled() => {}
        }
    });
    Ok(())
}

async fn each(mut signals: Signal, left: &CancellationToken, is_kept: bool) {
    while signals.recv().await.is_some() {
        match why_not(left, is_kept) {
            Some(why) => tracing::warn!(why, "SIGUSR2 is not followed"),
            None => once().await,
        }
    }
}

fn why_not(left: &CancellationToken, is_kept: bool) -> Option<&'static str> {
    if is_kept {
        return Some("another process keeps this one, as hotswap up does");
    }
    left.is_cancelled().then_some("another gateway has taken over already")
}

async fn once() {
    match again().await {
        // Its parent is gone before it where all goes well.
        Ok(status) => tracing::error!(%status, "the new gateway has ended"),
        Err(error) => tracing::error!(%error, "the new gateway could not be started"),
    }
}

/// Starts the program, and waits for its end.
async fn again() -> std::io::Result<ExitStatus> {
    let mut arguments = std::env::args_os().collect::<Vec<_>>().into_iter();
    // As it was called: a link leads to the new version, where the path of the running program would not.
    let program = arguments.next().unwrap_or_default();
    let mut child = Command::new(&program).args(with_take_over(arguments)).stdin(Stdio::inherit()).spawn()?;
    tracing::info!(program = %program.display(), pid = child.id(), "the program is started again, to take over");
    child.wait().await
}

fn with_take_over(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut all: Vec<_> = arguments.collect();
    if all.iter().all(|argument| argument != TAKE_OVER) {
        all.push(TAKE_OVER.into());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_one_takes_over_whether_or_not_the_old_one_did() {
        let of = |args: &[&str]| with_take_over(args.iter().map(OsString::from));
        assert_eq!(of(&["gateway", "--log", "warn"]), ["gateway", "--log", "warn", TAKE_OVER]);
        assert_eq!(of(&[TAKE_OVER, "--log", "warn"]), [TAKE_OVER, "--log", "warn"]);
    }
}
