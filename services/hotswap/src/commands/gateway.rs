//! `hotswap gateway`.

use std::io::Read as _;

use hotswap_runtime::{Supervisor, stop_on_signals};

use crate::cli::Gateway;
use crate::exit::Failure;

pub(super) async fn run(args: &Gateway) -> Result<(), Failure> {
    super::start_log(&args.log.options("info"))?;
    let supervisor = Supervisor::new();
    stop_on_signals(&supervisor)?;
    if args.exit_on_stdin_close {
        stop_with_stdin(supervisor.clone())?;
    }
    hotswap_gateway::run(&args.gateway, &supervisor).await.map_err(Failure::from)
}

/// Asks the supervisor to stop when standard input ends. The supervising process holds the other end and
/// writes nothing, so that its end, however it comes, is seen here.
fn stop_with_stdin(supervisor: Supervisor) -> Result<(), Failure> {
    let watch = move || {
        let mut byte = [0];
        // Whatever comes is read away; an error says as much as the end does.
        while std::io::stdin().read(&mut byte).is_ok_and(|n| n > 0) {}
        supervisor.request_stop(None);
    };
    // A thread, because a read of standard input can't be called off: the process must not wait for it.
    let started = std::thread::Builder::new().name("stdin".to_owned()).spawn(watch);
    started.map(drop).map_err(|e| Failure::other(format!("can't watch standard input: {e}")))
}
