use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hotswap_api::gateway::v1::{Resource, ResumeToken};

use super::*;

fn open(dir: &Path) -> Keeper {
    Keeper::new(State::open(dir, None, Arc::default()).expect("free"))
}

fn change(revision: i64, upserts: &[(&str, i64)], removes: &[&str], whole: bool) -> Change {
    let mut change = Change::to(ResumeToken { store_id: "s".into(), revision });
    removes.iter().for_each(|name| change.remove((*name).to_owned()));
    for &(name, version) in upserts {
        change.put(&Resource { name: name.into(), version, spec: None, candidate: None });
    }
    Change { whole, ..change }
}

/// What a gateway that starts now would have: the revision, and each resource.
fn kept(dir: &Path) -> Option<(i64, Vec<(String, i64)>)> {
    let state = State::open(dir, None, Arc::default()).expect("free");
    let saved = state.saved()?;
    let mut all: Vec<_> = saved.resources().map(|r| (r.name, r.version)).collect();
    all.sort();
    Some((saved.at().revision, all))
}

fn files(dir: &Path, end: &str) -> Vec<String> {
    let names = fs::read_dir(dir).expect("folder").map(|e| e.expect("entry").file_name());
    let mut names: Vec<_> = names.filter_map(|n| n.into_string().ok()).filter(|n| n.ends_with(end)).collect();
    names.sort();
    names
}

fn pair(name: &str, version: i64) -> (String, i64) {
    (name.to_owned(), version)
}

#[test]
fn changes_go_to_the_journal_and_a_start_has_them_all() {
    let dir = tempfile::tempdir().expect("dir");
    assert_eq!(kept(dir.path()), None);
    let mut keeper = open(dir.path());
    keeper.keep(change(1, &[("a", 1), ("b", 1)], &[], true));
    keeper.keep(change(2, &[("a", 2)], &["b"], false));
    keeper.keep(change(4, &[("c", 4)], &[], false));
    assert_eq!((files(dir.path(), ".checkpoint").len(), files(dir.path(), ".journal").len()), (1, 1));
    assert_eq!(keeper.metrics.state_revision.load(Ordering::Relaxed), 4);
    drop(keeper);
    assert_eq!(kept(dir.path()), Some((4, vec![pair("a", 2), pair("c", 4)])));
    for file in [files(dir.path(), ".checkpoint"), files(dir.path(), ".journal")].concat() {
        let mode = fs::metadata(dir.path().join(file)).expect("meta").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn the_newest_three_are_kept_and_each_is_there_when_those_after_it_are_not() {
    let dir = tempfile::tempdir().expect("dir");
    let mut keeper = open(dir.path());
    for n in 0..5 {
        keeper.keep(change(2 * n + 1, &[("a", 2 * n + 1)], &[], true));
        keeper.keep(change(2 * n + 2, &[("b", 2 * n + 2)], &[], false));
    }
    drop(keeper);
    let checkpoints = files(dir.path(), ".checkpoint");
    assert_eq!((checkpoints.len(), files(dir.path(), ".journal").len()), (3, 3));
    assert_eq!(kept(dir.path()).map(|k| k.0), Some(10));
    // An altered byte in the newest checkpoint, then one of another format.
    let newest = dir.path().join(&checkpoints[2]);
    let mut bytes = fs::read(&newest).expect("read");
    *bytes.last_mut().expect("some") ^= 1;
    fs::write(&newest, bytes).expect("write");
    assert_eq!(kept(dir.path()).map(|k| k.0), Some(8));
    fs::write(dir.path().join(&checkpoints[1]), b"HSGWCONF\x09\0\0\0").expect("write");
    assert_eq!(kept(dir.path()), Some((6, vec![pair("a", 5), pair("b", 6)])));

    // The next change makes a new one, takes away those that are no use, and keeps the good one.
    let mut keeper = open(dir.path());
    keeper.keep(change(11, &[("c", 11)], &[], false));
    drop(keeper);
    let left = files(dir.path(), ".checkpoint");
    assert_eq!((left.len(), &left[0]), (2, &checkpoints[0]));
    assert!(left[1] > checkpoints[2], "no number is used again");
    assert_eq!(kept(dir.path()), Some((11, vec![pair("a", 5), pair("b", 6), pair("c", 11)])));
}

#[test]
fn a_journal_that_outgrows_its_share_becomes_a_checkpoint() {
    let dir = tempfile::tempdir().expect("dir");
    let mut keeper = open(dir.path());
    keeper.keep(change(0, &[("a", 0)], &[], true));
    let long = "a".repeat(1_000);
    let mut writes = 0;
    for n in 1..=1_500 {
        keeper.keep(change(n, &[(&long, n)], &[], false));
        writes += usize::from(keeper.open.as_ref().is_some_and(|g| g.journal.is_none()));
    }
    assert_eq!(writes, 1, "about a mebibyte of journal for each checkpoint");
    let journals: u64 = files(dir.path(), ".journal")
        .iter()
        .map(|f| fs::metadata(dir.path().join(f)).expect("meta").len())
        .max()
        .expect("some");
    assert!((SMALL_JOURNAL..SMALL_JOURNAL + 2_000).contains(&journals), "{journals}");
    drop(keeper);
    assert_eq!(kept(dir.path()), Some((1_500, vec![pair("a", 0), pair(&long, 1_500)])));
}

#[test]
fn a_disk_that_fails_is_said_and_counted_and_the_next_change_writes_all() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("state");
    let mut keeper = open(&path);
    keeper.keep(change(1, &[("a", 1)], &[], true));
    // The folder is gone, and a file stands in its place: nobody can write there, root neither.
    fs::remove_dir_all(&path).expect("remove");
    fs::write(&path, b"").expect("file");
    keeper.keep(change(2, &[("b", 2)], &["a"], false));
    keeper.keep(change(3, &[("c", 3)], &[], false));
    let metrics = Arc::clone(&keeper.metrics);
    assert_eq!(metrics.state_write_errors.load(Ordering::Relaxed), 2);
    assert_eq!(metrics.state_revision.load(Ordering::Relaxed), 1, "what is safe is what was written");
    assert!(keeper.failing);
    fs::remove_file(&path).expect("remove");
    keeper.keep(change(4, &[("d", 4)], &[], false));
    assert!(!keeper.failing);
    assert_eq!(metrics.state_revision.load(Ordering::Relaxed), 4);
    drop(keeper);
    assert_eq!(kept(&path), Some((4, vec![pair("b", 2), pair("c", 3), pair("d", 4)])));
}

#[test]
fn a_folder_that_cannot_be_made_stops_nothing_and_is_used_once_it_can() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("state");
    fs::write(&path, b"in the way").expect("file");
    let mut keeper = open(&path);
    keeper.keep(change(1, &[("a", 1)], &[], true));
    assert_eq!(keeper.metrics.state_write_errors.load(Ordering::Relaxed), 2, "at the start and now");
    fs::remove_file(&path).expect("remove");
    keeper.keep(change(2, &[("b", 2)], &[], false));
    drop(keeper);
    assert_eq!(kept(&path), Some((2, vec![pair("a", 1), pair("b", 2)])));
}

#[test]
fn two_gateways_on_one_folder_are_a_clear_error() {
    let dir = tempfile::tempdir().expect("dir");
    let _first = State::open(dir.path(), None, Arc::default()).expect("free");
    let error = State::open(dir.path(), None, Arc::default()).expect_err("in use").to_string();
    assert!(error.contains("in use by another gateway") && error.contains("--gateway-data-dir"), "{error}");
}

#[test]
fn a_crash_between_any_two_writes_leaves_what_was_safe() {
    let dir = tempfile::tempdir().expect("dir");
    let mut keeper = open(dir.path());
    keeper.keep(change(1, &[("a", 1)], &[], true));
    keeper.keep(change(2, &[("b", 2)], &[], false));
    drop(keeper);
    // Half of the next checkpoint, under the name that it has until it is whole.
    fs::write(dir.path().join(format!("{}.new", checkpoint_name(2))), b"HSGWCONF\x01\0").expect("write");
    assert_eq!(kept(dir.path()).map(|k| k.0), Some(2));
    let mut keeper = open(dir.path());
    keeper.keep(change(3, &[("c", 3)], &[], false));
    drop(keeper);
    assert_eq!(kept(dir.path()).map(|k| k.0), Some(3));
    assert_eq!(files(dir.path(), ".new"), Vec::<String>::new());
}

#[test]
fn the_end_of_a_journal_that_does_not_count_is_cut_off_at_a_start() {
    let dir = tempfile::tempdir().expect("dir");
    let mut keeper = open(dir.path());
    keeper.keep(change(1, &[("a", 1)], &[], true));
    keeper.keep(change(2, &[("b", 2)], &[], false));
    drop(keeper);
    let journal = dir.path().join(&files(dir.path(), ".journal")[0]);
    let whole = fs::read(&journal).expect("read");
    fs::write(&journal, [&whole[..], &[7; 1_000]].concat()).expect("write");
    assert_eq!(kept(dir.path()).map(|k| k.0), Some(2));
    assert_eq!(fs::read(&journal).expect("read"), whole);
}
