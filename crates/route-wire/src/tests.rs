use hotswap_api::route::v1 as wire;

use super::*;

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
                backends: vec![wire::Backend { address: "a:1".into(), weight: Some(0) }],
                load_balancing: wire::LoadBalancing::WeightedRoundRobin.into(),
                connect_timeout_ms: 5,
            })),
            rewrite: Some(wire::Rewrite {
                path: Some(wire::rewrite::Path::ReplacePrefix("/".into())),
                host: "b".into(),
            }),
            timeouts: Some(wire::Timeouts { first_byte_ms: 1, total_ms: 2, idle_ms: 3 }),
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
fn what_this_build_cannot_do_is_named_by_field() {
    let pool = wire::Pool { health_check: Some(wire::HealthCheck::default()), ..wire::Pool::default() };
    let field = |r| match r {
        Err(Unfit::NotBuilt(n)) => n.field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(pool_from_wire(&pool)), "health_check");
    let pool = wire::Pool { load_balancing: wire::LoadBalancing::IpHash.into(), ..wire::Pool::default() };
    assert_eq!(field(pool_from_wire(&pool)), "load_balancing");
}

#[test]
fn an_unknown_strategy_is_a_violation() {
    let pool = wire::Pool { load_balancing: 99, ..wire::Pool::default() };
    assert!(
        matches!(pool_from_wire(&pool), Err(Unfit::Invalid(v)) if v.to_string().contains("load_balancing"))
    );
}
