//! The gateway on real sockets.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, spawns what it likes, and plays the control plane"
)]

mod admin;
mod balancing;
mod candidate_checks;
mod certificates;
mod clients;
mod compression;
mod control;
mod crowded;
mod differential;
mod differential_back;
mod disk;
mod dying;
mod explain;
mod failures;
mod fleet_limits;
mod gateway_process;
mod grpc;
mod grpc_interop;
mod h2spec;
mod health;
mod hostile;
mod http2;
mod http2_alike;
mod http2_backends;
mod http2_hostile;
mod http2_support;
mod kept_keys;
mod keys;
mod mirrors;
mod process;
mod proxy_protocol;
mod proxying;
mod restarts;
mod retries;
mod rollouts;
mod rollouts_watch;
mod shadows;
mod splits;
mod support;
mod swaps;
mod take_over;
mod tls;
mod tls_backends;
mod tokens;
mod traffic;
mod trailers;
mod upgrades;
mod varnishtest;
mod watch;
mod ways;
