//! `hotswap`: the suite in one process, the data plane, and the client.
//!
//! ```text
//!   main ── cli ── commands ──┬── get, describe, apply, delete ── client ──► control plane
//!                             ├── up ── suite (control plane) + child (gateway process) + demo
//!                             ├── serve ── suite
//!                             ├── gateway
//!                             └── token
//! ```

mod child;
mod cli;
mod client;
mod columns;
mod commands;
mod demo;
mod exit;
mod manifest;
mod output;
mod proto_json;
mod provider;
mod resource;
mod suite;
mod tokens;
mod words;

use std::process::ExitCode;

use hotswap_runtime::options;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match options::parse::<cli::Cli>(std::env::args_os().collect()) {
        Ok(cli) => commands::run(&cli.command),
        Err(error) => {
            let failure = exit::Failure::from(error);
            output::complain(&failure);
            failure.exit().into()
        }
    }
}
