//! `hotswap`: the suite in one process, the data plane, and the client.
//!
//! ```text
//!   main ── cli ── commands ──┬── get, describe, apply, diff, delete, ┐
//!      │                      │   history, rollback, watch, fleet, ───┴─ connection ── client ──► control plane
//!      │                      │   rollout, approvals, audit
//!      │                      ├── context ── contexts
//!                             ├── up ── suite (control plane) + child (gateway process) + demo
//!                             ├── serve ── suite
//!                             ├── gateway
//!                             └── token
//! ```

mod changes;
mod child;
mod cli;
mod client;
mod columns;
mod commands;
mod completer;
mod connection;
mod contexts;
mod demo;
mod exit;
mod guard;
mod manifest;
mod output;
mod proto_json;
mod provider;
mod resource;
mod secret;
mod style;
mod suite;
mod tokens;
mod words;

use std::process::ExitCode;

use hotswap_runtime::options;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(answered) = completer::answer() {
        return answered;
    }
    match options::parse::<cli::Cli>(std::env::args_os().collect()) {
        Ok(cli) => commands::run(&cli.command),
        Err(error) => {
            let failure = exit::Failure::from(error);
            output::complain(&failure);
            failure.exit().into()
        }
    }
}
