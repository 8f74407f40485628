//! Which requests stand in the access log, where the route says it.

use std::path::Path;

use hotswap_matcher::{
    AccessDraft, AccessLogDraft, AccessLogModeDraft, FaultAbortDraft, FaultDraft, HeaderDraft,
    HeaderEditsDraft, RouteDraft, TrafficDraft,
};
use serde_json::{Value, json};

use super::{WAYS, texts};
use crate::http2_alike::Either;
use crate::support::*;

fn logging(id: &str, mode: AccessLogModeDraft, share_bps: u32, fails: bool) -> RouteDraft {
    let abort = Some(FaultAbortDraft { status: 418, share_bps: 10_000 });
    let fault = fails.then(|| FaultDraft { abort, ..FaultDraft::default() });
    let access_log = Some(AccessLogDraft { mode, share_bps });
    let traffic = TrafficDraft { access_log, fault, ..TrafficDraft::default() };
    RouteDraft { matches: at_prefix(&format!("/{id}/")), traffic: Some(Box::new(traffic)), ..to_pool("p") }
}

/// The lines, once there are as many as wanted.
pub async fn lines(file: &Path, want: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    in_time("the log", async {
        loop {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<_> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
            if want(&lines) {
                return lines;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await
}

/// The routes of the lines, once the last request stands there.
async fn logged(file: &Path, last: &str) -> Vec<String> {
    let lines = lines(file, |lines| lines.last().is_some_and(|line| line["route"] == last)).await;
    lines.iter().map(|line| line["route"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_line_says_who_sent_the_request_and_how_whatever_is_edited() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let backend = Backend::always("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    // What the backend gets instead is nobody's address, and nobody's browser.
    let set = ["x-forwarded-for", "user-agent", "traceparent"];
    let set = set.map(|name| HeaderDraft { name: name.into(), value: "198.51.100.1".into() });
    let edits = HeaderEditsDraft { set: set.into(), ..HeaderEditsDraft::default() };
    let access = AccessDraft { deny: texts(&["192.0.2.66"]), ..AccessDraft::default() };
    let traffic = TrafficDraft { access: Some(access), ..TrafficDraft::default() };
    for way in WAYS {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("log");
        let path = file.to_str().expect("text");
        let log = ["--access-log", "all", "--access-log-file", path, "--trusted-proxies", "127.0.0.0/8"];
        let args = [&["--gateway-engine", way.engine][..], &log].concat();
        let gateway = Gateway::before_with(backend.address, &args, |route| {
            route.request_headers = Some(edits.clone());
            route.traffic = Some(Box::new(traffic.clone()));
        });
        let mut client = way.connect(&gateway).await;
        let is_http2 = matches!(client, Either::Http2(_));
        let from = |chain: &str, more: &str| {
            format!(
                "POST /a HTTP/1.1\r\nhost: h\r\nx-forwarded-for: {chain}\r\nuser-agent: some/1.0 \"x\"\r\n{more}\
                 content-length: 3\r\n\r\nabc"
            )
        };
        let traced = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-00\r\n");
        for (chain, more, status) in [
            // The last that no trusted proxy has; what is before it anybody may claim.
            ("192.0.2.66, 203.0.113.7, 127.0.0.9", &*traced, 200),
            ("192.0.2.66", "", 403),
            ("nonsense", "traceparent: nonsense\r\n", 200),
        ] {
            assert_eq!(client.ask(&from(chain, more)).await.status, status, "{way:?} {chain}");
        }
        let lines = lines(&file, |lines| lines.len() == 3).await;
        let told = lines.iter().map(|l| json!([l["client"], l["status"], l["reason"], l["trace_id"]]));
        let want = [
            json!(["203.0.113.7", 200, null, TRACE]),
            json!(["192.0.2.66", 403, "ADDRESS_DENIED", null]),
            json!(["127.0.0.1", 200, null, null]),
        ];
        assert_eq!(told.collect::<Vec<_>>(), want, "{way:?}");
        for line in &lines {
            assert_eq!((&line["user_agent"], &line["tls"]), (&json!("some/1.0 \"x\""), &Value::Null));
            assert_eq!(line["version"], if is_http2 { "HTTP/2" } else { "HTTP/1.1" }, "{way:?}");
        }
        assert_eq!((&lines[0]["bytes_in"], &lines[2]["bytes_in"]), (&json!(3), &json!(3)), "{way:?}");
    }
}

#[tokio::test]
async fn a_line_tells_the_version_and_that_there_was_none_to_read() {
    let backend = Backend::always("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for engine in ["own", "hyper"] {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("log");
        let path = file.to_str().expect("text");
        let args = ["--gateway-engine", engine, "--access-log", "all", "--access-log-file", path];
        let gateway = Gateway::before_with(backend.address, &args, |_| {});
        assert_eq!(gateway.ask("GET / HTTP/1.0\r\n\r\n").await.status, 200);
        assert_eq!(gateway.ask("nonsense\r\n\r\n").await.status, 400);
        let lines = lines(&file, |lines| lines.len() == 2).await;
        let told = lines.iter().map(|l| json!([l["client"], l["version"], l["bytes_in"], l["user_agent"]]));
        let want = [json!(["127.0.0.1", "HTTP/1.0", 0, null]), json!(["127.0.0.1", null, 0, null])];
        assert_eq!(told.collect::<Vec<_>>(), want, "{engine}");
    }
}

#[tokio::test]
async fn a_route_says_which_of_its_requests_are_logged() {
    let backend = Backend::always("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for engine in ["own", "hyper"] {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("log");
        let path = file.to_str().expect("text");
        let args = ["--gateway-engine", engine, "--access-log", "errors", "--access-log-file", path];
        let mut gateway = Gateway::start(&args);
        gateway.pool("p", &[backend.address]);
        for (id, mode, share_bps, fails) in [
            ("all", AccessLogModeDraft::All, 0, false),
            ("errors", AccessLogModeDraft::Errors, 0, false),
            ("off", AccessLogModeDraft::Off, 0, true),
            ("half", AccessLogModeDraft::All, 5_000, false),
            ("half-fails", AccessLogModeDraft::All, 1, true),
        ] {
            gateway.route(id, &logging(id, mode, share_bps, fails));
        }
        gateway.route("silent", &RouteDraft { matches: at_prefix("/silent/"), ..to_pool("p") });
        gateway.swap();
        let mut client = gateway.connect().await;
        let mut ask = async |id: &str| {
            client.send(format!("GET /{id}/ HTTP/1.1\r\nhost: h\r\n\r\n")).await;
            client.response().await.status
        };
        for _ in 0..400 {
            assert_eq!(ask("half").await, 200);
        }
        for (id, status) in
            [("silent", 200), ("errors", 200), ("off", 418), ("half-fails", 418), ("all", 200)]
        {
            assert_eq!(ask(id).await, status, "{id}");
        }
        let mut routes = logged(&file, "routes/all").await;
        let others = routes.split_off(routes.iter().take_while(|r| *r == "routes/half").count());
        assert_eq!(others, ["routes/half-fails", "routes/all"], "{engine}");
        // Six deviations to either side of the half.
        assert!((140..=260).contains(&routes.len()), "{engine}: {}", routes.len());
    }
}
