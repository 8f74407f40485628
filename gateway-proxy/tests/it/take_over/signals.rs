//! What supervisors and people use: SIGUSR2, files, systemd's socket, SIGTERM to one that has left.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{confirmed, generation, serving};
use crate::control::*;
use crate::gateway_process::*;
use crate::support::*;

/// A process that is nobody's child here. Dropped, it is killed.
pub(super) struct Stranger(pub(super) u64);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0.to_string()]).status();
    }
}

#[tokio::test]
async fn sigusr2_starts_the_program_again_and_systemd_learns_whom_to_follow() {
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let dir = Arc::new(tempfile::tempdir().expect("dir"));
    let notified = UnixDatagram::bind(dir.path().join("notify")).expect("binds");
    notified.set_read_timeout(Some(HANG)).expect("set");
    let heard = || {
        let mut text = [0; 64];
        let n = notified.recv(&mut text).expect("told");
        String::from_utf8_lossy(&text[..n]).into_owned()
    };
    let mut command = Process::command(&dir, control.address, &["--pid-file", "gateway.pid"]);
    command.env("NOTIFY_SOCKET", "notify");
    let mut first = Process::spawn(&dir, command);
    let (mut stream, _) = control.stream().await;
    let at = first.ready().await;
    assert_eq!(heard(), format!("READY=1\nMAINPID={}", first.id()));
    let nonce = stream.say(both(1, 1, a.address)).await;
    stream.acknowledged(&nonce).await;

    std::fs::remove_file(first.file("ready.json")).expect("removed");
    first.signal("USR2");
    let told = first.told().await;
    let second = Stranger(told["pid"].as_u64().expect("an id"));
    assert_eq!(told["generation"], 2);
    assert_eq!(generation(at.1).await, (2, second.0));
    assert_eq!(std::fs::read_to_string(first.file("gateway.pid")).expect("text"), format!("{}\n", second.0));
    assert_eq!(heard(), format!("READY=1\nMAINPID={}", second.0));
    let _stream = confirmed(&mut control).await;
    assert!(first.ended().await.success());
    assert_eq!(ask(at.0).await, "a");
}

#[tokio::test]
async fn one_that_has_left_ends_sooner_when_it_is_told_to() {
    let backend = Backend::each(|_, mut wire| async move {
        let _ = wire.request().await;
        let _ = wire.ended().await;
    })
    .await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let args = ["--drain-deadline-ms", "100"];
    let (mut first, _stream) = serving(&mut control, backend.address, &args).await;
    let (listen, _) = first.ready().await;
    let mut client = Client::connect(listen).await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    in_time("reach the backend", async {
        while backend.connections() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let second = first.successor(control.address, &args);
    second.ready().await;
    first.signal("TERM");
    assert!(first.ended().await.success(), "at the deadline of a stop, not at the one of a take-over");
}

#[tokio::test]
async fn a_third_has_the_folder_when_the_second_ends_however_long_the_first_drains() {
    let (arrived, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let held = (Arc::clone(&arrived), Arc::clone(&go));
    let backend = Backend::each(move |_, mut wire| {
        let (arrived, go) = held.clone();
        async move {
            let _ = wire.request().await;
            arrived.add_permits(1);
            go.acquire().await.expect("open").forget();
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
        }
    })
    .await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (mut first, _stream) = serving(&mut control, backend.address, &[]).await;
    let (listen, _) = first.ready().await;
    let mut client = Client::connect(listen).await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    in_time("reach the backend", arrived.acquire()).await.expect("open").forget();

    let mut second = first.successor(control.address, &[]);
    second.ready().await;
    let _stream = confirmed(&mut control).await;
    second.signal("TERM");
    assert!(second.ended().await.success());
    let third = Process::again(&first.dir, control.address, &["--gateway-engine", "own"]);
    third.ready().await;
    let _stream = confirmed(&mut control).await;

    go.add_permits(1);
    assert_eq!(client.response().await.text(), "late", "the first was there all the time");
    drop(client);
    assert!(first.ended().await.success());
}
