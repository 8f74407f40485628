use super::*;
use crate::draft::*;

fn base() -> RouteDraft {
    RouteDraft {
        forward: Some(ForwardDraft { pool: Some("pools/p".into()), ..ForwardDraft::default() }),
        ..RouteDraft::default()
    }
}

fn fields(v: &Violations) -> Vec<&str> {
    v.iter().map(|v| v.field.as_str()).collect()
}

#[test]
fn every_fault_of_a_route_is_named_at_once() {
    let draft = RouteDraft {
        hosts: vec!["ok.example".into(), "no:80".into()],
        matches: vec![MatchDraft {
            path: Some(PathMatchDraft::Regex("(".into())),
            methods: vec!["get".into()],
            headers: vec![HeaderMatchDraft { name: "a b".into(), kind: None }],
            query: vec![QueryMatchDraft { name: String::new(), kind: Some(ValueMatchDraft::Present(true)) }],
        }],
        priority: 2_000_000,
        forward: Some(ForwardDraft {
            pool: Some("pool".into()),
            timeouts: Some(TimeoutsDraft { total_ms: 9_999_999, ..TimeoutsDraft::default() }),
            rewrite: Some(RewriteDraft { full_path: Some("x".into()), ..RewriteDraft::default() }),
            ..ForwardDraft::default()
        }),
        request_headers: Some(HeaderEditsDraft {
            set: vec![HeaderDraft { name: "Host".into(), value: "a\nb".into() }],
            ..HeaderEditsDraft::default()
        }),
        ..RouteDraft::default()
    };
    let faults = RouteSpec::parse(&draft).expect_err("faulty");
    assert_eq!(
        fields(&faults),
        [
            "hosts[1]",
            "matches[0].path.regex",
            "matches[0].methods[0]",
            "matches[0].headers[0].name",
            "matches[0].headers[0]",
            "matches[0].query[0].name",
            "priority",
            "forward.pool",
            "forward.rewrite.full_path",
            "forward.timeouts.total_ms",
            "request_headers.set[0].name",
            "request_headers.set[0].value",
        ]
    );
}

#[test]
fn a_route_has_exactly_one_action() {
    let none = RouteDraft { forward: None, ..base() };
    assert_eq!(fields(&RouteSpec::parse(&none).expect_err("none")), [""]);
    let both = RouteDraft {
        redirect: Some(RedirectDraft { host: "a.b".into(), ..RedirectDraft::default() }),
        ..base()
    };
    assert_eq!(fields(&RouteSpec::parse(&both).expect_err("both")), ["redirect"]);
}

#[test]
fn a_prefix_is_replaced_only_where_every_match_is_by_prefix() {
    let mut draft = base();
    draft.matches =
        vec![MatchDraft { path: Some(PathMatchDraft::Exact("/a".into())), ..MatchDraft::default() }];
    if let Some(f) = &mut draft.forward {
        f.rewrite = Some(RewriteDraft { replace_prefix: Some("/".into()), ..RewriteDraft::default() });
    }
    assert_eq!(fields(&RouteSpec::parse(&draft).expect_err("exact")), ["forward.rewrite.replace_prefix"]);
    draft.matches.clear();
    assert!(RouteSpec::parse(&draft).is_ok());
}

#[test]
fn a_pattern_cannot_break_out_of_its_group_nor_grow_without_bound() {
    assert!(whole_regex("a)|(b").is_err());
    assert!(whole_regex("(a{1000}){1000}").is_err());
    let r = whole_regex("a|b").expect("valid");
    assert!(r.is_match(b"a") && !r.is_match(b"ax") && !r.is_match(b"xb"));
}

#[test]
fn addresses_need_host_and_port_and_stand_once() {
    let draft = |addresses: &[&str]| PoolDraft {
        backends: addresses
            .iter()
            .map(|a| BackendDraft { address: (*a).into(), weight: None, ..BackendDraft::default() })
            .collect(),
        ..PoolDraft::default()
    };
    assert!(PoolSpec::parse(&draft(&["10.0.0.1:80", "[::1]:8080", "shop.internal:65535"])).is_ok());
    for bad in ["10.0.0.1", ":80", "a:0", "a:65536", "a:+1", "a b:80", "http://a:80", "::1:80"] {
        let faults = PoolSpec::parse(&draft(&[bad])).expect_err(bad);
        assert_eq!(fields(&faults), ["backends[0].address"], "{bad}");
    }
    let twice = PoolSpec::parse(&draft(&["A:80", "a:80"])).expect_err("twice");
    assert_eq!(fields(&twice), ["backends[1].address"]);
}

#[test]
fn an_empty_pool_is_valid_and_an_empty_inline_one_is_not() {
    assert!(PoolSpec::parse(&PoolDraft::default()).is_ok());
    let mut draft = base();
    draft.forward = Some(ForwardDraft { inline: Some(BackendsDraft::default()), ..ForwardDraft::default() });
    assert_eq!(fields(&RouteSpec::parse(&draft).expect_err("empty")), ["forward.inline.backends"]);
}

#[test]
fn a_redirect_that_leads_to_itself_is_refused() {
    let draft =
        RouteDraft { forward: None, redirect: Some(RedirectDraft::default()), ..RouteDraft::default() };
    assert_eq!(fields(&RouteSpec::parse(&draft).expect_err("itself")), ["redirect"]);
}

#[test]
fn a_draft_survives_its_stored_form() {
    let mut draft = base();
    draft.matches = vec![MatchDraft {
        headers: vec![HeaderMatchDraft { name: "x".into(), kind: Some(ValueMatchDraft::Present(false)) }],
        ..MatchDraft::default()
    }];
    let text = serde_json::to_string(&draft).expect("json");
    assert_eq!(serde_json::from_str::<RouteDraft>(&text).expect("back"), draft);
}
