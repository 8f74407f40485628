//! `/config`: what is in force, where it comes from, and the limits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::text::fields;
use crate::backend_state::clock;
use crate::config::Live;
use crate::engine::Limits;
use crate::keys::KeysStanding;
use crate::metrics::ControlMetrics;
use crate::options::GatewayOptions;
use crate::tls::{BackendFiles, ClientTls, InForce};

/// What the page knows of the gateway beside its configuration.
#[derive(Clone, Debug)]
pub struct Gateway {
    proxy: String,
    workers: usize,
    generation: u64,
    engine: &'static str,
    planes: Vec<String>,
    limits: Limits,
    tls: Option<ClientTls>,
    backend_tls: BackendFiles,
    control: Arc<ControlMetrics>,
}

/// What the page tells.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    proxy: String,
    version: &'static str,
    engine: &'static str,
    workers: usize,
    /// The id of the process.
    pid: u32,
    /// How many gateways have served one after the other without a gap, this one included.
    generation: u64,
    /// `None`: there is no configuration yet.
    revision: Option<i64>,
    /// In hex; see `hotswap.gateway.v1.Delta`.
    digest: String,
    routes: usize,
    /// Those of routes of their own included.
    pools: usize,
    control_plane: Plane,
    limits: Told,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_tls: Option<BackendTls>,
    /// Key sets that routes have fetched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    key_sets: Vec<KeysStanding>,
}

#[derive(Debug, Serialize)]
struct Plane {
    addresses: Vec<String>,
    connected: bool,
    /// What is served comes from disk and is not confirmed yet.
    stale: bool,
    /// Why there is no stream; empty: nothing is known to be wrong.
    trouble: String,
    applied: u64,
    refused: u64,
    /// The revision that is safe on disk; 0: none.
    revision_on_disk: i64,
}

#[derive(Debug, Serialize)]
struct Told {
    max_head_bytes: usize,
    max_headers: usize,
    http2_streams: u32,
    http2_stream_window: u32,
    http2_connection_window: u32,
    http2_resets: u32,
    /// `None`: there is no limit.
    max_body_bytes: Option<u64>,
    client_head_ms: u64,
    client_idle_ms: u64,
    drain_deadline_ms: u128,
    /// `None`: there is no limit.
    max_connections: Option<u64>,
}

/// TLS towards clients.
#[derive(Debug, Serialize)]
struct Tls {
    certificates: Vec<Certificate>,
    /// Why the files can't be used; empty: they can.
    trouble: String,
}

/// TLS to backends.
#[derive(Debug, Serialize)]
struct BackendTls {
    folder: String,
    /// What the gateway can show.
    certificates: Vec<Certificate>,
    /// Why the folder can't be used; empty: it can.
    trouble: String,
}

#[derive(Debug, Serialize)]
struct Certificate {
    file: String,
    names: Vec<String>,
    /// In seconds since 1970.
    expires_at: i64,
}

impl From<InForce> for Certificate {
    fn from(of: InForce) -> Self {
        Self { file: of.file, names: of.names, expires_at: of.until }
    }
}

impl Certificate {
    fn line(&self) -> String {
        let until = time::OffsetDateTime::from_unix_timestamp(self.expires_at);
        let until = until.map_or_else(|_| "?".to_owned(), |at| at.date().to_string());
        format!("{} until {until}: {}", self.file, self.names.join(", "))
    }
}

impl Gateway {
    /// Of a gateway with these options, whose watch counts here.
    pub fn new(
        options: &GatewayOptions,
        limits: Limits,
        (tls, backend_tls): (Option<ClientTls>, BackendFiles),
        control: Arc<ControlMetrics>,
        generation: u64,
    ) -> Self {
        Self {
            generation,
            proxy: options.proxy_name.clone(),
            workers: options.workers(),
            engine: options.gateway_engine.name(),
            planes: options.control_plane.clone(),
            limits,
            tls,
            backend_tls,
            control,
        }
    }

    /// TLS to backends.
    pub(super) fn backend_tls(&self) -> &BackendFiles {
        &self.backend_tls
    }

    fn told_backend_tls(&self) -> Option<BackendTls> {
        let files = &self.backend_tls;
        files.folder().map(|folder| BackendTls {
            folder: folder.display().to_string(),
            certificates: files.certificates().into_iter().map(Certificate::from).collect(),
            trouble: files.trouble(),
        })
    }

    pub(super) fn standing(&self, config: &Live) -> Standing {
        let (compiled, control) = (config.now(), &self.control);
        let digest = compiled.revision().map(|_| compiled.digest().to_bytes());
        Standing {
            proxy: self.proxy.clone(),
            version: env!("CARGO_PKG_VERSION"),
            engine: self.engine,
            workers: self.workers,
            pid: std::process::id(),
            generation: self.generation,
            revision: compiled.revision(),
            digest: digest.unwrap_or_default().iter().map(|b| format!("{b:02x}")).collect(),
            routes: compiled.routes().count(),
            pools: compiled.pools().count(),
            control_plane: Plane {
                addresses: self.planes.clone(),
                connected: control.connected.load(Ordering::Relaxed) == 1,
                stale: control.stale.load(Ordering::Relaxed) == 1,
                trouble: control.trouble(),
                applied: control.applied.load(Ordering::Relaxed),
                refused: control.refused.load(Ordering::Relaxed),
                revision_on_disk: control.state_revision.load(Ordering::Relaxed),
            },
            limits: Told {
                max_head_bytes: self.limits.max_head_bytes,
                max_headers: self.limits.max_headers,
                max_body_bytes: self.limits.max_body_bytes,
                http2_streams: self.limits.http2.streams,
                http2_stream_window: self.limits.http2.stream_window,
                http2_connection_window: self.limits.http2.connection_window,
                http2_resets: self.limits.http2.resets,
                client_head_ms: self.limits.client_head_ms,
                client_idle_ms: self.limits.client_idle_ms,
                drain_deadline_ms: self.limits.drain_deadline.as_millis(),
                max_connections: self.limits.max_connections,
            },
            tls: self.tls.as_ref().map(|tls| Tls {
                certificates: tls.certificates().into_iter().map(Certificate::from).collect(),
                trouble: control.tls_trouble(),
            }),
            backend_tls: self.told_backend_tls(),
            key_sets: compiled.keys().standing(clock::now_ms()),
        }
    }
}

pub(super) fn text(s: &Standing) -> String {
    let plane = &s.control_plane;
    let standing = match (plane.connected, plane.trouble.as_str()) {
        (true, _) => "connected".to_owned(),
        (false, "") => "not connected".to_owned(),
        (false, why) => format!("not connected: {why}"),
    };
    let mut lines = vec![
        ("Proxy", format!("{} ({}, engine {}, {} workers)", s.proxy, s.version, s.engine, s.workers)),
        ("Process", format!("{}, generation {}", s.pid, s.generation)),
        ("Revision", s.revision.map_or_else(|| "none yet".to_owned(), |r| r.to_string())),
        ("Digest", s.digest.clone()),
        ("Routes", s.routes.to_string()),
        ("Pools", s.pools.to_string()),
        ("Control plane", plane.addresses.join(", ")),
        ("Stream", standing),
        ("Applied", format!("{} changes; {} resources refused", plane.applied, plane.refused)),
        ("On disk", format!("revision {}", plane.revision_on_disk)),
    ];
    if plane.stale {
        lines.push(("Stale", "from disk; the control plane has not confirmed it".to_owned()));
    }
    let limits = &s.limits;
    let body = limits.max_body_bytes.map_or_else(|| "no limit".to_owned(), |n| format!("{n} bytes"));
    let clients = limits.max_connections.map_or_else(|| "no limit".to_owned(), |n| format!("{n} at once"));
    lines.extend([
        ("Clients", clients),
        ("Head", format!("{} bytes, {} headers", limits.max_head_bytes, limits.max_headers)),
        ("Body", body),
        ("HTTP/2", format!("{} streams, {} resets a second", limits.http2_streams, limits.http2_resets)),
        ("Client", format!("{} ms for a head, {} ms idle", limits.client_head_ms, limits.client_idle_ms)),
        ("Drain", format!("{} ms", limits.drain_deadline_ms)),
    ]);
    for certificate in s.tls.iter().flat_map(|tls| &tls.certificates) {
        lines.push(("Certificate", certificate.line()));
    }
    if let Some(tls) = s.tls.as_ref().filter(|tls| !tls.trouble.is_empty()) {
        lines.push(("Certificates stay", tls.trouble.clone()));
    }
    if let Some(tls) = &s.backend_tls {
        lines.push(("TLS to backends", tls.folder.clone()));
        lines.extend(tls.certificates.iter().map(|certificate| ("Shows", certificate.line())));
        if !tls.trouble.is_empty() {
            lines.push(("Backends' files stay", tls.trouble.clone()));
        }
    }
    for keys in &s.key_sets {
        let age =
            keys.age_ms.map_or_else(|| "never fetched".to_owned(), |ms| format!("{} s old", ms / 1_000));
        let trouble = if keys.trouble.is_empty() { String::new() } else { format!("; {}", keys.trouble) };
        lines.push(("Keys", format!("{}: {age}{trouble}", keys.source)));
    }
    fields(&lines)
}
