//! A file for each command.

mod apply;
mod delete;
mod describe;
mod gateway;
mod get;
mod serve;
mod store;
mod target;
mod token;
mod up;

use std::process::ExitCode;

use hotswap_telemetry::{LogOptions, Process, TraceOptions, Traces};

use crate::cli::Command;
use crate::exit::Failure;
use crate::output;

pub(crate) use self::token::parse_ttl;

/// Runs a command to its end. A failure is told on standard error.
pub(crate) fn run(command: &Command) -> ExitCode {
    let outcome = match command {
        Command::Up(args) => process(up::run(args)),
        Command::Serve(args) => process(serve::run(args)),
        Command::Gateway(args) => process(gateway::run(args)),
        Command::Store(args) => client(store::run(args)),
        Command::Token(args) => token::run(args),
        Command::Get(args) => client(get::run(args)),
        Command::Describe(args) => client(describe::run(args)),
        Command::Apply(args) => client(apply::run(args)),
        Command::Delete(args) => client(delete::run(args)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            failure.exit().into()
        }
    }
}

/// Runs a server, on all cores.
fn process(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    run_on(tokio::runtime::Builder::new_multi_thread(), work)
}

/// Runs a client: it has little to do at once, and one thread is enough.
fn client(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    run_on(tokio::runtime::Builder::new_current_thread(), work)
}

fn run_on(
    mut builder: tokio::runtime::Builder,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let runtime = builder.enable_all().build();
    runtime.map_err(|e| Failure::other(format!("can't start: {e}")))?.block_on(work)
}

/// Starts the telemetry of a control plane.
fn start_telemetry(log: &LogOptions, trace: &TraceOptions) -> Result<Traces, Failure> {
    let instance = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let process = Process { service: "hotswap-control-plane", version: env!("CARGO_PKG_VERSION"), instance };
    hotswap_telemetry::start(log, trace, &process).map_err(|e| Failure::usage(e.to_string()))
}
