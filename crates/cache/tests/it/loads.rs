//! Loads, without Redis.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use hotswap_cache::{Cached, Change, ChangeSource, Changes, Names};
use hotswap_core::Revision;
use tokio::sync::oneshot;

use crate::support::{Database, SCOPE, count, in_process, text, until};

#[derive(Debug, PartialEq, Eq)]
struct Broken(usize);

#[tokio::test]
async fn those_who_ask_at_once_share_one_load() {
    let (cache, _maintenance, registry) = in_process();
    let database = Database::default();
    database.write(&["x"], "1");
    let (go, gate) = oneshot::channel::<()>();
    let gate = std::sync::Mutex::new(Some(gate));
    let first = cache.get(SCOPE, "x", || {
        let gate = gate.lock().expect("lock").take();
        let database = database.clone();
        async move {
            gate.expect("loads once").await.expect("goes");
            Ok::<_, Broken>(database.load("x"))
        }
    });
    let others = (0..100).map(|_| cache.get(SCOPE, "x", async || Err::<Cached, _>(Broken(0))));
    let mut all: Vec<_> = others.map(Box::pin).collect();
    let mut first = std::pin::pin!(first);
    let mut context = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(all.iter_mut().all(|get| get.as_mut().poll(&mut context).is_pending()));
    go.send(()).expect("waits");
    assert_eq!(first.await.expect("loads").value, text("1"));
    for get in all {
        assert_eq!(get.await.expect("shares").value, text("1"));
    }
    assert_eq!((database.loads(), count(&registry, "cache_misses_total", "")), (1, 101));
}

#[tokio::test]
async fn an_error_is_shared_by_those_who_wait_and_not_kept() {
    let (cache, _maintenance, _) = in_process();
    let loads = AtomicUsize::new(0);
    let fails = || async {
        let n = loads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        Err::<Cached, _>(Broken(n))
    };
    let (one, other) = tokio::join!(cache.get(SCOPE, "x", fails), cache.get(SCOPE, "x", fails));
    assert_eq!((one, other), (Err(Arc::new(Broken(0))), Err(Arc::new(Broken(0)))));
    assert_eq!(cache.get(SCOPE, "x", fails).await, Err(Arc::new(Broken(1))));
}

#[tokio::test]
async fn one_who_waits_with_a_loader_of_another_kind_does_not_get_its_error() {
    let (cache, _maintenance, _) = in_process();
    let database = Database::default();
    let fails = || async {
        tokio::task::yield_now().await;
        Err::<Cached, _>(Broken(0))
    };
    let loads = || async { Ok::<_, String>(database.load("x")) };
    let (one, other) = tokio::join!(cache.get(SCOPE, "x", fails), cache.get(SCOPE, "x", loads));
    assert!(one.is_err() && other.is_ok());
}

#[tokio::test]
async fn a_load_that_is_given_up_passes_to_one_who_waits() {
    let (cache, _maintenance, _) = in_process();
    let database = Database::default();
    database.write(&["x"], "1");
    let mut first = Box::pin(cache.get(SCOPE, "x", std::future::pending::<Result<Cached, Broken>>));
    let mut second = Box::pin(cache.get(SCOPE, "x", async || Ok::<_, Broken>(database.load("x"))));
    let mut context = Context::from_waker(Waker::noop());
    assert!(first.as_mut().poll(&mut context).is_pending());
    assert!(second.as_mut().poll(&mut context).is_pending());
    drop(first);
    assert_eq!(second.await.expect("loads").value, text("1"));
}

#[tokio::test]
async fn a_load_that_a_change_overtakes_is_made_again_and_the_old_value_is_never_kept() {
    let (cache, _maintenance, _) = in_process();
    let database = Database::default();
    database.write(&["x"], "old");
    let (go, gate) = oneshot::channel::<()>();
    let gate = std::sync::Mutex::new(Some(gate));
    let mut get = Box::pin(cache.get(SCOPE, "x", || {
        let read = database.load("x");
        let gate = gate.lock().expect("lock").take();
        async move {
            if let Some(gate) = gate {
                gate.await.expect("goes");
            }
            Ok::<_, Broken>(read)
        }
    }));
    assert!(matches!(get.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    cache.invalidate(database.write(&["x"], "new"));
    go.send(()).expect("waits");
    assert_eq!(get.await.expect("loads"), database.at("x", 2));
    assert_eq!((database.loads(), cache.peek(SCOPE, "x")), (2, Some(database.at("x", 2))));
}

#[tokio::test]
async fn one_who_waits_does_not_get_what_was_out_of_date_when_he_asked() {
    let (cache, _maintenance, _) = in_process();
    let database = Database::default();
    database.write(&["x"], "1");
    let gates = std::sync::Mutex::new(Vec::new());
    // Reads, and hands its result out when it is let go.
    let slow = || {
        let (go, gate) = oneshot::channel::<()>();
        gates.lock().expect("lock").push(go);
        let read = database.load("x");
        async move {
            gate.await.expect("goes");
            Ok::<_, Broken>(read)
        }
    };
    let mut context = Context::from_waker(Waker::noop());
    let mut first = Box::pin(cache.get(SCOPE, "x", slow));
    // Each of its loads is overtaken by a change.
    for value in ["2", "3", "4"] {
        assert!(first.as_mut().poll(&mut context).is_pending());
        cache.invalidate(database.write(&["x"], value));
        if value == "4" {
            break;
        }
        gates.lock().expect("lock").pop().expect("loads").send(()).expect("waits");
    }
    let mut second = Box::pin(cache.get(SCOPE, "x", async || Ok::<_, Broken>(database.load("x"))));
    assert!(second.as_mut().poll(&mut context).is_pending());
    gates.lock().expect("lock").pop().expect("loads").send(()).expect("waits");
    assert_eq!(first.await.expect("loads").value, text("3"), "what was right when it was loaded");
    assert_eq!(second.await.expect("loads").value, text("4"));
}

#[tokio::test]
async fn a_loader_that_stays_behind_is_answered_and_not_kept() {
    let (cache, _maintenance, _) = in_process();
    let database = Database::default();
    database.write(&["x"], "old");
    let lagging = || async {
        database.load("x");
        Ok::<_, Broken>(database.at("x", 1))
    };
    cache.get(SCOPE, "y", lagging).await.expect("loads");
    cache.invalidate(database.write(&["x"], "new"));
    assert_eq!(cache.get(SCOPE, "x", lagging).await.expect("loads").value, text("old"));
    assert_eq!((database.loads(), cache.peek(SCOPE, "x")), (1 + 3, None));
}

#[tokio::test]
async fn that_there_is_none_is_kept_until_there_is_one() {
    let (cache, _maintenance, _) = in_process();
    let database = Database::default();
    database.write(&["y"], "1");
    let load = || async { Ok::<_, Broken>(database.load("x")) };
    for _ in 0..3 {
        assert_eq!(cache.get(SCOPE, "x", load).await.expect("loads").value, None);
    }
    assert_eq!(database.loads(), 1);
    cache.invalidate(database.write(&["x"], "1"));
    assert_eq!(cache.get(SCOPE, "x", load).await.expect("loads").value, text("1"));
}

#[tokio::test]
async fn a_round_finds_what_nobody_told_and_a_forgotten_log_ends_everything() {
    let (cache, _maintenance, registry) = in_process();
    let database = Database::default();
    database.write(&["x", "y"], "1");
    for name in ["x", "y"] {
        cache.get(SCOPE, name, async || Ok::<_, Broken>(database.load(name))).await.expect("loads");
    }
    database.write(&["x"], "2");
    cache.reconcile(&database).await.expect("infallible");
    assert_eq!((cache.peek(SCOPE, "x"), cache.peek(SCOPE, "y").is_some()), (None, true));
    assert_eq!(count(&registry, "cache_invalidations_total", "source"), 1);
    cache.reconcile(&database).await.expect("infallible");
    assert_eq!(count(&registry, "cache_invalidations_total", "source"), 1, "it is no news");
    cache.invalidate(Change { scope: SCOPE.into(), revision: Revision(3), names: Names::All });
    assert_eq!(cache.peek(SCOPE, "y"), None);
}

#[tokio::test]
async fn a_history_that_was_set_back_ends_everything() {
    let (cache, _maintenance, _) = in_process();
    let (long, short) = (Database::default(), Database::default());
    long.write(&["x"], "1");
    long.write(&["x"], "lost");
    cache.get(SCOPE, "x", async || Ok::<_, Broken>(long.load("x"))).await.expect("loads");
    short.write(&["x"], "1");
    cache.reconcile(&short).await.expect("infallible");
    assert_eq!(cache.peek(SCOPE, "x"), None);
    let load = async || Ok::<_, Broken>(short.load("x"));
    assert_eq!(cache.get(SCOPE, "x", load).await.expect("loads"), short.at("x", 1));
}

/// A change log that can't be asked.
struct Away;

impl ChangeSource for Away {
    type Error = &'static str;

    async fn changes_after(&self, _scope: &str, _after: Revision) -> Result<Changes, Self::Error> {
        Err("the database is away")
    }
}

#[tokio::test]
async fn a_round_whose_change_log_is_away_is_counted_as_failed() {
    let (cache, maintenance, registry) = in_process();
    let database = Database::default();
    database.write(&["x"], "1");
    cache.get(SCOPE, "x", async || Ok::<_, Broken>(database.load("x"))).await.expect("loads");
    let failed = async || count(&registry, "cache_rounds_total", "failed") == 1;
    maintenance.run(Away, until(failed)).await;
    assert_eq!(count(&registry, "cache_rounds_total", "ok"), 0);
    assert_eq!(cache.peek(SCOPE, "x"), Some(database.at("x", 1)), "it serves meanwhile");
}
