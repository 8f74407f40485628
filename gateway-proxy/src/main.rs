//! The gateway as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hotswap_gateway::options::GatewayOptions;
use hotswap_runtime::{StartError, Supervisor, options, stop_on_signals};
use hotswap_telemetry::{LogFormat, LogOptions, init_logging};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The data plane of HotSwap: an HTTP gateway that takes its configuration as a stream.
#[derive(Debug, Parser)]
#[command(name = "hotswap-gateway", version)]
struct Cli {
    /// File with options. Default: hotswap.toml in the working folder, where it is there.
    #[arg(long, env = "HOTSWAP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The form of the log: text or json.
    #[arg(long, env = "HOTSWAP_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// What is logged, as "info" or "warn,hotswap_gateway=debug".
    #[arg(long, env = "HOTSWAP_LOG", value_name = "FILTER", default_value = "info")]
    log: String,
    #[command(flatten)]
    gateway: GatewayOptions,
}

fn main() -> ExitCode {
    hotswap_runtime::run(async {
        let cli: Cli = options::parse(std::env::args_os().collect())?;
        let log = LogOptions { format: cli.log_format, filter: cli.log.clone() };
        init_logging(&log).map_err(StartError::Option)?;
        let supervisor = Supervisor::new();
        stop_on_signals(&supervisor)?;
        hotswap_gateway::run(&cli.gateway, &supervisor).await
    })
}
