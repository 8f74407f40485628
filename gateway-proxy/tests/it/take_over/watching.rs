//! The configuration, its copy on disk and the watch, over a take-over.

use hotswap_api::gateway::v1::watch_config_request::Message as FromProxy;

use super::{generation, serving};
use crate::control::*;
use crate::gateway_process::*;
use crate::support::*;

#[tokio::test]
async fn the_new_one_goes_on_where_the_other_was_under_the_same_name_and_without_a_gap() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (mut first, old) = serving(&mut control, a.address, &[]).await;
    let at = first.ready().await;
    let (listen, admin) = at;
    assert_eq!(generation(admin).await, (1, first.id().into()));

    let mut second = first.successor(control.address, &[]);
    assert_eq!(second.ready().await, at, "the same addresses, although any would do");
    assert_eq!(generation(admin).await, (2, second.id().into()));
    let (mut new, hello) = control.stream().await;
    assert_eq!((hello.proxy.as_str(), hello.have), ("gateway", token(1)));
    assert_eq!(ask(listen).await, "a");
    assert!(page(admin, "/readyz").await.1.starts_with("ready\nstale: revision 1"));
    assert!(!old.out.is_closed(), "the one of before is open until this one has an answer");
    new.say(bookmark(1, &[("pools/p", 1), ("routes/r", 1)])).await;
    counts(admin, "gateway_config_stale 0").await;
    assert!(first.ended().await.success(), "it had nothing left to do");
    in_time("the end of the one of before", old.out.closed()).await;
    let nonce = new.say(moved(1, 2, b.address)).await;
    new.acknowledged(&nonce).await;
    assert_eq!(ask(listen).await, "b");
    counts(admin, "gateway_state_revision 2").await;

    // And once more, from the one that has taken over.
    let third = second.successor(control.address, &[]);
    assert_eq!(third.ready().await, at);
    assert_eq!(generation(admin).await.0, 3);
    let (mut last, hello) = control.stream().await;
    assert_eq!(hello.have, token(2), "what the second one wrote");
    last.say(bookmark(2, &[("pools/p", 2), ("routes/r", 1)])).await;
    assert!(second.ended().await.success());
    assert_eq!(ask(listen).await, "b");

    // What it leaves behind is what any gateway leaves behind.
    let dir = third.kill();
    let fourth = Process::again(&dir, control.address, &[]);
    let (listen, admin) = fourth.ready().await;
    assert_eq!((generation(admin).await.0, ask(listen).await), (1, "b".to_owned()));
}

#[tokio::test]
async fn one_that_has_left_begins_no_stream_any_more() {
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (first, _old) = serving(&mut control, a.address, &[]).await;
    let (listen, _) = first.ready().await;
    // A connection that stays, so that the process does.
    let mut stays = Client::connect(listen).await;
    stays.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(stays.response().await.text(), "a");
    let second = first.successor(control.address, &[]);
    second.ready().await;
    let (_new, hello) = control.stream().await;
    let instance = hello.instance_id;

    // Both lose their streams; the one that serves comes back, and only that one.
    let address = control.kill();
    let mut control = ControlPlane::start(&address.to_string()).await;
    let (mut new, hello) = control.stream().await;
    assert_eq!(hello.instance_id, instance);
    let nonce = new.say(moved(1, 2, a.address)).await;
    let FromProxy::Ack(ack) = new.hear().await else { panic!("an acknowledgement") };
    assert_eq!(ack.nonce, nonce);
    stays.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    let last = stays.response().await;
    assert_eq!(
        (last.text().as_str(), last.header("connection")),
        ("a", Some("close")),
        "once more, and no more"
    );
    assert!(control.streams_waiting() == 0);
}

#[tokio::test]
async fn a_gateway_without_a_configuration_is_taken_over_from_too() {
    let nobody = ControlPlane::start("127.0.0.1:0").await.kill();
    let mut first = Process::start(nobody, &[]);
    let at = first.ready().await;
    let second = first.successor(nobody, &[]);
    assert_eq!(second.ready().await, at);
    assert!(first.ended().await.success());
    assert_eq!((ask(at.0).await.as_str(), page(at.1, "/readyz").await.0), ("NO_CONFIG", 503));
}
