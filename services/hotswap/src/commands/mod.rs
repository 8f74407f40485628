//! A file for each command.

mod apply;
mod audit;
mod backend;
mod completion;
mod context;
mod delete;
mod describe;
mod diff;
mod explain;
mod fleet;
mod gateway;
mod get;
mod history;
mod past;
mod prune;
mod revision;
mod rollback;
mod rollout;
mod serve;
mod store;
mod target;
mod token;
mod trouble;
mod up;
mod watch;
mod write;

use std::process::ExitCode;

use hotswap_telemetry::{LogOptions, Process, TraceOptions, Traces};

use crate::cli::Command;
use crate::exit::Failure;
use crate::output;

pub(crate) use self::token::{parse_pause, parse_ttl};

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
        Command::History(args) => client(history::run(args)),
        Command::Rollback(args) => client(rollback::run(args)),
        Command::Watch(args) => client(watch::run(args)),
        Command::Explain(args) => client(explain::run(args)),
        Command::Backend(args) => client(backend::run(args)),
        Command::Rollout(args) => client(rollout::run(args)),
        Command::Approvals(args) => client(rollout::approvals(args)),
        Command::Fleet(args) => client(fleet::run(args)),
        Command::Audit(args) => client(audit::run(args)),
        Command::Context(args) => context::run(args),
        Command::Completion(args) => completion::run(args),
        // The one command whose end tells something.
        Command::Diff(args) => return ended(client(diff::run(args))),
    };
    ended(outcome.map(|()| Ended::Well))
}

/// How a command ended that did what it was to do.
enum Ended {
    Well,
    /// It found something that differs.
    Differs,
}

fn ended(outcome: Result<Ended, Failure>) -> ExitCode {
    match outcome {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::Differs) => ExitCode::FAILURE,
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
fn client<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    run_on(tokio::runtime::Builder::new_current_thread(), work)
}

fn run_on<T>(
    mut builder: tokio::runtime::Builder,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = builder.enable_all().build();
    runtime.map_err(|e| Failure::other(format!("can't start: {e}")))?.block_on(work)
}

/// Starts the telemetry of a control plane.
fn start_telemetry(log: &LogOptions, trace: &TraceOptions) -> Result<Traces, Failure> {
    let instance = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let process = Process { service: "hotswap-control-plane", version: env!("CARGO_PKG_VERSION"), instance };
    hotswap_telemetry::start(log, trace, &process).map_err(|e| Failure::usage(e.to_string()))
}
