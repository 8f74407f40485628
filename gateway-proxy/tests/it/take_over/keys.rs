//! The keys of tokens, over a take-over.

use super::generation;
use crate::control::*;
use crate::gateway_process::*;
use crate::kept_keys::*;
use crate::support::*;

#[tokio::test]
async fn tokens_count_without_a_gap_although_the_issuer_is_away() {
    let backend = Backend::echo().await;
    let mut issuer = Issuer::start("a").await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let first = Process::start(control.address, &["--gateway-engine", "own"]);
    let (mut stream, _) = control.stream().await;
    let (listen, admin) = first.ready().await;
    let nonce = stream.say(wants_tokens(1, backend.address, &issuer.url())).await;
    stream.acknowledged(&nonce).await;
    becomes(listen, &issuer.request(), "200").await;
    counts(admin, "gateway_state_revision 1").await;
    are_kept(first.dir.path()).await;
    issuer.goes_away().await;

    let mut gateways = vec![first];
    for time in 2..4 {
        let next = gateways.last().expect("one").successor(control.address, &[]);
        next.ready().await;
        assert_eq!(generation(admin).await.0, time);
        assert_eq!(answer(listen, &issuer.request()).await, "200", "by the first request on");
        control.stream().await;
        gateways.push(next);
    }
    let by_old = issuer.request();
    issuer.comes_back("b").await;
    becomes(listen, &by_old, "TOKEN_INVALID").await;
    assert_eq!(answer(listen, &issuer.request()).await, "200");
}

#[tokio::test]
async fn one_without_keys_takes_over_when_it_has_been_answered_and_a_change_waits_for_it() {
    let (a, b) = two_backends().await;
    let slow = Slow::start().await;
    slow.go.add_permits(1);
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let mut first = Process::start(control.address, &["--gateway-engine", "own"]);
    let (mut stream, _) = control.stream().await;
    let (listen, admin) = first.ready().await;
    let nonce = stream.say(wants_tokens(1, a.address, &slow.url())).await;
    stream.acknowledged(&nonce).await;
    becomes(listen, &slow.request(), "200").await;
    slow.is_asked().await;
    counts(admin, "gateway_state_revision 1").await;
    are_kept(first.dir.path()).await;
    std::fs::remove_file(file(first.dir.path())).expect("removed");

    let second = first.successor(control.address, &[]);
    slow.is_asked().await;
    assert_eq!(generation(admin).await, (1, first.id().into()), "it waits");
    stream.say(step(1, 2, vec![pool(2, b.address)], &[("pools/p", 2), ("routes/r", 1)])).await;
    assert_eq!(answer(listen, &slow.request()).await, "200", "by the one that runs");
    slow.go.add_permits(1);
    second.ready().await;
    assert_eq!(generation(admin).await.0, 2);
    assert_eq!(answer(listen, &slow.request()).await, "200");
    let (mut new, hello) = control.stream().await;
    assert_eq!(hello.have, token(1), "the change is in force nowhere");
    let nonce = new.say(step(1, 2, vec![pool(2, b.address)], &[("pools/p", 2), ("routes/r", 1)])).await;
    new.acknowledged(&nonce).await;
    assert!(first.ended().await.success());
    let rest = stream.rest().await;
    assert!(rest.is_empty(), "{rest:?}");
}
