//! HTTP/2 from clients, to backends of HTTP/1.1.

mod ends;
mod exchanges;
pub mod tunnels;

use crate::support::*;

const OWN: [&str; 2] = ["--gateway-engine", "own"];
const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

fn before(backend: &Backend) -> Gateway {
    with(backend, &[])
}

fn with(backend: &Backend, args: &[&str]) -> Gateway {
    Gateway::before_with(backend.address, &[&OWN, args].concat(), |_| {})
}
