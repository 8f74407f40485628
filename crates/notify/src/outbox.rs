//! The outbox: where messages are put, and what became of them.

use std::fmt;
use std::sync::Arc;

use hotswap_core::{Clock, Ids, Timestamp};
use hotswap_store::{Row, StoreError, Tx};

use crate::{Message, NotifyError, sql};

/// Puts messages and reads deliveries; cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

/// What became of a message on one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The channel.
    pub channel: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// While it waits: when it is tried, or when the attempt that is under way is taken for lost. By the database's
    /// clock.
    pub due_at: Timestamp,
    /// When it was sent or given up, by the database's clock.
    pub ended_at: Option<Timestamp>,
    /// Why the last attempt failed; empty: none did, or it was sent.
    pub last_error: String,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is to be tried, or is being tried.
    Waiting,
    /// The receiver has it.
    Sent,
    /// It was given up. It is kept, and can be [revived](Outbox::revive).
    Dead,
}

impl Outbox {
    /// An outbox.
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        Self { clock, ids }
    }

    /// Puts a message, in the transaction of what it tells of: both are there, or neither is. `false`: one with its key
    /// was put before, and nothing is done.
    ///
    /// # Errors
    /// As the database says.
    pub async fn put(&self, tx: &mut Tx, message: &Message) -> Result<bool, NotifyError> {
        let values = [
            self.ids.uuid().to_string().into(),
            message.dedupe_key().into(),
            message.kind().into(),
            message.subject().into(),
            message.data().to_string().into(),
            message.at().into(),
            self.clock.now().into(),
        ];
        Ok(tx.execute(sql::PUT, &values).await? == 1)
    }

    /// The deliveries of a message, by channel. None: there is no such message, no channel wants it, or no sender has
    /// seen it yet.
    ///
    /// # Errors
    /// As the database says.
    pub async fn deliveries(&self, tx: &mut Tx, dedupe_key: &str) -> Result<Vec<Delivery>, NotifyError> {
        let rows = tx.fetch_all(sql::DELIVERIES, &[dedupe_key.into()]).await?;
        rows.iter().map(|row| delivery(row).map_err(NotifyError::from)).collect()
    }

    /// Has a delivery tried anew that was given up, under the same identity.
    ///
    /// # Errors
    /// [`NotifyError::NotDead`], or as the database says.
    pub async fn revive(&self, tx: &mut Tx, dedupe_key: &str, channel: &str) -> Result<(), NotifyError> {
        let now = tx.now().await?;
        match tx.execute(sql::REVIVE, &[dedupe_key.into(), channel.into(), now.into()]).await? {
            1 => Ok(()),
            _ => Err(NotifyError::NotDead { dedupe_key: dedupe_key.into(), channel: channel.into() }),
        }
    }
}

fn delivery(row: &Row) -> Result<Delivery, StoreError> {
    let channel = row.text("channel")?;
    let state = match row.text("state")?.as_str() {
        "waiting" => DeliveryState::Waiting,
        "sent" => DeliveryState::Sent,
        "dead" => DeliveryState::Dead,
        _ => return Err(StoreError::inconsistent("outbox_deliveries", "state", channel)),
    };
    Ok(Delivery {
        state,
        attempts: u32::try_from(row.int("attempts")?).unwrap_or(u32::MAX),
        due_at: Timestamp(row.int("due_at")?),
        ended_at: row.opt_int("ended_at")?.map(Timestamp),
        last_error: row.text("last_error")?,
        channel,
    })
}
