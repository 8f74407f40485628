//! Hostile clients of HTTP/2. Each ends its own connection at most; what the others get is not touched.

mod flipped;
mod floods;
mod heads;
mod smuggling;
mod windows;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::http2_support::*;
use crate::support::*;

const OWN: [&str; 2] = ["--gateway-engine", "own"];
const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A gateway, and a well-behaved client whose requests must get through whatever the others do.
struct Besieged {
    gateway: Gateway,
    other: Http2,
    reached: Arc<AtomicUsize>,
    backend: Backend,
}

impl Besieged {
    async fn start(args: &[&str]) -> Self {
        let reached = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reached);
        let backend = Backend::each(move |_, mut wire| {
            let count = Arc::clone(&count);
            async move {
                while let Some(request) = wire.request().await {
                    count.fetch_add(1, Ordering::SeqCst);
                    if request.head.starts_with("GET /hang") {
                        let _ = wire.ended().await;
                        return;
                    }
                    wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            }
        })
        .await;
        let gateway = Gateway::before_with(backend.address, &[&OWN, args].concat(), |_| {});
        let other = Http2::connect(&gateway).await;
        Self { gateway, other, reached, backend }
    }

    async fn raw(&self) -> Frames {
        Frames::open(self.gateway.address()).await
    }

    /// The other client is served, on the connection that it has; new ones are; and nothing is left of the attack.
    async fn stands(&self, ended: &str) {
        assert_eq!(self.other.ask(GET).await.text(), "ok");
        assert_eq!(self.gateway.ask(GET).await.text(), "ok");
        self.gateway.counts("gateway_active_connections 1").await;
        if !ended.is_empty() {
            let line = format!("gateway_http2_connections_ended_total{{cause=\"{ended}\"}} 1");
            self.gateway.counts(&line).await;
        }
    }
}

fn stream(n: usize) -> u32 {
    u32::try_from(2 * n + 1).expect("fits")
}
