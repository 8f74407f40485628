//! Copies of requests for the mirror of a route, on real sockets.

use hotswap_gateway::rollout::Total;
use hotswap_matcher::{
    BackendDraft, BackendsDraft, HeaderDraft, HeaderEditsDraft, HealthCheckDraft, MirrorDraft, RewriteDraft,
    RouteDraft, TrafficDraft,
};

use crate::http2_alike::Either;
use crate::rollouts::{GET, OTHER, counted, is_about};
use crate::shadows::{shadow, that_keeps};
use crate::support::*;
use crate::ways::{FROM_HTTP1, Way};

/// Tells whose copy it is.
const MARK: &str = "x-hotswap-mirror";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-from: mirror\r\n\r\nno";

fn mirrored(mirror: MirrorDraft) -> Option<Box<TrafficDraft>> {
    Some(Box::new(TrafficDraft { mirror: Some(mirror), ..TrafficDraft::default() }))
}

fn to_mirror(share_bps: u32) -> Option<Box<TrafficDraft>> {
    mirrored(MirrorDraft { pool: Some("pools/m".into()), share_bps, ..MirrorDraft::default() })
}

/// To backends of the mirror's own.
fn to_own(address: &str) -> Option<Box<TrafficDraft>> {
    let backend = BackendDraft { address: address.into(), ..BackendDraft::default() };
    let inline = BackendsDraft {
        backends: vec![backend],
        health_check: Some(HealthCheckDraft { interval_ms: 100, ..HealthCheckDraft::default() }),
        ..BackendsDraft::default()
    };
    mirrored(MirrorDraft { inline: Some(inline), ..MirrorDraft::default() })
}

/// A gateway whose only route sends to pool p, and copies to pool m.
async fn gateway(way: Way, pools: &[(&str, &Backend)], change: impl FnOnce(&mut RouteDraft)) -> Gateway {
    let mut gateway = Gateway::start(&["--gateway-engine", way.engine]);
    for (name, backend) in pools {
        gateway.pool_of(name, &way.pool(&[backend.address]).await);
    }
    let mut route = RouteDraft { traffic: to_mirror(0), ..to_pool("p") };
    change(&mut route);
    gateway.route("r", &route);
    gateway.swap();
    gateway
}

fn line(result: &str, count: u64) -> String {
    format!("gateway_mirror_requests_total{{result=\"{result}\",route=\"routes/r\"}} {count}")
}

#[tokio::test]
async fn a_mirror_gets_what_the_backend_gets_and_the_client_nothing_of_it() {
    for way in FROM_HTTP1 {
        let (live, (mirror, kept)) = (Backend::echo().await, that_keeps(OK).await);
        let gateway = gateway(way, &[("p", &live), ("m", &mirror)], |route| {
            let edit = HeaderDraft { name: "x-by".into(), value: "route".into() };
            let edits = HeaderEditsDraft { set: vec![edit], ..HeaderEditsDraft::default() };
            route.request_headers = Some(edits);
            let rewrite = RewriteDraft { replace_prefix: Some("/new".into()), ..RewriteDraft::default() };
            route.matches = at_prefix("/a");
            route.forward.as_mut().expect("forwards").rewrite = Some(rewrite);
        })
        .await;
        let mut clients = Vec::from(Either::both(&gateway).await);
        if way.engine == "hyper" {
            clients.truncate(1);
        }
        let mut sent = 0;
        for client in &mut clients {
            for (request, line_of_it, body) in [
                ("GET /a/b?c=d HTTP/1.1\r\nhost: h\r\nx-mine: 1\r\n\r\n", "GET /new/b?c=d ", ""),
                ("POST /a/p HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc", "POST /new/p ", "abc"),
            ] {
                let response = client.ask(request).await;
                let told = format!("{}{}", response.head, response.text());
                assert!(response.status == 200 && !told.contains("mirror"), "{way:?}: {told}");
                sent += 1;
                gateway.counts(&line("sent", sent)).await;
                let copy = kept.lock().expect("free").pop().expect("a copy");
                let fits = copy.starts_with(line_of_it) && copy.ends_with(&format!("\r\n\r\n{body}"));
                assert!(fits, "{way:?}: {copy}");
                for (name, value) in [("x-by", "route"), ("host", "h")] {
                    assert_eq!(header(&copy, name), Some(value), "{way:?}: {copy}");
                }
                assert!(header(&copy, MARK).is_some_and(|mark| mark.len() == 16), "{way:?}: {copy}");
            }
        }
        let shadows = "gateway_shadow_requests_total{result=\"sent\"} 0";
        gateway.counts(shadows).await;
    }
}

#[tokio::test]
async fn no_client_waits_for_a_mirror_and_what_does_not_fit_is_skipped() {
    for way in FROM_HTTP1 {
        let live = Backend::always(OTHER).await;
        let silent = Backend::each(|_, mut wire| async move {
            let _ = wire.request().await;
            let _ = wire.ended().await;
        })
        .await;
        let gateway = gateway(way, &[("p", &live), ("m", &silent)], |_| {}).await;
        let mut client = gateway.connect().await;
        let large =
            format!("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 65537\r\n\r\n{}", "x".repeat(65_537));
        client.send(&large).await;
        assert_eq!(client.response().await.status, 200);
        gateway.counts(&line("skipped", 1)).await;
        for _ in 0..120 {
            client.send(GET).await;
            assert_eq!(client.response().await.status, 200, "while every copy hangs");
        }
        gateway.counts(&line("skipped", 21)).await;
        // They are answered by the end of their connection.
        silent.end().await;
        gateway.counts(&line("failed", 100)).await;
    }
}

#[tokio::test]
async fn a_mirror_that_is_not_there_is_skipped_and_a_copy_is_not_copied() {
    for way in FROM_HTTP1 {
        let live = Backend::always(OTHER).await;
        let mut gateway = gateway(way, &[("p", &live)], |_| {}).await;
        assert_eq!(gateway.ask(GET).await.status, 200);
        gateway.counts(&line("skipped", 1)).await;
        // It leads back to the route: without an end, if copies were copied.
        gateway.pool("m", &[gateway.address()]);
        gateway.swap();
        assert_eq!(gateway.ask(GET).await.status, 200);
        gateway.counts(&line("sent", 1)).await;
        assert_eq!(gateway.ask(GET).await.status, 200);
        gateway.counts(&line("sent", 2)).await;
        assert!(gateway.metrics().contains(&line("sent", 2)), "{way:?}");
    }
}

#[tokio::test]
async fn a_client_that_calls_its_request_a_copy_is_not_believed_and_other_gateways_stay_told() {
    for way in FROM_HTTP1 {
        let (live, (mirror, kept)) = (Backend::always(OTHER).await, that_keeps(OK).await);
        let gateway = gateway(way, &[("p", &live), ("m", &mirror)], |_| {}).await;
        let claims = "GET / HTTP/1.1\r\nhost: h\r\nx-hotswap-mirror: 1\r\nX-Hotswap-Mirror: 2,, 3\r\n\r\n";
        let mut marks = Vec::new();
        for (sent, request) in (1..).zip([GET, claims]) {
            assert_eq!(gateway.ask(request).await.status, 200);
            gateway.counts(&line("sent", sent)).await;
            let copy = kept.lock().expect("free").pop().expect("a copy");
            marks.push(header(&copy, MARK).expect("a mark").to_owned());
        }
        let [own, all] = &marks[..] else { panic!("{marks:?}") };
        assert_eq!(*all, format!("1, 2, 3, {own}"), "{way:?}");
        // What came of its own copy, by whatever other gateways, ends here.
        let back = format!("GET / HTTP/1.1\r\nhost: h\r\nx-hotswap-mirror: {own}, 7\r\n\r\n");
        assert_eq!(gateway.ask(&back).await.status, 200);
        assert_eq!(gateway.ask(GET).await.status, 200);
        gateway.counts(&line("sent", 3)).await;
        let last = kept.lock().expect("free").pop().expect("a copy");
        assert_eq!(header(&last, MARK), Some(own.as_str()), "{way:?}");
    }
}

#[tokio::test]
async fn a_mirror_with_backends_of_its_own_gets_copies_while_they_are_in_order() {
    for way in FROM_HTTP1 {
        let (live, (mirror, kept)) = (Backend::always(OTHER).await, that_keeps(OK).await);
        let address = mirror.address.to_string();
        let gateway = gateway(way, &[("p", &live)], |route| route.traffic = to_own(&address)).await;
        // Checks reach it, too, and are told by a name of its own.
        let healthy = format!("gateway_backend_healthy{{backend=\"{address}\",pool=\"routes/r (mirror)\"}}");
        gateway.counts(&format!("{healthy} 1")).await;
        assert_eq!(gateway.ask(GET).await.status, 200);
        gateway.counts(&line("sent", 1)).await;
        let is_copy = |copy: &String| header(copy, MARK).is_some();
        assert_eq!(kept.lock().expect("free").iter().filter(|copy| is_copy(copy)).count(), 1, "{way:?}");
        mirror.end().await;
        gateway.counts(&format!("{healthy} 0")).await;
        assert_eq!(gateway.ask(GET).await.status, 200);
        gateway.counts(&line("skipped", 1)).await;
    }
}

#[tokio::test]
async fn a_shadow_and_a_mirror_get_a_copy_each() {
    for way in FROM_HTTP1 {
        let (live, other) = (Backend::always(OTHER).await, Backend::always(OTHER).await);
        let (mirror, kept) = that_keeps(OK).await;
        let mut gateway = gateway(way, &[("m", &mirror)], |_| {}).await;
        gateway.pool_with("p", live.address, other.address, &shadow(10_000));
        gateway.swap();
        for _ in 0..5 {
            assert_eq!(gateway.ask(GET).await.status, 200);
        }
        let five = Total { requests: 5, errors: 0 };
        assert_eq!(counted(&gateway, 10).await, [five, five], "{way:?}");
        gateway.counts(&line("sent", 5)).await;
        assert!(kept.lock().expect("free").iter().all(|copy| !copy.contains("x-hotswap-shadow")));
    }
}

#[tokio::test]
async fn a_share_of_the_requests_is_mirrored() {
    const ALL: u64 = 1_000;
    for way in FROM_HTTP1 {
        let (live, (mirror, kept)) = (Backend::always(OTHER).await, that_keeps(OK).await);
        let gateway =
            gateway(way, &[("p", &live), ("m", &mirror)], |route| route.traffic = to_mirror(3_000)).await;
        let mut client = gateway.connect().await;
        for _ in 0..ALL {
            client.send(GET).await;
            assert_eq!(client.response().await.status, 200);
        }
        let counts = || {
            let metrics = gateway.metrics();
            ["sent", "skipped"].map(|result| {
                let (start, _) =
                    line(result, 0).rsplit_once(' ').map(|(a, b)| (a.to_owned(), b.len())).expect("two");
                let found = metrics.lines().find_map(|l| l.strip_prefix(&start)?.trim().parse::<u64>().ok());
                found.expect("a count")
            })
        };
        let ended = in_time("copies", async {
            loop {
                let got = kept.lock().expect("free").len() as u64;
                let [sent, skipped] = counts();
                if sent == got && got > 0 {
                    break sent + skipped;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(is_about(ended, ALL, 3_000), "{way:?}: {ended}");
    }
}
