use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::route::v1 as route;

use super::*;

fn token(revision: i64) -> ResumeToken {
    ResumeToken { store_id: "s".into(), revision }
}

fn pool(id: &str, version: i64, address: &str) -> Resource {
    let backends = vec![route::Backend { address: address.into(), weight: None, ..Default::default() }];
    let pool = route::Pool { backends, ..route::Pool::default() };
    Resource { name: format!("pools/{id}"), version, spec: Some(Spec::Pool(pool)), candidate: None }
}

fn to_pool(id: &str, version: i64, target: &str) -> Resource {
    let forward = route::Forward {
        target: Some(route::forward::Target::Pool(target.into())),
        ..route::Forward::default()
    };
    let spec = route::Route { action: Some(route::route::Action::Forward(forward)), ..Default::default() };
    Resource { name: format!("routes/{id}"), version, spec: Some(Spec::Route(spec)), candidate: None }
}

fn digest(of: &[(&str, i64)]) -> prost_bytes::Bytes {
    let mut digest = SetDigest::default();
    of.iter().for_each(|(name, version)| digest.insert(name, *version));
    digest.to_bytes().to_vec().into()
}

use bytes as prost_bytes;

fn whole(at: i64, resources: Vec<Resource>) -> SnapshotChunk {
    let of: Vec<(&str, i64)> = resources.iter().map(|r| (r.name.as_str(), r.version)).collect();
    let digest = digest(&of);
    drop(of);
    SnapshotChunk { at: Some(token(at)), last: true, digest, resources, allow_mass_delete: false }
}

fn delta(from: i64, to: i64, upserts: Vec<Resource>, removes: &[&str], after: &[(&str, i64)]) -> Delta {
    Delta {
        from,
        to: Some(token(to)),
        upserts,
        removes: removes.iter().map(|r| (*r).to_owned()).collect(),
        digest: digest(after),
        allow_mass_delete: false,
        trace_contexts: vec![],
    }
}

fn held() -> Held {
    let mut held = Held::default();
    let resources = vec![pool("p", 1, "a:80"), to_pool("r", 2, "pools/p"), to_pool("s", 2, "pools/p")];
    let applied = held.snapshot(whole(2, resources)).expect("fits").expect("whole");
    assert!(applied.refused.is_empty());
    held
}

const THREE: &[(&str, i64)] = &[("pools/p", 1), ("routes/r", 2), ("routes/s", 2)];

#[test]
fn a_snapshot_counts_only_when_it_is_whole() {
    let mut held = Held::default();
    let first = SnapshotChunk {
        at: Some(token(2)),
        resources: vec![pool("p", 1, "a:80")],
        ..SnapshotChunk::default()
    };
    assert!(held.snapshot(first.clone()).expect("fits").is_none());
    assert_eq!(held.place(), None);
    // Another place begins another snapshot.
    let other = whole(3, vec![pool("q", 3, "b:80")]);
    let applied = held.snapshot(other).expect("fits").expect("whole");
    assert_eq!(applied.change.at, token(3));
    assert_eq!(held.pieces.len(), 1);
    assert_eq!(held.snapshot(SnapshotChunk { last: true, ..first }).err(), Some(Misfit::Digest));
    assert_eq!(held.place(), Some(&token(3)), "what there was stays");
}

#[test]
fn a_snapshot_takes_away_what_it_does_not_have() {
    let mut held = held();
    held.snapshot(whole(9, vec![pool("p", 1, "a:80")])).expect("fits").expect("whole");
    assert_eq!(held.pieces.keys().collect::<Vec<_>>(), ["pools/p"]);
    assert_eq!(held.digest().to_bytes(), *digest(&[("pools/p", 1)]));
}

#[test]
fn a_delta_leads_from_here_to_there() {
    let mut held = held();
    let step = delta(
        2,
        5,
        vec![pool("p", 5, "b:80"), to_pool("t", 4, "pools/p")],
        &["routes/s"],
        &[("pools/p", 5), ("routes/r", 2), ("routes/t", 4)],
    );
    let applied = held.delta(step).expect("fits");
    assert_eq!((applied.compiled.revision(), held.place()), (Some(5), Some(&token(5))));
    assert_eq!(held.digest().to_bytes(), *digest(&[("pools/p", 5), ("routes/r", 2), ("routes/t", 4)]));
}

#[test]
fn a_delta_that_does_not_fit_changes_nothing() {
    let mut held = held();
    let before = held.digest();
    let up = || vec![to_pool("t", 3, "pools/p")];
    let after = [("pools/p", 1), ("routes/r", 2), ("routes/s", 2), ("routes/t", 3)];
    assert_eq!(held.delta(delta(1, 3, up(), &[], &after)).err(), Some(Misfit::Place));
    let foreign = ResumeToken { store_id: "other".into(), revision: 3 };
    let foreign = Delta { to: Some(foreign), ..delta(2, 3, up(), &[], &after) };
    assert_eq!(held.delta(foreign).err(), Some(Misfit::Place));
    assert_eq!(held.delta(delta(2, 3, up(), &[], THREE)).err(), Some(Misfit::Digest));
    let twice = delta(2, 3, up(), &["routes/t"], THREE);
    assert_eq!(held.delta(twice).err(), Some(Misfit::Malformed));
    assert_eq!((held.digest(), held.place()), (before, Some(&token(2))));
}

#[test]
fn a_refused_resource_stays_as_it_was_and_the_rest_goes_on() {
    let mut held = held();
    let bad = pool("p", 3, "no port");
    let good = to_pool("t", 3, "pools/p");
    let after = [("pools/p", 3), ("routes/r", 2), ("routes/s", 2), ("routes/t", 3)];
    let applied = held.delta(delta(2, 3, vec![bad, good], &[], &after)).expect("fits");
    let refused = &applied.refused[0];
    assert_eq!(
        (refused.name.as_str(), refused.version, refused.field.as_str(), refused.reason.as_str()),
        ("pools/p", 3, "backends[0].address", "INVALID_INPUT")
    );
    let served = applied.compiled.pool(0).expect("the old one");
    assert_eq!(served.backends().backends[0].address.as_str(), "a:80");
    // What is applied differs from what was said, but nothing was lost.
    let applied = [("pools/p", 1), ("routes/r", 2), ("routes/s", 2), ("routes/t", 3)];
    assert_eq!(held.digest().to_bytes(), *digest(&applied));
    assert_eq!(held.bookmark(Some(token(3)), &digest(&after)), Ok(Sign::Here));
    // A later good version takes its place.
    let after = [("pools/p", 4), ("routes/r", 2), ("routes/s", 2), ("routes/t", 3)];
    let applied = held.delta(delta(3, 4, vec![pool("p", 4, "c:80")], &[], &after)).expect("fits");
    assert!(applied.refused.is_empty());
    assert_eq!(held.digest().to_bytes(), *digest(&after));
}

/// A hundred routes to one pool, of which some are to go.
fn hundred() -> (Held, Vec<Resource>) {
    let mut held = Held::default();
    let all: Vec<Resource> = (0..100).map(|n| to_pool(&format!("r{n}"), 1, "pools/p")).collect();
    held.snapshot(whole(1, all.clone())).expect("fits").expect("whole");
    (held, all)
}

#[test]
fn more_than_half_goes_only_with_leave_be_it_by_a_delta_or_a_snapshot() {
    let (mut held, all) = hundred();
    let before = held.digest();
    let without = |n: usize| {
        let removes: Vec<&str> = all[..n].iter().map(|r| r.name.as_str()).collect();
        let after: Vec<(&str, i64)> = all[n..].iter().map(|r| (r.name.as_str(), 1)).collect();
        delta(1, 2, vec![], &removes, &after)
    };
    assert_eq!(held.delta(without(51)).err(), Some(Misfit::MassDelete));
    assert_eq!(held.snapshot(whole(2, all[51..].to_vec())).err(), Some(Misfit::MassDelete));
    // As by a store that is empty, and another one.
    let foreign =
        SnapshotChunk { at: Some(ResumeToken { store_id: "other".into(), revision: 1 }), ..whole(1, vec![]) };
    assert_eq!(held.snapshot(foreign.clone()).err(), Some(Misfit::MassDelete));
    assert_eq!((held.digest(), held.place()), (before, Some(&token(1))), "it stays where it is");
    // Bookmarks go on at the place that it was not led to; they say nothing about what it has.
    assert_eq!(held.bookmark(foreign.at.clone(), &digest(&[])), Ok(Sign::Spared));
    assert_eq!(held.place(), Some(&token(1)));

    assert!(held.delta(without(50)).is_ok(), "half of it needs no leave");
    let (mut held, _) = hundred();
    assert!(held.delta(Delta { allow_mass_delete: true, ..without(51) }).is_ok());
    let (mut held, _) = hundred();
    let given = SnapshotChunk { allow_mass_delete: true, ..foreign.clone() };
    assert!(held.snapshot(given).is_ok_and(|applied| applied.is_some()));
    assert_eq!(held.bookmark(foreign.at, &digest(&[])), Ok(Sign::Here));
}

#[test]
fn a_few_go_without_leave() {
    let mut held = held();
    let step = delta(2, 3, vec![], &["routes/r", "routes/s", "pools/p"], &[]);
    assert!(held.delta(step).is_ok());
}

#[test]
fn what_was_kept_is_where_it_goes_on() {
    let resources = || vec![pool("p", 1, "a:80"), to_pool("r", 2, "pools/p"), to_pool("s", 2, "pools/p")];
    let mut again = Held::default();
    let restored = again.restore(resources().into_iter(), token(5), true);
    assert_eq!((restored.compiled.revision(), restored.refused.len()), (Some(5), 0));
    assert_eq!(
        (again.place(), again.digest().to_bytes().to_vec()),
        (Some(&token(5)), digest(THREE).to_vec())
    );
    let step = delta(5, 6, vec![pool("p", 6, "b:80")], &[], &[("pools/p", 6), THREE[1], THREE[2]]);
    assert!(again.delta(step).is_ok(), "the stream goes on from there");
}

#[test]
fn where_something_stood_refused_a_restart_asks_for_all_and_refuses_it_anew() {
    let mut held = held();
    let after = [("pools/p", 3), ("routes/r", 2), ("routes/s", 2)];
    let applied = held.delta(delta(2, 3, vec![pool("p", 3, "no port")], &[], &after)).expect("fits");
    let mut nothing = Change::to(token(3));
    nothing.resumable = false;
    assert_eq!(applied.change, nothing, "and no place to go on from");

    // On disk is what was accepted last.
    let mut again = Held::default();
    let kept = vec![pool("p", 1, "a:80"), to_pool("r", 2, "pools/p"), to_pool("s", 2, "pools/p")];
    let restored = again.restore(kept.into_iter(), token(3), false);
    assert_eq!(restored.compiled.pool(0).map(|p| p.name().to_owned()).as_deref(), Some("pools/p"));
    assert_eq!(again.place(), None);
    let all = vec![pool("p", 3, "no port"), to_pool("r", 2, "pools/p"), to_pool("s", 2, "pools/p")];
    let applied = again.snapshot(whole(3, all)).expect("fits").expect("whole");
    assert_eq!(applied.refused.len(), 1);
    assert_eq!(again.digest().to_bytes().to_vec(), digest(THREE).to_vec(), "the pool as it was");
    assert_eq!(again.bookmark(Some(token(3)), &digest(&after)), Ok(Sign::Here));
    assert!(!applied.change.resumable);
    let mended = [("pools/p", 4), ("routes/r", 2), ("routes/s", 2)];
    let applied = again.delta(delta(3, 4, vec![pool("p", 4, "c:80")], &[], &mended)).expect("fits");
    assert!(applied.change.resumable);
}

#[test]
fn what_this_build_refuses_of_what_was_kept_is_left_out_and_the_rest_is_served() {
    let mut held = Held::default();
    let kept = vec![pool("p", 1, "no port"), to_pool("r", 2, "pools/p")];
    let restored = held.restore(kept.into_iter(), token(3), true);
    assert_eq!((restored.refused.len(), restored.compiled.revision()), (1, Some(3)));
    assert_eq!(held.place(), None, "it asks for all");
}

#[test]
fn what_this_build_does_not_know_is_refused_by_name() {
    let mut held = Held::default();
    let resources = vec![Resource { name: "planets/x".into(), version: 1, spec: None, candidate: None }];
    let applied = held.snapshot(whole(1, resources)).expect("fits").expect("whole");
    let reasons: Vec<_> = applied.refused.iter().map(|e| (e.field.as_str(), e.reason.as_str())).collect();
    assert_eq!(reasons, [("spec", "FEATURE_NOT_BUILT")]);
}

#[test]
fn a_bookmark_moves_the_place_only_where_nothing_is_missing() {
    let mut held = held();
    assert_eq!(held.bookmark(Some(token(2)), &digest(THREE)), Ok(Sign::Here));
    let moved = Change::to(token(7));
    assert_eq!(held.bookmark(Some(token(7)), &digest(THREE)), Ok(Sign::Moved(moved)));
    assert_eq!(held.place(), Some(&token(7)));
    assert_eq!(held.bookmark(Some(token(8)), &digest(&[])), Err(Misfit::Digest));
    assert_eq!(held.bookmark(Some(token(6)), &digest(THREE)), Err(Misfit::Place));
}

#[test]
fn a_gateway_that_has_lost_its_place_serves_on() {
    let mut held = held();
    held.forget_place();
    let step = delta(2, 3, vec![], &[], THREE);
    assert_eq!(held.delta(step).err(), Some(Misfit::Place));
    assert!(held.catalog.compile(2).table().find(&Any).is_some());
}

struct Any;

impl hotswap_matcher::RequestHead for Any {
    fn method(&self) -> &str {
        "GET"
    }
    fn host(&self) -> &str {
        ""
    }
    fn path(&self) -> &str {
        "/"
    }
    fn query(&self) -> Option<&str> {
        None
    }
    fn header(&self, _: &http::HeaderName, _: &mut dyn FnMut(&[u8])) {}
}
