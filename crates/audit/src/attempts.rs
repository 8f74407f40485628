//! Calls that were denied or failed. They have no transaction to be written in, and anybody can make as many as they
//! like, so they are gathered, written soon, and bounded:
//!
//! - The first of each kind (who, what, why, from where) is written within a second. Others of that kind are counted
//!   for a minute, and written as one event with their number.
//! - New kinds cost a token each: 200 at once, then 10 a minute. Where there is none left, attempts are only counted,
//!   and told once a minute: whose they were, of the first few callers.
//! - Callers without a valid token have tokens of their own, so they can't crowd out what known callers do.
//!
//! So the log grows by some 50 events a minute at most, whatever comes. What was noted and not yet written is lost
//! where the process is killed: some 200 ms.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hotswap_core::{Clock, Reason, Revision, Timestamp};
use hotswap_store::StoreError;
use tokio::sync::Notify;

use crate::metrics::{AuditMetrics, Task};
use crate::{AuditLog, Caller, Chain, Diff, Entry, Outcome, event};

/// Attempts alike are counted for so long, in µs.
const WINDOW: i64 = 60_000_000;
/// Kinds of attempts that are told one by one: at once, and then one in so many µs.
const BURST: i64 = 200;
const REFILL: i64 = 6_000_000;
/// Entries that may wait for a database that is away.
const WAITING: usize = 1_000;

/// Callers whose attempts are counted apart; those of more are counted together.
const NAMED: usize = 8;

/// The reason of an event that stands for attempts of many kinds. No caller is told it.
pub const TOO_MANY_ATTEMPTS: &str = "TOO_MANY_ATTEMPTS";

/// Takes note of attempts; cheap to clone.
#[derive(Clone)]
pub struct Attempts {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    metrics: AuditMetrics,
    noted: Mutex<Noted>,
    wake: Notify,
}

impl std::fmt::Debug for Attempts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Attempts")
    }
}

#[derive(Default)]
struct Noted {
    /// To be written.
    waiting: Vec<Entry>,
    /// The kinds of this window, each with how often it came again.
    kinds: BTreeMap<Kind, i64>,
    /// When the window began.
    since: Timestamp,
    nobody: Class,
    somebody: Class,
}

/// What makes attempts alike. An entry without request id and number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    actor: String,
    roles: Vec<String>,
    tenant: String,
    method: String,
    resource: String,
    outcome: Outcome,
    reason: &'static str,
    source: String,
}

/// Callers that share tokens.
struct Class {
    tokens: i64,
    refilled: Timestamp,
    /// Attempts of this window that were only counted, by caller; of further callers under "".
    counted: BTreeMap<String, i64>,
}

impl Default for Class {
    fn default() -> Self {
        Self { tokens: BURST, refilled: Timestamp(0), counted: BTreeMap::new() }
    }
}

impl Class {
    fn take(&mut self, now: Timestamp) -> bool {
        let more = (now.0 - self.refilled.0).max(0) / REFILL;
        if self.tokens.saturating_add(more) >= BURST {
            (self.tokens, self.refilled) = (BURST, now);
        } else {
            self.tokens += more;
            self.refilled = self.refilled.plus_micros(more * REFILL);
        }
        let taken = self.tokens > 0;
        self.tokens -= i64::from(taken);
        taken
    }

    fn count(&mut self, actor: String) {
        let named = self.counted.contains_key(&actor) || self.counted.len() < NAMED;
        *self.counted.entry(if named { actor } else { String::new() }).or_default() += 1;
    }
}

impl Attempts {
    pub(crate) fn new(clock: Arc<dyn Clock>, metrics: AuditMetrics) -> Self {
        Self { inner: Arc::new(Inner { clock, metrics, noted: Mutex::default(), wake: Notify::new() }) }
    }

    /// A call was denied, for a reason that its caller was told.
    pub fn denied(&self, caller: Caller, reason: Reason) {
        self.note(Entry::refused(caller, "", Outcome::Denied, reason));
    }

    /// A call that would have changed a resource was refused or failed.
    pub fn failed(&self, caller: Caller, resource: &str, reason: Reason) {
        self.note(Entry::refused(caller, resource, Outcome::Failed, reason));
    }

    fn note(&self, entry: Entry) {
        let now = self.inner.clock.now();
        self.inner.metrics.attempted(entry.outcome);
        let mut noted = self.lock();
        let kind = Kind::of(&entry);
        if let Some(again) = noted.kinds.get_mut(&kind) {
            *again += 1;
            return;
        }
        let full = noted.waiting.len() >= WAITING;
        let class = noted.class(&entry.caller.actor);
        if full || !class.take(now) {
            class.count(entry.caller.actor);
            return;
        }
        noted.kinds.insert(kind, 0);
        noted.waiting.push(entry);
        self.inner.metrics.waiting.inc();
        drop(noted);
        self.inner.wake.notify_one();
    }

    /// Waits until there is something to be written.
    pub(crate) async fn noted(&self) {
        self.inner.wake.notified().await;
    }

    /// What is to be written now; the window ends where its time is up, and where `all` is wanted.
    fn take(&self, all: bool) -> Vec<Entry> {
        let now = self.inner.clock.now();
        let mut noted = self.lock();
        let over = !(noted.since..noted.since.plus_micros(WINDOW)).contains(&now);
        if all || over {
            let kinds = std::mem::take(&mut noted.kinds);
            let again = kinds.into_iter().filter(|(_, again)| *again > 0);
            let again: Vec<Entry> = again.map(|(kind, again)| kind.counted(again)).collect();
            noted.waiting.extend(again);
            noted.since = now;
            let mut counted = std::mem::take(&mut noted.nobody.counted);
            counted.append(&mut noted.somebody.counted);
            for (actor, counted) in counted {
                let caller = Caller { actor, ..Caller::default() };
                let entry = Entry::done(caller, "", Revision::ZERO, Diff::default());
                let (outcome, reason) = (Outcome::Denied, TOO_MANY_ATTEMPTS);
                noted.waiting.push(Entry { outcome, reason, attempts: counted, ..entry });
            }
        }
        std::mem::take(&mut noted.waiting)
    }

    /// How many were written, or not: they are counted as long as they wait.
    fn shown(&self) {
        let waiting = self.lock().waiting.len();
        self.inner.metrics.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// What could not be written waits again.
    fn put_back(&self, entries: Vec<Entry>) {
        let mut noted = self.lock();
        let newer = std::mem::replace(&mut noted.waiting, entries);
        noted.waiting.extend(newer);
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.inner.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn class(&mut self, actor: &str) -> &mut Class {
        if actor == Caller::NOBODY { &mut self.nobody } else { &mut self.somebody }
    }
}

impl Kind {
    fn of(entry: &Entry) -> Self {
        let Caller { actor, roles, tenant, method, source, .. } = &entry.caller;
        Self {
            actor: actor.clone(),
            roles: roles.clone(),
            tenant: tenant.clone(),
            method: method.clone(),
            resource: event::clean(&entry.resource, 512),
            outcome: entry.outcome,
            reason: entry.reason,
            source: source.clone(),
        }
    }

    fn counted(self, attempts: i64) -> Entry {
        let Self { actor, roles, tenant, method, resource, outcome, reason, source } = self;
        let caller = Caller { actor, roles, tenant, method, source, ..Caller::default() };
        let entry = Entry::done(caller, resource, Revision::ZERO, Diff::default());
        Entry { outcome, reason, attempts, ..entry }
    }
}

impl AuditLog {
    /// Writes what was noted; `all`: what is only counted so far, too.
    ///
    /// # Errors
    /// As the store says; then it waits, and can be written later.
    pub async fn write_attempts(&self, all: bool) -> Result<(), StoreError> {
        let attempts = &self.inner.attempts;
        let entries = attempts.take(all);
        if entries.is_empty() {
            return Ok(());
        }
        let written = self.inner.metrics.of(Task::Attempts, self.write_entries(&entries).await);
        if written.is_err() {
            attempts.put_back(entries);
        }
        attempts.shown();
        written
    }

    async fn write_entries(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut tx = self.inner.db.write_unscoped().await?;
        for entry in entries {
            self.record(&mut tx, &Chain::Platform, entry.clone()).await?;
        }
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use hotswap_core::ManualClock;

    use super::*;

    fn attempts() -> (Arc<ManualClock>, Attempts) {
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000_000_000)));
        (Arc::clone(&clock), Attempts::new(clock, AuditMetrics::new().expect("metrics")))
    }

    fn from(actor: &str, source: &str) -> Caller {
        Caller { actor: actor.into(), source: source.into(), method: "s/M".into(), ..Caller::default() }
    }

    #[test]
    fn the_first_of_a_kind_is_told_and_the_others_are_counted() {
        let (clock, attempts) = attempts();
        for _ in 0..1_000 {
            attempts.denied(from("-", "192.0.2.7"), Reason::TokenMissing);
        }
        let told: Vec<i64> = attempts.take(false).iter().map(|e| e.attempts).collect();
        assert_eq!(told, [1, 999], "the window before had no beginning");
        attempts.denied(from("-", "192.0.2.7"), Reason::TokenMissing);
        attempts.denied(from("-", "192.0.2.7"), Reason::TokenMissing);
        attempts.failed(from("me", "192.0.2.7"), "routes/a", Reason::NotFound);
        assert_eq!(attempts.take(false).len(), 2);
        assert!(attempts.take(false).is_empty());
        clock.advance_micros(WINDOW);
        let told = attempts.take(false);
        assert_eq!((told.len(), told[0].attempts, told[0].caller.source.as_str()), (1, 1, "192.0.2.7"));
    }

    #[test]
    fn a_flood_of_many_kinds_stays_small_and_does_not_hide_known_callers() {
        let (clock, attempts) = attempts();
        let mut written = 0;
        let mut stood_for = 0;
        for minute in 0..60 {
            for i in 0..5_000 {
                attempts.denied(from("-", &format!("{minute}.{i}")), Reason::TokenMissing);
            }
            attempts.failed(from("me", "::1"), "routes/a", Reason::NotFound);
            clock.advance_micros(WINDOW);
            let told = attempts.take(false);
            assert!(told.iter().any(|e| e.caller.actor == "me"), "minute {minute}");
            written += told.len();
            stood_for += told.iter().map(|e| e.attempts).sum::<i64>();
        }
        assert!(written < 200 + 60 * 12, "{written}");
        assert_eq!(stood_for, 60 * 5_001, "every attempt is told or counted");
    }

    #[test]
    fn who_floods_is_named_and_many_who_do_are_counted_together() {
        let (clock, attempts) = attempts();
        for i in 0..BURST {
            attempts.failed(from("first", ""), &format!("routes/r{i}"), Reason::NotFound);
        }
        attempts.take(false);
        for i in 0..100 {
            attempts.failed(
                from(&format!("user-{:02}", i % 20), ""),
                &format!("routes/s{i}"),
                Reason::NotFound,
            );
        }
        clock.advance_micros(WINDOW);
        let told: Vec<_> =
            attempts.take(false).into_iter().filter(|e| e.reason == TOO_MANY_ATTEMPTS).collect();
        let named: Vec<_> = told.iter().map(|e| (e.caller.actor.as_str(), e.attempts)).collect();
        assert_eq!((named[0], named[1], named.len()), (("", 60), ("user-00", 5), NAMED + 1));
    }

    #[test]
    fn what_could_not_be_written_waits_in_its_order() {
        let (_clock, attempts) = attempts();
        attempts.failed(from("me", ""), "routes/a", Reason::NotFound);
        let taken = attempts.take(false);
        attempts.failed(from("me", ""), "routes/b", Reason::StaleEtag);
        attempts.put_back(taken);
        let reasons: Vec<_> = attempts.take(true).into_iter().map(|e| e.reason).collect();
        assert_eq!(reasons, ["NOT_FOUND", "STALE_ETAG"]);
    }
}
