//! `hotswap gateway`.

use std::io::Read as _;

use hotswap_gateway::GatewayOptions;
use rustix::process::{Signal, getpid, kill_process};

use crate::cli::Gateway;
use crate::exit::Failure;

pub(super) async fn run(args: &Gateway) -> Result<(), Failure> {
    if args.exit_on_stdin_close {
        stop_with_stdin()?;
    }
    let log = args.log.options("info");
    // Whoever holds standard input would lose sight of a process that took over.
    let gateway = GatewayOptions { is_kept: args.exit_on_stdin_close, ..args.gateway.clone() };
    hotswap_gateway::run(gateway, &log, &args.log.trace).await.map_err(Failure::from)
}

/// Stops this process, in order, when its standard input ends. The supervising process holds the other end
/// and writes nothing, so that its own end, however it comes, is seen here.
fn stop_with_stdin() -> Result<(), Failure> {
    let watch = || {
        let mut byte = [0];
        // Whatever comes is read away; an error says as much as the end does.
        while std::io::stdin().read(&mut byte).is_ok_and(|n| n > 0) {}
        if let Err(error) = kill_process(getpid(), Signal::TERM) {
            tracing::error!(%error, "standard input ended, and this process can't be stopped");
        }
    };
    // A thread, because a read of standard input can't be called off: the process must not wait for it.
    let started = std::thread::Builder::new().name("stdin".to_owned()).spawn(watch);
    started.map(drop).map_err(|e| Failure::other(format!("can't watch standard input: {e}")))
}
