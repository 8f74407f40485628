//! Any order of events, in one process: what memory gives is true, and never older than before.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use hotswap_cache::{Cache, CacheMetrics, CacheOptions, Cached};
use prometheus::Registry;
use proptest::prelude::*;
use tokio::sync::oneshot;

use crate::support::{Database, SCOPE, to_revision};

const NAMES: [&str; 3] = ["x", "y", "z"];

/// What may happen. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    /// A commit that touches the names whose bits are set.
    Commit(u8),
    /// One of the commits is told: late, twice, out of order.
    Tell(usize),
    /// Somebody asks; the loader reads at once and then hangs.
    Ask(usize),
    /// A loader goes on.
    Land(usize),
    /// One who asked goes away.
    Leave(usize),
    /// A value that was read at some revision is put.
    Put(usize, usize),
    /// The change log is asked.
    Reconcile,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..8_u8).prop_map(Step::Commit),
        3 => any::<usize>().prop_map(Step::Tell),
        4 => any::<usize>().prop_map(Step::Ask),
        4 => any::<usize>().prop_map(Step::Land),
        1 => any::<usize>().prop_map(Step::Leave),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(name, at)| Step::Put(name, at)),
        2 => Just(Step::Reconcile),
    ];
    proptest::collection::vec(step, 1..60)
}

type Get = Pin<Box<dyn Future<Output = Result<Cached, Arc<()>>>>>;
type Gates = Arc<Mutex<Vec<oneshot::Sender<()>>>>;

struct Run {
    cache: Cache,
    database: Database,
    /// The name, what was seen of it when it was asked for, and what comes of it.
    asked: Vec<(&'static str, i64, Get)>,
    gates: Gates,
    /// The latest revision that was seen of each name.
    seen: HashMap<&'static str, i64>,
}

impl Run {
    /// A cache with room for few entries, so that it evicts.
    fn new(capacity: u64) -> Self {
        let metrics = CacheMetrics::register("test", &Registry::new()).expect("registers");
        let (cache, _maintenance) =
            Cache::in_process(CacheOptions { capacity, ..CacheOptions::default() }, metrics);
        let (asked, gates, seen) = (Vec::new(), Gates::default(), HashMap::new());
        Self { cache, database: Database::default(), asked, gates, seen }
    }

    fn take(&mut self, step: &Step) {
        let newest = self.database.newest();
        match *step {
            Step::Commit(bits) => {
                let names: Vec<_> = (0..3).filter(|n| bits & (1 << n) != 0).map(|n| NAMES[n]).collect();
                self.database.write(&names, &(newest + 1).to_string());
            }
            Step::Tell(n) if newest > 0 => self.cache.invalidate(self.database.commit(n % newest + 1)),
            Step::Ask(n) => self.ask(NAMES[n % 3]),
            Step::Land(n) => {
                let mut gates = self.gates.lock().expect("lock");
                if !gates.is_empty() {
                    let n = n % gates.len();
                    // Whoever asked may be gone.
                    let _ = gates.swap_remove(n).send(());
                }
            }
            Step::Leave(n) if !self.asked.is_empty() => {
                let n = n % self.asked.len();
                drop(self.asked.swap_remove(n));
            }
            Step::Put(name, at) if newest > 0 => {
                let name = NAMES[name % 3];
                self.cache.put(SCOPE, name, &self.database.at(name, at % newest + 1));
            }
            Step::Reconcile => {
                let mut round = Box::pin(self.cache.reconcile(&self.database));
                let done = round.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(done.is_ready(), "it does no I/O");
            }
            Step::Tell(_) | Step::Leave(_) | Step::Put(..) => {}
        }
    }

    fn ask(&mut self, name: &'static str) {
        let (cache, database, gates) = (self.cache.clone(), self.database.clone(), Arc::clone(&self.gates));
        let seen = self.seen.get(name).copied().unwrap_or_default();
        self.asked.push((
            name,
            seen,
            Box::pin(async move {
                let load = || {
                    let read = database.load(name);
                    let (go, gate) = oneshot::channel();
                    gates.lock().expect("lock").push(go);
                    async move {
                        gate.await.expect("goes");
                        Ok(read)
                    }
                };
                cache.get(SCOPE, name, load).await
            }),
        ));
    }

    /// Lets those who asked go on as far as they come, and judges what they get.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        let mut context = Context::from_waker(Waker::noop());
        // Twice: one who lands may wake one who was asked before.
        for _ in 0..2 {
            for (name, seen, mut get) in std::mem::take(&mut self.asked) {
                match get.as_mut().poll(&mut context) {
                    Poll::Pending => self.asked.push((name, seen, get)),
                    Poll::Ready(got) => self.judge(name, seen, &got.expect("never fails"))?,
                }
            }
        }
        Ok(())
    }

    /// A value must be true, and no older than what was seen before it was asked for.
    fn judge(&mut self, name: &'static str, before: i64, got: &Cached) -> Result<(), TestCaseError> {
        let as_of = usize::try_from(got.as_of.0).expect("no negative");
        prop_assert_eq!(got, &self.database.at(name, as_of), "{} is not true", name);
        // Each value is the number of its commit.
        let number =
            got.value.as_ref().map_or(0, |v| std::str::from_utf8(v).expect("text").parse().expect("number"));
        prop_assert!(number >= before, "{name} went back from {before} to {number}");
        let seen = self.seen.entry(name).or_default();
        *seen = number.max(*seen);
        Ok(())
    }

    fn check(&mut self, step: &Step) -> Result<(), TestCaseError> {
        for name in NAMES {
            let Some(found) = self.cache.peek(SCOPE, name) else { continue };
            let seen = self.seen.get(name).copied().unwrap_or_default();
            self.judge(name, seen, &found)?;
            if matches!(step, Step::Reconcile) {
                let newest = self.database.newest();
                prop_assert_eq!(
                    &found.value,
                    &self.database.at(name, newest).value,
                    "{} is out of date",
                    name
                );
                prop_assert!(found.as_of <= to_revision(newest));
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_late_twice_or_never_a_value_is_true_and_never_goes_back(
        steps in steps(),
        capacity in prop_oneof![Just(1_u64 << 20), Just(200), Just(0)],
    ) {
        let mut run = Run::new(capacity);
        for step in &steps {
            run.take(step);
            run.settle()?;
            run.check(step)?;
        }
    }
}
