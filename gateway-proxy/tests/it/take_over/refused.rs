//! Take-overs that come to nothing: the gateway that runs goes on.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use super::{generation, serving};
use crate::control::*;
use crate::gateway_process::*;

/// A user without rights.
const NOBODY: u32 = 65_534;

#[tokio::test]
async fn where_no_gateway_runs_there_is_nothing_to_take_over() {
    let nobody = ControlPlane::start("127.0.0.1:0").await.kill();
    let mut first = Process::start(nobody, &["--take-over"]);
    assert_eq!(first.ended().await.code(), Some(1));
    let want = "no gateway runs with the folder state (--gateway-data-dir) that could be taken over from";
    assert!(first.said().contains(want), "{}", first.said());
    // Nor where one was killed.
    let second = Process::again(&first.dir, nobody, &[]);
    second.ready().await;
    let dir = second.kill();
    let mut third = Process::again(&dir, nobody, &["--take-over"]);
    assert_eq!(third.ended().await.code(), Some(1));
    assert_eq!(third.said().matches(want).count(), 2, "{}", third.said());
    // What that one left behind is in nobody's way.
    let fourth = Process::again(&dir, nobody, &[]);
    fourth.ready().await;
    let fifth = fourth.successor(nobody, &[]);
    fifth.ready().await;
}

#[tokio::test]
async fn one_that_can_not_start_leaves_the_other_as_it_is() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (first, mut stream) = serving(&mut control, a.address, &[]).await;
    let (listen, admin) = first.ready().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let taken = taken.local_addr().expect("address").to_string();
    let bad: [(&[&str], &str); 3] = [
        (&["--gateway-listen", &taken], "the address is in use"),
        (&["--gateway-tls-listen", "127.0.0.1:0", "--gateway-tls-certificate", "none:none"], "none"),
        (&["--max-headers", "0"], "--max-headers must be 1 to 10000"),
    ];
    for (args, why) in bad {
        let mut second = first.successor(control.address, args);
        assert_eq!(second.ended().await.code(), Some(1), "{args:?}");
        assert!(first.said().contains(why), "{}", first.said());
    }
    assert_eq!(generation(admin).await, (1, first.id().into()));
    let nonce = stream.say(moved(1, 2, b.address)).await;
    stream.acknowledged(&nonce).await;
    assert_eq!(ask(listen).await, "b");
    counts(admin, "gateway_state_revision 2").await;
}

#[tokio::test]
async fn a_version_that_refuses_what_is_served_does_not_take_over() {
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (first, _stream) = serving(&mut control, a.address, &[]).await;
    let (listen, admin) = first.ready().await;
    // A version that reads the disk otherwise: here there is nothing left to be read.
    for entry in std::fs::read_dir(first.file("state")).expect("a folder") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|end| end == "checkpoint") {
            std::fs::remove_file(path).expect("removed");
        }
    }
    let mut second = first.successor(control.address, &[]);
    assert_eq!(second.ended().await.code(), Some(1));
    let want = "that one serves revision 1, which is not to be found on disk";
    assert!(first.said().contains(want), "{}", first.said());
    assert_eq!((ask(listen).await.as_str(), generation(admin).await.0), ("a", 1));
}

#[tokio::test]
async fn another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can be another one.
        return;
    }
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (first, _stream) = serving(&mut control, a.address, &[]).await;
    let (listen, admin) = first.ready().await;
    // As if somebody had opened the folder to all.
    let open = |name: &str, mode| {
        std::fs::set_permissions(first.file(name), Permissions::from_mode(mode)).expect("set");
    };
    for name in [".", "state", "state/take-over.sock", "said"] {
        open(name, 0o777);
    }
    let program = first.file("gateway");
    std::fs::copy(env!("CARGO_BIN_EXE_hotswap-gateway"), &program).expect("copied");
    open("gateway", 0o755);
    let mut command = std::process::Command::new(program);
    let said = std::fs::File::options().append(true).open(first.file("said")).expect("a file");
    command.current_dir(first.dir.path()).args(["--take-over", "--gateway-data-dir", "state"]).stderr(said);
    let mut second = Process::spawn(&first.dir, {
        command.uid(NOBODY).gid(NOBODY);
        command
    });
    assert_eq!(second.ended().await.code(), Some(1));
    let said = first.said();
    assert!(said.contains("it is run by another user"), "{said}");
    assert_eq!((ask(listen).await.as_str(), generation(admin).await.0), ("a", 1));
}
