//! Traffic features of routes, on real sockets, by every way that a request can come and go.

mod browsers;
mod faults;
mod limits;
pub mod logs;
mod switched;

use std::net::SocketAddr;

use hotswap_matcher::{AccessDraft, TrafficDraft};

use crate::support::*;
use crate::ways::{WAYS, Way};

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

/// A gateway whose only route has these features.
async fn gateway(way: Way, backend: SocketAddr, traffic: TrafficDraft) -> Gateway {
    let args = ["--gateway-workers", "2", "--trusted-proxies", "127.0.0.0/8"];
    way.before(backend, &args, |route| route.traffic = Some(Box::new(traffic))).await
}

/// A request of a client with this address, as a trusted proxy tells it.
fn from(client: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: h\r\nx-forwarded-for: {client}\r\n\r\n")
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|t| (*t).to_owned()).collect()
}

#[tokio::test]
async fn addresses_that_are_denied_get_403_and_the_connection_goes_on() {
    let backend = Backend::echo().await;
    for way in WAYS {
        let access = AccessDraft {
            allow: texts(&["192.0.2.0/24", "2001:db8::/32", "127.0.0.0/8"]),
            deny: texts(&["192.0.2.66", "2001:db8:bad::/48"]),
        };
        let traffic = TrafficDraft { access: Some(access), ..TrafficDraft::default() };
        let gateway = gateway(way, backend.address, traffic).await;
        let mut client = way.connect(&gateway).await;
        for (address, status) in [
            ("192.0.2.1", 200),
            ("192.0.2.66", 403),
            ("198.51.100.1", 403),
            ("::ffff:192.0.2.66", 403),
            ("2001:db8::1", 200),
            ("2001:db8:bad::1", 403),
            // Behind what is no address nothing is believed: the peer counts.
            ("192.0.2.66, nonsense", 200),
        ] {
            let response = client.ask(&from(address)).await;
            assert_eq!(response.status, status, "{way:?} {address}");
            let reason = (status == 403).then_some("ADDRESS_DENIED");
            assert_eq!(response.reason(), reason);
        }
        gateway.counts("gateway_traffic_refused_total{reason=\"ADDRESS_DENIED\",route=\"routes/r\"} 4").await;
    }
}
