//! The second tier on a real Redis, step by step and without tasks.

use hotswap_testkit::{Redis, required};
use prometheus::Registry;
use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_secs(300);
const R: fn(i64) -> Revision = Revision;
const X: KeyRef<'static> = KeyRef { scope: "s", name: "x" };

/// A node's Redis; the link is held, and does nothing.
async fn connected(redis: &Redis, namespace: &str) -> (Shared, Link) {
    let metrics = CacheMetrics::register("test", &Registry::new()).expect("registers");
    let mut options = RedisOptions::new(&redis.url(), namespace).expect("url");
    // A slow machine is no failure here.
    options.timeout = Duration::from_secs(30);
    let (shared, link) = Shared::new(options, TTL, metrics);
    let (connection, _messages) = link.connect().await.expect("connects");
    shared.state.connection.store(Some(Arc::new(connection)));
    (shared, link)
}

fn value(as_of: i64, text: &str) -> Cached {
    Cached { as_of: R(as_of), value: Some(Bytes::from(text.to_owned())) }
}

fn names(names: &[&str]) -> Names {
    Names::Some(names.iter().map(|n| (*n).to_owned()).collect())
}

async fn put(shared: &Shared, name: &str, value: Cached) {
    let job = Job::Put { scope: "s".into(), name: name.into(), value, stored: Instant::now() };
    shared.state.work(job).await.expect("is there");
}

async fn tell(shared: &Shared, revision: i64, names: Names) {
    let change = Change { scope: "s".into(), revision: R(revision), names };
    shared.state.work(Job::Tell(change)).await.expect("is there");
}

async fn got(shared: &Shared) -> Option<Cached> {
    shared.get(X).await.map(|(value, _)| value)
}

#[tokio::test]
async fn a_value_is_found_as_it_was_put_and_so_is_that_there_is_none() {
    let Some(redis) = required(Redis::start()) else { return };
    let (shared, _link) = connected(&redis, "a").await;
    assert_eq!((got(&shared).await, shared.place("s").await), (None, Place::Nothing));
    put(&shared, "x", value(5, "\0\u{ff}")).await;
    assert_eq!(got(&shared).await, Some(value(5, "\0\u{ff}")));
    put(&shared, "x", Cached { as_of: R(6), value: None }).await;
    assert_eq!(got(&shared).await, Some(Cached { as_of: R(6), value: None }));
    assert_eq!(shared.place("s").await, Place::At(R(5)));
    let (other, _link) = connected(&redis, "b").await;
    assert_eq!(got(&other).await, None, "namespaces are apart");
}

#[tokio::test]
async fn what_is_left_of_its_time_comes_with_a_value() {
    let Some(redis) = required(Redis::start()) else { return };
    let (shared, _link) = connected(&redis, "a").await;
    shared.state.put(X, &value(5, "v"), Duration::from_secs(100)).await.expect("is there");
    let (_, left) = shared.get(X).await.expect("is there");
    assert!(left <= Duration::from_secs(100) && left > Duration::ZERO, "{left:?}");
}

#[tokio::test]
async fn an_older_value_does_not_come_back_after_a_change() {
    let Some(redis) = required(Redis::start()) else { return };
    let (shared, _link) = connected(&redis, "a").await;
    put(&shared, "x", value(5, "old")).await;
    tell(&shared, 6, names(&["x"])).await;
    assert_eq!(got(&shared).await, None);
    put(&shared, "x", value(5, "old")).await;
    assert_eq!(got(&shared).await, None, "a loader that was slow");
    put(&shared, "x", value(6, "new")).await;
    assert_eq!(got(&shared).await, Some(value(6, "new")));
}

#[tokio::test]
async fn a_change_that_skips_another_marks_its_names_and_claims_no_more() {
    let Some(redis) = required(Redis::start()) else { return };
    let (shared, _link) = connected(&redis, "a").await;
    put(&shared, "x", value(5, "old")).await;
    tell(&shared, 7, names(&["x"])).await;
    assert_eq!((got(&shared).await, shared.place("s").await), (None, Place::At(R(5))));
    put(&shared, "x", value(6, "old")).await;
    assert_eq!(got(&shared).await, None);
    shared.catch_up("s", Place::At(R(5)), R(7), &names(&["x", "y"])).await.expect("is there");
    assert_eq!(shared.place("s").await, Place::At(R(7)));
}

#[tokio::test]
async fn many_names_are_marked_in_steps() {
    let Some(redis) = required(Redis::start()) else { return };
    let (shared, _link) = connected(&redis, "a").await;
    put(&shared, "x", value(5, "old")).await;
    let mut many: Vec<String> = (0..2 * STEP).map(|n| n.to_string()).collect();
    many.push("x".to_owned());
    tell(&shared, 6, Names::Some(many)).await;
    assert_eq!((got(&shared).await, shared.place("s").await), (None, Place::At(R(6))));
}

#[tokio::test]
async fn a_change_of_everything_ends_every_value_and_so_does_a_history_that_was_set_back() {
    let Some(redis) = required(Redis::start()) else { return };
    let (shared, _link) = connected(&redis, "a").await;
    put(&shared, "x", value(5, "old")).await;
    tell(&shared, 6, Names::All).await;
    assert_eq!((got(&shared).await, shared.place("s").await), (None, Place::At(R(6))));
    put(&shared, "x", value(8, "of a life that is over")).await;
    shared.catch_up("s", Place::At(R(6)), R(3), &names(&[])).await.expect("is there");
    assert_eq!((got(&shared).await, shared.place("s").await), (None, Place::At(R(3))));
    put(&shared, "x", value(4, "new")).await;
    assert_eq!(got(&shared).await, Some(value(4, "new")));
}

#[tokio::test]
async fn a_forgotten_scope_has_nothing_even_when_it_starts_again() {
    let Some(redis) = required(Redis::start()) else { return };
    let (shared, _link) = connected(&redis, "a").await;
    put(&shared, "x", value(9, "of a life that is over")).await;
    shared.forget("s");
    shared.state.forget_all().await.expect("is there");
    put(&shared, "y", value(2, "new")).await;
    assert_eq!((got(&shared).await, shared.place("s").await), (None, Place::At(R(2))));
}

/// What may happen, in any order. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    /// A commit that touches names.
    Commit(u8),
    /// One of the commits is told, late, twice or never.
    Tell(usize),
    /// A loader that read at some revision writes.
    Put(usize, usize),
    /// A node brings the scope up to date, from where it saw it at an earlier time.
    CatchUp,
    /// Redis evicts a key, or loses the scope.
    Evict(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..8_u8).prop_map(Step::Commit),
        3 => any::<usize>().prop_map(Step::Tell),
        5 => (any::<usize>(), any::<usize>()).prop_map(|(name, at)| Step::Put(name, at)),
        2 => Just(Step::CatchUp),
        1 => (0..4_usize).prop_map(Step::Evict),
    ];
    proptest::collection::vec(step, 1..40)
}

const NAMES: [&str; 3] = ["x", "y", "z"];

/// The names that a commit touched: a bit for each.
fn touched(bits: u8) -> Vec<String> {
    NAMES
        .iter()
        .enumerate()
        .filter(|(n, _)| bits & (1 << n) != 0)
        .map(|(_, name)| (*name).to_owned())
        .collect()
}

/// The value of a name at a revision: the last commit that touched it.
fn at(commits: &[u8], name: usize, revision: usize) -> String {
    let last = commits[..revision].iter().rposition(|bits| bits & (1 << name) != 0);
    last.map_or(0, |n| n + 1).to_string()
}

/// What Redis gives must be true: the value at the revision that it is said to be as of; and a scope that is up to
/// date must not have an older one.
async fn check(shared: &Shared, commits: &[u8], whole: bool) -> Result<(), TestCaseError> {
    for (n, name) in NAMES.iter().enumerate() {
        let Some((found, _)) = shared.get(KeyRef { scope: "s", name }).await else { continue };
        let revision = usize::try_from(found.as_of.0).expect("no negative");
        let expected = Some(Bytes::from(at(commits, n, revision)));
        // Hints may be missing: then it may claim what is known to be right no longer.
        if whole {
            prop_assert_eq!(
                &found.value,
                &Some(Bytes::from(at(commits, n, commits.len()))),
                "{} {:?}",
                name,
                found
            );
        }
        prop_assert_eq!(&found.value, &expected, "{} {:?}", name, found);
    }
    Ok(())
}

async fn take(shared: &Shared, redis: &Redis, steps: Vec<Step>, run: usize) -> Result<(), TestCaseError> {
    let mut commits: Vec<u8> = Vec::new();
    for step in steps {
        let mut whole = false;
        match step {
            Step::Commit(bits) => commits.push(bits),
            Step::Tell(_) | Step::Put(..) if commits.is_empty() => {}
            Step::Tell(n) => {
                let n = n % commits.len();
                let revision = i64::try_from(n + 1).expect("small");
                tell(shared, revision, Names::Some(touched(commits[n]))).await;
            }
            Step::Put(name, revision) => {
                let (name, revision) = (name % NAMES.len(), revision % commits.len() + 1);
                let as_of = i64::try_from(revision).expect("small");
                put(shared, NAMES[name], value(as_of, &at(&commits, name, revision))).await;
            }
            Step::CatchUp => {
                let place = shared.place("s").await;
                let from = if let Place::At(at) = place { usize::try_from(at.0).expect("small") } else { 0 };
                let to = Revision(i64::try_from(commits.len()).expect("small"));
                let bits = commits.iter().skip(from).fold(0, |all, bits| all | bits);
                shared.catch_up("s", place, to, &Names::Some(touched(bits))).await.expect("is there");
                whole = true;
            }
            Step::Evict(n) => {
                let naming = &shared.state.naming;
                let key = |name| naming.name(KeyRef { scope: "s", name });
                let key = NAMES.get(n).map_or_else(|| naming.scope("s"), |name| key(name));
                redis.command(&["DEL", &key]).expect("deletes");
            }
        }
        check(shared, &commits, whole).await.map_err(|e| TestCaseError::fail(format!("run {run}: {e}")))?;
    }
    Ok(())
}

#[test]
fn whatever_comes_late_twice_or_never_what_redis_gives_is_true() {
    let Some(redis) = required(Redis::start()) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let (shared, _link) = runtime.block_on(connected(&redis, "a"));
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let run = std::cell::Cell::new(0);
    let tried = runner.run(&steps(), |steps| {
        run.set(run.get() + 1);
        redis.command(&["FLUSHALL"]).expect("flushes");
        runtime.block_on(take(&shared, &redis, steps, run.get()))
    });
    tried.expect("holds");
}
