//! News of rollouts, on their way to people: from the transaction that stores them into the outbox.

use std::sync::Arc;

use hotswap_core::{Clock, Ids};
use hotswap_notify::{Message, NotifyError, Outbox};
use hotswap_rollout::{Event, Notice, Outcome, Reason, Rollout};
use hotswap_rollout_host::{Answer, Notices};
use hotswap_store::{StoreError, Tx};
use serde_json::{Value, json};

/// Puts news into the outbox.
pub(crate) struct OutboxNotices {
    outbox: Outbox,
}

impl OutboxNotices {
    /// For a store that somebody sends from.
    pub(crate) fn new(clock: &Arc<dyn Clock>, ids: &Arc<dyn Ids>) -> Self {
        Self { outbox: Outbox::new(Arc::clone(clock), Arc::clone(ids)) }
    }
}

impl Notices for OutboxNotices {
    fn note<'a>(&'a self, tx: &'a mut Tx, rollout: &'a Rollout, notice: &'a Notice) -> Answer<'a, ()> {
        Box::pin(async move {
            let Some(message) = message(rollout, notice) else { return Ok(()) };
            match self.outbox.put(tx, &message).await {
                Ok(_) => Ok(()),
                Err(NotifyError::Store(error)) => Err(error),
                Err(error) => Err(StoreError::inconsistent("outbox_messages", "message", error.to_string())),
            }
        })
    }
}

/// The message of a notice; `None`: it can't be told, which the log says.
fn message(rollout: &Rollout, notice: &Notice) -> Option<Message> {
    let key = format!("{}/{}", rollout.id, notice.seq);
    let kind = format!("rollout.{}", kind(&notice.event)?);
    match Message::new(&key, &kind, &rollout.subject, notice.at, data(rollout, &notice.event)) {
        Ok(message) => Some(message),
        Err(faults) => {
            tracing::error!(rollout = %rollout.id, kind, ?faults, "news that nobody is told");
            None
        }
    }
}

/// What it is called; `None`: it is no news.
fn kind(event: &Event) -> Option<&'static str> {
    Some(match event {
        Event::ApprovalAsked { .. } => "approval_asked",
        Event::ApprovalReminded => "approval_reminder",
        Event::ApprovalsVoided => "approvals_voided",
        Event::Started => "started",
        Event::GateOpened { .. } => "gate_opened",
        Event::Paused { .. } => "paused",
        Event::RollbackBegan { .. } => "rollback_began",
        Event::RollbackStuck { .. } => "rollback_stuck",
        Event::Frozen { .. } => "frozen",
        Event::Ended { outcome } => match outcome {
            Outcome::Promoted => "promoted",
            Outcome::Compared => "compared",
            Outcome::RolledBack(_) => "rolled_back",
            Outcome::NotStarted(Reason::Rejected { .. }) => "rejected",
            Outcome::NotStarted(Reason::NotApproved) => "expired",
            Outcome::NotStarted(_) => "not_started",
        },
        _ => return None,
    })
}

/// What the texts show, and what a webhook gets.
fn data(rollout: &Rollout, event: &Event) -> Value {
    let mut data = json!({
        "words": cut(&event.to_string()),
        "rollout": rollout.id.to_string(),
        "strategy": rollout.plan.strategy(),
        "candidate_revision": rollout.to.0,
        "baseline_revision": rollout.from.map(|r| r.0),
        "author": rollout.author.0,
        "reason": cut(&rollout.reason),
    });
    let more = match event {
        Event::ApprovalAsked { level } => json!({ "level": level }),
        Event::Paused { by, why } => json!({ "by": by.as_ref().map(|by| &by.0), "reason": cut(why) }),
        Event::GateOpened { why } => json!({ "reason": cut(why) }),
        Event::RollbackBegan { reason, from } => {
            json!({ "reason": cut(&reason.to_string()), "from": from.to_string() })
        }
        Event::RollbackStuck { detail } => json!({ "detail": cut(detail) }),
        Event::Frozen { reason } => json!({ "reason": cut(&reason.to_string()) }),
        Event::Ended { outcome: Outcome::RolledBack(reason) | Outcome::NotStarted(reason) } => {
            json!({ "reason": cut(&reason.to_string()) })
        }
        _ => json!({}),
    };
    if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
        data.extend(more);
    }
    data
}

/// At most so much of what others wrote: a message has its limit.
fn cut(text: &str) -> String {
    text.chars().take(1_000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_news_has_a_kind_and_nothing_else_has() {
        let news = [
            Event::ApprovalAsked { level: 1 },
            Event::ApprovalReminded,
            Event::ApprovalsVoided,
            Event::Started,
            Event::GateOpened { why: "x".into() },
            Event::Paused { by: None, why: "x".into() },
            Event::RollbackStuck { detail: "x".into() },
            Event::Frozen { reason: Reason::Deadline },
            Event::Ended { outcome: Outcome::Promoted },
            Event::Ended { outcome: Outcome::RolledBack(Reason::Deadline) },
            Event::StepDone { step: 0 },
            Event::Lowered { to: hotswap_rollout::Exposure::None },
        ];
        for event in news {
            assert_eq!(kind(&event).is_some(), event.is_news(), "{event:?}");
        }
    }
}
