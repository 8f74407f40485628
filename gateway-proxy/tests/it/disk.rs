//! What is kept on disk: files that were damaged, a folder that is taken, a disk that is full.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use hotswap_api::gateway::v1::Resource;

use crate::control::*;
use crate::gateway_process::*;
use crate::restarts::killed;
use crate::support::*;

fn cut(file: &Path, by: usize) {
    let bytes = fs::read(file).expect("reads");
    fs::write(file, &bytes[..bytes.len() - by]).expect("writes");
}

fn alter(file: &Path) {
    let mut bytes = fs::read(file).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("writes");
}

/// Starts a gateway after something was done to the files of one that had revisions 1 and 2, and gives its
/// answer, the revision that it says it has, and its lines about what was on disk.
async fn after(damage: impl FnOnce(&Path)) -> (String, Option<i64>, Vec<String>) {
    let (a, b) = two_backends().await;
    let (dir, control) = killed(a.address, b.address).await;
    damage(&dir.path().join("state"));
    let mut control = ControlPlane::start(&control.to_string()).await;
    let process = Process::again(&dir, control.address, &["--log", "warn"]);
    let (listen, _) = process.ready().await;
    let answer = ask(listen).await;
    let (_stream, hello) = control.stream().await;
    let said = process.said();
    let lines = said.lines().filter(|l| l.contains("state/")).map(str::to_owned).collect();
    (answer, hello.have.map(|have| have.revision), lines)
}

#[tokio::test]
async fn a_journal_cut_short_counts_up_to_its_last_whole_record() {
    let (answer, revision, said) = after(|state| cut(&newest(state, ".journal"), 3)).await;
    assert_eq!((answer.as_str(), revision), ("a", Some(1)));
    assert!(said.len() == 1 && said[0].contains("last whole record: it is cut short"), "{said:?}");
}

#[tokio::test]
async fn nothing_counts_of_a_journal_from_an_altered_byte_on() {
    let (answer, revision, said) = after(|state| alter(&newest(state, ".journal"))).await;
    assert_eq!((answer.as_str(), revision), ("a", Some(1)));
    assert!(said.len() == 1 && said[0].contains("it was altered"), "{said:?}");
}

#[tokio::test]
async fn a_checkpoint_that_is_damaged_or_foreign_gives_way_to_the_next_older_one() {
    for (damage, why) in [
        ((|file: &Path| cut(file, 1)) as fn(&Path), "it is cut short"),
        (|file| alter(file), "it was altered"),
        (|file| fs::write(file, "something else").expect("writes"), "it is no state of a gateway"),
        (|file| fs::write(file, b"HSGWCONF\x63\0\0\0").expect("writes"), "its format is 99"),
    ] {
        let (answer, revision, said) = after(|state| {
            // A newer generation, which is then damaged.
            let good = newest(state, ".checkpoint");
            let newer = good.with_file_name("00000000000000000099.checkpoint");
            fs::copy(good, &newer).expect("copies");
            damage(&newer);
        })
        .await;
        assert_eq!((answer.as_str(), revision), ("b", Some(2)), "{why}");
        assert!(said.len() == 1 && said[0].contains(why), "{said:?}");
    }
}

#[tokio::test]
async fn where_nothing_on_disk_is_of_use_the_gateway_starts_as_if_it_were_new() {
    let (answer, revision, said) = after(|state| alter(&newest(state, ".checkpoint"))).await;
    assert_eq!((answer.as_str(), revision), ("NO_CONFIG", None));
    assert_eq!(said.len(), 1, "{said:?}");
}

#[tokio::test]
async fn a_second_gateway_on_the_same_folder_is_one_clear_line_and_a_failure() {
    let control = ControlPlane::start("127.0.0.1:0").await;
    let first = Process::start(control.address, &[]);
    first.ready().await;
    let state = first.file("state");
    let mut second = Process::start(control.address, &["--gateway-data-dir", state.to_str().expect("text")]);
    assert_eq!(second.ended().await.code(), Some(1));
    let said = second.said();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("error: the folder ") && said.contains("another gateway"), "{said}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_stops_no_traffic_and_is_said_once() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    // Below a file no folder can be, for root neither.
    let process = Process::start(control.address, &["--gateway-data-dir", "said/state"]);
    let (mut stream, _) = control.stream().await;
    let (listen, admin) = process.ready().await;
    for message in [both(1, 1, a.address), moved(1, 2, b.address)] {
        let nonce = stream.say(message).await;
        stream.acknowledged(&nonce).await;
    }
    assert_eq!(ask(listen).await, "b");
    counts(admin, "gateway_state_revision 0").await;
    in_time("errors", async {
        // One at the start, and one or two for the changes, which may have been tried as one.
        let errors = |text: &str| {
            let count = text.lines().find_map(|l| l.strip_prefix("gateway_state_write_errors_total "));
            count.and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        while errors(&page(admin, "/metrics").await.1) < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let said = process.said();
    assert_eq!(said.matches("not kept on disk").count(), 1, "{said}");
}

/// A disk of 64 KiB. Mounting it takes root.
struct TinyDisk(PathBuf);

impl TinyDisk {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir(at).expect("a folder");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            Ok(output) => skipped(&String::from_utf8_lossy(&output.stderr)),
            Err(error) => skipped(&error.to_string()),
        }
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        // The gateway may have ended a moment ago: lazily, so that this can't fail for it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn skipped<T>(why: &str) -> Option<T> {
    let why = format!("a_full_disk_stops_no_traffic: no small disk can be mounted: {}", why.trim());
    let all = std::env::var_os("HOTSWAP_REQUIRE_ALL").is_some_and(|v| v == "1");
    assert!(!all, "{why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED {why}");
    let log = std::env::var_os("HOTSWAP_SKIP_LOG");
    if let Some(mut log) = log.and_then(|log| fs::File::options().append(true).create(true).open(log).ok()) {
        let _ = log.write_all(format!("{why}\n").as_bytes());
    }
    None
}

/// As many pools as fill more than the disk; none is used.
fn ballast(version: i64, backend: SocketAddr) -> Vec<Resource> {
    (0..2_000).map(|n| Resource { name: format!("pools/ballast{n}"), ..pool(version, backend) }).collect()
}

#[tokio::test]
async fn a_full_disk_stops_no_traffic() {
    let (a, b) = two_backends().await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let base = tempfile::tempdir().expect("dir");
    let at = base.path().join("disk");
    let Some(_disk) = TinyDisk::mount(&at) else { return };
    let flags = ["--gateway-data-dir", at.to_str().expect("text")];
    let process = Process::start(control.address, &flags);
    let (mut stream, _) = control.stream().await;
    let (listen, admin) = process.ready().await;
    let nonce = stream.say(both(1, 1, a.address)).await;
    stream.acknowledged(&nonce).await;
    counts(admin, "gateway_state_revision 1").await;

    // The journal does not take this; the next change, as a checkpoint, does not fit either.
    let ballast = ballast(2, a.address);
    let names: Vec<String> = ballast.iter().map(|r| r.name.clone()).collect();
    let mut after = vec![("pools/p", 1), ("routes/r", 1)];
    after.extend(names.iter().map(|n| (n.as_str(), 2)));
    let nonce = stream.say(step(1, 2, ballast, &after)).await;
    stream.acknowledged(&nonce).await;
    counts(admin, "gateway_state_write_errors_total 1").await;
    after[0].1 = 3;
    let nonce = stream.say(step(2, 3, vec![pool(3, b.address)], &after)).await;
    stream.acknowledged(&nonce).await;
    counts(admin, "gateway_state_write_errors_total 2").await;
    assert_eq!(ask(listen).await, "b", "what is in force needs no disk");
    counts(admin, "gateway_state_revision 1").await;
    assert_eq!(process.said().matches("not kept on disk").count(), 1);

    // A start has what was whole, never half of what was not.
    let dir = process.kill();
    let away = control.kill();
    let process = Process::again(&dir, away, &flags);
    let (listen, admin) = process.ready().await;
    assert_eq!(ask(listen).await, "a");
    counts(admin, "gateway_config_revision 1").await;

    // What fits again is kept again.
    let mut control = ControlPlane::start(&away.to_string()).await;
    let (mut stream, hello) = control.stream().await;
    assert_eq!(hello.have, token(1));
    let nonce = stream.say(moved(1, 4, b.address)).await;
    stream.acknowledged(&nonce).await;
    counts(admin, "gateway_state_revision 4").await;
    counts(admin, "gateway_state_write_errors_total 0").await;
}
