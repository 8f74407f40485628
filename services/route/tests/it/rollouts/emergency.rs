//! Backends are drained while a rollout is under way.

use hotswap_api::gateway::v1::candidate::Spec as Beside;
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::rollout::v1::Landing;
use hotswap_api::route::v1 as wire;
use hotswap_rollout::Act;
use tonic::Code;

use super::edge::Edge;
use super::{Driven, weight};
use crate::harness::{Server, pool, with_route};

const DRAINED: wire::BackendState = wire::BackendState::Drained;

async fn drain(server: &Server, address: &str) -> Result<i64, tonic::Status> {
    let request = wire::SetBackendStateRequest {
        pool: "pools/p".into(),
        address: address.to_owned(),
        state: DRAINED.into(),
        ..Default::default()
    };
    let set = server.routes().await.set_backend_state(request).await?;
    Ok(set.into_inner().revision)
}

/// The states of the baseline's backends, and of the candidate's.
fn states(edge: &Edge) -> (Vec<i32>, Vec<i32>) {
    let resource = edge.has().resources["pools/p"].clone();
    let of = |pool: &wire::Pool| pool.backends.iter().map(|b| b.state).collect::<Vec<_>>();
    let Some(Spec::Pool(baseline)) = &resource.spec else { panic!("a pool") };
    let candidate = resource.candidate.and_then(|c| c.spec);
    let candidate = candidate.map(|spec| match spec {
        Beside::Pool(pool) => of(&pool),
        Beside::Route(_) => panic!("a pool"),
    });
    (of(baseline), candidate.unwrap_or_default())
}

#[tokio::test]
async fn a_drained_backend_is_drained_in_both_revisions_and_stays_so_when_the_candidate_is_live() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let changed = wire::Pool { name: "pools/p".into(), ..pool(&["127.0.0.1:9001", "127.0.0.1:9002"]) };
    let landing = Landing::Draft.into();
    let update = wire::UpdatePoolRequest { pool: Some(changed), landing, ..Default::default() };
    let to = client.update_pool(update).await.expect("draft").into_inner().pool.expect("pool").revision;
    let edge = Edge::new(&server, "edge").await;
    let driven = Driven::new(&server, "pools/p", to);
    driven.done(Act::Expose(weight(1_000))).await;
    let epoch = edge.candidate("pools/p").expect("a candidate").epoch;

    let at = drain(&server, "127.0.0.1:9001").await.expect("both have it");
    edge.when(|held| held.revision >= at).await;
    let drained = i32::from(DRAINED);
    let (baseline, candidate) = states(&edge);
    assert_eq!((baseline[0], candidate[0]), (drained, drained));
    assert_ne!(candidate[1], drained);

    let at = drain(&server, "127.0.0.1:9002").await.expect("the candidate has it");
    edge.when(|held| held.revision >= at).await;
    assert_eq!(states(&edge).1, [drained, drained]);
    assert_eq!(drain(&server, "127.0.0.1:9002").await.expect("as it is"), at);
    assert_eq!(drain(&server, "127.0.0.1:9003").await.expect_err("nobody has it").code(), Code::NotFound);
    // Counting goes on: the exposure is the same.
    assert_eq!(edge.candidate("pools/p").expect("a candidate").epoch, epoch);

    driven.done(Act::Commit).await;
    let get = wire::GetPoolRequest { name: "pools/p".into() };
    let live = client.get_pool(get).await.expect("there").into_inner().pool.expect("pool");
    assert_eq!(live.backends.iter().map(|b| b.state).collect::<Vec<_>>(), [drained, drained]);
    // What went live is not quite what the draft said, so it has a revision of its own.
    assert!(live.revision > to && live.standing.expect("standing").live_revision == live.revision);
}
