//! Two revisions of some routes in one table.

use super::*;

type Both = (RouteDraft, Option<RouteDraft>);

/// Both entries of each route, the candidates last.
fn entries(routes: &[Both]) -> Vec<Arc<Named>> {
    let entry = |i: usize, draft: &RouteDraft, arm| {
        let name = RouteName::from_id(&format!("r{i}")).expect("id");
        Arc::new(Named(name, RouteSpec::parse(draft).expect("valid"), arm))
    };
    let baselines = routes
        .iter()
        .enumerate()
        .map(|(i, (draft, other))| entry(i, draft, other.as_ref().map(|_| Arm::Baseline)));
    let candidates = routes
        .iter()
        .enumerate()
        .filter_map(|(i, (_, other))| Some(entry(i, other.as_ref()?, Some(Arm::Candidate))));
    baselines.chain(candidates).collect()
}

fn sees<'a>(table: &'a RouteTable<Named>, head: &Head, drawn: &[bool]) -> Option<(&'a str, Option<Arm>)> {
    let admits = &mut |route: &Named| {
        let number: usize = route.0.id()[1..].parse().expect("a number");
        let arm = if drawn[number] { Arm::Candidate } else { Arm::Baseline };
        route.arm() == Some(arm)
    };
    table.find_where(head, admits).map(|found| (found.route.0.id(), found.route.arm()))
}

#[test]
fn a_request_sees_one_revision_and_precedence_is_as_without_the_other() {
    let other = draft(&[], vec![exact("/a/b")]);
    let routes = [(draft(&[], vec![prefix("/a")]), Some(other)), (draft(&[], vec![prefix("/a/b")]), None)];
    let table = RouteTable::build(entries(&routes));
    let at = |path, candidate| sees(&table, &get("h", path), &[candidate, false]);
    assert_eq!(at("/a/b", false), Some(("r1", None)), "the longer prefix");
    assert_eq!(at("/a/b", true), Some(("r0", Some(Arm::Candidate))), "the exact path");
    assert_eq!(at("/a/c", false), Some(("r0", Some(Arm::Baseline))));
    assert_eq!(at("/a/c", true), None, "the candidate has left it");
    assert_eq!(taken(&table, &get("h", "/a/b")), Some("r1"), "who does not ask sees baselines");
}

#[test]
fn only_entries_of_rollouts_whose_conditions_hold_are_asked_about() {
    let routes = [
        (draft(&[], vec![prefix("/a")]), Some(draft(&[], vec![prefix("/b")]))),
        (draft(&[], vec![prefix("/")]), None),
    ];
    let table = RouteTable::build(entries(&routes));
    let asked = |path: &str| {
        let mut asked = 0;
        let _ = table.find_where(&get("h", path), &mut |_| {
            asked += 1;
            false
        });
        asked
    };
    assert_eq!(["/a", "/b", "/c"].map(asked), [1, 1, 0]);
}

fn both_strategy() -> impl Strategy<Value = Vec<Both>> {
    prop::collection::vec((route_strategy(), prop::option::of(route_strategy())), 1..10)
}

proptest! {
    #[test]
    fn whatever_is_drawn_a_request_finds_what_it_would_find_were_that_live(
        routes in both_strategy(),
        drawn in prop::collection::vec(any::<bool>(), 10),
        heads in prop::collection::vec(head_strategy(), 1..8),
    ) {
        let table = RouteTable::build(entries(&routes));
        let live: Vec<_> = routes.iter().enumerate().map(|(i, (draft, other))| {
            let seen = other.as_ref().filter(|_| drawn[i]).unwrap_or(draft);
            (RouteName::from_id(&format!("r{i}")).expect("id"), RouteSpec::parse(seen).expect("valid"))
        }).collect();
        for head in &heads {
            prop_assert_eq!(sees(&table, head, &drawn).map(|found| found.0), slow(&live, head));
        }
    }

    #[test]
    fn a_table_without_its_candidates_is_as_if_they_had_never_been_there(
        routes in both_strategy(),
        heads in prop::collection::vec(head_strategy(), 1..8),
    ) {
        let entries = entries(&routes);
        let mut table = RouteTable::build(entries.iter().cloned());
        let (candidates, left): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|e| e.arm() == Some(Arm::Candidate));
        candidates.iter().for_each(|candidate| table.remove(candidate));
        let live: Vec<_> = left.iter().map(|e| (e.0.clone(), e.1.clone())).collect();
        for head in &heads {
            prop_assert_eq!(taken(&table, head), slow(&live, head));
        }
    }
}
