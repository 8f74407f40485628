//! What a domain's own service asks and tells in its own transactions, when it writes a subject.

use hotswap_auth::OpContext;
use hotswap_core::{Revision, Timestamp};
use hotswap_rollout::{
    CountSource, Ended, Event, Outcome, Plan, PlanDraft, Powers, Principal, Record, Rollout, RolloutId,
    State, StrategyDraft,
};
use hotswap_store::Tx;

use super::Rollouts;
use super::create::begun;
use crate::store::{self, Log, New};
use crate::{Error, Freeze, PolicyView, View};

/// A write that is live at once.
#[derive(Clone, Debug)]
pub struct Live<'a> {
    /// Whose subject it is, as "route".
    pub domain: &'a str,
    /// What was written.
    pub subject: &'a str,
    /// What was live before; `None`: nothing.
    pub from: Option<Revision>,
    /// What is live now.
    pub to: Revision,
}

impl Rollouts {
    /// The active rollout of a subject, as this transaction sees it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn active(&self, tx: &mut Tx, subject: &str) -> Result<Option<View>, Error> {
        Ok(store::active(tx, subject).await?)
    }

    /// The most specific policy that fits a subject.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn policy_for(&self, tx: &mut Tx, subject: &str) -> Result<Option<PolicyView>, Error> {
        Ok(store::policy_for(tx, subject).await?)
    }

    /// The global switch, as this transaction sees it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn is_frozen(&self, tx: &mut Tx) -> Result<Freeze, Error> {
        Ok(store::freeze(tx).await?)
    }

    /// Whether a write of this subject may be live at once. Asked in the transaction that writes it, under the lock of
    /// its scope.
    ///
    /// # Errors
    /// [`Error::Active`], [`Error::Frozen`], [`Error::LiveNotAllowed`], [`Error::Store`].
    pub async fn check_live(&self, tx: &mut Tx, subject: &str) -> Result<(), Error> {
        self.may_begin(tx, subject).await?;
        match store::policy_for(tx, subject).await? {
            Some(p) if !p.policy.allows_live() => {
                Err(Error::LiveNotAllowed { subject: subject.to_owned(), policy: p.name() })
            }
            _ => Ok(()),
        }
    }

    /// Whether a subject may be deleted: not while a rollout of it is under way.
    ///
    /// # Errors
    /// [`Error::Active`], [`Error::Store`].
    pub async fn check_delete(&self, tx: &mut Tx, subject: &str) -> Result<(), Error> {
        match store::active(tx, subject).await? {
            Some(view) => Err(Error::Active { subject: subject.to_owned(), rollout: view.rollout.id }),
            None => Ok(()),
        }
    }

    /// Records a write that is live at once, as a rollout that has ended, in the transaction that writes. The domain's own
    /// event in the audit log tells of it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn record_live(
        &self,
        tx: &mut Tx,
        ctx: &OpContext,
        live: Live<'_>,
    ) -> Result<RolloutId, Error> {
        let now = tx.now().await?;
        let draft = PlanDraft { judge: None, ..PlanDraft::new(StrategyDraft::Direct) };
        let rollout = Rollout {
            id: RolloutId(self.parts.ids.uuid()),
            domain: live.domain.to_owned(),
            subject: live.subject.to_owned(),
            from: live.from,
            to: live.to,
            author: Principal(ctx.actor().to_owned()),
            created_at: now,
            plan: Plan::parse(&draft, Powers::SWITCH)?,
            sticky: None,
            source: CountSource::Target,
            reason: String::new(),
        };
        let view = begun(rollout, ended(now), now);
        let new =
            New { rollout: &view.rollout, record: &view.record, strategy: "live", wake_at: None, events: 1 };
        store::insert(tx, new).await?;
        // A write is no news to those who follow rollouts, so its end goes to nobody.
        let log = Log { rollout: &view.rollout, notices: &crate::NoNotices, at: now };
        log.append(tx, 0, &[Event::Ended { outcome: Outcome::Promoted }]).await?;
        Ok(view.rollout.id)
    }

    /// Tells that a subject was changed or deleted: its rollout is looked at soon. Nothing is lost where it is not told,
    /// but a minute.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn touched(&self, tx: &mut Tx, subject: &str) -> Result<(), Error> {
        let now = tx.now().await?;
        Ok(store::call_subject(tx, subject, now).await?)
    }
}

/// The record of something that was over when it began.
fn ended(now: Timestamp) -> Record {
    let state = State::Ended(Ended { at: now, outcome: Outcome::Promoted });
    Record { generation: 0, answered: 0, tickets: 0, state }
}
