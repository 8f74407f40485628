use std::sync::Arc;

use hotswap_core::{PoolName, ResourceName, RouteName};
use hotswap_matcher::{
    BackendDraft, ForwardDraft, MatchDraft, PathMatchDraft, PoolDraft, PoolSpec, RedirectDraft, RewriteDraft,
    RouteDraft, RouteSpec,
};

use super::*;
use crate::balance::client::TrustedProxies;
use crate::config::Catalog;

struct Head {
    host: &'static str,
    path: &'static str,
    query: Option<&'static str>,
}

impl RequestHead for Head {
    fn method(&self) -> &str {
        "GET"
    }
    fn host(&self) -> &str {
        self.host
    }
    fn path(&self) -> &str {
        self.path
    }
    fn query(&self) -> Option<&str> {
        self.query
    }
    fn header(&self, _: &http::HeaderName, _: &mut dyn FnMut(&[u8])) {}
}

fn get(path: &'static str) -> Head {
    Head { host: "shop.example", path, query: None }
}

fn at(prefix: &str) -> Vec<MatchDraft> {
    vec![MatchDraft { path: Some(PathMatchDraft::Prefix(prefix.into())), ..MatchDraft::default() }]
}

fn catalog(routes: &[(&str, RouteDraft)], pools: &[(&str, &[&str])]) -> Catalog {
    let mut catalog = Catalog::default();
    for (id, draft) in routes {
        let spec = RouteSpec::parse(draft).expect("valid");
        catalog.put_route(&RouteName::from_id(id).expect("id"), Arc::new(spec));
    }
    for (id, addresses) in pools {
        let backends = addresses
            .iter()
            .map(|a| BackendDraft { address: (*a).into(), weight: None, ..BackendDraft::default() })
            .collect();
        let spec = PoolSpec::parse(&PoolDraft { backends, ..PoolDraft::default() }).expect("valid");
        catalog.put_pool(&PoolName::from_id(id).expect("id"), &spec);
    }
    catalog
}

fn to(pool: &str, prefix: &str) -> RouteDraft {
    RouteDraft {
        matches: at(prefix),
        forward: Some(ForwardDraft { pool: Some(pool.into()), ..ForwardDraft::default() }),
        ..RouteDraft::default()
    }
}

fn caller<'a>(
    trusted: &'a TrustedProxies,
    (dice, mark): (&'a RefCell<Dice>, &'a Mark),
    port: Option<u16>,
) -> Caller<'a> {
    let sender = Sender { peer: [192, 0, 2, 1].into(), trusted };
    Caller { port, sender, now: 1, stages: None, dice, mark, forced: None, secure: false }
}

fn redirect(redirect: RedirectDraft) -> RouteDraft {
    RouteDraft { matches: at("/old"), redirect: Some(redirect), ..RouteDraft::default() }
}

fn decided(config: &Compiled, head: &Head, port: Option<u16>) -> Decision<Address> {
    let (trusted, dice) = (TrustedProxies::default(), RefCell::new(Dice::new()));
    let mark = Mark::new(&mut Dice::new());
    decide(config, head, &caller(&trusted, (&dice, &mark), port), &mut Targets::new(0), &mut ByAddress)
}

fn reason(decision: Decision<Address>) -> Option<Reason> {
    match decision {
        Decision::Respond(LocalReply::Failure { reason, .. }) => Some(reason),
        Decision::Respond(LocalReply::Redirect { .. } | LocalReply::Nothing { .. })
        | Decision::Forward(_) => None,
    }
}

fn location(routes: &[(&str, RouteDraft)], head: &Head, port: Option<u16>) -> String {
    match decided(&catalog(routes, &[]).compile(1), head, port) {
        Decision::Respond(LocalReply::Redirect { location, .. }) => {
            location.to_str().expect("text").to_owned()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_way_to_fail_has_its_reason() {
    assert_eq!(reason(decided(&Compiled::default(), &get("/"), None)), Some(Reason::NoConfig));
    let routes = [("a", to("pools/p", "/a")), ("b", to("pools/none", "/b")), ("c", to("pools/empty", "/c"))];
    let config = catalog(&routes, &[("p", &["x:80"]), ("empty", &[])]).compile(1);
    assert_eq!(reason(decided(&config, &get("/x"), None)), Some(Reason::NoRoute));
    assert_eq!(reason(decided(&config, &get("/a/../b"), None)), Some(Reason::BadPath));
    assert_eq!(reason(decided(&config, &get("/b"), None)), Some(Reason::PoolMissing));
    assert_eq!(reason(decided(&config, &get("/c"), None)), Some(Reason::NoBackend));
    assert_eq!(reason(decided(&config, &get("/a"), None)), None);
}

#[test]
fn a_plan_names_backend_and_rewritten_path() {
    let mut draft = to("pools/p", "/shop");
    if let Some(forward) = &mut draft.forward {
        forward.rewrite = Some(RewriteDraft { replace_prefix: Some("/".into()), ..RewriteDraft::default() });
    }
    let config = catalog(&[("a", draft)], &[("p", &["x:80"])]).compile(1);
    let head = Head { host: "h", path: "/shop/cart", query: Some("q=1") };
    match decided(&config, &head, None) {
        Decision::Forward(plan) => {
            assert_eq!((plan.backend.as_str(), plan.path.as_deref()), ("x:80", Some("/cart?q=1")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_redirect_keeps_what_it_does_not_change() {
    let https = redirect(RedirectDraft { scheme: "https".into(), ..RedirectDraft::default() });
    let head = Head { host: "shop.example", path: "/old/x", query: Some("q=1") };
    assert_eq!(
        location(&[("r", https)], &head, Some(8080)),
        "https://shop.example/old/x?q=1",
        "the port goes with the scheme"
    );
    let moved = redirect(RedirectDraft {
        replace_prefix: Some("/new".into()),
        drop_query: true,
        ..RedirectDraft::default()
    });
    assert_eq!(location(&[("r", moved)], &head, Some(8080)), "http://shop.example:8080/new/x");
    let port = redirect(RedirectDraft { host: "b.example".into(), port: 81, ..RedirectDraft::default() });
    assert_eq!(location(&[("r", port)], &head, None), "http://b.example:81/old/x?q=1");
}

#[test]
fn the_turn_goes_on_when_the_pool_changes_and_when_nothing_does() {
    let routes = [("a", to("pools/p", "/"))];
    let mut targets = Targets::new(0);
    let next = |config: &Compiled, targets: &mut Targets<Address>| match decide(
        config,
        &get("/"),
        &caller(&TrustedProxies::default(), (&RefCell::new(Dice::new()), &Mark::new(&mut Dice::new())), None),
        targets,
        &mut ByAddress,
    ) {
        Decision::Forward(plan) => plan.backend.to_string(),
        other => panic!("{other:?}"),
    };
    let mut catalog = catalog(&routes, &[("p", &["a:1", "b:1", "c:1"])]);
    let first = catalog.compile(1);
    assert_eq!(next(&first, &mut targets), "a:1");
    let same = catalog.compile(2);
    look_through(&mut targets, &same);
    assert_eq!(next(&same, &mut targets), "b:1");
    let pool = PoolSpec::parse(&PoolDraft {
        backends: ["x:1", "c:1", "a:1"]
            .map(|a| BackendDraft { address: a.into(), weight: None, ..BackendDraft::default() })
            .to_vec(),
        ..PoolDraft::default()
    });
    catalog.put_pool(&PoolName::from_id("p").expect("id"), &pool.expect("valid"));
    let changed = catalog.compile(3);
    look_through(&mut targets, &changed);
    assert_eq!(next(&changed, &mut targets), "c:1");
    catalog.remove_pool(&PoolName::from_id("p").expect("id"));
    look_through(&mut targets, &catalog.compile(4));
    assert_eq!(targets.known(), 0);
}

fn look_through(targets: &mut Targets<Address>, config: &Compiled) {
    targets.changed();
    targets.forget_removed(config);
}

#[test]
fn pools_of_a_large_table_are_let_go_in_parts_even_while_it_changes() {
    let names: Vec<String> = (0..5_000).map(|n| format!("p{n}")).collect();
    let pools: Vec<(&str, &[&str])> = names.iter().map(|n| (n.as_str(), &["a:1"][..])).collect();
    let mut catalog = catalog(&[], &pools);
    let config = catalog.compile(1);
    let mut targets = Targets::new(0);
    for slot in 0..5_000 {
        let entry = config.pool(slot).expect("there");
        targets.pick(slot, entry, &Wish::default(), &|_| false, &mut ByAddress, 1).expect("takes requests");
    }
    for n in (0..5_000).step_by(2) {
        catalog.remove_pool(&PoolName::from_id(&names[n]).expect("id"));
    }
    let half = catalog.compile(2);
    targets.changed();
    targets.forget_removed(&half);
    assert!((4_400..5_000).contains(&targets.known()), "{} are left after one look", targets.known());
    for _ in 0..4 {
        targets.changed();
        targets.forget_removed(&half);
    }
    assert_eq!(targets.known(), 2_500);
}
