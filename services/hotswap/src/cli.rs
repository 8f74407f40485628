//! The command line.

mod audit;
mod backend;
mod client;
mod rollout;
mod server;
mod strategy;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use hotswap_auth::Role;
use hotswap_gateway::options::GatewayOptions;
use hotswap_telemetry::LogOptions;

pub(crate) use self::audit::{
    Audit, AuditAction, AuditExport, AuditList, AuditVerify, ExportForm, HoldAction, HoldList, HoldPlace,
    HoldRelease,
};
pub(crate) use self::backend::{Backend, BackendAction};
pub(crate) use self::client::{
    Apply, Completion, Context, ContextAction, ContextSet, Delete, Describe, Diff, Documents, Explain, Fleet,
    FleetAction, FleetWait, Get, History, Rollback, Shell, Unset, Watch,
};
pub(crate) use self::rollout::{
    Approvals, FreezeAction, FreezeTurn, PolicyAction, PolicyPut, Rollout, RolloutAct, RolloutAction,
    RolloutApprove, RolloutBack, RolloutCreate, RolloutDescribe, RolloutHistory, RolloutList, RolloutPromote,
    RolloutWatch,
};
pub(crate) use self::server::{LogArgs, ServerArgs};
pub(crate) use self::strategy::Bake;
use crate::commands::parse_ttl;

/// Live changes of routes, policies, configuration, plugins and schemas, without a failed request.
#[derive(Debug, Parser)]
#[command(name = "hotswap", version, about, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// A file with options, as `listen = "127.0.0.1:7400"`. Default: hotswap.toml, if it is there
    #[arg(long, global = true, env = "HOTSWAP_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 other failure (of diff: something differs), 2 bad command line or input,
3 conflict, 4 not found, 5 unavailable, 6 denied, 7 of a rollout that was waited for: it did not go through.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the suite: control plane and gateway, on an embedded store
    #[command(
        after_help = "Every option is also a variable (HOTSWAP_DATA_DIR for --data-dir) and a key in\n\
                            hotswap.toml (data-dir). Port 0 takes a free port and says which."
    )]
    Up(Up),
    /// Run services of the control plane alone
    Serve(Serve),
    /// Run the data plane alone
    Gateway(Box<Gateway>),
    /// Copy the store of a data folder, or put a copy in its place
    Store(Store),
    /// Make a token with the key in a data folder
    Token(Token),
    /// Show routes, pools or certificates
    #[command(after_help = "Examples:\n  hotswap get routes --filter 'labels.team = \"web\"'\n  \
                            hotswap get routes/shop -o yaml")]
    Get(Get),
    /// Tell everything about one route, pool or certificate
    Describe(Describe),
    /// Make routes, pools and certificates what files say
    #[command(after_help = "Documents are the API's JSON or YAML with `kind: Route`, `kind: Pool` or\n\
                            `kind: Certificate`. Pools are written before routes. A document with an etag is refused where\n\
                            the resource has changed since.")]
    Apply(Apply),
    /// Show what files would change, or what differs between two revisions
    #[command(after_help = "Ends with 0 where nothing differs, with 1 where something does, and with 2 or\n\
                            more where it failed.\n\n\
                            Examples:\n  hotswap diff -f routes/\n  \
                            hotswap diff routes/shop --from 12 --to 15")]
    Diff(Diff),
    /// Delete routes, pools or certificates
    Delete(Delete),
    /// Show the revisions of a route, pool or certificate
    History(History),
    /// Write again what a route, pool or certificate was at a revision
    Rollback(Rollback),
    /// Show changes of routes, pools or certificates as they happen
    #[command(after_help = "Ctrl-C ends it. What happened while the control plane could not be reached is\n\
                            told afterwards.")]
    Watch(Watch),
    /// Tell which route takes a request, why, and what the others missed by
    Explain(Explain),
    /// Drain or enable one backend of a pool, or override its breaker
    #[command(
        after_help = "It stays so until it is set anew: applying the pool's file again does not change it.\n\n\
                            Example:\n  hotswap backend drain shop 10.0.0.7:8080"
    )]
    Backend(Backend),
    /// Carry a change to traffic step by step, judged, and back where it must
    Rollout(Rollout),
    /// Show the rollouts that wait for approval, the oldest first
    Approvals(Approvals),
    /// Show what the proxies serve, or wait for them
    Fleet(Fleet),
    /// Read, export and verify the audit log
    Audit(Audit),
    /// Name control planes, and say how to call them
    #[command(
        after_help = "They are kept in $HOTSWAP_CLI_CONFIG, else $XDG_CONFIG_HOME/hotswap/cli.toml, else\n\
                            ~/.config/hotswap/cli.toml.\n\n\
                            Example:\n  hotswap context set prod --server https://hotswap.example:7400 \\\n    \
                            --token-file ~/.hotswap/prod.token --use"
    )]
    Context(Context),
    /// Print what a shell needs to complete commands and names
    #[command(after_help = "Bash: add `source <(hotswap completion bash)` to ~/.bashrc.\n\
                            Zsh:  add `source <(hotswap completion zsh)` to ~/.zshrc, behind compinit.\n\
                            Fish: add `hotswap completion fish | source` to ~/.config/fish/config.fish.")]
    Completion(Completion),
}

impl Up {
    /// What is logged. A story that people read is not mixed with what only matters when something is wrong.
    pub(crate) fn log(&self) -> LogOptions {
        self.server.log.options(if self.demo { "warn" } else { "info" })
    }
}

/// `up`.
#[derive(Args, Debug)]
pub(crate) struct Up {
    /// Play a story on it: a route moves between backends while requests flow, at once and by canaries
    #[arg(long)]
    pub(crate) demo: bool,
    /// End after the story
    #[arg(long, requires = "demo")]
    pub(crate) exit: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Where the control plane listens
    #[arg(long, env = "HOTSWAP_LISTEN", default_value = "127.0.0.1:7400", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Where the control plane shows /metrics, /healthz and /readyz
    #[arg(long, env = "HOTSWAP_ADMIN_LISTEN", default_value = "127.0.0.1:7490", value_name = "ADDRESS")]
    pub(crate) admin_listen: SocketAddr,
    /// Where the gateway listens
    #[arg(long, env = "HOTSWAP_GATEWAY_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub(crate) gateway_listen: SocketAddr,
    /// Where the gateway shows /metrics, /healthz and /readyz
    #[arg(
        long,
        env = "HOTSWAP_GATEWAY_ADMIN_LISTEN",
        default_value = "127.0.0.1:8090",
        value_name = "ADDRESS"
    )]
    pub(crate) gateway_admin_listen: SocketAddr,
    /// Threads of the gateway that serve traffic. Default: one for each core of the machine
    #[arg(long, env = "HOTSWAP_GATEWAY_WORKERS", value_name = "NUMBER")]
    pub(crate) gateway_workers: Option<usize>,
}

/// `serve`.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The services to run. This build has: route
    #[arg(required = true, value_name = "SERVICE", value_parser = parse_service)]
    pub(crate) services: Vec<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Where they listen
    #[arg(long, env = "HOTSWAP_LISTEN", default_value = "127.0.0.1:7401", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Where they show /metrics, /healthz and /readyz
    #[arg(long, env = "HOTSWAP_ADMIN_LISTEN", default_value = "127.0.0.1:7491", value_name = "ADDRESS")]
    pub(crate) admin_listen: SocketAddr,
}

/// A service that this build has.
fn parse_service(name: &str) -> Result<String, String> {
    match name {
        "route" => Ok(name.to_owned()),
        "policy" | "config" | "plugin" | "migration" => {
            Err("this service is not built yet; there is: route".to_owned())
        }
        _ => Err("there is no such service; there is: route".to_owned()),
    }
}

/// `store`.
#[derive(Args, Debug)]
pub(crate) struct Store {
    #[command(subcommand)]
    pub(crate) action: StoreAction,
}

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreAction {
    /// Write a copy to a new file, also while the suite runs. The signing key is not in it
    Backup {
        /// The file, which must not exist
        to: PathBuf,
        /// The data folder that holds the store
        #[arg(long, env = "HOTSWAP_DATA_DIR", default_value = "hotswap-data", value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Put a copy in the place of the store; the suite must not run. The store gets a new identity
    Restore {
        /// The copy
        from: PathBuf,
        /// The data folder that holds, or will hold, the store
        #[arg(long, env = "HOTSWAP_DATA_DIR", default_value = "hotswap-data", value_name = "DIR")]
        data_dir: PathBuf,
    },
}

/// `token`.
#[derive(Args, Debug)]
pub(crate) struct Token {
    /// What its bearer is trusted with: admin, operator, developer, config_manager, viewer, gateway or
    /// plugin_host. May be given several times
    #[arg(long = "role", required = true, value_name = "ROLE")]
    pub(crate) roles: Vec<Role>,
    /// Who its bearer is; the history of changes shows it
    #[arg(long, value_name = "NAME")]
    pub(crate) subject: String,
    /// The tenant that its bearer acts for. Default: the platform
    #[arg(long, value_name = "TENANT")]
    pub(crate) tenant: Option<String>,
    /// How long it is valid: 90s, 15m, 12h, 30d
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = parse_ttl)]
    pub(crate) ttl: Duration,
    /// The data folder that holds the key
    #[arg(long, env = "HOTSWAP_DATA_DIR", default_value = "hotswap-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
}

/// `gateway`.
#[derive(Args, Debug)]
pub(crate) struct Gateway {
    #[command(flatten)]
    pub(crate) gateway: GatewayOptions,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    /// End when standard input ends: for the process that supervises this one
    #[arg(long, hide = true)]
    pub(crate) exit_on_stdin_close: bool,
}
