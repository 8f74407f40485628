use hotswap_api::route::v1 as wire;

use super::*;

fn token(revision: i64) -> ResumeToken {
    ResumeToken { store_id: "s".into(), revision }
}

fn route(id: &str, version: i64, regex: &str) -> Resource {
    let kind = Some(wire::path_match::Kind::Regex(regex.into()));
    let route = wire::Route {
        matches: vec![wire::RouteMatch { path: Some(wire::PathMatch { kind }), ..Default::default() }],
        action: Some(wire::route::Action::Forward(wire::Forward {
            target: Some(wire::forward::Target::Pool("pools/p".into())),
            ..Default::default()
        })),
        ..Default::default()
    };
    Resource { name: format!("routes/{id}"), version, spec: Some(Spec::Route(route)) }
}

fn digest(resources: &[&Resource]) -> Vec<u8> {
    let mut digest = SetDigest::default();
    resources.iter().for_each(|r| digest.insert(&r.name, r.version));
    digest.to_bytes().to_vec()
}

/// Holdings at revision 2 with the routes "a" and "b".
fn held() -> (Holdings, Resource, Resource) {
    let (a, b) = (route("a", 1, "/a"), route("b", 2, "/b"));
    let mut holdings = Holdings::default();
    let announced = digest(&[&a, &b]);
    let refused = holdings.snapshot(&token(2), &[a.clone(), b.clone()], &announced);
    assert_eq!(refused, Ok(vec![]));
    (holdings, a, b)
}

fn delta(from: i64, to: i64, upserts: Vec<Resource>, removes: &[&str], digest: Vec<u8>) -> Delta {
    Delta {
        from,
        to: Some(token(to)),
        upserts,
        removes: removes.iter().map(|r| (*r).to_owned()).collect(),
        digest: digest.into(),
        allow_mass_delete: true,
    }
}

fn routes(holdings: &Holdings) -> usize {
    let compiled = holdings.compile();
    (0..10).filter(|slot| compiled.route(*slot).is_some()).count()
}

#[test]
fn a_delta_moves_place_digest_and_catalog_together() {
    let (mut holdings, a, _) = held();
    let c = route("c", 3, "/c");
    let change = delta(2, 3, vec![c.clone()], &["routes/b"], digest(&[&a, &c]));
    assert_eq!(holdings.delta(&change), Ok(vec![]));
    assert_eq!(holdings.place(), Some(&token(3)));
    assert_eq!(holdings.digest().to_bytes().to_vec(), digest(&[&a, &c]));
    assert_eq!((routes(&holdings), holdings.compile().revision()), (2, Some(3)));
}

#[test]
fn a_delta_from_elsewhere_or_to_another_digest_changes_nothing() {
    let (mut holdings, a, b) = held();
    let c = route("c", 3, "/c");
    let right = digest(&[&a, &b, &c]);
    let before = holdings.digest();
    let foreign = Delta {
        to: Some(ResumeToken { store_id: "other".into(), revision: 3 }),
        ..delta(2, 3, vec![c.clone()], &[], right.clone())
    };
    assert_eq!(holdings.delta(&foreign), Err(Misfit::Place));
    assert_eq!(holdings.delta(&delta(1, 3, vec![c.clone()], &[], right)), Err(Misfit::Place));
    assert_eq!(holdings.delta(&delta(2, 3, vec![c], &[], vec![0; 32])), Err(Misfit::Digest));
    assert_eq!((holdings.place(), holdings.digest(), routes(&holdings)), (Some(&token(2)), before, 2));
}

#[test]
fn a_refused_resource_stays_as_it_was_and_the_rest_goes_on() {
    let (mut holdings, _, b) = held();
    let (bad, c) = (route("a", 3, "("), route("c", 3, "/c"));
    let change = delta(2, 3, vec![bad.clone(), c.clone()], &[], digest(&[&bad, &b, &c]));
    let refused = holdings.delta(&change).expect("fits");
    let seen: Vec<_> = refused.iter().map(|e| (e.name.as_str(), e.version, e.field.as_str())).collect();
    assert_eq!(seen, [("routes/a", 3, "matches[0].path.regex")]);
    assert_eq!((holdings.place(), routes(&holdings)), (Some(&token(3)), 3), "the old a is still served");
}

#[test]
fn a_snapshot_takes_away_what_it_does_not_name() {
    let (mut holdings, a, _) = held();
    assert_eq!(holdings.snapshot(&token(9), &[a.clone()], &digest(&[&a])), Ok(vec![]));
    assert_eq!((holdings.place(), routes(&holdings)), (Some(&token(9)), 1));
    assert_eq!(holdings.snapshot(&token(9), &[a], &[]), Err(Misfit::Digest));
}
