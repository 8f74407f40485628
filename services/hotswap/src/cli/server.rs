//! What servers take: where their store lies, how long things are kept, whom they trust and tell, what they log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hotswap_notify::ChannelsConfig;
use hotswap_route::{RouteOptions, ServerOptions};
use hotswap_runtime::StartError;
use hotswap_runtime::tls::TlsArgs;
use hotswap_store::PostgresOptions;
use hotswap_telemetry::{LogFormat, LogOptions, TraceOptions};

use super::audit::AuditArgs;
use crate::guard::LimitArgs;
use crate::provider::{KeysAt, ProviderOptions};

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
