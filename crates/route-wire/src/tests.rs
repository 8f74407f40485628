use hotswap_api::route::v1 as wire;

use super::*;

fn full_balancing() -> wire::Balancing {
    wire::Balancing {
        header_rules: Some(wire::HeaderRules {
            header: "x-cohort".into(),
            rules: vec![wire::HeaderRule { value: "beta".into(), addresses: vec!["a:1".into()] }],
            default_addresses: vec!["a:1".into()],
        }),
        hash: None,
        sticky_cookie: Some(wire::StickyCookie {
            name: "n".into(),
            path: "/p".into(),
            domain: "example.com".into(),
            max_age_s: 1,
            secure: true,
            script_access: true,
            same_site: wire::SameSite::None.into(),
            salt: "s".into(),
        }),
        slow_start_ms: 7,
        panic_threshold_percent: 8,
    }
}

fn full_check() -> wire::HealthCheck {
    wire::HealthCheck {
        path: "/healthz".into(),
        interval_ms: 1_000,
        timeout_ms: 100,
        unhealthy_threshold: 1,
        healthy_threshold: 2,
        kind: wire::HealthCheckKind::Http.into(),
        host: "h.example".into(),
        expected_statuses: vec![200, 204],
        jitter_percent: Some(0),
        service: "a.B".into(),
    }
}

fn full_tls() -> wire::BackendTls {
    wire::BackendTls {
        server_name: "n.example".into(),
        ca: "corp".into(),
        client_certificate: "edge".into(),
        skip_verification: true,
    }
}

fn full_traffic() -> wire::Traffic {
    let texts = |t: &str| vec![t.to_owned()];
    wire::Traffic {
        access: Some(wire::Access { allow: texts("10.0.0.0/8"), deny: texts("10.1.2.3") }),
        cors: Some(wire::Cors {
            origins: texts("https://*.example.com"),
            methods: texts("PUT"),
            headers: texts("x-a"),
            expose_headers: texts("x-b"),
            credentials: true,
            max_age_s: 60,
        }),
        limits: Some(wire::RequestLimits { max_body_bytes: 1, max_head_bytes: 256, max_headers: 3 }),
        rate_limit: Some(wire::RateLimit {
            requests: 1,
            period_ms: 2,
            burst: 3,
            key: Some(wire::rate_limit::Key::Header("x-key".into())),
            quiet: true,
            scope: wire::RateLimitScope::Fleet.into(),
            fallback: wire::RateLimitFallback::Pass.into(),
        }),
        concurrency: Some(wire::Concurrency { max_requests: 4, retry_after_s: 5 }),
        fault: Some(wire::Fault {
            abort: Some(wire::FaultAbort { status: 503, share_bps: 6 }),
            delay: Some(wire::FaultDelay { delay_ms: 7, share_bps: 8 }),
            header: "x-fault".into(),
        }),
        access_log: Some(wire::AccessLog { mode: wire::AccessLogMode::All.into(), share_bps: 9 }),
        compression: Some(wire::Compression {
            codings: texts("br"),
            content_types: texts("text/*"),
            min_length: 10,
            quality: 9,
        }),
        mirror: Some(wire::Mirror { target: Some(wire::mirror::Target::Pool("pools/m".into())), share_bps: 9 }),
        jwt: Some(wire::Jwt {
            jwks: r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#.into(),
            algorithms: texts("EdDSA"),
            issuer: "i".into(),
            audiences: texts("a"),
            leeway_s: 10,
            header: "x-token".into(),
            claim_headers: vec![wire::ClaimHeader { claim: "sub".into(), header: "x-user".into() }],
            strip_token: true,
            optional: true,
            ..wire::Jwt::default()
        }),
    }
}

fn full_route() -> wire::Route {
    let value = |t: &str| wire::header_match::Kind::Exact(t.into());
    wire::Route {
        name: "routes/r".into(),
        display_name: "R".into(),
        labels: [("team".to_owned(), "web".to_owned())].into(),
        hosts: vec!["*.example.com".into()],
        matches: vec![wire::RouteMatch {
            path: Some(wire::PathMatch { kind: Some(wire::path_match::Kind::Prefix("/a".into())) }),
            methods: vec!["GET".into()],
            headers: vec![wire::HeaderMatch { name: "x".into(), kind: Some(value("y")) }],
            query: vec![wire::QueryMatch {
                name: "q".into(),
                kind: Some(wire::query_match::Kind::Present(true)),
            }],
        }],
        priority: -3,
        action: Some(wire::route::Action::Forward(wire::Forward {
            target: Some(wire::forward::Target::Inline(wire::InlineBackends {
                backends: vec![wire::Backend {
                    address: "a:1".into(),
                    weight: Some(0),
                    priority: 2,
                    ..wire::Backend::default()
                }],
                load_balancing: wire::LoadBalancing::Header.into(),
                connect_timeout_ms: 5,
                balancing: Some(full_balancing()),
                health_check: Some(full_check()),
                circuit_breaker: Some(wire::CircuitBreaker::default()),
                outlier_ejection: Some(wire::OutlierEjection::default()),
                tls: Some(wire::BackendTls { ca: String::new(), ..full_tls() }),
                protocol: wire::BackendProtocol::Http2.into(),
            })),
            rewrite: Some(wire::Rewrite {
                path: Some(wire::rewrite::Path::ReplacePrefix("/".into())),
                host: "b".into(),
            }),
            timeouts: Some(wire::Timeouts { first_byte_ms: 1, total_ms: 2, idle_ms: 3 }),
            retry: Some(wire::Retry {
                max_retries: 3,
                per_try_ms: 100,
                base_backoff_ms: 10,
                max_backoff_ms: 20,
                budget_percent: 30,
                max_body_bytes: 40,
                grpc_unavailable: true,
            }),
            upgrades: vec!["websocket".into(), "a/1".into()],
            split: vec![],
        })),
        request_headers: Some(wire::HeaderEdits {
            remove: vec!["a".into()],
            set: vec![wire::Header { name: "b".into(), value: "c".into() }],
            add: vec![],
        }),
        traffic: Some(full_traffic()),
        ..wire::Route::default()
    }
}

#[test]
fn a_route_comes_back_as_it_went() {
    let route = full_route();
    let draft = route_from_wire(&route).expect("fits");
    assert_eq!(route_to_wire("routes/r", &draft), route);
    hotswap_matcher::RouteSpec::parse(&draft).expect("valid");
}

#[test]
fn a_split_comes_back_with_the_weights_that_were_said() {
    let mut route = full_route();
    let weighted = |pool: &str, weight| wire::WeightedPool { pool: pool.into(), weight };
    let split = vec![weighted("pools/a", None), weighted("pools/b", Some(0))];
    route.action = Some(wire::route::Action::Forward(wire::Forward { split, ..Default::default() }));
    let draft = route_from_wire(&route).expect("fits");
    assert_eq!(route_to_wire("routes/r", &draft), route);
    hotswap_matcher::RouteSpec::parse(&draft).expect("valid");
}

#[test]
fn each_key_of_a_rate_limit_comes_back_and_an_unknown_mode_is_a_violation() {
    use wire::rate_limit::Key;
    for key in [None, Some(Key::ClientAddress(true)), Some(Key::Header("x".into()))] {
        let rate_limit = wire::RateLimit { requests: 1, key, ..wire::RateLimit::default() };
        let traffic = wire::Traffic { rate_limit: Some(rate_limit), ..wire::Traffic::default() };
        let route = wire::Route { traffic: Some(traffic), ..full_route() };
        let draft = route_from_wire(&route).expect("fits");
        assert_eq!(route_to_wire("routes/r", &draft), route);
    }
    let access_log = Some(wire::AccessLog { mode: 99, share_bps: 0 });
    let traffic = Some(wire::Traffic { access_log, ..wire::Traffic::default() });
    let odd = route_from_wire(&wire::Route { traffic, ..full_route() });
    assert!(matches!(odd, Err(v) if v.to_string().contains("traffic.access_log.mode")));
}

#[test]
fn the_own_backends_of_a_mirror_come_back_and_what_is_odd_of_them_is_named() {
    let mirrored_to = |change: fn(&mut wire::InlineBackends)| {
        let mut route = full_route();
        let Some(wire::route::Action::Forward(forward)) = &route.action else { panic!("forwards") };
        let Some(wire::forward::Target::Inline(mut inline)) = forward.target.clone() else {
            panic!("inline")
        };
        change(&mut inline);
        let mirror = wire::Mirror { target: Some(wire::mirror::Target::Inline(inline)), share_bps: 0 };
        route.traffic = Some(wire::Traffic { mirror: Some(mirror), ..wire::Traffic::default() });
        route
    };
    let route = mirrored_to(|_| {});
    let draft = route_from_wire(&route).expect("fits");
    assert_eq!(route_to_wire("routes/r", &draft), route);
    hotswap_matcher::RouteSpec::parse(&draft).expect("valid");
    for (field, change) in [
        ("load_balancing", (|i| i.load_balancing = 99) as fn(&mut wire::InlineBackends)),
        ("protocol", |i| i.protocol = 99),
        ("backends[0].state", |i| i.backends[0].state = 99),
    ] {
        let odd = route_from_wire(&mirrored_to(change)).expect_err("odd").to_string();
        assert!(odd.contains(&format!("traffic.mirror.inline.{field}")), "{odd}");
    }
}

#[test]
fn keys_from_elsewhere_come_back() {
    let algorithms = || vec!["ES256".to_owned()];
    let by_url = wire::Jwt { jwks_url: "https://a/b".into(), jwks_refresh_s: 20, ..wire::Jwt::default() };
    let by_file = wire::Jwt { jwks_file: "a.json".into(), ..wire::Jwt::default() };
    for jwt in [by_url, by_file] {
        let jwt = Some(wire::Jwt { algorithms: algorithms(), ..jwt });
        let route =
            wire::Route { traffic: Some(wire::Traffic { jwt, ..wire::Traffic::default() }), ..full_route() };
        let draft = route_from_wire(&route).expect("fits");
        assert_eq!(route_to_wire("routes/r", &draft), route);
        hotswap_matcher::RouteSpec::parse(&draft).expect("valid");
    }
}

#[test]
fn a_pool_comes_back_as_it_went() {
    let pool = wire::Pool {
        name: "pools/p".into(),
        load_balancing: wire::LoadBalancing::RoundRobin.into(),
        health_check: Some(wire::HealthCheck { kind: wire::HealthCheckKind::Tcp.into(), ..full_check() }),
        circuit_breaker: Some(wire::CircuitBreaker {
            failure_threshold: 1,
            open_ms: 100,
            half_open_requests: 2,
            failure_rate_percent: Some(0),
            window_ms: 1_000,
            min_requests: 3,
        }),
        outlier_ejection: Some(wire::OutlierEjection {
            consecutive_failures: 1,
            base_ms: 100,
            max_ms: 200,
            max_ejected_percent: 3,
        }),
        protocol: wire::BackendProtocol::Http2.into(),
        ..wire::Pool::default()
    };
    let draft = pool_from_wire(&pool).expect("fits");
    assert_eq!(pool_to_wire("pools/p", &draft), pool);
    assert!(hotswap_matcher::PoolSpec::parse(&draft).is_ok());
    let odd = wire::HealthCheck { kind: 9, ..full_check() };
    let pool = wire::Pool { health_check: Some(odd), ..pool };
    assert!(matches!(pool_from_wire(&pool), Err(v) if v.to_string().contains("health_check.kind")));
}

#[test]
fn an_unknown_strategy_is_a_violation() {
    let pool = wire::Pool { load_balancing: 99, ..wire::Pool::default() };
    assert!(matches!(pool_from_wire(&pool), Err(v) if v.to_string().contains("load_balancing")));
    let pool = wire::Pool { protocol: 99, ..wire::Pool::default() };
    assert!(matches!(pool_from_wire(&pool), Err(v) if v.to_string().contains("protocol")));
}

#[test]
fn a_pool_comes_back_with_the_states_of_its_backends() {
    use wire::BackendState as S;
    let backend = |state: S| wire::Backend {
        address: format!("a:{}", state as i32 + 1),
        state: state.into(),
        ..wire::Backend::default()
    };
    let all = [S::Unspecified, S::Drained, S::ForcedOpen, S::ForcedClosed];
    let hash =
        wire::HashKey { source: Some(wire::hash_key::Source::Cookie("c".into())), load_limit_percent: 125 };
    let pool = wire::Pool {
        name: "pools/p".into(),
        backends: all.map(backend).to_vec(),
        load_balancing: wire::LoadBalancing::Hash.into(),
        balancing: Some(wire::Balancing { hash: Some(hash), ..wire::Balancing::default() }),
        ..wire::Pool::default()
    };
    let draft = pool_from_wire(&pool).expect("fits");
    assert_eq!(pool_to_wire("pools/p", &draft), pool);
    assert!(hotswap_matcher::PoolSpec::parse(&draft).is_ok());
    let odd = wire::Pool { backends: vec![wire::Backend { state: 99, ..backend(S::Enabled) }], ..pool };
    assert!(matches!(pool_from_wire(&odd), Err(v) if v.to_string().contains("backends[0].state")));
}
