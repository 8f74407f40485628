//! What becomes of a test that can't have what it needs.

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::thread;

use crate::Unavailable;

/// What is needed, or `None` where it is not installed: the test then returns. That is told as "SKIPPED <test>:
/// why" on the standard error and in the file that `HOTSWAP_SKIP_LOG` names.
///
/// # Panics
/// Where it is installed and does not work, and where it is missing and `HOTSWAP_REQUIRE_ALL=1` is set.
#[track_caller]
pub fn required<T>(what: Result<T, Unavailable>) -> Option<T> {
    let why = match what {
        Ok(there) => return Some(there),
        Err(why) => why,
    };
    let all = env::var_os("HOTSWAP_REQUIRE_ALL").is_some_and(|v| v == "1");
    assert!(matches!(why, Unavailable::Missing { .. } | Unavailable::NotBuilt { .. }) && !all, "{why}");
    skipped(&test_name(), &why, env::var_os("HOTSWAP_SKIP_LOG").as_deref().map(Path::new));
    None
}

/// The test that runs: the runner names it, or the thread.
fn test_name() -> String {
    let of_thread = || thread::current().name().unwrap_or("a test").to_owned();
    env::var("NEXTEST_TEST_NAME").unwrap_or_else(|_| of_thread())
}

fn skipped(test: &str, why: &Unavailable, log: Option<&Path>) {
    // Nobody may be listening, and that is no reason to fail.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    if let Some(mut file) = log.and_then(|path| File::options().append(true).create(true).open(path).ok()) {
        // One write, so that lines of other processes do not mix with it.
        let _ = file.write_all(format!("{test}: {why}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_given() {
        assert_eq!(required(Ok(7)), Some(7));
    }

    #[test]
    #[should_panic(expected = "broken")]
    fn what_does_not_work_is_never_a_skip() {
        required::<()>(Err(Unavailable::Failed("broken".into())));
    }

    #[test]
    fn a_skip_adds_a_line_to_the_log() {
        let dir = tempfile::tempdir().expect("temp");
        let log = dir.path().join("log");
        let why = Unavailable::Missing { program: "p", package: "q" };
        skipped("a::b", &why, Some(&log));
        skipped("a::c", &why, Some(&log));
        let text = std::fs::read_to_string(log).expect("reads");
        let why = "p is not installed (Debian package q)";
        assert_eq!(text, format!("a::b: {why}\na::c: {why}\n"));
    }
}
