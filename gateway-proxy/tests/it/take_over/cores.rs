//! Take-overs with other options: more cores or fewer, other addresses.

use super::{confirmed, generation, serving};
use crate::control::*;
use crate::gateway_process::*;
use crate::support::*;

/// Connections after each take-over: enough that each socket gets some.
const MANY: usize = 40;

#[tokio::test]
async fn more_cores_and_fewer_are_reached_all_the_same() {
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (mut gateway, stream) = serving(&mut control, a.address, &["--gateway-workers", "1"]).await;
    let mut streams = vec![stream];
    let at = gateway.ready().await;
    for (time, cores) in ["3", "2", "1", "4"].into_iter().enumerate() {
        let next = gateway.successor(control.address, &["--gateway-workers", cores]);
        assert_eq!(next.ready().await, at);
        assert_eq!(generation(at.1).await.0, time as u64 + 2);
        streams.push(confirmed(&mut control).await);
        assert!(gateway.ended().await.success());
        for _ in 0..MANY {
            assert_eq!(ask(at.0).await, "a", "{cores} cores");
        }
        gateway = next;
    }
}

#[tokio::test]
async fn another_address_is_served_from_then_on_and_who_waits_at_the_old_one_is_answered() {
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (mut first, _stream) = serving(&mut control, a.address, &["--gateway-workers", "1"]).await;
    let (old, _) = first.ready().await;
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("address");
    let second = first.successor(control.address, &["--gateway-listen", &other.to_string()]);
    assert_eq!(second.ready().await.0, other);
    assert_eq!(ask(other).await, "a");
    let _stream = confirmed(&mut control).await;
    assert!(first.ended().await.success());
    let refused = tokio::net::TcpStream::connect(old).await.expect_err("nobody listens there any more");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn who_waits_to_be_accepted_when_a_gateway_stops_is_answered() {
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (mut gateway, _stream) = serving(&mut control, a.address, &["--gateway-workers", "1"]).await;
    let (listen, _) = gateway.ready().await;
    gateway.signal("STOP");
    let mut clients = Vec::new();
    for _ in 0..MANY {
        let mut client = Client::connect(listen).await;
        client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        clients.push(client);
    }
    gateway.signal("TERM");
    gateway.signal("CONT");
    for client in &mut clients {
        assert_eq!(client.response().await.text(), "a");
    }
    assert!(gateway.ended().await.success());
}
