//! Claims: who drives a rollout now, and what the store knows of it.
//!
//! A claim is a lease with a fence that only rises. A turn that decides nothing to be done gives the lease back with what
//! it saves; one that has something done keeps it, and is due again at once: whoever comes after a crash, when the lease
//! has run out, asks the target for the same.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hotswap_audit::{AuditLog, Caller};
use hotswap_core::Timestamp;
use hotswap_rollout::{
    Command, Effects, Facts, Millis, PortError, Record, Rollout, RolloutId, Store, Subject,
};
use hotswap_store::{Db, Row, StoreError, Tx};

use super::{key, row, sql};
use crate::{Faults, Notices, Subjects};

/// Rollouts of one domain in a database, as a driver uses them; cheap to clone.
#[derive(Clone)]
pub struct SqlStore {
    pub(super) db: Db,
    pub(super) audit: AuditLog,
    pub(super) notices: Arc<dyn Notices>,
    pub(super) faults: Arc<dyn Faults>,
    subjects: Arc<dyn Subjects>,
    /// Who claims: unique to a driver.
    owner: Arc<str>,
}

impl std::fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlStore").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// A rollout under a lease.
#[derive(Debug)]
pub struct Claim {
    pub(super) id: RolloutId,
    pub(super) rollout: Rollout,
    pub(super) fence: i64,
    pub(super) lease: Millis,
    /// When it was claimed, by the database's clock.
    now: Timestamp,
    due_at: Option<Timestamp>,
    commanded: bool,
    /// How often somebody had asked for a turn when it was claimed, then when the facts were read.
    pub(super) calls: AtomicI64,
    /// The last command that was answered: under the lease nobody else answers one.
    pub(super) answered: AtomicI64,
    pub(super) measured_at: Option<Timestamp>,
    pub(super) compared_at: Option<Timestamp>,
    /// The target was asked what is out, in vain or not.
    pub(super) compared: AtomicBool,
    /// The lease was given back with what was saved.
    pub(super) returned: AtomicBool,
    /// Who sent the commands that the facts hold.
    pub(super) senders: Mutex<Vec<(i64, Caller)>>,
}

impl Claim {
    /// Which rollout.
    pub fn id(&self) -> RolloutId {
        self.id
    }

    /// The fence of the lease: higher than any before.
    pub fn fence(&self) -> i64 {
        self.fence
    }

    /// When it was claimed, by the database's clock.
    pub fn claimed_at(&self) -> Timestamp {
        self.now
    }

    /// How long after it was due it was claimed.
    pub fn late(&self) -> std::time::Duration {
        let micros = self.due_at.map_or(0, |due| self.now.0.saturating_sub(due.0));
        std::time::Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// Whether a command waits for its answer: nothing slow comes before that.
    pub fn is_commanded(&self) -> bool {
        self.commanded
    }

    /// When it was measured last.
    pub fn measured_at(&self) -> Option<Timestamp> {
        self.measured_at
    }

    /// When it was last compared with what the target has out.
    pub fn compared_at(&self) -> Option<Timestamp> {
        self.compared_at
    }

    /// Notes that the target was asked what is out, whether it could tell or not.
    pub fn compared(&self) {
        self.compared.store(true, Ordering::Relaxed);
    }
}

/// A rollout that was claimed.
pub type Claimed = (Claim, Rollout, Record);

impl SqlStore {
    /// The rollouts of `subjects`' domain. `owner` must be another one for each driver.
    pub fn new(
        db: Db,
        audit: AuditLog,
        notices: Arc<dyn Notices>,
        faults: Arc<dyn Faults>,
        subjects: Arc<dyn Subjects>,
        owner: impl Into<Arc<str>>,
    ) -> Self {
        Self { db, audit, notices, faults, subjects, owner: owner.into() }
    }

    /// When a rollout of the domain is due next, and the database's time; `None`: no rollout will be. One that is leased
    /// now is passed over: the end of a lease that somebody left behind is found by looking again.
    ///
    /// # Errors
    /// As the database says.
    pub(crate) async fn next_due(&self, domain: &str) -> Result<(Option<Timestamp>, Timestamp), StoreError> {
        let mut tx = self.db.read().await?;
        let now = tx.now().await?;
        let row = tx.fetch_opt(sql::NEXT_DUE, &[domain.into(), now.into()]).await?;
        let due = row.map(|r| r.int("due")).transpose()?;
        Ok((due.map(Timestamp), now))
    }

    /// Has rollouts looked at now that are due, or leased, for longer than `longest`, as only a clock that was set back
    /// leaves them; how many there were. Whoever has such a lease is fenced.
    ///
    /// # Errors
    /// As the database says.
    pub(crate) async fn wake_those_of_later(&self, domain: &str, longest: Millis) -> Result<u64, StoreError> {
        let mut tx = self.db.read().await?;
        let now = tx.now().await?;
        // A little more, for those who write at the same time.
        let later = longest.after(now).plus_micros(1_000_000);
        if tx.fetch_opt(sql::LATER, &[domain.into(), later.into()]).await?.is_none() {
            return Ok(0);
        }
        let mut tx = self.db.write_unscoped().await?;
        let woken = tx.execute(sql::WAKE_LATER, &[domain.into(), now.into(), later.into()]).await?;
        tx.commit().await?;
        Ok(woken)
    }

    /// Whether somebody asked for a turn since it was claimed or the facts were read, or another one has the lease: whoever has something
    /// done under the claim stops.
    ///
    /// # Errors
    /// As the database says.
    pub(crate) async fn is_called(&self, claim: &Claim) -> Result<bool, StoreError> {
        let mut tx = self.db.read().await?;
        let Some(row) = tx.fetch_opt(sql::CALLS, &[key(claim.id)]).await? else { return Ok(true) };
        Ok(row.int("fence")? != claim.fence || row.int("calls")? != claim.calls.load(Ordering::Relaxed))
    }

    /// Passes a point where a test may have the driver die.
    pub(crate) async fn reach(&self, point: &'static str) {
        self.faults.at(point).await;
    }

    /// Changes after commits that others want to know of: a hint.
    pub(crate) fn hints(&self) -> tokio::sync::watch::Receiver<u64> {
        self.db.watch_commits()
    }

    /// How many active rollouts of a domain are in which state.
    ///
    /// # Errors
    /// As the database says.
    pub(crate) async fn states(&self, domain: &str) -> Result<Vec<(String, i64)>, StoreError> {
        let all = super::states(&mut self.db.read().await?).await?;
        Ok(all.into_iter().filter(|(of, ..)| of == domain).map(|(_, state, n)| (state, n)).collect())
    }

    async fn take(&self, domain: &str, lease: Millis) -> Result<Option<Claimed>, StoreError> {
        let sql = if self.db.is_shared() { sql::CLAIM_SKIPPING } else { sql::CLAIM };
        let mut tx = self.db.write_unscoped().await?;
        let now = tx.now().await?;
        let until = lease.after(now);
        let values = [domain.into(), (&*self.owner).into(), until.into(), now.into()];
        let Some(row) = tx.fetch_opt(sql, &values).await? else { return Ok(None) };
        self.faults.at("claim: before the commit").await;
        tx.commit().await?;
        self.faults.at("claim: after the commit").await;
        // Read behind the commit: one that can't be read does not stand in the way of others until its lease ends.
        claimed(&row, lease, now).map(Some)
    }

    async fn look(&self, claim: &Claim) -> Result<Option<(Facts, Timestamp)>, StoreError> {
        let mut tx = self.db.read().await?;
        let now = tx.now().await?;
        let held = tx.fetch_opt(sql::HELD, &[key(claim.id)]).await?;
        let Some(held) = held else { return Ok(None) };
        if held.int("fence")? != claim.fence {
            return Ok(None);
        }
        claim.calls.store(held.int("calls")?, Ordering::Relaxed);
        claim.returned.store(false, Ordering::Relaxed);
        let answered = claim.answered.load(Ordering::Relaxed);
        let commands = if held.int("last_command")? > answered {
            commands(&mut tx, claim, answered).await?
        } else {
            Vec::new()
        };
        let frozen = held.opt_int("frozen")?.is_some_and(|frozen| frozen != 0);
        let rollout = &claim.rollout;
        let found = self.subjects.content(&mut tx, &rollout.subject, rollout.to).await?;
        let subject = Some(found.map_or(Subject::Gone, |mut content| {
            if !content.authors.contains(&rollout.author) {
                content.authors.push(rollout.author.clone());
            }
            Subject::Present(content)
        }));
        Ok(Some((Facts { commands, subject, frozen, ..Facts::default() }, now)))
    }
}

/// The commands that were not answered.
async fn commands(tx: &mut Tx, claim: &Claim, answered: i64) -> Result<Vec<Command>, StoreError> {
    let rows = tx.fetch_all(sql::COMMANDS, &[key(claim.id), answered.into()]).await?;
    let (mut commands, mut senders) = (Vec::new(), Vec::new());
    for row in &rows {
        let (command, caller) = row::command(row, &claim.id.to_string())?;
        senders.push((command.seq, caller));
        commands.push(command);
    }
    *claim.senders.lock().unwrap_or_else(PoisonError::into_inner) = senders;
    Ok(commands)
}

fn claimed(row: &Row, lease: Millis, now: Timestamp) -> Result<Claimed, StoreError> {
    let id = row.text("id")?;
    let (rollout, record) = (row::rollout(row, &id)?, row::record(row, &id)?);
    let claim = Claim {
        id: rollout.id,
        rollout: rollout.clone(),
        fence: row.int("fence")?,
        lease,
        now,
        due_at: row.opt_int("wake_at")?.map(Timestamp),
        commanded: row.int("last_command")? > record.answered,
        calls: AtomicI64::new(row.int("calls")?),
        answered: AtomicI64::new(record.answered),
        measured_at: row.opt_int("measured_at")?.map(Timestamp),
        compared_at: row.opt_int("compared_at")?.map(Timestamp),
        compared: AtomicBool::new(false),
        returned: AtomicBool::new(false),
        senders: Mutex::default(),
    };
    Ok((claim, rollout, record))
}

/// As the engine's ports say it.
pub(crate) fn port(error: StoreError) -> PortError {
    match error {
        StoreError::Fenced { .. } => PortError::Fenced,
        other => PortError::Unavailable(hotswap_runtime::chain(&other)),
    }
}

impl Store for SqlStore {
    type Claim = Claim;

    async fn claim(&self, domain: &str, lease: Millis) -> Result<Option<Claimed>, PortError> {
        self.take(domain, lease).await.map_err(port)
    }

    async fn facts(&self, claim: &Claim) -> Result<(Facts, Timestamp), PortError> {
        self.look(claim).await.map_err(port)?.ok_or(PortError::Fenced)
    }

    async fn save(
        &self,
        claim: &Claim,
        read: u64,
        record: &Record,
        facts: &Facts,
        effects: &Effects,
    ) -> Result<(), PortError> {
        self.save_turn(claim, read, record, facts, effects).await.map_err(port)
    }

    async fn release(&self, claim: Claim) -> Result<(), PortError> {
        if claim.returned.load(Ordering::Relaxed) {
            return Ok(());
        }
        let release = async {
            self.faults.at("release: before").await;
            let mut tx = self.db.write_unscoped().await?;
            tx.execute(sql::RELEASE, &[key(claim.id), claim.fence.into()]).await?;
            tx.commit().await?;
            self.faults.at("release: after").await;
            Ok(())
        };
        release.await.map_err(port)
    }
}
