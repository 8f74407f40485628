//! The gateway as a process of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hotswap_gateway::GatewayOptions;
use hotswap_runtime::options;
use hotswap_telemetry::{LogFormat, LogOptions, TraceOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// HotSwap's gateway: an HTTP proxy whose configuration changes without a dropped request.
#[derive(Debug, Parser)]
#[command(name = "hotswap-gateway", version)]
struct Cli {
    /// File with defaults for options, as `gateway-listen = "0.0.0.0:80"`. Default: hotswap.toml, if there.
    #[arg(long, env = "HOTSWAP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// What is logged to standard error, as "info" or "warn,hotswap_gateway=debug".
    #[arg(long, env = "HOTSWAP_LOG", value_name = "FILTER", default_value = "info")]
    log: String,

    /// The form of the log: text or json.
    #[arg(long, env = "HOTSWAP_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,

    #[command(flatten)]
    trace: TraceOptions,

    #[command(flatten)]
    gateway: GatewayOptions,
}

fn main() -> ExitCode {
    hotswap_runtime::run(async {
        let cli: Cli = options::parse(std::env::args_os().collect())?;
        let log = LogOptions { format: cli.log_format, filter: cli.log.clone() };
        hotswap_gateway::run(cli.gateway, &log, &cli.trace).await
    })
}
