//! Which requests stand in the access log, where the route says it.

use std::path::Path;

use hotswap_matcher::{
    AccessLogDraft, AccessLogModeDraft, FaultAbortDraft, FaultDraft, RouteDraft, TrafficDraft,
};

use crate::support::*;

fn logging(id: &str, mode: AccessLogModeDraft, share_bps: u32, fails: bool) -> RouteDraft {
    let abort = Some(FaultAbortDraft { status: 418, share_bps: 10_000 });
    let fault = fails.then(|| FaultDraft { abort, ..FaultDraft::default() });
    let access_log = Some(AccessLogDraft { mode, share_bps });
    let traffic = TrafficDraft { access_log, fault, ..TrafficDraft::default() };
    RouteDraft { matches: at_prefix(&format!("/{id}/")), traffic: Some(Box::new(traffic)), ..to_pool("p") }
}

/// The routes of the lines, once the last request stands there.
async fn logged(file: &Path, last: &str) -> Vec<String> {
    in_time("the log", async {
        loop {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let lines = text.lines().filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok());
            let routes: Vec<_> = lines.map(|l| l["route"].as_str().unwrap_or_default().to_owned()).collect();
            if routes.last().is_some_and(|route| route == last) {
                return routes;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await
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
