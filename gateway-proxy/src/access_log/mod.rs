//! The access log: one JSON object a line, written by a thread of its own, so that no core waits for a disk
//! or a pipe. Where the writer is behind, or can't write, lines are dropped and counted.

mod sent;
mod sink;

use std::borrow::Cow;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use hotswap_core::{Clock, Timestamp};
use hotswap_matcher::Routed;
use http::{HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;

pub use self::sent::Sent;
use self::sink::Sink;
use crate::config::RouteEntry;
use crate::grpc::Code;
use crate::metrics::ControlMetrics;
use crate::reason::Reason;
use crate::rollout::Met;

/// Lines that wait for the writer at most.
const CAPACITY: usize = 8_192;
/// Bytes that are written at once, about.
const PIECE: usize = 64 * 1024;

/// What is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessLogMode {
    /// Nothing.
    Off,
    /// Exchanges that have a reason code.
    #[default]
    Errors,
    /// Every exchange.
    All,
}

impl FromStr for AccessLogMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "errors" => Ok(Self::Errors),
            "all" => Ok(Self::All),
            other => Err(format!("unknown access log mode \"{other}\"; use off, errors or all")),
        }
    }
}

/// An exchange that ended, as a core hands it over. Nothing is formatted there.
#[derive(Debug)]
pub struct Entry {
    /// Who sent the request, and how.
    pub sent: Sent,
    /// Of the request.
    pub method: Method,
    /// The Host header, as sent.
    pub host: Option<HeaderValue>,
    /// The target, as sent.
    pub uri: Uri,
    /// The route that took it.
    pub route: Option<Arc<RouteEntry>>,
    /// The backend's address.
    pub backend: Option<Arc<str>>,
    /// What the client got; `None`: nothing.
    pub status: Option<StatusCode>,
    /// Why it failed.
    pub reason: Option<Reason>,
    /// How it ended, where it is a call of gRPC that has a status.
    pub code: Option<Code>,
    /// From head to end.
    pub took: Duration,
    /// Bytes of the response's body that were passed on.
    pub bytes: u64,
    /// The rollouts that it met.
    pub met: Met,
}

/// The cores' end; cheap to clone.
#[derive(Clone, Debug)]
pub struct AccessLog {
    mode: AccessLogMode,
    lines: SyncSender<Entry>,
    metrics: Arc<ControlMetrics>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    client: IpAddr,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'a str>,
    /// 0: the client went away before one.
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_status: Option<&'static str>,
    ms: f64,
    bytes_in: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arm: Option<String>,
}

impl AccessLog {
    /// Starts the writer, to `path` or to standard output. Its thread ends when the last core has gone and all
    /// is written.
    ///
    /// # Errors
    /// Where the file can't be opened or the thread can't be started.
    pub fn start(
        mode: AccessLogMode,
        path: Option<&PathBuf>,
        clock: impl Clock,
        metrics: Arc<ControlMetrics>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let sink = Sink::open(path.map(PathBuf::as_path), clock.now())?;
        let counted = Arc::clone(&metrics);
        let (lines, entries) = sync_channel(CAPACITY);
        let writer = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_all(&entries, sink, &clock, &counted))?;
        Ok((Self { mode, lines, metrics }, writer))
    }

    /// Whether an exchange that ended so is logged.
    pub fn wants(&self, reason: Option<Reason>) -> bool {
        match self.mode {
            AccessLogMode::Off => false,
            AccessLogMode::Errors => reason.is_some(),
            AccessLogMode::All => true,
        }
    }

    /// Hands an exchange over; never waits.
    pub fn log(&self, entry: Entry) {
        if self.lines.try_send(entry).is_err() {
            self.metrics.log_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_all(entries: &Receiver<Entry>, mut sink: Sink, clock: &impl Clock, metrics: &ControlMetrics) {
    let mut buffer = Vec::with_capacity(PIECE);
    while let Ok(first) = entries.recv() {
        let now = clock.now();
        let (mut next, mut lines) = (Some(first), 0);
        buffer.clear();
        while let Some(entry) = next {
            // Into memory: it does not fail.
            if write_line(&mut buffer, &entry, now).is_ok() {
                lines += 1;
            }
            next = if buffer.len() < PIECE { entries.try_recv().ok() } else { None };
        }
        if !sink.write(&buffer, now) {
            metrics.log_dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

fn write_line(sink: &mut impl Write, entry: &Entry, now: Timestamp) -> io::Result<()> {
    let (sent, host) = (&entry.sent, entry.host.as_ref().map(text));
    let line = Line {
        time: rfc3339(now),
        client: sent.client.to_canonical(),
        method: entry.method.as_str(),
        host: host.as_deref().unwrap_or_default(),
        path: entry.uri.path(),
        version: sent.version(),
        tls: sent.tls,
        user_agent: sent.user_agent.as_ref().map(text),
        route: entry.route.as_ref().map(|r| hotswap_core::ResourceName::as_str(r.name())),
        backend: entry.backend.as_deref(),
        status: entry.status.map_or(0, |s| s.as_u16()),
        reason: entry.reason.map(Reason::code),
        grpc_status: entry.code.map(Code::name),
        ms: (entry.took.as_secs_f64() * 1e6).round() / 1e3,
        bytes_in: sent.bytes,
        bytes: entry.bytes,
        trace_id: sent.trace.as_deref(),
        rollout: entry.met.rollouts(),
        arm: entry.met.arms(),
    };
    serde_json::to_writer(&mut *sink, &line)?;
    sink.write_all(b"\n")
}

fn text(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

fn rfc3339(at: Timestamp) -> String {
    time::OffsetDateTime::from_unix_timestamp(at.seconds())
        .ok()
        .and_then(|t| t.replace_nanosecond(u32::try_from(at.subsec_nanos()).ok()?).ok())
        .and_then(|t| t.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::Version;

    use super::*;

    fn entry(reason: Option<Reason>) -> Entry {
        Entry {
            sent: Sent {
                client: "::ffff:203.0.113.7".parse().expect("an address"),
                version: Some(Version::HTTP_2),
                tls: Some("1.3"),
                user_agent: Some(HeaderValue::from_static("curl/8")),
                trace: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
                bytes: 3,
            },
            method: Method::GET,
            host: Some(HeaderValue::from_static("shop")),
            uri: Uri::from_static("/a?secret=1"),
            route: None,
            backend: Some("b:80".into()),
            status: Some(StatusCode::BAD_GATEWAY),
            reason,
            code: reason.map(Reason::grpc),
            took: Duration::from_micros(1_234),
            bytes: 7,
            met: Met::default(),
        }
    }

    #[test]
    fn a_line_is_json_without_the_query() {
        let mut out = Vec::new();
        let at = Timestamp(1_700_000_000_500_000);
        write_line(&mut out, &entry(Some(Reason::BackendClosed)), at).expect("written");
        assert_eq!(
            String::from_utf8(out).expect("text"),
            "{\"time\":\"2023-11-14T22:13:20.5Z\",\"client\":\"203.0.113.7\",\"method\":\"GET\",\"host\":\"shop\",\
             \"path\":\"/a\",\"version\":\"HTTP/2\",\"tls\":\"1.3\",\"user_agent\":\"curl/8\",\
             \"backend\":\"b:80\",\"status\":502,\"reason\":\"BACKEND_CLOSED\",\"grpc_status\":\"UNAVAILABLE\",\
             \"ms\":1.234,\"bytes_in\":3,\"bytes\":7,\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}\n"
        );
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_never_waits() {
        let metrics = Arc::new(ControlMetrics::default());
        let (lines, entries) = sync_channel(1);
        let log = AccessLog { mode: AccessLogMode::All, lines, metrics: Arc::clone(&metrics) };
        for _ in 0..3 {
            log.log(entry(None));
        }
        assert_eq!(metrics.log_dropped.load(Ordering::Relaxed), 2);
        drop(entries);
    }

    #[test]
    fn errors_alone_are_wanted_by_default() {
        let (lines, _entries) = sync_channel(1);
        let log = AccessLog { mode: AccessLogMode::default(), lines, metrics: Arc::default() };
        assert!(log.wants(Some(Reason::NoRoute)) && !log.wants(None));
    }
}
