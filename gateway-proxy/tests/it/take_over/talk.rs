//! A test in the place of one of both gateways: it says by hand what a process would.

use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

use super::serving;
use crate::control::*;
use crate::gateway_process::*;
use crate::support::*;

/// Questions that are asked while nothing is to change.
const LOOKS: usize = 20;

/// One end of the conversation.
pub struct Talk(UnixStream);

impl Talk {
    /// With the gateway of this folder.
    pub fn with(dir: &Path) -> Self {
        Self::over(UnixStream::connect(dir.join("state/take-over.sock")).expect("connects"))
    }

    fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(HANG)).expect("set");
        Self(stream)
    }

    pub fn say(&mut self, message: &Value) {
        let text = message.to_string();
        let length = u32::try_from(text.len()).expect("short").to_be_bytes();
        self.0.write_all(&[&length, text.as_bytes()].concat()).expect("said");
    }

    /// `None`: the other side has ended it.
    pub fn hear(&mut self) -> Option<Value> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut text = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("fits")];
        self.0.read_exact(&mut text).ok()?;
        Some(serde_json::from_slice(&text).expect("JSON"))
    }

    /// Why nothing is handed over.
    pub fn refusal(&mut self) -> String {
        let heard = self.hear().expect("an answer");
        heard["refused"]["why"].as_str().unwrap_or_else(|| panic!("{heard}")).to_owned()
    }

    /// Asks, and gets the offer; of the sockets nothing but the bytes that they come with.
    pub fn ask(&mut self) -> Value {
        self.say(&json!({"ask": {"protocol": 1, "version": "test"}}));
        let offer = self.hear().expect("an answer")["offer"].clone();
        let count = offer["sockets"].as_array().expect("a list").len();
        let mut with = vec![0; count.div_ceil(64)];
        self.0.read_exact(&mut with).expect("sockets");
        offer
    }

    fn give(&self, fds: &[BorrowedFd<'_>]) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut with = SendAncillaryBuffer::new(&mut space);
        assert!(with.push(SendAncillaryMessage::ScmRights(fds)));
        sendmsg(self.0.as_fd(), &[IoSlice::new(&[0])], &mut with, SendFlags::NOSIGNAL).expect("given");
    }
}

#[tokio::test]
async fn one_that_dies_before_it_serves_changes_nothing() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (first, mut stream) = serving(&mut control, a.address, &[]).await;
    let (listen, admin) = first.ready().await;
    let (mut at, mut to) = (1, b.address);
    for steps in 0..3 {
        let mut talk = Talk::with(first.dir.path());
        let offer = talk.ask();
        assert_eq!((offer["generation"].as_u64(), offer["revision"].as_i64()), (Some(1), Some(at)));
        if steps > 0 {
            talk.say(&json!({"ready": {"closed": []}}));
        }
        if steps > 1 {
            assert_eq!(talk.hear(), Some(json!("yours")));
        }
        // The other one may have read what is in force: meanwhile it stays so.
        let nonce = stream.say(moved(at, at + 1, to)).await;
        let [was, will] = if to == a.address { ["b", "a"] } else { ["a", "b"] };
        for _ in 0..LOOKS {
            assert_eq!(ask(listen).await, was);
            let told = page(admin, "/metrics").await.1;
            for metric in ["gateway_state_revision", "gateway_config_revision"] {
                assert!(told.contains(&format!("{metric} {at}\n")), "{told}");
            }
        }
        drop(talk);
        stream.acknowledged(&nonce).await;
        assert_eq!(ask(listen).await, will);
        counts(admin, &format!("gateway_state_revision {}", at + 1)).await;
        at += 1;
        to = if to == a.address { b.address } else { a.address };
    }
    assert!(first.said().contains("this gateway goes on"), "{}", first.said());
    // It has lost nothing by that.
    let second = first.successor(control.address, &[]);
    assert_eq!(second.ready().await, (listen, admin));
    assert_eq!(control.stream().await.1.have, token(at));
}

#[tokio::test]
async fn one_that_is_told_to_stop_in_the_midst_leaves_without_a_word_so_that_the_other_serves() {
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    for steps in 0..2 {
        let (first, _stream) = serving(&mut control, a.address, &[]).await;
        first.ready().await;
        let mut talk = Talk::with(first.dir.path());
        talk.ask();
        if steps > 0 {
            talk.say(&json!({"ready": {"closed": []}}));
            assert_eq!(talk.hear(), Some(json!("yours")));
        }
        first.signal("TERM");
        assert_eq!(talk.hear(), None, "no refusal: {}", first.said());
        assert!(first.said().contains("that one goes on alone"), "{}", first.said());
    }
}

#[tokio::test]
async fn a_change_that_comes_during_a_take_over_is_acknowledged_by_nobody_but_the_one_that_keeps_it() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (mut first, mut stream) = serving(&mut control, a.address, &[]).await;
    let (listen, _) = first.ready().await;
    let mut talk = Talk::with(first.dir.path());
    assert_eq!(talk.ask()["revision"].as_i64(), Some(1));
    // The new one has read revision 1, and compiles it for long.
    stream.say(moved(1, 2, b.address)).await;
    for _ in 0..LOOKS {
        assert_eq!(ask(listen).await, "a");
    }
    talk.say(&json!({"ready": {"closed": []}}));
    assert_eq!(talk.hear(), Some(json!("yours")));
    talk.say(&json!("started"));
    assert_eq!(talk.hear(), Some(json!("gone")));
    drop(talk);
    assert!(first.ended().await.success());
    let rest = stream.rest().await;
    assert!(rest.is_empty(), "it said nothing of what the new one does not have: {rest:?}");
    // What that one began with is what the disk has.
    let next = Process::again(&first.dir, control.address, &[]);
    next.ready().await;
    assert_eq!(control.stream().await.1.have, token(1));
}

#[tokio::test]
async fn a_place_that_has_moved_on_without_a_change_is_in_nobodys_way() {
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (first, mut stream) = serving(&mut control, a.address, &[]).await;
    let at = first.ready().await;
    stream.say(bookmark(7, &[("pools/p", 1), ("routes/r", 1)])).await;
    counts(at.1, "gateway_state_revision 7").await;
    let second = first.successor(control.address, &[]);
    assert_eq!(second.ready().await, at);
    assert_eq!(control.stream().await.1.have, token(7));
}

#[tokio::test]
async fn another_protocol_is_refused_with_both_numbers() {
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (first, _stream) = serving(&mut control, a.address, &[]).await;
    let mut talk = Talk::with(first.dir.path());
    talk.say(&json!({"ask": {"protocol": 7, "version": "9.9.9", "of_later": true}}));
    let why = talk.refusal();
    assert!(why.contains("knows protocol 1, not the 7 of version 9.9.9"), "{why}");
    assert_eq!(ask(first.ready().await.0).await, "a");
}

#[tokio::test]
async fn of_two_at_once_the_second_is_refused_and_may_come_later() {
    let (a, _) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let (first, _stream) = serving(&mut control, a.address, &[]).await;
    let at = first.ready().await;
    let mut talk = Talk::with(first.dir.path());
    talk.ask();
    let mut second = first.successor(control.address, &[]);
    assert_eq!(second.ended().await.code(), Some(1));
    assert!(first.said().contains("another process is taking over already"), "{}", first.said());
    drop(talk);
    let third = first.successor(control.address, &[]);
    assert_eq!(third.ready().await, at);
}

/// A gateway that is taken over from, played by the test.
struct Other {
    traffic: TcpListener,
    channel: UnixListener,
    lock: std::fs::File,
}

impl Other {
    fn new(dir: &Path) -> Self {
        std::fs::create_dir(dir.join("state")).expect("folder");
        let lock = std::fs::File::create(dir.join("state/lock")).expect("a file");
        lock.lock().expect("locked");
        let channel = UnixListener::bind(dir.join("state/take-over.sock")).expect("binds");
        let traffic = TcpListener::bind("127.0.0.1:0").expect("binds");
        Self { traffic, channel, lock }
    }

    /// Offers what it has.
    async fn offered(&self) -> Talk {
        let channel = self.channel.try_clone().expect("one more");
        let accepted = tokio::task::spawn_blocking(move || channel.accept());
        let mut talk = Talk::over(in_time("who asks", accepted).await.expect("ran").expect("accepted").0);
        assert_eq!(talk.hear().expect("asks")["ask"]["protocol"], 1);
        let at = self.traffic.local_addr().expect("address");
        let offer = json!({
            "version": "0.0.1", "generation": 41, "revision": null,
            "sockets": [{"plain": at}, "channel", "lock"], "of_later": true
        });
        talk.say(&json!({ "offer": offer }));
        talk.give(&[self.traffic.as_fd(), self.channel.as_fd(), self.lock.as_fd()]);
        talk
    }
}

fn second(dir: &std::sync::Arc<tempfile::TempDir>, control: std::net::SocketAddr) -> Process {
    // Its one socket shares its address with nobody.
    Process::again(dir, control, &["--take-over", "--gateway-workers", "1"])
}

#[tokio::test]
async fn where_the_other_dies_the_new_one_goes_on() {
    let (a, _) = two_backends().await;
    for steps in 0..2 {
        let dir = std::sync::Arc::new(tempfile::tempdir().expect("dir"));
        let other = Other::new(dir.path());
        let at = other.traffic.local_addr().expect("address");
        let mut control = ControlPlane::start("127.0.0.1:0").await;
        let process = second(&dir, control.address);
        let mut talk = other.offered().await;
        if steps > 0 {
            assert_eq!(talk.hear(), Some(json!({"ready": {"closed": []}})));
            talk.say(&json!("yours"));
            assert_eq!(talk.hear(), Some(json!("started")));
        }
        drop((talk, other));
        let (listen, admin) = process.ready().await;
        assert_eq!((listen, super::generation(admin).await.0), (at, 42));
        let (mut stream, _) = control.stream().await;
        let nonce = stream.say(both(1, 1, a.address)).await;
        stream.acknowledged(&nonce).await;
        assert_eq!(ask(at).await, "a");
        counts(admin, "gateway_state_revision 1").await;
    }
}

#[tokio::test]
async fn one_that_is_refused_late_ends_and_says_why() {
    for steps in 0..2 {
        let dir = std::sync::Arc::new(tempfile::tempdir().expect("dir"));
        let other = Other::new(dir.path());
        let nobody = ControlPlane::start("127.0.0.1:0").await.kill();
        let mut process = second(&dir, nobody);
        let mut talk = other.offered().await;
        talk.hear().expect("ready");
        if steps > 0 {
            talk.say(&json!("yours"));
            talk.hear().expect("started");
        }
        talk.say(&json!({"refused": {"why": "it is too late"}}));
        assert_eq!(process.ended().await.code(), Some(1));
        let said = process.said();
        assert!(
            said.contains("error: cannot take over from the gateway that runs: it is too late"),
            "{said}"
        );
    }
}
