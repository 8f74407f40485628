use hotswap_matcher::{
    BackendDraft, BackendsDraft, CandidateDraft, ForwardDraft, MatchDraft, MirrorDraft, PathMatchDraft,
    PoolDraft, RouteDraft, TrafficDraft, WeightedPoolDraft,
};

use super::*;

fn name(id: &str) -> RouteName {
    RouteName::from_id(id).expect("id")
}

fn pool_name(id: &str) -> PoolName {
    PoolName::from_id(id).expect("id")
}

fn backend(address: &str) -> BackendDraft {
    BackendDraft { address: address.into(), weight: None, ..BackendDraft::default() }
}

fn draft_to(pool: &str) -> RouteDraft {
    let forward = ForwardDraft { pool: Some(pool.into()), ..ForwardDraft::default() };
    RouteDraft { forward: Some(forward), ..RouteDraft::default() }
}

fn to_pool(pool: &str) -> Arc<RouteSpec> {
    Arc::new(RouteSpec::parse(&draft_to(pool)).expect("valid"))
}

fn inline(address: &str) -> Arc<RouteSpec> {
    let backends = BackendsDraft { backends: vec![backend(address)], ..BackendsDraft::default() };
    let forward = ForwardDraft { inline: Some(backends), ..ForwardDraft::default() };
    let draft = RouteDraft { forward: Some(forward), ..RouteDraft::default() };
    Arc::new(RouteSpec::parse(&draft).expect("valid"))
}

fn pool(address: &str) -> PoolSpec {
    PoolSpec::parse(&PoolDraft { backends: vec![backend(address)], ..PoolDraft::default() }).expect("ok")
}

fn address_of(compiled: &Compiled, route: usize) -> Option<String> {
    let slot = compiled.route(route)?.pool()?;
    Some(compiled.pool(slot)?.backends().backends.first()?.address.to_string())
}

#[test]
fn a_route_finds_its_pool_whichever_came_first() {
    let mut catalog = Catalog::default();
    catalog.put_route(&name("a"), to_pool("pools/p"));
    let compiled = catalog.compile(1);
    assert!(compiled.route(0).is_some() && address_of(&compiled, 0).is_none(), "the pool is missing");
    catalog.put_pool(&pool_name("p"), &pool("a:1"));
    assert_eq!(address_of(&catalog.compile(2), 0).as_deref(), Some("a:1"));
    catalog.remove_pool(&pool_name("p"));
    assert_eq!(address_of(&catalog.compile(3), 0), None);
}

#[test]
fn what_did_not_change_keeps_its_slot_and_its_entry() {
    let mut catalog = Catalog::default();
    catalog.put_pool(&pool_name("p"), &pool("a:1"));
    catalog.put_route(&name("a"), to_pool("pools/p"));
    let before = catalog.compile(1);
    catalog.put_route(&name("b"), inline("b:1"));
    let after = catalog.compile(2);
    let entry = |c: &Compiled| (c.route(0).cloned().expect("a"), c.pool(0).cloned().expect("p"));
    assert!(Arc::ptr_eq(&entry(&before).0, &entry(&after).0));
    assert!(Arc::ptr_eq(&entry(&before).1, &entry(&after).1));
}

#[test]
fn one_route_or_pool_of_ten_thousand_recompiles_a_bounded_part() {
    let mut catalog = Catalog::default();
    for n in 0..10_000 {
        let mut draft = RouteDraft { hosts: vec![format!("h{}.example", n % 100)], ..draft_to("pools/p") };
        let path = Some(PathMatchDraft::Prefix(format!("/p{n}")));
        draft.matches = vec![MatchDraft { path, ..MatchDraft::default() }];
        catalog.put_route(&name(&format!("r{n}")), Arc::new(RouteSpec::parse(&draft).expect("valid")));
        catalog.put_pool(&pool_name(&format!("p{n}")), &pool("a:1"));
    }
    let before = catalog.compile(1);
    catalog.put_route(&name("r4711"), inline("b:1"));
    let after = catalog.compile(2);
    let table = after.table().unshared(before.table());
    assert!(table.hosts <= 2 && table.entries <= 128 && table.slots <= 128, "{table:?}");
    assert!(after.routes.unshared(&before.routes) <= 64);
    assert!(after.pools.unshared(&before.pools) <= 64);

    catalog.put_pool(&pool_name("p4711"), &pool("c:1"));
    let last = catalog.compile(3);
    assert_eq!(last.table().unshared(after.table()), Default::default(), "a pool touches no route");
    assert_eq!(last.routes.unshared(&after.routes), 0);
    assert_eq!(last.pools.unshared(&after.pools), 64);
}

#[test]
fn slots_come_back_when_nobody_names_them() {
    let mut catalog = Catalog::default();
    for round in 0..100 {
        catalog.put_route(&name("a"), inline(&format!("a:{}", round + 1)));
        assert_eq!(address_of(&catalog.compile(round), 0), Some(format!("a:{}", round + 1)));
        catalog.put_route(&name("a"), to_pool("pools/p"));
        catalog.put_route(&name("a"), to_pool("pools/q"));
        if round % 2 == 0 {
            catalog.remove_route(&name("a"));
        }
    }
    assert!(catalog.pools.len() <= 1 && catalog.pool_slots.end <= 2, "{catalog:?}");
    assert_eq!(catalog.route_slots.end, 1);
}

fn split_between(pools: [&str; 2]) -> Arc<RouteSpec> {
    let weighted = |pool: &str| WeightedPoolDraft { pool: pool.into(), weight: None };
    let forward = ForwardDraft { split: Some(pools.map(weighted).into()), ..ForwardDraft::default() };
    let draft = RouteDraft { forward: Some(forward), ..RouteDraft::default() };
    Arc::new(RouteSpec::parse(&draft).expect("valid"))
}

#[test]
fn pools_of_a_split_are_held_while_it_names_them() {
    let mut catalog = Catalog::default();
    catalog.put_pool(&pool_name("p"), &pool("a:1"));
    for round in 0..100 {
        catalog.put_route(&name("a"), split_between(["pools/p", "pools/q"]));
        let compiled = catalog.compile(round);
        let route = compiled.route(0).expect("the route");
        let there: Vec<_> = route.pools().map(|slot| compiled.pool(slot).is_some()).collect();
        assert_eq!((route.pool(), there), (None, vec![true, false]));
        catalog.put_route(&name("a"), split_between(["pools/r", "pools/p"]));
        catalog.put_route(&name("a"), inline("b:1"));
        if round % 2 == 0 {
            catalog.put_route(&name("a"), split_between(["pools/r", "pools/q"]));
            catalog.remove_route(&name("a"));
        }
    }
    catalog.remove_route(&name("a"));
    assert!(catalog.pools.len() == 1 && catalog.pool_slots.end <= 4, "{catalog:?}");
}

fn mirrored_to(mirror: MirrorDraft) -> Arc<RouteSpec> {
    let traffic = TrafficDraft { mirror: Some(mirror), ..TrafficDraft::default() };
    let draft = RouteDraft { traffic: Some(Box::new(traffic)), ..draft_to("pools/p") };
    Arc::new(RouteSpec::parse(&draft).expect("valid"))
}

fn mirrored_inline(address: &str) -> Arc<RouteSpec> {
    let backends = BackendsDraft { backends: vec![backend(address)], ..BackendsDraft::default() };
    mirrored_to(MirrorDraft { inline: Some(backends), ..MirrorDraft::default() })
}

#[test]
fn a_mirrors_own_backends_come_and_go_with_it() {
    let mut catalog = Catalog::default();
    catalog.put_pool(&pool_name("p"), &pool("p:1"));
    let mirror_of = |compiled: &Compiled, arm: Option<Arm>| {
        let route = compiled.routes.iter().find(|route| route.part().map(|part| part.arm) == arm)?;
        let entry = compiled.pool(route.mirror()?)?;
        Some((entry.name().to_owned(), entry.backends().backends.first()?.address.to_string()))
    };
    let of_a = |address: &str| Some(("routes/a (mirror)".to_owned(), address.to_owned()));
    for round in 0..20 {
        catalog.put_route(&name("a"), mirrored_inline("m:1"));
        assert_eq!(mirror_of(&catalog.compile(round), None), of_a("m:1"));
        let candidate = Some((mirrored_inline("n:1"), who("r", round)));
        catalog.put_route_with(&name("a"), mirrored_inline("m:2"), candidate);
        let compiled = catalog.compile(round);
        let arms = [Arm::Baseline, Arm::Candidate].map(|arm| mirror_of(&compiled, Some(arm)));
        assert_eq!(arms, ["m:2", "n:1"].map(of_a));
        match round % 3 {
            0 => catalog.put_route(&name("a"), mirrored_inline("n:1")),
            1 => {
                let to_pool = MirrorDraft { pool: Some("pools/p".into()), ..MirrorDraft::default() };
                catalog.put_route(&name("a"), mirrored_to(to_pool));
                let compiled = catalog.compile(round);
                assert_eq!(mirror_of(&compiled, None), Some(("pools/p".to_owned(), "p:1".to_owned())));
            }
            _ => catalog.remove_route(&name("a")),
        }
        let left = catalog.compile(round).states().pools(|_| true).len();
        assert_eq!(left, if round % 3 == 0 { 2 } else { 1 });
    }
    catalog.remove_route(&name("a"));
    catalog.remove_pool(&pool_name("p"));
    assert!(catalog.pools.is_empty() && catalog.compile(0).states().pools(|_| true).is_empty());
    assert!(catalog.route_slots.end <= 2 && catalog.pool_slots.end <= 3, "{catalog:?}");
}

fn who(rollout: &str, epoch: i64) -> CandidateSpec {
    let draft = CandidateDraft { rollout: format!("rollouts/{rollout}"), epoch, ..CandidateDraft::default() };
    CandidateSpec::parse(&draft).expect("valid")
}

#[test]
fn a_rollout_leaves_nothing_behind() {
    let mut catalog = Catalog::default();
    catalog.put_pool(&pool_name("p"), &pool("a:1"));
    catalog.put_route(&name("a"), to_pool("pools/p"));
    for round in 0..50 {
        catalog.put_route_with(&name("a"), to_pool("pools/p"), Some((inline("b:1"), who("r", round))));
        catalog.put_pool_with(&pool_name("p"), &pool("a:1"), Some((&pool("c:1"), who("p", round))));
        let compiled = catalog.compile(round);
        assert!(compiled.has_two_arms() && compiled.rollouts().count() == 2);
        assert_eq!(
            compiled.states().pools(|_| true).len(),
            3,
            "the pool, its candidate, the inline backends"
        );
        // Promoted, rolled back, or both resources gone.
        match round % 3 {
            0 => catalog.put_route(&name("a"), inline("b:1")),
            1 => catalog.put_route(&name("a"), to_pool("pools/p")),
            _ => catalog.remove_route(&name("a")),
        }
        match round % 2 {
            0 => catalog.put_pool(&pool_name("p"), &pool("c:1")),
            _ => catalog.remove_pool(&pool_name("p")),
        }
        let compiled = catalog.compile(round);
        assert!(!compiled.has_two_arms() && compiled.rollouts().count() == 0);
        assert!(compiled.routes().count() <= 1);
    }
    catalog.remove_route(&name("a"));
    catalog.remove_pool(&pool_name("p"));
    assert!(
        catalog.pools.is_empty() && catalog.compile(0).states().pools(|_| true).is_empty(),
        "{catalog:?}"
    );
    assert!(catalog.route_slots.end <= 2 && catalog.pool_slots.end <= 4, "{catalog:?}");
}

#[test]
fn counts_go_on_at_one_exposure_and_begin_anew_at_the_next() {
    let mut catalog = Catalog::default();
    let mut put = |epoch| {
        catalog.put_route_with(&name("a"), to_pool("pools/p"), Some((to_pool("pools/q"), who("r", epoch))));
        Arc::clone(catalog.compile(epoch).rollouts().next().expect("a rollout"))
    };
    let (first, same, next) = (put(1), put(1), put(2));
    assert!(std::ptr::eq(first.tallies(), same.tallies()));
    assert!(!std::ptr::eq(first.tallies(), next.tallies()));
    assert_eq!([first.slot(), same.slot(), next.slot()], [0; 3]);
}

#[test]
fn the_candidate_of_a_pool_shares_what_is_known_of_an_address_unless_its_settings_differ() {
    let mut catalog = Catalog::default();
    let with_check = |address: &str| {
        let check = hotswap_matcher::HealthCheckDraft::default();
        let draft =
            PoolDraft { backends: vec![backend(address)], health_check: Some(check), ..PoolDraft::default() };
        PoolSpec::parse(&draft).expect("ok")
    };
    let state = |compiled: &Compiled, slot: usize| {
        Arc::clone(&compiled.pool(slot).expect("there").states().members()[0])
    };
    catalog.put_pool_with(&pool_name("p"), &pool("a:1"), Some((&pool("a:1"), who("r", 1))));
    let compiled = catalog.compile(1);
    let Some(Subject::Pool(beside)) = compiled.rollouts().next().map(|r| r.subject()) else {
        panic!("a pool")
    };
    let live = usize::from(beside == 0);
    let of_live = state(&compiled, live);
    assert!(Arc::ptr_eq(&of_live, &state(&compiled, beside)));
    catalog.put_pool_with(&pool_name("p"), &pool("a:1"), Some((&with_check("a:1"), who("r", 1))));
    let compiled = catalog.compile(2);
    let own = state(&compiled, beside);
    assert!(Arc::ptr_eq(&of_live, &state(&compiled, live)) && !Arc::ptr_eq(&of_live, &own));
    assert!(of_live.health_check().is_none() && own.health_check().is_some());
    let listed: Vec<_> = compiled.states().pools(|_| true).into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, ["pools/p", "pools/p (candidate)"]);
    // Promoted, it goes on with what is known of it.
    catalog.put_pool(&pool_name("p"), &with_check("a:1"));
    assert!(Arc::ptr_eq(&own, &state(&catalog.compile(3), live)));
}
