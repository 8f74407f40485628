//! What is shown, each declared once; `docs/reference/metrics.md` is printed from here.

use hotswap_core::{LabelDef, MetricDef};

/// Whose metric it is.
const BACKEND: &[LabelDef] = &[
    LabelDef { name: "backend", values: "an address of the pool" },
    LabelDef { name: "pool", values: "the pool, or whose own it is: `routes/shop`, `routes/shop (mirror)`" },
];

macro_rules! metrics {
    ($( $name:ident = $def:expr; )+) => {
        $( pub(super) const $name: MetricDef = $def; )+

        /// All of them.
        pub const METRICS: &[MetricDef] = &[$( $name ),+];
    };
}

metrics! {
    REQUESTS = MetricDef::counter(
        "gateway_requests_total",
        "exchanges",
        "Exchanges ended, by the class of the status.",
    )
    .by(&[LabelDef {
        name: "class",
        values: "`1xx` to `5xx`, and `none`: the client went away before a status",
    }]);
    FAILED = MetricDef::counter(
        "gateway_requests_failed_total",
        "exchanges",
        "Exchanges that the gateway answered by itself or had to cut, by reason code.",
    )
    .by(&[LabelDef { name: "reason", values: "the [reasons of the gateway](errors.md#what-the-gateway-answers)" }]);
    DURATION = MetricDef::seconds(
        "gateway_request_duration_seconds",
        "From the head of the request to the last byte of the response.",
    );
    BACKEND_DURATION = MetricDef::seconds(
        "gateway_backend_duration_seconds",
        "From the choice of a backend to the head of its response, each try by itself.",
    );
    ACTIVE = MetricDef::gauge("gateway_active_connections", "connections", "Client connections open.");
    ACCEPTED = MetricDef::counter("gateway_connections_total", "connections", "Client connections accepted.");
    MAX_CONNECTIONS = MetricDef::gauge(
        "gateway_max_connections",
        "connections",
        "Client connections that may be open; 0: there is no limit.",
    );
    CONNECTION_LIMITS = MetricDef::counter(
        "gateway_connection_limit_reached_total",
        "times",
        "Times that as many client connections were open as may be; a time lasts until an eighth of them has gone.",
    );
    HTTP2_CONNECTIONS = MetricDef::counter(
        "gateway_http2_connections_total",
        "connections",
        "Client connections that spoke HTTP/2.",
    );
    HTTP2_STREAMS =
        MetricDef::counter("gateway_http2_streams_total", "requests", "Requests that came over HTTP/2.");
    HTTP2_ENDED = MetricDef::counter(
        "gateway_http2_connections_ended_total",
        "connections",
        "Client connections of HTTP/2 that the gateway ended for what the client sent.",
    )
    .by(&[LabelDef {
        name: "cause",
        values: "`flood`: too many frames that bring nothing, or too many resets; `protocol`: they broke HTTP/2",
    }]);
    CALLS = MetricDef::counter("gateway_grpc_calls_total", "calls", "Calls of gRPC ended, by their status.")
        .by(&[LabelDef {
            name: "grpc_status",
            values: "`OK`, `CANCELLED` and the like; `other`: a number without a name; `none`: it ended without one",
        }]);
    CONNECTS = MetricDef::counter(
        "gateway_upstream_connects_total",
        "connections",
        "Connections to backends, by result.",
    )
    .by(&[LabelDef { name: "result", values: "`ok`, `failed`" }]);
    REUSES = MetricDef::counter(
        "gateway_upstream_reuses_total",
        "exchanges",
        "Exchanges on a backend connection that was open.",
    );
    RETRIES = MetricDef::counter(
        "gateway_upstream_retries_total",
        "exchanges",
        "Exchanges sent anew, because the backend had closed an idle connection.",
    );
    TRIES = MetricDef::counter("gateway_retries_total", "tries", "Tries after the first, by what came of them.")
        .by(&[LabelDef {
            name: "outcome",
            values: "`sent`: all of them; `saved`: one answered with a status below 500; `over_budget`: not allowed",
        }]);
    SHADOWS = MetricDef::counter(
        "gateway_shadow_requests_total",
        "requests",
        "Copies of requests for candidates, by what came of them.",
    )
    .by(&[LabelDef {
        name: "result",
        values: "`sent`; `dropped`: too many were under way, or the body was too large",
    }]);
    COMPRESSED = MetricDef::counter(
        "gateway_compressed_responses_total",
        "responses",
        "Responses that were to be compressed, by what became of them.",
    )
    .by(&[LabelDef { name: "coding", values: "`zstd`, `br`, `gzip`; `no_room`: too many were, and it went as it is" }]);
    COMPRESSED_BYTES = MetricDef::counter(
        "gateway_compressed_bytes_total",
        "bytes",
        "Bytes of responses that were compressed.",
    )
    .by(&[LabelDef { name: "direction", values: "`in`: from backends; `out`: to clients" }]);
    UPGRADED = MetricDef::gauge(
        "gateway_upgraded_connections",
        "connections",
        "Connections, and streams of HTTP/2, open that have switched to another protocol, as WebSocket.",
    );
    UPGRADES = MetricDef::counter(
        "gateway_upgrades_total",
        "connections",
        "Connections, and streams of HTTP/2, that have switched to another protocol.",
    );
    UPGRADED_BYTES = MetricDef::counter(
        "gateway_upgraded_bytes_total",
        "bytes",
        "Bytes passed on after connections had switched to another protocol.",
    )
    .by(&[LabelDef { name: "direction", values: "`in`: from clients; `out`: to them" }]);
    HANDSHAKES = MetricDef::counter(
        "gateway_tls_handshakes_total",
        "handshakes",
        "Handshakes of TLS with clients, by what came of them.",
    )
    .by(&[LabelDef {
        name: "result",
        values: "`full`; `resumed`: a session was taken up again; `failed`; `timed_out`",
    }]);
    BACKEND_HANDSHAKES = MetricDef::counter(
        "gateway_upstream_tls_handshakes_total",
        "handshakes",
        "Handshakes of TLS with backends for requests, by what came of them.",
    )
    .by(&[LabelDef { name: "result", values: "`full`; `resumed`: a session was taken up again; `failed`" }]);
    PROXY_HEADERS_REFUSED = MetricDef::counter(
        "gateway_proxy_headers_refused_total",
        "connections",
        "Connections without the header of the PROXY protocol that they should have begun with.",
    );
    REVISION =
        MetricDef::gauge("gateway_config_revision", "revision", "Revision that is served; 0: none yet.");
    APPLIED = MetricDef::counter("gateway_config_applied_total", "messages", "Snapshots and deltas applied.");
    REFUSED = MetricDef::counter("gateway_config_refused_total", "resources", "Resources refused.");
    STALE = MetricDef::gauge(
        "gateway_config_stale",
        "0 or 1",
        "1: what is served comes from disk, and the control plane has not confirmed it yet.",
    );
    STATE_REVISION =
        MetricDef::gauge("gateway_state_revision", "revision", "Revision that is safe on disk; 0: none.");
    STATE_ERRORS = MetricDef::counter(
        "gateway_state_write_errors_total",
        "writes",
        "Times that the configuration could not be kept on disk.",
    );
    CONNECTED =
        MetricDef::gauge("gateway_control_plane_connected", "0 or 1", "1: the watch is connected.");
    CHECKS = MetricDef::counter("gateway_health_checks_total", "checks", "Active checks of backends, by result.")
        .by(&[LabelDef { name: "result", values: "`ok`, `failed`; `not_made`: the gateway had no socket for it" }]);
    KEY_FETCHES = MetricDef::counter(
        "gateway_jwks_fetches_total",
        "fetches",
        "Fetches of key sets that routes name (jwt.jwks_url, jwt.jwks_file), by result.",
    )
    .by(&[LabelDef { name: "result", values: "`ok`, `failed`" }]);
    LOG_DROPPED = MetricDef::counter(
        "gateway_access_log_dropped_total",
        "lines",
        "Lines of the access log that were dropped, because the writer was behind, or could not write.",
    );
    TLS_RELOADS = MetricDef::counter(
        "gateway_tls_reloads_total",
        "times",
        "Times that new certificates for clients were taken.",
    );
    TLS_STALE = MetricDef::gauge(
        "gateway_tls_certificates_stale",
        "0 or 1",
        "1: the files of certificates for clients can't be used, and what was in force stays so.",
    );
    BACKENDS = MetricDef::gauge(
        "gateway_backends",
        "backends",
        "Backends of pools that have checks, breakers, ejection or a backend that is held, by condition.",
    )
    .by(&[LabelDef {
        name: "condition",
        values: "`all`, `out`, `unhealthy`, `ejected`, `open`, `half_open`, `held`",
    }]);
    BREAKER_STATE = MetricDef::gauge(
        "gateway_circuit_breaker_state",
        "0, 1 or 2",
        "0: closed, 1: half-open, 2: open; of the first 1,000 backends with a breaker.",
    )
    .by(BACKEND);
    BREAKER_OPENED = MetricDef::counter(
        "gateway_circuit_breaker_opened_total",
        "times",
        "Times that the breaker was opened; of the first 1,000 backends with a breaker.",
    )
    .by(BACKEND);
    HEALTHY = MetricDef::gauge(
        "gateway_backend_healthy",
        "0 or 1",
        "1: active checks say so, 0: they do not; of the first 1,000 backends that are checked.",
    )
    .by(BACKEND);
    ROLLOUT_REQUESTS = MetricDef::counter(
        "gateway_rollout_requests_total",
        "requests",
        "Requests of a route or pool under a rollout, since the rollout came; of the first 1,000 rollouts.",
    )
    .by(&[
        LabelDef { name: "arm", values: "`baseline`, `candidate`" },
        LabelDef { name: "resource", values: "the route or pool, as `routes/shop`" },
        LabelDef { name: "result", values: "`ok`; `error`: answered with a status from 500, or not answered" },
    ]);
    TLS_EXPIRY = MetricDef::gauge(
        "gateway_tls_certificate_expiry_timestamp_seconds",
        "seconds",
        "When a certificate for clients runs out, in seconds since 1970; of the first 1,000.",
    )
    .by(&[LabelDef { name: "file", values: "the file of the certificate, or certificates/… where the control plane has given it" }]);
    TRAFFIC_REFUSED = MetricDef::counter(
        "gateway_traffic_refused_total",
        "requests",
        "Requests that the traffic features of a route refused; of the first 1,000 routes that have such.",
    )
    .by(&[
        LabelDef { name: "reason", values: "as `gateway_requests_failed_total`" },
        LabelDef { name: "route", values: "the route, as `routes/shop`" },
    ]);
    KEYS_STALE = MetricDef::gauge(
        "gateway_jwks_stale",
        "key sets",
        "Key sets whose last fetch failed: what is in force is older, or there is none.",
    );
    MIRROR_REQUESTS = MetricDef::counter(
        "gateway_mirror_requests_total",
        "requests",
        "Copies of requests for a route's mirror, by what came of them; of the first 1,000 routes with traffic features.",
    )
    .by(&[
        LabelDef {
            name: "result",
            values: "`sent`: and answered; `failed`: not answered, or with a status from 500; `skipped`: too many were \
                     under way, the body was too large, or no backend takes requests",
        },
        LabelDef { name: "route", values: "the route, as `routes/shop`" },
    ]);
    TRAFFIC_IN_FLIGHT = MetricDef::gauge(
        "gateway_traffic_in_flight",
        "requests",
        "Requests under way; of the first 1,000 routes with a limit of them.",
    )
    .by(&[LabelDef { name: "route", values: "the route, as `routes/shop`" }]);
}
