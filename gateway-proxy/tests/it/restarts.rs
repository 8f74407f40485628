//! Gateways that are killed, frozen, and started while the control plane is away.

use std::net::SocketAddr;
use std::sync::Arc;

use hotswap_api::gateway::v1::reset::Why;
use hotswap_api::gateway::v1::watch_config_response::Message as ToProxy;
use hotswap_api::gateway::v1::{Reset, ResumeToken, SnapshotChunk};

use crate::control::*;
use crate::gateway_process::*;
use crate::support::*;

/// A gateway with revision 1, which leads to `a`, and 2, which leads to `b`, both safe on disk, killed together
/// with its control plane. Gives its folder, and where the control plane was.
pub async fn killed(a: SocketAddr, b: SocketAddr) -> (Arc<tempfile::TempDir>, SocketAddr) {
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let process = Process::start(control.address, &[]);
    let (mut stream, hello) = control.stream().await;
    assert_eq!(hello.have, None);
    let (_, admin) = process.ready().await;
    for (message, revision) in [(both(1, 1, a), 1), (moved(1, 2, b), 2)] {
        let nonce = stream.say(message).await;
        stream.acknowledged(&nonce).await;
        // One after the other: the first is the checkpoint, the second stands in the journal.
        counts(admin, &format!("gateway_state_revision {revision}")).await;
    }
    counts(admin, "gateway_config_stale 0").await;
    (process.kill(), control.kill())
}

#[tokio::test]
async fn started_while_the_control_plane_is_away_it_serves_what_it_had_and_resumes_later() {
    let (a, b) = two_backends().await;
    let (dir, control) = killed(a.address, b.address).await;
    let process = Process::again(&dir, control, &[]);
    let (listen, admin) = process.ready().await;
    assert_eq!(ask(listen).await, "b", "from the first request on");
    let (status, text) = page(admin, "/readyz").await;
    assert_eq!(status, 200);
    assert!(text.starts_with("ready\nstale: revision 2,"), "{text}");
    for line in ["gateway_config_stale 1", "gateway_config_revision 2", "gateway_control_plane_connected 0"] {
        counts(admin, line).await;
    }

    let mut control = ControlPlane::start(&control.to_string()).await;
    let (mut stream, hello) = control.stream().await;
    assert_eq!(hello.have, token(2), "the control plane can go on with a delta");
    assert_eq!(hello.have_digest, digest(&[("pools/p", 2), ("routes/r", 1)]));
    stream.say(bookmark(2, &[("pools/p", 2), ("routes/r", 1)])).await;
    counts(admin, "gateway_config_stale 0").await;
    assert_eq!(page(admin, "/readyz").await, (200, "ready\n".to_owned()));
    let nonce = stream.say(moved(2, 3, a.address)).await;
    stream.acknowledged(&nonce).await;
    assert_eq!(ask(listen).await, "a");
    counts(admin, "gateway_state_revision 3").await;
}

#[tokio::test]
async fn a_gateway_that_never_had_a_configuration_is_not_ready_until_it_gets_one() {
    let (a, _) = two_backends().await;
    let nobody = ControlPlane::start("127.0.0.1:0").await.kill();
    let process = Process::start(nobody, &[]);
    let (listen, admin) = process.ready().await;
    assert_eq!(ask(listen).await, "NO_CONFIG");
    assert_eq!(page(admin, "/readyz").await.0, 503);
    let mut control = ControlPlane::start(&nobody.to_string()).await;
    let (mut stream, hello) = control.stream().await;
    assert_eq!(hello.have, None);
    let nonce = stream.say(both(1, 1, a.address)).await;
    stream.acknowledged(&nonce).await;
    assert_eq!((page(admin, "/readyz").await, ask(listen).await), ((200, "ready\n".into()), "a".into()));
}

#[tokio::test]
async fn killed_at_any_moment_it_goes_on_from_a_revision_that_it_had() {
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let dir = Arc::new(tempfile::tempdir().expect("dir"));
    let (mut sent, mut safe) = (0, 0);
    for round in 0..12 {
        let process = Process::again(&dir, control.address, &["--log", "warn"]);
        let (mut stream, hello) = control.stream().await;
        let mut at = match &hello.have {
            None => {
                assert_eq!(safe, 0, "what was safe on disk is there again");
                let nonce = stream.say(both(1, 1, a.address)).await;
                stream.acknowledged(&nonce).await;
                1
            }
            Some(have) => {
                assert!((safe..=sent).contains(&have.revision), "{safe} {have:?} {sent}");
                let version = have.revision;
                assert_eq!(hello.have_digest, digest(&[("pools/p", version), ("routes/r", 1)]));
                version
            }
        };
        // How far it comes differs from round to round, and so does what the kill meets: a write, or none.
        for _ in 0..round * 3 {
            let nonce = stream.say(moved(at, at + 1, a.address)).await;
            at += 1;
            stream.acknowledged(&nonce).await;
        }
        if round % 3 == 1 {
            let (_, admin) = process.ready().await;
            counts(admin, &format!("gateway_state_revision {at}")).await;
            safe = at;
        }
        sent = at;
        process.kill();
    }
    assert!(safe > 20, "{safe}");
}

#[tokio::test]
async fn a_store_that_is_another_one_is_taken_with_a_snapshot_and_kept() {
    let (a, b) = two_backends().await;
    let (dir, control) = killed(a.address, b.address).await;
    let mut control = ControlPlane::start(&control.to_string()).await;
    let process = Process::again(&dir, control.address, &[]);
    let (listen, admin) = process.ready().await;
    let (mut stream, hello) = control.stream().await;
    assert_eq!(hello.have, token(2));
    stream.say(ToProxy::Reset(Reset { why: Why::Foreign.into() })).await;
    let other = Some(ResumeToken { store_id: "other".into(), revision: 1 });
    let ToProxy::Snapshot(chunk) = both(1, 1, a.address) else { panic!("a snapshot") };
    assert_eq!(ask(listen).await, "b", "what there is is served until the snapshot is whole");
    let nonce = stream.say(ToProxy::Snapshot(SnapshotChunk { at: other.clone(), ..chunk })).await;
    stream.acknowledged(&nonce).await;
    assert_eq!(ask(listen).await, "a");
    counts(admin, "gateway_state_revision 1").await;
    let dir = process.kill();

    let _process = Process::again(&dir, control.address, &[]);
    let (_stream, hello) = control.stream().await;
    assert_eq!(hello.have, other);
}

#[tokio::test]
async fn a_refused_resource_is_asked_for_again_after_a_restart_and_the_rest_is_served() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let process = Process::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let (_, admin) = process.ready().await;
    let nonce = stream.say(both(1, 1, a.address)).await;
    stream.acknowledged(&nonce).await;
    let said = [("pools/p", 2), ("routes/r", 2)];
    let nonce = stream.say(step(1, 2, vec![pool(2, b.address), bad_route(2)], &said)).await;
    assert_eq!(stream.refusal().await.errors[0].name, "routes/r");
    stream.acknowledged(&nonce).await;
    counts(admin, "gateway_state_revision 2").await;
    let dir = process.kill();

    let process = Process::again(&dir, control.address, &[]);
    let (listen, admin) = process.ready().await;
    assert_eq!(ask(listen).await, "b", "the route as it was accepted, the pool as it is");
    let (mut stream, hello) = control.stream().await;
    assert_eq!(hello.have, None, "the build may be another one: it wants all of it");
    let nonce = stream.say(whole(2, vec![pool(2, b.address), bad_route(2)])).await;
    assert_eq!(stream.refusal().await.errors[0].name, "routes/r");
    let ack = stream.acknowledged(&nonce).await;
    assert_eq!(ack.digest, digest(&[("pools/p", 2), ("routes/r", 1)]), "what is applied");
    assert_eq!(ask(listen).await, "b");
    stream.say(bookmark(2, &said)).await;
    let mended = [("pools/p", 2), ("routes/r", 3)];
    let nonce = stream.say(step(2, 3, vec![to_the_pool(3)], &mended)).await;
    stream.acknowledged(&nonce).await;
    counts(admin, "gateway_state_revision 3").await;
    let dir = process.kill();

    let _process = Process::again(&dir, control.address, &[]);
    let (_stream, hello) = control.stream().await;
    assert_eq!((hello.have, hello.have_digest), (token(3), digest(&mended)), "nothing stands refused");
}

#[tokio::test]
async fn a_frozen_gateway_goes_on_where_it_was() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let process = Process::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let (listen, _) = process.ready().await;
    let nonce = stream.say(both(1, 1, a.address)).await;
    stream.acknowledged(&nonce).await;
    let mut client = Client::connect(listen).await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "a");

    // A request and a change that come meanwhile wait.
    process.signal("STOP");
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let nonce = stream.say(moved(1, 2, b.address)).await;
    process.signal("CONT");
    assert!(["a", "b"].contains(&client.response().await.text().as_str()));
    stream.acknowledged(&nonce).await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "b");

    // A control plane that gave it up meanwhile is met again, with the token.
    process.signal("STOP");
    let address = control.kill();
    let mut control = ControlPlane::start(&address.to_string()).await;
    process.signal("CONT");
    let (mut stream, hello) = control.stream().await;
    assert_eq!(hello.have, token(2));
    let nonce = stream.say(moved(2, 3, a.address)).await;
    stream.acknowledged(&nonce).await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(client.response().await.text(), "a", "on the connection of before");
}
