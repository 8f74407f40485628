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
            }),
            upgrades: vec!["websocket".into(), "a/1".into()],
        })),
        request_headers: Some(wire::HeaderEdits {
            remove: vec!["a".into()],
            set: vec![wire::Header { name: "b".into(), value: "c".into() }],
            add: vec![],
        }),
        ..wire::Route::default()
    }
}

#[test]
fn a_route_comes_back_as_it_went() {
    let route = full_route();
    let draft = route_from_wire(&route).expect("fits");
    assert_eq!(route_to_wire("routes/r", &draft), route);
    assert!(hotswap_matcher::RouteSpec::parse(&draft).is_ok());
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
