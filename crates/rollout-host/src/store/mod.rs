//! Rollouts in the store. The rows are private; past here only the engine's types and views exist.

mod claims;
mod row;
mod save;
pub(crate) mod sql;

use hotswap_core::{PageSize, Timestamp};
use hotswap_rollout::{Answered, Event, Notice, Record, Rollout, RolloutId, Stored};
use hotswap_store::{StoreError, Tx, Value};

pub(crate) use claims::port;
pub use claims::{Claim, Claimed, SqlStore};
pub(crate) use row::{Demand, Reported, Sender};

use crate::{Freeze, Happened, Measured, Notices, PolicyView, View};

/// A rollout; `None`: there is none.
pub(crate) async fn get(tx: &mut Tx, id: RolloutId) -> Result<Option<View>, StoreError> {
    let row = tx.fetch_opt(sql::GET, &[key(id)]).await?;
    row.as_ref().map(row::view).transpose()
}

/// The active rollout of a subject.
pub(crate) async fn active(tx: &mut Tx, subject: &str) -> Result<Option<View>, StoreError> {
    let row = tx.fetch_opt(sql::ACTIVE, &[subject.into()]).await?;
    row.as_ref().map(row::view).transpose()
}

/// Rows of a list behind a place, by a statement that takes time, id and limit.
pub(crate) async fn list(
    tx: &mut Tx,
    sql: &'static str,
    after: &(i64, String),
    limit: usize,
) -> Result<Vec<View>, StoreError> {
    let limit = Value::Int(i64::try_from(limit).unwrap_or(i64::MAX));
    let rows = tx.fetch_all(sql, &[after.0.into(), after.1.as_str().into(), limit]).await?;
    rows.iter().map(row::view).collect()
}

/// What a new rollout is stored as.
pub(crate) struct New<'a> {
    pub(crate) rollout: &'a Rollout,
    pub(crate) record: &'a Record,
    pub(crate) strategy: &'a str,
    /// `None`: it is over.
    pub(crate) wake_at: Option<Timestamp>,
    /// How many events it begins with.
    pub(crate) events: i64,
}

/// Writes a new rollout, without its events.
pub(crate) async fn insert(tx: &mut Tx, new: New<'_>) -> Result<(), StoreError> {
    let New { rollout, record, strategy, wake_at, events } = new;
    let ended = record.state.is_ended().then_some(rollout.created_at.0);
    let stored = Stored::from(record.clone());
    let values = [
        key(rollout.id),
        rollout.domain.as_str().into(),
        rollout.subject.as_str().into(),
        rollout.from.map(|r| r.0).into(),
        rollout.to.into(),
        rollout.author.0.as_str().into(),
        strategy.into(),
        row::to_json(rollout, row::ROLLOUTS, "rollout")?.into(),
        row::to_json(&stored, row::ROLLOUTS, "record")?.into(),
        record.state.word().into(),
        number(record.generation).into(),
        wake_at.map(|t| t.0).into(),
        rollout.created_at.into(),
        ended.into(),
        events.into(),
    ];
    tx.execute(sql::INSERT, &values).await?;
    Ok(())
}

/// Where events are appended, and who hears of them.
pub(crate) struct Log<'a> {
    pub(crate) rollout: &'a Rollout,
    pub(crate) notices: &'a dyn Notices,
    pub(crate) at: Timestamp,
}

impl Log<'_> {
    /// Appends events behind `last`; gives the place of the newest.
    pub(crate) async fn append(&self, tx: &mut Tx, last: i64, events: &[Event]) -> Result<i64, StoreError> {
        let mut seq = last;
        for event in events {
            seq += 1;
            let values = [
                key(self.rollout.id),
                seq.into(),
                self.at.into(),
                kind(event).into(),
                row::to_json(event, row::EVENTS, "event")?.into(),
            ];
            tx.execute(sql::PUT_EVENT, &values).await?;
            if event.is_news() {
                let notice = Notice { rollout: self.rollout.id, seq, event: event.clone(), at: self.at };
                self.notices.note(tx, self.rollout, &notice).await?;
            }
        }
        Ok(seq)
    }
}

/// Events behind a place, the oldest first.
pub(crate) async fn events(
    tx: &mut Tx,
    id: RolloutId,
    after: i64,
    size: PageSize,
) -> Result<Vec<Happened>, StoreError> {
    let limit = i64::try_from(size.get() + 1).unwrap_or(i64::MAX);
    let rows = tx.fetch_all(sql::EVENTS, &[key(id), after.into(), limit.into()]).await?;
    rows.iter().map(|r| row::event(r, &id.to_string())).collect()
}

/// Measurements before a time, the newest first.
pub(crate) async fn measurements(
    tx: &mut Tx,
    id: RolloutId,
    before: i64,
    limit: usize,
) -> Result<Vec<Measured>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = tx.fetch_all(sql::MEASUREMENTS, &[key(id), before.into(), limit.into()]).await?;
    rows.iter().map(|r| row::measured(r, &id.to_string())).collect()
}

/// Rollouts that ended before a time and have measurements, those that ended first.
pub(crate) async fn measured_before(
    tx: &mut Tx,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<RolloutId>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = tx.fetch_all(sql::MEASURED_BEFORE, &[before.into(), limit.into()]).await?;
    rows.iter().map(row::id).collect()
}

/// Drops so many measurements of a rollout, the oldest first; how many there were.
pub(crate) async fn drop_measurements(tx: &mut Tx, id: RolloutId, limit: u64) -> Result<u64, StoreError> {
    tx.execute(sql::DROP_MEASUREMENTS, &[key(id), number(limit).into()]).await
}

/// Drops what clients reported for rollouts that ended before a time.
pub(crate) async fn drop_counts(tx: &mut Tx, before: Timestamp) -> Result<(), StoreError> {
    tx.execute(sql::DROP_COUNTS_OF_ENDED, &[before.into()]).await.map(drop)
}

/// Notes that nothing is left of what was measured.
pub(crate) async fn note_dropped(tx: &mut Tx, id: RolloutId, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(sql::NOTE_DROPPED, &[key(id), now.into()]).await.map(drop)
}

/// A rollout that has ended.
pub(crate) struct Ended {
    pub(crate) id: RolloutId,
    pub(crate) ended_at: Timestamp,
    /// Another one of the same subject ended after it.
    pub(crate) is_followed: bool,
}

/// Rollouts that ended before a time, behind a place: when it ended, and its id. Those that ended first come first.
pub(crate) async fn ended_before(
    tx: &mut Tx,
    before: Timestamp,
    after: &(i64, String),
    limit: usize,
) -> Result<Vec<Ended>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = [before.into(), after.0.into(), after.1.as_str().into(), limit.into()];
    let rows = tx.fetch_all(sql::ENDED_BEFORE, &values).await?;
    let ended = rows.iter().map(|row| {
        let is_followed = row.int("followed")? != 0;
        Ok(Ended { id: row::id(row)?, ended_at: Timestamp(row.int("ended_at")?), is_followed })
    });
    ended.collect()
}

/// Drops a rollout that has ended and all that is known of it: so many rows, and it as the last of them. How many there
/// were, and whether it is gone.
pub(crate) async fn drop_some(tx: &mut Tx, id: RolloutId, limit: u64) -> Result<(u64, bool), StoreError> {
    let mut rows = 0;
    for sql in [sql::DROP_MEASUREMENTS, sql::DROP_EVENTS] {
        let dropped = tx.execute(sql, &[key(id), number(limit).into()]).await?;
        rows += dropped;
        if dropped >= limit {
            return Ok((rows, false));
        }
    }
    for sql in [sql::DROP_COMMANDS, sql::DROP_COUNTS_OF, sql::DROP] {
        rows += tx.execute(sql, &[key(id)]).await?;
    }
    Ok((rows, true))
}

/// When the measurements of a rollout were dropped, if they were. `None`: there is no such rollout.
pub(crate) async fn dropped(tx: &mut Tx, id: RolloutId) -> Result<Option<Option<Timestamp>>, StoreError> {
    let row = tx.fetch_opt(sql::DROPPED, &[key(id)]).await?;
    row.map(|r| Ok(r.opt_int("measurements_dropped_at")?.map(Timestamp))).transpose()
}

/// A command that was taken: its place, and where the rollout stood.
pub(crate) struct Taken {
    pub(crate) seq: i64,
    pub(crate) record: Record,
}

/// Takes the next place for a command, and has the rollout looked at. It locks the rollout. `None`: there is none.
pub(crate) async fn next_command(
    tx: &mut Tx,
    id: RolloutId,
    now: Timestamp,
) -> Result<Option<Taken>, StoreError> {
    let row = tx.fetch_opt(sql::NEXT_COMMAND, &[key(id), now.into()]).await?;
    let taken = |row: hotswap_store::Row| {
        let record = row::record(&row, &id.to_string())?;
        Ok(Taken { seq: row.int("last_command")?, record })
    };
    row.map(taken).transpose()
}

/// A command to be stored.
pub(crate) struct NewCommand<'a> {
    pub(crate) id: RolloutId,
    pub(crate) seq: i64,
    pub(crate) key: &'a str,
    pub(crate) sender: &'a Sender,
    pub(crate) demand: &'a Demand,
    pub(crate) now: Timestamp,
}

pub(crate) async fn put_command(tx: &mut Tx, c: NewCommand<'_>) -> Result<(), StoreError> {
    let values = [
        key(c.id),
        c.seq.into(),
        c.key.into(),
        c.sender.actor.as_str().into(),
        row::to_json(c.sender, row::COMMANDS, "caller")?.into(),
        row::to_json(c.demand, row::COMMANDS, "demand")?.into(),
        c.now.into(),
    ];
    tx.execute(sql::PUT_COMMAND, &values).await?;
    Ok(())
}

/// The command that a key was used for: its place, and what it asked for.
pub(crate) async fn command_of_key(tx: &mut Tx, command: &str) -> Result<Option<(i64, Demand)>, StoreError> {
    let Some(row) = tx.fetch_opt(sql::COMMAND_OF_KEY, &[command.into()]).await? else { return Ok(None) };
    Ok(Some((row.int("seq")?, row::from_json(&row, row::COMMANDS, "demand", command)?)))
}

/// What a command was answered; `None`: nothing yet.
pub(crate) async fn answer_of(tx: &mut Tx, id: RolloutId, seq: i64) -> Result<Option<Answered>, StoreError> {
    let row = tx.fetch_opt(sql::ANSWERED, &[key(id), seq.into()]).await?;
    let Some(text) = row.map(|r| r.opt_text("answer")).transpose()?.flatten() else { return Ok(None) };
    let damaged = |_| StoreError::inconsistent(row::COMMANDS, "answer", id.to_string());
    serde_json::from_str(&text).map(Some).map_err(damaged)
}

/// Has the active rollout of a subject looked at soon.
pub(crate) async fn call_subject(tx: &mut Tx, subject: &str, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(sql::CALL_SUBJECT, &[subject.into(), now.into()]).await?;
    Ok(())
}

/// Has all active rollouts looked at soon.
pub(crate) async fn call_all(tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
    tx.execute(sql::CALL_ALL, &[now.into()]).await?;
    Ok(())
}

/// How many active rollouts are in which state, by domain.
pub(crate) async fn states(tx: &mut Tx) -> Result<Vec<(String, String, i64)>, StoreError> {
    let rows = tx.fetch_all(sql::STATES, &[]).await?;
    rows.iter().map(|r| Ok((r.text("domain")?, r.text("state")?, r.int("n")?))).collect()
}

/// The global switch.
pub(crate) async fn freeze(tx: &mut Tx) -> Result<Freeze, StoreError> {
    let row = tx.fetch_opt(sql::FREEZE, &[]).await?;
    row.as_ref().map(row::freeze).transpose().map(Option::unwrap_or_default)
}

pub(crate) async fn set_freeze(tx: &mut Tx, freeze: &Freeze) -> Result<(), StoreError> {
    let at = freeze.changed_at.unwrap_or_default();
    let values =
        [i64::from(freeze.on).into(), freeze.reason.as_str().into(), freeze.actor.as_str().into(), at.into()];
    tx.execute(sql::SET_FREEZE, &values).await?;
    Ok(())
}

/// The policy of an id.
pub(crate) async fn policy(tx: &mut Tx, id: &str) -> Result<Option<PolicyView>, StoreError> {
    let row = tx.fetch_opt(sql::POLICY, &[id.into()]).await?;
    row.as_ref().map(row::policy).transpose()
}

/// The policy of exactly these subjects.
pub(crate) async fn policy_of(tx: &mut Tx, subject: &str) -> Result<Option<PolicyView>, StoreError> {
    let row = tx.fetch_opt(sql::POLICY_OF, &[subject.into()]).await?;
    row.as_ref().map(row::policy).transpose()
}

/// The most specific policy that fits a subject.
pub(crate) async fn policy_for(tx: &mut Tx, subject: &str) -> Result<Option<PolicyView>, StoreError> {
    let collection = subject.rsplit_once('/').map_or_else(String::new, |(parent, _)| format!("{parent}/*"));
    let row = tx.fetch_opt(sql::POLICY_FOR, &[subject.into(), collection.into()]).await?;
    row.as_ref().map(row::policy).transpose()
}

pub(crate) async fn policies(tx: &mut Tx, after: &str, limit: usize) -> Result<Vec<PolicyView>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = tx.fetch_all(sql::POLICIES, &[after.into(), limit.into()]).await?;
    rows.iter().map(row::policy).collect()
}

pub(crate) async fn put_policy(tx: &mut Tx, p: &PolicyView) -> Result<(), StoreError> {
    let values = [
        p.id.as_str().into(),
        p.subject.as_str().into(),
        row::to_json(&p.policy, row::POLICIES, "policy")?.into(),
        p.uid.to_string().into(),
        p.version.into(),
        p.created_at.into(),
        p.updated_at.into(),
    ];
    tx.execute(sql::PUT_POLICY, &values).await?;
    Ok(())
}

pub(crate) async fn delete_policy(tx: &mut Tx, id: &str) -> Result<(), StoreError> {
    tx.execute(sql::DELETE_POLICY, &[id.into()]).await?;
    Ok(())
}

/// What all reporters counted.
pub(crate) async fn counts(tx: &mut Tx, id: RolloutId) -> Result<Vec<Reported>, StoreError> {
    let rows = tx.fetch_all(sql::COUNTS, &[key(id)]).await?;
    rows.iter().map(|r| row::reported(r, &id.to_string())).collect()
}

/// What one reporter counted.
pub(crate) async fn counts_of(
    tx: &mut Tx,
    id: RolloutId,
    reporter: &str,
) -> Result<Option<Reported>, StoreError> {
    let row = tx.fetch_opt(sql::COUNTS_OF, &[key(id), reporter.into()]).await?;
    row.map(|r| row::reported(&r, &id.to_string())).transpose()
}

pub(crate) async fn put_counts(
    tx: &mut Tx,
    id: RolloutId,
    r: &Reported,
    now: Timestamp,
) -> Result<(), StoreError> {
    let values = [
        key(id),
        r.reporter.as_str().into(),
        i64::from(r.epoch).into(),
        row::to_json(&r.baseline, row::COUNTS, "baseline")?.into(),
        row::to_json(&r.candidate, row::COUNTS, "candidate")?.into(),
        r.p95_us.map(number).into(),
        r.slow_over_us.map(number).into(),
        now.into(),
    ];
    tx.execute(sql::PUT_COUNTS, &values).await?;
    Ok(())
}

/// The kind of an event, as "rollback_began".
pub(crate) fn kind(event: &Event) -> String {
    row::word(event)
}

fn key(id: RolloutId) -> Value {
    id.0.to_string().into()
}

/// A number that is never so large.
fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
