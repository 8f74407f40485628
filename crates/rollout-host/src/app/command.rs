//! Commands: a row that the engine answers, never an edit of its state. The caller waits a little for the answer.

use std::time::Duration;

use hotswap_auth::OpContext;
use hotswap_core::Violations;
use hotswap_rollout::{Answered, Order, RolloutId, State};
use hotswap_store::{StoreError, Tx};
use serde_json::json;
use uuid::Uuid;

use super::audit::caller;
use super::{Rollouts, check_reason, found, parse_name};
use crate::store::{self, Demand, NewCommand, Sender, Taken};
use crate::{Error, View};

/// How long a caller waits for the answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often is looked for it where nothing hints at it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A command.
#[derive(Clone, Debug)]
pub struct SendCommand {
    /// "rollouts/{id}", or the id alone.
    pub name: String,
    /// The etag it must have; empty: any.
    pub etag: String,
    /// What.
    pub order: Order,
    /// Why, for the audit log.
    pub why: String,
    /// Makes a repeated call safe.
    pub request_id: Option<Uuid>,
}

impl Rollouts {
    /// Sends a command and waits up to two seconds for its answer. Where none has come by then, the rollout is given as
    /// it is; the command stands and will be answered.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::StaleEtag`], [`Error::ContentChanged`] of an approval,
    /// [`Error::RequestIdReused`], [`Error::Refused`] with the engine's words, [`Error::Store`].
    pub async fn send(&self, ctx: &OpContext, input: SendCommand) -> Result<View, Error> {
        let mut v = Violations::new();
        check_reason(&mut v, "reason", &input.why);
        let id = match parse_name(&input.name) {
            Ok(id) => Some(id),
            Err(Error::Invalid(faults)) => {
                v.nest("", faults);
                None
            }
            Err(other) => return Err(other),
        };
        let Some(id) = id.filter(|_| v.is_empty()) else { return Err(v.into()) };
        let mut hints = self.parts.db.watch_commits();
        hints.mark_unchanged();
        let seq = match self.put(ctx, id, &input).await {
            // Somebody sent the same key at the same time: now it is there.
            Err(Error::Store(error)) if matches!(*error, StoreError::Conflict(_)) => {
                self.put(ctx, id, &input).await?
            }
            put => put?,
        };
        let waited = async {
            loop {
                let mut tx = self.parts.db.read().await?;
                if let Some(answer) = store::answer_of(&mut tx, id, seq).await? {
                    return Ok::<_, Error>(answer);
                }
                drop(tx);
                let _ = tokio::time::timeout(LOOK_EVERY, hints.changed()).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waited).await {
            Ok(Ok(Answered::Refused(why))) => Err(Error::Refused { rollout: id, why }),
            Ok(Err(error)) => Err(error),
            Ok(Ok(Answered::Done)) | Err(_) => found(&mut self.parts.db.read().await?, id).await,
        }
    }

    /// Stores a command, or finds the one that the same request stored; gives its place.
    async fn put(&self, ctx: &OpContext, id: RolloutId, input: &SendCommand) -> Result<i64, Error> {
        let demand = Demand { rollout: id.to_string(), order: input.order.clone(), why: input.why.clone() };
        let key = match input.request_id {
            Some(request_id) => format!("{}/{request_id}", ctx.actor()),
            None => self.parts.ids.uuid().to_string(),
        };
        let mut tx = self.parts.db.write_unscoped().await?;
        if let Some((seq, before)) = store::command_of_key(&mut tx, &key).await? {
            let request_id = input.request_id.unwrap_or_default().to_string();
            return if before == demand { Ok(seq) } else { Err(Error::RequestIdReused { request_id }) };
        }
        let now = tx.now().await?;
        let taken = store::next_command(&mut tx, id, now).await?;
        let Some(taken) = taken else { return Err(Error::NotFound { name: id.to_string() }) };
        admit(&mut tx, id, input, &taken).await?;
        let sender = Sender::from(caller(ctx));
        let command = NewCommand { id, seq: taken.seq, key: &key, sender: &sender, demand: &demand, now };
        store::put_command(&mut tx, command).await?;
        let told = json!({ "command": input.order, "reason": input.why });
        self.record(&mut tx, ctx, &id.to_string(), (Some(json!({})), Some(told))).await?;
        tx.announce();
        self.parts.faults.at("command: before the commit").await;
        tx.commit().await?;
        Ok(taken.seq)
    }
}

/// Whether the caller saw what is there.
async fn admit(tx: &mut Tx, id: RolloutId, input: &SendCommand, taken: &Taken) -> Result<(), Error> {
    if !input.etag.is_empty() {
        let etag = found(tx, id).await?.etag();
        if !etag.admits(&input.etag) {
            let current = etag.as_str().to_owned();
            return Err(Error::StaleEtag { name: id.to_string(), current });
        }
    }
    if let (Order::Approve { content }, State::Waiting(approvals)) = (&input.order, &taken.record.state) {
        let current = &approvals.content().hash;
        if current != content {
            return Err(Error::ContentChanged { rollout: id, current: current.0.clone() });
        }
    }
    Ok(())
}
