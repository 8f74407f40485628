use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hotswap_runtime::admin::{self, Readiness};
use hotswap_runtime::{Supervisor, TaskKind, listen};
use hotswap_telemetry::{GrpcMetrics, Metrics};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The status line, and everything.
async fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("reads");
    (answer.lines().next().expect("a status line").to_owned(), answer)
}

#[tokio::test]
async fn the_page_tells_metrics_life_and_what_is_not_ready() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = listen::bind(any, "admin", "--admin-listen").expect("binds");
    let address = listener.local_addr().expect("address");
    let (metrics, readiness, supervisor) = (Metrics::new(), Readiness::default(), Supervisor::new());
    GrpcMetrics::register(&metrics).expect("registers").observe("/a.B/C", "ok", 0.1);
    let page = admin::serve(listener, metrics, readiness.clone(), supervisor.shutdown());
    supervisor.spawn("admin", TaskKind::Essential, page);

    let (_, metrics) = get(address, "/metrics").await;
    assert!(metrics.contains("text/plain; version=0.0.4"), "{metrics}");
    assert!(metrics.contains("hotswap_rpc_requests_total"), "{metrics}");
    assert_eq!(get(address, "/healthz").await.0, "HTTP/1.1 200 OK");

    readiness.not_ready("store", "opening");
    readiness.not_ready("config", "none yet");
    let (status, text) = get(address, "/readyz").await;
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(text.contains("config: none yet\nstore: opening\n"), "{text}");
    readiness.ready("store");
    readiness.ready("config");
    assert_eq!(get(address, "/readyz").await.0, "HTTP/1.1 200 OK");

    let report = supervisor.drain(Duration::from_secs(10)).await;
    assert_eq!((report.aborted, report.reason), (vec![], None));
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens after the drain");
}
