//! Deliveries in the store, as senders see them: made, claimed, and marked.
//!
//! A claim is one conditional update of one row, so the same text does on both databases what `SKIP LOCKED` is for:
//! of several senders that saw a delivery due, one moves its `due_at` to the end of the claim and raises its fence; the
//! others change nothing and look for the next. A sender that dies leaves the delivery due again when the claim ends.
//! Each transaction claims one row, so no two wait for each other in a circle.

use std::time::Duration;

use hotswap_core::Timestamp;
use hotswap_store::{Db, Row, StoreError};

use crate::channel::Channels;
use crate::message::{Letter, Message, takes};
use crate::sql;

/// How many messages are fanned out in one transaction.
const BATCH: i64 = 50;
/// How many deliveries are looked at for one claim: others may be faster.
const LOOK: i64 = 8;
/// A channel that is new is told of what was put so long before.
const GRACE: Duration = Duration::from_secs(600);
/// A channel that no process has had for so long gets no deliveries.
const GONE: Duration = Duration::from_secs(86_400);
/// After so long it is new when it comes back; and so long is kept what nobody is there for.
const FORGOTTEN: Duration = Duration::from_secs(30 * 86_400);

/// A delivery that is ours until a moment.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) letter: Letter,
    pub(crate) channel: String,
    /// This attempt's number, from 1.
    pub(crate) attempt: u32,
    fence: i64,
}

/// What a look for work found.
#[derive(Debug)]
pub(crate) enum Found {
    Work(Box<Claim>),
    /// Nothing is due. When something will be: a time from now.
    Nothing(Option<Duration>),
}

/// A channel that some process has.
struct Known {
    id: String,
    wants: Vec<String>,
    since: Timestamp,
}

impl Known {
    fn parse(row: &Row) -> Result<Self, StoreError> {
        let (id, wants) = (row.text("id")?, row.text("wants")?);
        let wants = serde_json::from_str(&wants);
        let wants = wants.map_err(|_| StoreError::inconsistent("outbox_channels", "wants", &id))?;
        Ok(Self { id, wants, since: Timestamp(row.int("since")?) })
    }

    /// Whether it is told of a message.
    fn is_told(&self, kind: &str, put_at: Timestamp) -> bool {
        put_at >= self.since && self.wants.iter().any(|pattern| takes(pattern, kind))
    }
}

/// Says that a process has these channels, for whoever makes deliveries. One that is new is told of what is put from now
/// on, by `clock`, and of what was put a moment ago, when others may have been up already.
pub(crate) async fn register(db: &Db, channels: &Channels, clock: Timestamp) -> Result<(), StoreError> {
    let mut tx = db.write_unscoped().await?;
    let now = tx.now().await?;
    let since = clock.plus_micros(-micros(GRACE));
    for (id, wants) in channels.wants() {
        let wants = serde_json::to_string(wants);
        let wants = wants.map_err(|_| StoreError::inconsistent("outbox_channels", "wants", id))?;
        tx.execute(sql::REGISTER, &[id.into(), wants.into(), since.into(), now.into()]).await?;
    }
    tx.commit().await
}

/// Forgets channels that no process has had for long, and what was put long ago where there are none.
pub(crate) async fn forget(db: &Db, clock: Timestamp) -> Result<(), StoreError> {
    let mut tx = db.write_unscoped().await?;
    let now = tx.now().await?;
    tx.execute(sql::FORGET_CHANNELS, &[now.plus_micros(-micros(FORGOTTEN)).into()]).await?;
    tx.execute(sql::DROP_UNTOLD, &[clock.plus_micros(-micros(FORGOTTEN)).into()]).await?;
    tx.commit().await
}

/// Makes the deliveries of new messages, for the channels of all processes; gives how many messages there were.
pub(crate) async fn fan_out(db: &Db) -> Result<u64, StoreError> {
    let mut tx = db.read().await?;
    let new = tx.fetch_all(sql::NEW, &[BATCH.into()]).await?;
    drop(tx);
    if new.is_empty() {
        return Ok(0);
    }
    let mut tx = db.write_unscoped().await?;
    let now = tx.now().await?;
    let known = tx.fetch_all(sql::CHANNELS, &[now.plus_micros(-micros(GONE)).into()]).await?;
    let known = known.iter().map(Known::parse).collect::<Result<Vec<_>, _>>()?;
    let mut done = 0;
    for row in &new {
        let (id, kind, put_at) = (row.text("id")?, row.text("kind")?, Timestamp(row.int("put_at")?));
        // Another replica may have done it meanwhile.
        if tx.execute(sql::FAN_OUT, &[id.as_str().into()]).await? == 0 {
            continue;
        }
        for channel in known.iter().filter(|channel| channel.is_told(&kind, put_at)) {
            let values = [id.as_str().into(), channel.id.as_str().into(), now.into()];
            tx.execute(sql::ADD_DELIVERY, &values).await?;
        }
        done += 1;
    }
    tx.commit().await?;
    Ok(done)
}

/// Claims the delivery of a channel that is due longest, for `lease`.
pub(crate) async fn claim(db: &Db, channel: &str, lease: Duration) -> Result<Found, StoreError> {
    let mut tx = db.read().await?;
    let now = tx.now().await?;
    let due = tx.fetch_all(sql::DUE, &[channel.into(), now.into(), LOOK.into()]).await?;
    if due.is_empty() {
        let next = tx.fetch_opt(sql::NEXT_DUE, &[channel.into()]).await?;
        let next = next.map(|row| row.opt_int("due_at")).transpose()?.flatten();
        return Ok(Found::Nothing(next.map(|at| until(now, Timestamp(at)))));
    }
    drop(tx);
    for row in &due {
        if let Some(claim) = claim_one(db, channel, row, lease).await? {
            return Ok(Found::Work(Box::new(claim)));
        }
    }
    // All went to others; there may be more.
    Ok(Found::Nothing(Some(Duration::ZERO)))
}

async fn claim_one(db: &Db, channel: &str, row: &Row, lease: Duration) -> Result<Option<Claim>, StoreError> {
    let (id, attempts, fence) = (row.text("message_id")?, row.int("attempts")?, row.int("fence")?);
    let mut tx = db.write_unscoped().await?;
    let now = tx.now().await?;
    let end = now.plus_micros(micros(lease));
    let values = [id.as_str().into(), channel.into(), fence.into(), now.into(), end.into()];
    if tx.execute(sql::CLAIM, &values).await? == 0 {
        return Ok(None);
    }
    let message = tx.fetch_opt(sql::MESSAGE, &[id.as_str().into()]).await?;
    let message = message.ok_or_else(|| StoreError::inconsistent("outbox_deliveries", "message_id", &id))?;
    let message = stored(&message, &id)?;
    tx.commit().await?;
    Ok(Some(Claim {
        letter: Letter { id, message },
        channel: channel.to_owned(),
        attempt: u32::try_from(attempts.saturating_add(1)).unwrap_or(u32::MAX),
        fence: fence + 1,
    }))
}

fn stored(row: &Row, id: &str) -> Result<Message, StoreError> {
    let data = serde_json::from_str(&row.text("data")?);
    let data = data.map_err(|_| StoreError::inconsistent("outbox_messages", "data", id))?;
    let (key, kind, subject) = (row.text("dedupe_key")?, row.text("kind")?, row.text("subject")?);
    Ok(Message::stored(key, kind, subject, Timestamp(row.int("at")?), data))
}

/// How an attempt is to be marked.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    Sent,
    Again { pause: Duration, why: String },
    Dead { why: String },
}

/// Marks an attempt's end. `false`: another one has it by now, or it has ended.
pub(crate) async fn mark(db: &Db, claim: &Claim, mark: &Mark) -> Result<bool, StoreError> {
    let mut tx = db.write_unscoped().await?;
    let now = tx.now().await?;
    let (id, channel, fence) =
        (claim.letter.id.as_str().into(), claim.channel.as_str().into(), claim.fence.into());
    let marked = match mark {
        Mark::Sent => tx.execute(sql::SENT, &[id, channel, now.into()]).await?,
        Mark::Again { pause, why } => {
            let due = now.plus_micros(micros(*pause));
            tx.execute(sql::AGAIN, &[id, channel, fence, due.into(), why.as_str().into()]).await?
        }
        Mark::Dead { why } => {
            tx.execute(sql::DEAD, &[id, channel, fence, now.into(), why.as_str().into()]).await?
        }
    };
    tx.commit().await?;
    Ok(marked == 1)
}

/// Gives up what nobody takes up, and drops what is older than it is kept. Gives how many were given up.
pub(crate) async fn clear(db: &Db, keep: Duration, clock: Timestamp) -> Result<u64, StoreError> {
    const WHY: &str = "nobody tried it: its channel is not configured any more";
    let mut tx = db.write_unscoped().await?;
    let now = tx.now().await?;
    let before = now.plus_micros(-micros(keep));
    let given_up = tx.execute(sql::GIVE_UP, &[before.into(), now.into(), WHY.into()]).await?;
    tx.execute(sql::DROP_DELIVERIES, &[before.into()]).await?;
    tx.execute(sql::DROP_MESSAGES, &[clock.plus_micros(-micros(keep)).into()]).await?;
    tx.commit().await?;
    Ok(given_up)
}

/// How many deliveries of a channel wait, and how many were given up.
pub(crate) async fn count(db: &Db, channel: &str) -> Result<(i64, i64), StoreError> {
    let mut tx = db.read().await?;
    let mut counts = [0, 0];
    for (count, state) in counts.iter_mut().zip(["waiting", "dead"]) {
        let row = tx.fetch_opt(sql::COUNT, &[channel.into(), state.into()]).await?;
        *count = row.map(|row| row.int("n")).transpose()?.unwrap_or(0);
    }
    Ok(counts.into())
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(at.0.saturating_sub(now.0)).unwrap_or(0))
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
