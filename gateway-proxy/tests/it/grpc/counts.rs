//! How calls are counted and logged.

use super::*;

const CALLS: &str = "gateway_grpc_calls_total";

#[tokio::test]
async fn calls_are_counted_by_their_status_wherever_it_stands() {
    let server = Running::start("a").await;
    let gateway = before(&[server.address]);
    let mut client = client(&gateway).await;
    unary(&mut client, "/t.T/Echo", "hello", |_| {}).await.expect("answers");
    coded(&mut client, Code::NotFound).await;
    let lost = stream(&mut client, "/t.T/Late").await;
    in_time("both messages", lost.collect::<Vec<_>>()).await;
    // Its caller leaves before it has one.
    let mut open = stream(&mut client, "/t.T/One").await;
    assert_eq!(in_time("a message", open.message()).await.expect("one"), Some("one".to_owned()));
    drop(open);
    for status in ["OK", "NOT_FOUND", "DATA_LOSS", "none"] {
        gateway.counts(&format!("{CALLS}{{grpc_status=\"{status}\"}} 1")).await;
    }
    // By HTTP/1.1 it is no call, whatever it says.
    let text =
        "POST /t.T/Echo HTTP/1.1\r\nhost: h\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n";
    gateway.ask(text).await;
    gateway.counts("gateway_requests_total{class=\"2xx\"} 5").await;
    let metrics = gateway.metrics();
    let counted = metrics.lines().filter_map(|l| l.strip_prefix(CALLS)?.rsplit_once(' '));
    assert_eq!(counted.map(|(_, n)| n.parse::<u32>().expect("a number")).sum::<u32>(), 4);
}

#[tokio::test]
async fn the_access_log_has_the_status() {
    let server = Running::start("a").await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("access.log");
    let path = file.to_str().expect("text");
    let args = [&OWN[..], &["--access-log", "all", "--access-log-file", path]].concat();
    let mut gateway = Gateway::start(&args);
    gateway.pool_of("p", &pool_of(&[server.address]));
    gateway.route("r", &RouteDraft { matches: at_prefix("/t.T"), ..to_pool("p") });
    gateway.swap();
    let mut client = client(&gateway).await;
    unary(&mut client, "/t.T/Echo", "hello", |_| {}).await.expect("answers");
    unary(&mut client, "/elsewhere", "hello", |_| {}).await.expect_err("no route");
    gateway.ask("GET /elsewhere HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let lines = || std::fs::read_to_string(&file).unwrap_or_default();
    in_time("three lines", async {
        while lines().lines().count() < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let text = lines();
    let told: Vec<_> = text.lines().map(|line| line.split_once("\"grpc_status\":").map(|(_, s)| s)).collect();
    let begins = |n: usize, with| told[n].is_some_and(|status| status.starts_with(with));
    assert!(begins(0, "\"OK\",") && begins(1, "\"UNIMPLEMENTED\",") && told[2].is_none(), "{text}");
}
