//! What pages of other origins may ask and read.

use hotswap_matcher::{CorsDraft, RateLimitDraft, TrafficDraft};

use super::{gateway, texts};
use crate::support::*;
use crate::ways::WAYS;

fn cors() -> CorsDraft {
    CorsDraft {
        origins: texts(&["https://app.example", "https://*.shop.example"]),
        methods: texts(&["PUT"]),
        headers: texts(&["X-Token", "content-type"]),
        expose_headers: texts(&["x-total"]),
        credentials: true,
        max_age_s: 600,
    }
}

fn preflight(origin: &str, method: &str, headers: &str) -> String {
    format!(
        "OPTIONS / HTTP/1.1\r\nhost: h\r\norigin: {origin}\r\naccess-control-request-method: {method}\r\n\
         access-control-request-headers: {headers}\r\n\r\n"
    )
}

#[tokio::test]
async fn what_browsers_ask_first_is_answered_by_the_gateway() {
    let backend = Backend::echo().await;
    for way in WAYS {
        let traffic = TrafficDraft { cors: Some(cors()), ..TrafficDraft::default() };
        let gateway = gateway(way, backend.address, traffic).await;
        let before = backend.connections();
        let allowed =
            way.ask(&gateway, &preflight("https://a.shop.example", "PUT", "x-token, Content-Type")).await;
        assert_eq!(allowed.status, 204, "{way:?}");
        for (name, value) in [
            ("access-control-allow-origin", "https://a.shop.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "PUT"),
            ("access-control-allow-headers", "x-token, Content-Type"),
            ("access-control-max-age", "600"),
            ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
        ] {
            assert_eq!(allowed.header(name), Some(value), "{way:?} {name}");
        }
        for (origin, method, headers) in [
            ("https://evil.example", "PUT", "x-token"),
            ("null", "PUT", "x-token"),
            ("https://app.example", "DELETE", ""),
            ("https://app.example", "put", ""),
            ("https://app.example", "GET", "x-other"),
            ("https://app.example", "GET", "x-token, b(d"),
        ] {
            let denied = way.ask(&gateway, &preflight(origin, method, headers)).await;
            let found = (denied.status, denied.reason(), denied.header("access-control-allow-origin"));
            assert_eq!(found, (403, Some("CORS_DENIED"), None), "{way:?} {origin} {method} {headers}");
        }
        assert_eq!(backend.connections(), before, "no backend was asked");
        // It asks nothing of the kind: the backend answers.
        let plain =
            way.ask(&gateway, "OPTIONS / HTTP/1.1\r\nhost: h\r\norigin: https://app.example\r\n\r\n").await;
        assert_eq!(plain.status, 200);
    }
}

#[tokio::test]
async fn answers_say_whose_pages_may_read_them_whatever_the_backend_says() {
    let backend = Backend::always(
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nvary: accept\r\naccess-control-allow-origin: *\r\n\
         Access-Control-Allow-Credentials: false\r\n\r\n",
    )
    .await;
    for way in WAYS {
        let rate_limit = Some(RateLimitDraft {
            requests: 1,
            period_ms: 3_600_000,
            header: Some("x-key".into()),
            ..RateLimitDraft::default()
        });
        let traffic = TrafficDraft { cors: Some(cors()), rate_limit, ..TrafficDraft::default() };
        let gateway = gateway(way, backend.address, traffic).await;
        let ask = |origin: &str, key: &str| {
            format!("GET / HTTP/1.1\r\nhost: h\r\nx-key: {key}\r\norigin: {origin}\r\n\r\n")
        };
        let count = |head: &str, name: &str| {
            head.lines().filter(|l| l.to_ascii_lowercase().starts_with(&format!("{name}:"))).count()
        };
        let good = way.ask(&gateway, &ask("https://app.example", "a")).await;
        assert_eq!(good.header("access-control-allow-origin"), Some("https://app.example"));
        assert_eq!(good.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(good.header("access-control-expose-headers"), Some("x-total"));
        assert_eq!((count(&good.head, "access-control-allow-origin"), count(&good.head, "vary")), (1, 2));
        let other = way.ask(&gateway, &ask("https://evil.example", "b")).await;
        assert_eq!((other.status, other.header("access-control-allow-origin")), (200, None), "{way:?}");
        assert_eq!(count(&other.head, "vary"), 2);
        // A page can read why it was refused.
        let refused = way.ask(&gateway, &ask("https://app.example", "a")).await;
        assert_eq!(refused.status, 429);
        assert_eq!(refused.header("access-control-allow-origin"), Some("https://app.example"));
    }
}

#[tokio::test]
async fn pages_of_all_origins_may_ask_where_the_route_says_so() {
    let backend = Backend::echo().await;
    let all = CorsDraft {
        origins: texts(&["*"]),
        methods: texts(&["*"]),
        headers: texts(&["*"]),
        ..CorsDraft::default()
    };
    for way in WAYS {
        let traffic = TrafficDraft { cors: Some(all.clone()), ..TrafficDraft::default() };
        let gateway = gateway(way, backend.address, traffic).await;
        for origin in ["https://evil.example", "null"] {
            let allowed = way.ask(&gateway, &preflight(origin, "DELETE", "x-any, X-Other")).await;
            assert_eq!(allowed.status, 204, "{way:?} {origin}");
            for (name, value) in [
                ("access-control-allow-origin", Some("*")),
                // What was asked for, which older browsers take, too.
                ("access-control-allow-methods", Some("DELETE")),
                ("access-control-allow-headers", Some("x-any, X-Other")),
                ("access-control-allow-credentials", None),
            ] {
                assert_eq!(allowed.header(name), value, "{way:?} {origin} {name}");
            }
            let asked = format!("GET / HTTP/1.1\r\nhost: h\r\norigin: {origin}\r\n\r\n");
            let answer = way.ask(&gateway, &asked).await;
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{way:?} {origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    }
}
