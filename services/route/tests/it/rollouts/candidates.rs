//! What the watch sends of a rollout.

use hotswap_api::gateway::v1 as wire;
use hotswap_api::gateway::v1::candidate::{Exposure as To, Spec};
use hotswap_rollout::{Act, ActResult, Cohort, CohortDraft, CohortKey, Exposure, Share};

use super::edge::{Edge, Manner, hello};
use super::{live, prefix, sticky, weight, with_draft};

#[tokio::test]
async fn a_candidate_goes_to_proxies_that_know_them_and_the_digest_fits_for_all() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    let new = Edge::new(&server, "new").await;
    let old = wire::Hello { features: vec!["regex".into()], ..hello("old") };
    let old = Edge::connect(&server, old, Manner::Takes).await;

    let ActResult::Retry { detail, .. } = driven.once(&Act::Stage).await else { panic!("the old one can't") };
    assert!(detail.contains("proxies/old") && !detail.contains("proxies/new"), "{detail}");
    // Each proxy has checked the digest with what it got.
    let (with, without) = (new.when(|h| h.revision == 4).await, old.when(|h| h.revision == 4).await);
    assert!(without.resources["routes/r"].candidate.is_none());
    let candidate = with.resources["routes/r"].candidate.clone().expect("a candidate");
    let Some(Spec::Route(route)) = &candidate.spec else { panic!("a route") };
    assert_eq!((prefix(route), candidate.epoch, candidate.exposure), ("/next", 4, None));
    assert_eq!(candidate.rollout, driven.rollout.id.to_string());

    // A snapshot has it, too.
    assert!(Edge::new(&server, "late").await.candidate("routes/r").is_some());
    let old = wire::Hello { features: Vec::new(), ..hello("late-and-old") };
    assert!(Edge::connect(&server, old, Manner::Takes).await.candidate("routes/r").is_none());
}

#[tokio::test]
async fn an_exposure_reaches_proxies_with_an_epoch_of_its_own() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, mut driven) = with_draft(dir.path()).await;
    sticky(&mut driven);
    let edge = Edge::new(&server, "edge").await;
    driven.done(Act::Stage).await;
    driven.done(Act::Expose(weight(1_000))).await;
    let first = edge.candidate("routes/r").expect("a candidate");
    driven.done(Act::Expose(weight(10_000))).await;
    let all = edge.candidate("routes/r").expect("a candidate");
    assert_eq!((first.exposure, all.exposure), (Some(To::ShareBps(1_000)), Some(To::ShareBps(10_000))));
    assert!(first.epoch < all.epoch && first.sticky_key.is_some());
    let draft = CohortDraft { key: CohortKey::Header("x-beta".into()), values: vec!["1".into()] };
    let cohort = Exposure::Cohort(Cohort::parse(&draft).expect("valid"));
    driven.done(Act::Expose(cohort.clone())).await;
    let Some(To::Cohort(sent)) = edge.candidate("routes/r").and_then(|c| c.exposure) else {
        panic!("cohort")
    };
    assert_eq!((sent.values, driven.out().await), (vec!["1".to_owned()], cohort));
    let copies = Exposure::Shadow(Share::from_bp(100).expect("valid"));
    driven.done(Act::Expose(copies)).await;
    let copied = edge.candidate("routes/r").and_then(|c| c.exposure);
    assert_eq!(copied, Some(To::ShadowBps(100)));
}

#[tokio::test]
async fn reads_say_what_is_live_and_what_is_a_candidate() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, driven) = with_draft(dir.path()).await;
    driven.done(Act::Expose(weight(2_500))).await;
    let route = live(&server).await;
    let standing = route.standing.clone().expect("standing");
    assert_eq!((prefix(&route), route.revision, standing.live_revision), ("/r", 2, 2));
    assert_eq!((standing.candidate_revision, standing.candidate_share_bps), (3, 2_500));
    assert_eq!(standing.rollout, driven.rollout.id.to_string());
}
