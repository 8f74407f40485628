//! Writes that are kept and not exposed.

use hotswap_api::rollout::v1::Landing;
use hotswap_api::route::v1 as wire;
use hotswap_core::Revision;
use tonic::Code;

use super::edge::Edge;
use super::{draft, live, prefix};
use crate::harness::{create_pool, error, route, with_route};

fn update(prefix: &str, etag: &str, request_id: &str) -> wire::UpdateRouteRequest {
    let changed = wire::Route { name: "routes/r".into(), etag: etag.to_owned(), ..route("pools/p", prefix) };
    wire::UpdateRouteRequest {
        route: Some(changed),
        landing: Landing::Draft.into(),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_draft_is_kept_and_never_reaches_a_proxy() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, made) = with_route(dir.path()).await;
    let edge = Edge::new(&server, "edge").await;
    let mut client = server.routes().await;
    let kept = client.update_route(update("/next", &made.etag, "")).await.expect("kept").into_inner();
    let kept = kept.route.expect("route");
    let standing = kept.standing.clone().expect("standing");
    assert_eq!((prefix(&kept), kept.revision, standing.live_revision), ("/next", 3, 2));
    // The guard of the next write is that of what is live.
    assert_eq!((&kept.etag, live(&server).await), (&made.etag, made.clone()));

    let held = edge.when(|held| held.revision == 3).await;
    assert_eq!(held.deltas, [Vec::<String>::new()]);
    assert_eq!((held.resources["routes/r"].version, &held.resources["routes/r"].candidate), (2, &None));

    let list = wire::ListRouteRevisionsRequest { name: "routes/r".into(), ..Default::default() };
    let revisions = client.list_route_revisions(list).await.expect("listed").into_inner().revisions;
    let seen: Vec<_> = revisions
        .iter()
        .map(|r| (r.revision, r.route.as_ref().and_then(|r| r.standing.as_ref()).map(|s| s.live_revision)))
        .collect();
    assert_eq!(seen, [(3, Some(0)), (2, Some(2))]);
    let diff = wire::DiffRouteRevisionsRequest { name: "routes/r".into(), from: 0, to: 3 };
    let diff = client.diff_route_revisions(diff).await.expect("compared").into_inner();
    assert_eq!((diff.from, diff.to, diff.differences.len()), (2, 3, 1));
    // What is newest is what is live.
    let newest = wire::DiffRouteRevisionsRequest { name: "routes/r".into(), from: 0, to: 0 };
    assert_eq!(client.diff_route_revisions(newest).await.expect("compared").into_inner().to, 2);
}

#[tokio::test]
async fn a_draft_is_guarded_and_repeated_as_a_live_write_is() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, made) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let stale = client.update_route(update("/next", "1-1", "")).await.expect_err("stale");
    assert_eq!(stale.code(), Code::Aborted);
    let id = "0197d9a2-0000-7000-8000-000000000001";
    let once = client.update_route(update("/next", &made.etag, id)).await.expect("kept").into_inner();
    let twice = client.update_route(update("/next", &made.etag, id)).await.expect("kept").into_inner();
    assert_eq!(once, twice);
    let other = client.update_route(update("/other", &made.etag, id)).await.expect_err("another request");
    assert_eq!(error(&other).reason, "REQUEST_ID_REUSED");
    let nowhere = wire::Route { name: "routes/r".into(), ..route("pools/none", "/x") };
    let request = wire::UpdateRouteRequest { route: Some(nowhere), ..update("/x", "", "") };
    let refused = client.update_route(request).await.expect_err("no such pool");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let checked = wire::UpdateRouteRequest { validate_only: true, ..update("/y", "", "") };
    client.update_route(checked).await.expect("fine");
    assert_eq!(draft(&server, "/last").await, 4, "what was refused or checked made no revision");
    server.route.distributed(Revision(4)).await;
}

#[tokio::test]
async fn the_first_revision_of_a_resource_is_no_draft() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, _) = with_route(dir.path()).await;
    let mut client = server.routes().await;
    let create = wire::CreatePoolRequest { landing: Landing::Draft.into(), ..create_pool("new") };
    let refused = client.create_pool(create).await.expect_err("nothing is live");
    assert_eq!((refused.code(), error(&refused).reason.as_str()), (Code::FailedPrecondition, "NOTHING_LIVE"));
    let missing = wire::Route { name: "routes/new".into(), ..route("pools/p", "/new") };
    let request =
        wire::UpdateRouteRequest { route: Some(missing), allow_missing: true, ..update("/n", "", "") };
    let refused = client.update_route(request).await.expect_err("nothing is live");
    assert_eq!(error(&refused).reason, "NOTHING_LIVE");
}

#[tokio::test]
async fn a_live_write_over_a_draft_leaves_the_draft_in_the_history() {
    let dir = tempfile::tempdir().expect("dir");
    let (server, made) = with_route(dir.path()).await;
    assert_eq!(draft(&server, "/next").await, 3);
    let mut client = server.routes().await;
    let request =
        wire::UpdateRouteRequest { landing: Landing::Live.into(), ..update("/now", &made.etag, "") };
    let now = client.update_route(request).await.expect("live").into_inner().route.expect("route");
    assert_eq!((now.revision, now.standing.expect("standing").live_revision), (4, 4));
    let diff = wire::DiffRouteRevisionsRequest { name: "routes/r".into(), from: 0, to: 4 };
    let diff = client.diff_route_revisions(diff).await.expect("compared").into_inner();
    assert_eq!((diff.from, diff.to), (2, 4), "the draft between was never live");
}
