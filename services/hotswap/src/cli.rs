//! The command line.

mod audit;
mod backend;
mod client;
mod rollout;
mod strategy;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use hotswap_auth::Role;
use hotswap_gateway::options::GatewayOptions;
use hotswap_notify::ChannelsConfig;
use hotswap_route::{RouteOptions, ServerOptions};
use hotswap_runtime::StartError;
use hotswap_runtime::tls::TlsArgs;
use hotswap_store::PostgresOptions;
use hotswap_telemetry::{LogFormat, LogOptions, TraceOptions};

use self::audit::AuditArgs;
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
pub(crate) use self::strategy::Bake;
use crate::commands::parse_ttl;
use crate::guard::LimitArgs;
use crate::provider::{KeysAt, ProviderOptions};

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

/// What every process of the control plane takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArgs {
    /// The folder that holds the store, the key and tokens; one process uses it at a time
    #[arg(long, env = "HOTSWAP_DATA_DIR", default_value = "hotswap-data", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Entries of the change log that are kept; a gateway that was away for more gets everything anew
    #[arg(
        long,
        env = "HOTSWAP_KEPT_CHANGES",
        default_value_t = RouteOptions::default().kept_changes,
        value_name = "N",
        value_parser = clap::value_parser!(i64).range(1..)
    )]
    kept_changes: i64,
    /// How long a look-up may be served from memory where nothing tells that it has changed, in s
    #[arg(
        long,
        env = "HOTSWAP_CACHE_TTL_S",
        default_value_t = 300,
        value_name = "S",
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    cache_ttl_s: u64,
    /// A Redis that replicas share, as redis://host:6379, rediss:// for TLS, or redis+unix:///run/redis.sock. A
    /// password is better kept in the variable. Default: each process has its own memory alone
    #[arg(long, env = "HOTSWAP_REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<String>,
    /// A file with the key that private keys of certificates are sealed with, 32 bytes as hex or base64, the same for all
    /// replicas. Several lines: the first seals, all open. Without it no certificate can be created
    #[arg(long, env = "HOTSWAP_CERTIFICATE_KEY_FILE", value_name = "FILE")]
    certificate_key_file: Option<PathBuf>,
    /// Let gateways take a configuration that lacks most of what they have, as after a store was emptied on
    /// purpose. Without it they refuse, and go on with what they have
    #[arg(long, env = "HOTSWAP_ALLOW_MASS_DELETE")]
    allow_mass_delete: bool,
    /// How many rollouts this process drives at a time. 0: none, other processes on the same database do
    #[arg(
        long,
        env = "HOTSWAP_ROLLOUT_WORKERS",
        default_value_t = 16,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(0..=1_000)
    )]
    rollout_workers: u16,
    /// How long what was measured of a rollout is kept after its end, in days; what happened and the audit log stay.
    /// 0: for ever
    #[arg(long, env = "HOTSWAP_MEASUREMENT_RETENTION_DAYS", default_value_t = 30, value_name = "DAYS")]
    measurement_retention_days: u16,
    /// How long a rollout is kept after its end, with what happened in it and who asked for what, in days; the last one of
    /// each route and pool stays, and the audit log has a retention of its own. 0: for ever
    #[arg(long, env = "HOTSWAP_ROLLOUT_RETENTION_DAYS", default_value_t = 90, value_name = "DAYS")]
    rollout_retention_days: u16,
    /// A TOML file that says whom this process tells of rollouts, by mail, Slack or webhook: docs/guides/notifications.md.
    /// Without, it leaves that to others on the same database
    #[arg(long, env = "HOTSWAP_NOTIFY_CONFIG", value_name = "FILE")]
    notify_config: Option<PathBuf>,
    /// Prometheus servers that rollouts may be judged by, each as HOST or HOST:PORT. Default: none
    #[arg(long, env = "HOTSWAP_PROMETHEUS_ALLOW", value_name = "HOST", value_delimiter = ',')]
    prometheus_allow: Vec<String>,
    /// A file with a bearer token for those servers, read for each query
    #[arg(long, env = "HOTSWAP_PROMETHEUS_TOKEN_FILE", value_name = "FILE")]
    prometheus_token_file: Option<PathBuf>,
    /// A file of certificates (PEM) that are trusted of those servers, besides those of the system
    #[arg(long, env = "HOTSWAP_PROMETHEUS_CA_FILE", value_name = "FILE")]
    prometheus_ca_file: Option<PathBuf>,
    /// Where an identity provider shows its keys (a JSON Web Key Set): https://… or a file, read every minute. Its
    /// tokens are taken beside those of the local key
    #[arg(long, env = "HOTSWAP_JWKS", value_name = "URL|FILE", requires = "token_issuer")]
    jwks: Option<String>,
    /// The issuer that the provider's tokens name
    #[arg(long, env = "HOTSWAP_TOKEN_ISSUER", value_name = "ISSUER", requires = "jwks")]
    token_issuer: Option<String>,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    audit: AuditArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

impl ServerArgs {
    /// Whom to trust beside the local key.
    ///
    /// # Errors
    /// Where the keys are in no place that can be trusted.
    pub(crate) fn provider(&self) -> Result<Option<ProviderOptions>, StartError> {
        let (Some(keys), Some(issuer)) = (&self.jwks, &self.token_issuer) else { return Ok(None) };
        let keys = KeysAt::parse(keys).map_err(|why| StartError::Option(format!("--jwks {why}")))?;
        Ok(Some(ProviderOptions { issuer: issuer.clone(), keys }))
    }

    /// How the route service behaves.
    ///
    /// # Errors
    /// Where the file of `--notify-config` can't be read, or is no such file.
    pub(crate) fn route(&self) -> Result<RouteOptions, StartError> {
        let wrong = |path: &Path, why: String| {
            StartError::Option(format!("--notify-config {}: {why}", path.display()))
        };
        let read = |path: &PathBuf| {
            let text = std::fs::read_to_string(path).map_err(|e| wrong(path, e.to_string()))?;
            ChannelsConfig::from_toml(&text).map_err(|e| wrong(path, e.to_string()))
        };
        Ok(RouteOptions {
            kept_changes: self.kept_changes,
            allow_mass_delete: self.allow_mass_delete,
            cache_ttl: Duration::from_secs(self.cache_ttl_s),
            redis_url: self.redis_url.clone(),
            certificate_key_file: self.certificate_key_file.clone(),
            audit: self.audit.options(&self.data_dir),
            rollout_workers: self.rollout_workers.into(),
            kept_measurements: days(self.measurement_retention_days),
            kept_rollouts: days(self.rollout_retention_days),
            notify: self.notify_config.as_ref().map(read).transpose()?,
            prometheus: ServerOptions {
                allow: self.prometheus_allow.clone(),
                token_file: self.prometheus_token_file.clone(),
                ca_file: self.prometheus_ca_file.clone(),
            },
            ..RouteOptions::default()
        })
    }
}

/// So many days; 0: for ever.
fn days(days: u16) -> Option<Duration> {
    (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
}

/// Where the store lies.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArgs {
    /// A PostgreSQL database, as postgres://user:password@host/hotswap?sslmode=verify-full&sslrootcert=/ca.pem.
    /// A password is better kept in the variable, or in PGPASSFILE. Default: SQLite, in the data folder
    #[arg(long, env = "HOTSWAP_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    // A text here, parsed later: clap shows what it can't parse, and a password may stand in it.
    database_url: Option<String>,
    /// Most connections to PostgreSQL at a time
    #[arg(
        long,
        env = "HOTSWAP_DATABASE_POOL",
        default_value_t = 16,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(2..=1000)
    )]
    database_pool: u32,
    /// How long a statement may take on PostgreSQL, in ms
    #[arg(
        long,
        env = "HOTSWAP_DATABASE_TIMEOUT_MS",
        default_value_t = 5_000,
        value_name = "MS",
        value_parser = clap::value_parser!(u64).range(1..=3_600_000)
    )]
    database_timeout_ms: u64,
}

impl StoreArgs {
    /// The database server; `None`: SQLite, in the data folder.
    ///
    /// # Errors
    /// Where the URL is none.
    pub(crate) fn options(&self) -> Result<Option<PostgresOptions>, StartError> {
        let Some(url) = &self.database_url else { return Ok(None) };
        let mut options =
            PostgresOptions::parse(url).map_err(|why| StartError::Option(format!("--database-url {why}")))?;
        options.pool = self.database_pool;
        options.statement_timeout = Duration::from_millis(self.database_timeout_ms);
        Ok(Some(options))
    }
}

/// What every server logs.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogArgs {
    /// What is logged to standard error: off, error, warn, info, debug, or a filter as "info,hotswap=debug".
    /// Default: info; with --demo: warn
    #[arg(long, env = "HOTSWAP_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// The form of the log: text or json
    #[arg(long, env = "HOTSWAP_LOG_FORMAT", default_value = "text", value_name = "FORM")]
    log_format: LogFormat,
    #[command(flatten)]
    pub(crate) trace: TraceOptions,
}

impl LogArgs {
    /// What is logged; `default` is the filter where none is given.
    pub(crate) fn options(&self, default: &str) -> LogOptions {
        let filter = self.log.clone().unwrap_or_else(|| default.to_owned());
        LogOptions { format: self.log_format, filter }
    }
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
