//! Options of the gateway. The `hotswap` binary has them too, for `hotswap gateway` and `hotswap up`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hotswap_core::check_id;
use hotswap_matcher::Network;
use hotswap_runtime::StartError;

use crate::access_log::AccessLogMode;
use crate::balance::client::TrustedProxies;
use crate::engine::{EngineKind, Http2Limits, Limits, by_files};
use crate::keys::KeyOptions;
use crate::security::SecurityOptions;
use crate::tls::{BackendTlsOptions, ClientTlsOptions};

/// The smallest head limit: hyper's buffer begins with as much.
const MIN_HEAD_BYTES: usize = 8 * 1024;

/// What every client of HTTP/2 begins with, in bytes.
const SMALLEST_WINDOW: u32 = 65_535;
/// The largest that HTTP/2 knows.
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// Options of the gateway.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Gateway")]
pub struct GatewayOptions {
    /// Where clients connect; port 0 takes a free one.
    #[arg(long, env = "HOTSWAP_GATEWAY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub gateway_listen: SocketAddr,

    /// Where /metrics, /healthz, /readyz, /config, /routes, /pools, /rollouts and /backends are served; port 0 takes a
    /// free one.
    #[arg(
        long,
        env = "HOTSWAP_GATEWAY_ADMIN_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8090"
    )]
    pub gateway_admin_listen: SocketAddr,

    /// The control plane that gives the configuration; of several replicas all, with commas between. The gateway
    /// takes any, and another when that one ends. unix:/PATH is a socket on this machine.
    #[arg(
        long,
        env = "HOTSWAP_CONTROL_PLANE",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7400"
    )]
    pub control_plane: Vec<String>,

    /// TLS of the gateway's other connections.
    #[command(flatten)]
    pub security: SecurityOptions,

    /// TLS towards clients.
    #[command(flatten)]
    pub client_tls: ClientTlsOptions,

    /// TLS to backends.
    #[command(flatten)]
    pub backend_tls: BackendTlsOptions,

    /// A Redis that gateways share for rate limits of the whole fleet, as redis://host:6379, rediss:// for TLS, or
    /// redis+unix:///run/redis.sock. Default: none; such limits then count at each gateway, or do what their route says.
    #[arg(long, env = "HOTSWAP_GATEWAY_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub gateway_redis_url: Option<String>,

    /// What all that this fleet has in that Redis begins with. Fleets that share a Redis, as staging and production, need
    /// one each, else their limits count together.
    #[arg(
        long,
        env = "HOTSWAP_GATEWAY_REDIS_NAMESPACE",
        value_name = "NAME",
        default_value = "hotswap-gateway"
    )]
    pub gateway_redis_namespace: String,

    /// How long a request waits for that Redis, in ms.
    #[arg(long, env = "HOTSWAP_GATEWAY_REDIS_TIMEOUT_MS", value_name = "MS", default_value_t = 20)]
    pub gateway_redis_timeout_ms: u64,

    /// Where routes take keys for tokens from.
    #[command(flatten)]
    pub keys: KeyOptions,

    /// File with the token for the control plane. It is read anew for each connection.
    #[arg(long, env = "HOTSWAP_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Folder that keeps the configuration, for a start without the control plane. One gateway uses it.
    #[arg(
        long,
        env = "HOTSWAP_GATEWAY_DATA_DIR",
        value_name = "DIR",
        default_value = "hotswap-data/gateway"
    )]
    pub gateway_data_dir: PathBuf,

    /// A file with the key that private keys of certificates are sealed with in that folder, 32 bytes as hex or base64.
    /// Several lines: the first seals, all open. Without it they are not kept there, and a start without the control plane
    /// has only certificates from files.
    #[arg(long, env = "HOTSWAP_STATE_KEY_FILE", value_name = "FILE")]
    pub state_key_file: Option<PathBuf>,

    /// The name of this gateway in the fleet, stable over restarts.
    #[arg(long, env = "HOTSWAP_PROXY_NAME", value_name = "NAME", default_value = "gateway")]
    pub proxy_name: String,

    /// A label of this gateway in the fleet, as zone=a. May be given several times.
    #[arg(long = "label", env = "HOTSWAP_LABELS", value_name = "KEY=VALUE", value_delimiter = ',')]
    pub labels: Vec<Label>,

    /// Threads that serve traffic, one runtime each. Default: one for each core of the machine.
    #[arg(long, env = "HOTSWAP_GATEWAY_WORKERS", value_name = "NUMBER")]
    pub gateway_workers: Option<usize>,

    /// How many clients may be connected at once; more wait in the system's queue until one goes. 0: no limit. Default: half
    /// of the files that the process may open (ulimit -n), less 64 and 8 for each worker: each client takes one, and one
    /// more to a backend while a request is under way.
    #[arg(long, env = "HOTSWAP_GATEWAY_MAX_CONNECTIONS", value_name = "NUMBER")]
    pub gateway_max_connections: Option<u64>,

    /// What moves the bytes: own, the gateway's own core, or hyper, for comparison, which costs more and has HTTP/1.1 alone:
    /// no TLS, no PROXY protocol, no WebSocket, no compression.
    #[arg(long, env = "HOTSWAP_GATEWAY_ENGINE", value_name = "ENGINE", default_value = "own")]
    pub gateway_engine: EngineKind,

    /// What the access log holds: off, errors (exchanges with a reason code) or all.
    #[arg(long, env = "HOTSWAP_ACCESS_LOG", value_name = "MODE", default_value = "errors")]
    pub access_log: AccessLogMode,

    /// File that the access log is appended to. Default: standard output.
    #[arg(long, env = "HOTSWAP_ACCESS_LOG_FILE", value_name = "FILE")]
    pub access_log_file: Option<PathBuf>,

    /// A proxy in front of the gateway whose word on the client's address (X-Forwarded-For) counts, as an address or
    /// a network: 10.0.0.0/8. May be given several times. Default: nobody's.
    #[arg(long, env = "HOTSWAP_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,

    /// A load balancer that passes bytes on and begins each connection with a header of the PROXY protocol (version 1 or
    /// 2), as an address or a network. Who connects from there must; who connects from elsewhere must not. May be given
    /// several times.
    #[arg(long, env = "HOTSWAP_PROXY_PROTOCOL_FROM", value_name = "NETWORK", value_delimiter = ',')]
    pub proxy_protocol_from: Vec<Network>,

    /// The listeners that they connect to: all, plain (--gateway-listen) or tls (--gateway-tls-listen).
    #[arg(long, env = "HOTSWAP_PROXY_PROTOCOL", value_name = "LISTENERS", default_value = "all")]
    pub proxy_protocol: ProxyProtocol,

    /// The largest head of a request, in bytes, at least 8,192; a larger one gets 431.
    #[arg(long, env = "HOTSWAP_MAX_HEAD_BYTES", value_name = "BYTES", default_value_t = 64 * 1024)]
    pub max_head_bytes: usize,

    /// The most headers that a request may have; more get 431.
    #[arg(long, env = "HOTSWAP_MAX_HEADERS", value_name = "NUMBER", default_value_t = 100)]
    pub max_headers: usize,

    /// The largest body of a request, in bytes; a larger one gets 413. 0: no limit.
    #[arg(long, env = "HOTSWAP_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = 0)]
    pub max_body_bytes: u64,

    /// How long a connection may wait for its next request, in ms.
    #[arg(long, env = "HOTSWAP_CLIENT_IDLE_MS", value_name = "MS", default_value_t = 60_000)]
    pub client_idle_ms: u64,

    /// How long the head of a request may take, from its first byte, in ms.
    #[arg(long, env = "HOTSWAP_CLIENT_HEAD_MS", value_name = "MS", default_value_t = 10_000)]
    pub client_head_ms: u64,

    /// How long open exchanges may take to end when the gateway stops, in ms.
    #[arg(long, env = "HOTSWAP_DRAIN_DEADLINE_MS", value_name = "MS", default_value_t = 10_000)]
    pub drain_deadline_ms: u64,

    /// Take over from the gateway that runs with the same --gateway-data-dir: its sockets, so that no connection is lost.
    /// It goes on until this one is ready, and for good where this one does not come so far. SIGUSR2 to a gateway starts
    /// its program again in this way.
    #[arg(long)]
    pub take_over: bool,

    /// How long open exchanges may take to end once another gateway has taken over, in ms.
    #[arg(long, env = "HOTSWAP_HAND_OVER_DRAIN_MS", value_name = "MS", default_value_t = 600_000)]
    pub hand_over_drain_ms: u64,

    /// How many requests one client connection of HTTP/2 may have under way at once.
    #[arg(long, env = "HOTSWAP_HTTP2_STREAMS", value_name = "NUMBER", default_value_t = 100)]
    pub http2_streams: u32,

    /// How many bytes of one request's body a client of HTTP/2 may send before the backend takes them.
    #[arg(long, env = "HOTSWAP_HTTP2_STREAM_WINDOW", value_name = "BYTES", default_value_t = 256 * 1024)]
    pub http2_stream_window: u32,

    /// The same for all requests of a connection together. Where another proxy carries many users over one connection,
    /// make it the window of a stream times the streams: else a few uploads that no backend takes hold back all others.
    #[arg(long, env = "HOTSWAP_HTTP2_CONNECTION_WINDOW", value_name = "BYTES", default_value_t = 1024 * 1024)]
    pub http2_connection_window: u32,

    /// How many requests a client of HTTP/2 may cancel each second, on one connection, besides one for each that got
    /// its whole response. The connection of one that cancels more is ended.
    #[arg(long, env = "HOTSWAP_HTTP2_RESETS", value_name = "NUMBER", default_value_t = 100)]
    pub http2_resets: u32,

    /// File that is written once the gateway listens: {"listen": "…", "admin_listen": "…", "pid": …, "generation": …}, and
    /// "tls_listen" where clients come with TLS.
    #[arg(long, env = "HOTSWAP_READY_FILE", value_name = "FILE")]
    pub ready_file: Option<PathBuf>,

    /// File that the id of the process is written to once the gateway listens.
    #[arg(long, env = "HOTSWAP_PID_FILE", value_name = "FILE")]
    pub pid_file: Option<PathBuf>,

    /// Another process sees to it that this one runs, and knows no other: it is not taken over from.
    #[arg(skip)]
    pub is_kept: bool,
}

/// The listeners that the PROXY protocol is spoken on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ProxyProtocol {
    /// All for traffic.
    #[default]
    All,
    /// The one without TLS.
    Plain,
    /// The one with TLS.
    Tls,
}

/// A label, as "zone=a".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// 1 to 63 lower-case letters, digits and hyphens.
    pub key: String,
    /// At most 200 characters.
    pub value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("must be key=value, as zone=a")?;
        check_id(key).map_err(|e| e.to_string())?;
        if value.chars().count() > 200 {
            return Err("the value must be at most 200 characters".into());
        }
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

/// How many files the process may open; `None`: any number.
pub(crate) fn open_files() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

impl GatewayOptions {
    /// How many cores serve traffic.
    pub fn workers(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.gateway_workers.unwrap_or_else(all).max(1)
    }

    /// The proxies whose word on the client's address counts.
    pub fn trusted(&self) -> TrustedProxies {
        TrustedProxies::new(self.trusted_proxies.clone())
    }

    /// Who begins with a header of the PROXY protocol: without TLS, and with it.
    pub(crate) fn behind(&self) -> [Option<Arc<TrustedProxies>>; 2] {
        let all = (!self.proxy_protocol_from.is_empty())
            .then(|| Arc::new(TrustedProxies::new(self.proxy_protocol_from.clone())));
        let on = |listener| self.proxy_protocol == ProxyProtocol::All || self.proxy_protocol == listener;
        [ProxyProtocol::Plain, ProxyProtocol::Tls].map(|listener| all.clone().filter(|_| on(listener)))
    }

    /// The limits towards clients.
    ///
    /// # Errors
    /// Where a number is out of its range, or the name is no name.
    pub fn limits(&self) -> Result<Limits, StartError> {
        let wrong = |what: &str| Err(StartError::Option(what.to_owned()));
        if self.max_head_bytes < MIN_HEAD_BYTES {
            return wrong("--max-head-bytes must be at least 8192");
        }
        if self.max_headers == 0 || self.max_headers > 10_000 {
            return wrong("--max-headers must be 1 to 10000");
        }
        if check_id(&self.proxy_name).is_err() {
            return wrong(
                "--proxy-name must be 1 to 63 lower-case letters, digits and hyphens, as \"gateway\"",
            );
        }
        Ok(Limits {
            max_head_bytes: self.max_head_bytes,
            max_headers: self.max_headers,
            max_body_bytes: Some(self.max_body_bytes).filter(|n| *n > 0),
            client_idle_ms: self.client_idle_ms,
            client_head_ms: self.client_head_ms,
            max_connections: self.max_connections(),
            drain_deadline: Duration::from_millis(self.drain_deadline_ms),
            hand_over_drain: Duration::from_millis(self.hand_over_drain_ms),
            http2: self.http2()?,
        })
    }

    /// `None`: there is no limit.
    fn max_connections(&self) -> Option<u64> {
        match self.gateway_max_connections {
            Some(most) => Some(most).filter(|n| *n > 0),
            None => by_files(open_files(), self.workers()),
        }
    }

    fn http2(&self) -> Result<Http2Limits, StartError> {
        let windows = [self.http2_stream_window, self.http2_connection_window];
        if windows.iter().any(|w| !(SMALLEST_WINDOW..=LARGEST_WINDOW).contains(w)) {
            let what = "--http2-stream-window and --http2-connection-window must be 65535 to 2147483647";
            return Err(StartError::Option(what.to_owned()));
        }
        if self.http2_streams == 0 {
            return Err(StartError::Option("--http2-streams must be at least 1".to_owned()));
        }
        Ok(Http2Limits {
            streams: self.http2_streams,
            stream_window: self.http2_stream_window,
            connection_window: self.http2_connection_window,
            resets: self.http2_resets,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        gateway: GatewayOptions,
    }

    fn parsed(args: &[&str]) -> Result<GatewayOptions, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"gateway").chain(args)).map(|c| c.gateway)
    }

    #[test]
    fn defaults_are_valid() {
        let options = parsed(&[]).expect("parses");
        let limits = options.limits().expect("valid");
        assert_eq!((limits.max_headers, limits.max_body_bytes), (100, None));
        assert!(options.workers() >= 1);
    }

    #[test]
    fn labels_are_checked() {
        let options = parsed(&["--label", "zone=a,rack=7", "--label", "tier="]).expect("parses");
        let labels: Vec<_> = options.labels.iter().map(|l| (l.key.as_str(), l.value.as_str())).collect();
        assert_eq!(labels, [("zone", "a"), ("rack", "7"), ("tier", "")]);
        assert!(parsed(&["--label", "Zone=a"]).is_err());
        assert!(parsed(&["--label", "zone"]).is_err());
    }

    #[test]
    fn what_can_not_work_is_one_clear_line() {
        let options = parsed(&["--max-head-bytes", "100"]).expect("parses");
        assert_eq!(
            options.limits().expect_err("small").to_string(),
            "--max-head-bytes must be at least 8192"
        );
    }
}
