//! Creates a rollout.

use std::sync::Arc;

use hotswap_auth::OpContext;
use hotswap_core::{Revision, Timestamp, Violations};
use hotswap_rollout::{
    Content, CountSource, Event, Plan, PlanDraft, Principal, Record, Rollout, RolloutId, State, StickyKey,
};
use hotswap_store::{RequestKey, StoreError, Tx};
use serde_json::json;

use super::{Rollouts, WriteOptions, check_reason, found};
use crate::store::{self, Log, New};
use crate::{Error, Subjects, View};

/// What to create.
#[derive(Clone, Debug)]
pub struct Create {
    /// What is rolled out: a resource name.
    pub subject: String,
    /// The baseline; `None`: what is live.
    pub from: Option<Revision>,
    /// The candidate.
    pub to: Revision,
    /// How.
    pub plan: PlanDraft,
    /// What decides a request's arm.
    pub sticky: Option<StickyKey>,
    /// Where counts come from.
    pub source: CountSource,
    /// Why, for people.
    pub reason: String,
    /// How it is meant.
    pub options: WriteOptions,
}

impl Rollouts {
    /// Creates a rollout; a driver of its domain takes it up.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every fault, of what the target can't do and of what the scope's policy asks for too;
    /// [`Error::Frozen`], [`Error::Active`], [`Error::NothingLive`], [`Error::BaselineMoved`], [`Error::DraftOutdated`],
    /// [`Error::RevisionNotFound`], [`Error::NotFound`] of the subject, [`Error::RequestIdReused`], [`Error::Store`].
    pub async fn create(&self, ctx: &OpContext, input: Create) -> Result<View, Error> {
        let Some(domain) = self.domain_of(&input.subject).cloned() else {
            return Err(Violations::one("subject", "names nothing that is rolled out here").into());
        };
        let key = input.options.key(ctx);
        // Under the lock of those who write the subject: what is live stays so until the rollout stands there.
        let mut tx = self.parts.db.write(domain.scope()).await?;
        if let Some(done) = self.repeated(&mut tx, key.as_ref()).await? {
            return Ok(done);
        }
        let now = tx.now().await?;
        let (rollout, content) = self.checked(ctx, &mut tx, &domain, &input, now).await?;
        let record = Record::begin(&rollout.plan, content, now);
        let view = begun(rollout, record, now);
        if input.options.validate_only {
            return Ok(view);
        }
        self.land(ctx, tx, view, key.as_ref()).await
    }

    /// The rollout that the same request made before, if it did.
    async fn repeated(&self, tx: &mut Tx, key: Option<&RequestKey>) -> Result<Option<View>, Error> {
        let Some(key) = key else { return Ok(None) };
        let Some(kept) = tx.kept_request(key, self.parts.clock.now()).await? else { return Ok(None) };
        if kept.fingerprint != key.fingerprint {
            return Err(Error::RequestIdReused { request_id: key.request_id.clone() });
        }
        found(tx, super::parse_name(&kept.name)?).await.map(Some)
    }

    /// The rollout as it is to be, and the content that it carries.
    async fn checked(
        &self,
        ctx: &OpContext,
        tx: &mut Tx,
        domain: &Arc<dyn Subjects>,
        input: &Create,
        now: Timestamp,
    ) -> Result<(Rollout, Content), Error> {
        let subject = input.subject.as_str();
        let mut v = Violations::new();
        check_reason(&mut v, "reason", &input.reason);
        self.check_source(&mut v, input);
        let policy = store::policy_for(tx, subject).await?;
        let (name, policy) = policy.map(|p| (p.name(), p.policy)).unwrap_or_default();
        let plan = policy.admit(&name, &input.plan, domain.powers(subject)).map_err(|e| v.nest("", e)).ok();
        let sticky = input.sticky.clone().map(StickyKey::parse).transpose();
        let sticky = sticky.map_err(|e| v.nest("sticky", e)).ok();
        let (Some(plan), Some(sticky)) = (plan, sticky) else { return Err(v.into()) };
        let author = Principal(ctx.actor().to_owned());
        let mut rollout = Rollout {
            id: RolloutId(self.parts.ids.uuid()),
            domain: domain.domain().to_owned(),
            subject: subject.to_owned(),
            from: input.from,
            to: input.to,
            author: author.clone(),
            created_at: now,
            plan,
            sticky,
            source: input.source.clone(),
            reason: input.reason.clone(),
        };
        if let Err(faults) = domain.check(&rollout) {
            v.nest("", faults);
        }
        v.into_result()?;
        let (live, mut content) = standing(tx, &**domain, input).await?;
        self.may_begin(tx, subject).await?;
        rollout.from = Some(live);
        if !content.authors.contains(&author) {
            content.authors.push(author);
        }
        Ok((rollout, content))
    }

    /// Whether the counts that it is to be judged by can be had: what can't is told now, and not at the first measurement.
    fn check_source(&self, v: &mut Violations, input: &Create) {
        let CountSource::Prometheus(queries) = &input.source else { return };
        let admitted = match &self.parts.prometheus {
            Some(prometheus) => prometheus.admits(queries),
            None => Err("can't be asked: no Prometheus server is asked here".to_owned()),
        };
        if let Err(why) = admitted {
            v.add("source.prometheus.address", why);
        }
        let timed = queries.slow.is_some() && queries.p95.is_some();
        if !timed && input.plan.judge.as_ref().is_some_and(|judge| judge.slow.is_some()) {
            v.add("judge.slow", "needs source.prometheus.slow_query and p95_query");
        }
    }

    /// Whether nothing else is under way, and nothing frozen.
    pub(super) async fn may_begin(&self, tx: &mut Tx, subject: &str) -> Result<(), Error> {
        if let Some(active) = store::active(tx, subject).await? {
            return Err(Error::Active { subject: subject.to_owned(), rollout: active.rollout.id });
        }
        let freeze = store::freeze(tx).await?;
        if freeze.on { Err(Error::Frozen { why: freeze.reason }) } else { Ok(()) }
    }

    async fn land(
        &self,
        ctx: &OpContext,
        mut tx: Tx,
        mut view: View,
        key: Option<&RequestKey>,
    ) -> Result<View, Error> {
        let (rollout, now) = (&view.rollout, view.updated_at);
        let (record, strategy) = (&view.record, view.strategy.as_str());
        let new = New { rollout, record, strategy, wake_at: Some(now), events: 1 };
        if let Err(error) = store::insert(&mut tx, new).await {
            drop(tx);
            return Err(self.taken(&rollout.subject, error).await);
        }
        let first = match &view.record.state {
            State::Waiting(_) => Event::ApprovalAsked { level: 1 },
            _ => Event::Started,
        };
        let log = Log { rollout, notices: &*self.parts.notices, at: now };
        view.last_event = log.append(&mut tx, 0, &[first]).await?;
        if let Some(key) = key {
            tx.keep_request(key, &view.name(), Revision::ZERO, self.parts.clock.now()).await?;
        }
        self.record(&mut tx, ctx, &view.name(), (None, Some(told(&view)))).await?;
        tx.announce();
        self.parts.faults.at("create: before the commit").await;
        tx.commit().await?;
        Ok(view)
    }

    /// Where two create at the same time, the store takes one.
    async fn taken(&self, subject: &str, error: StoreError) -> Error {
        if !matches!(error, StoreError::Conflict(_)) {
            return error.into();
        }
        let active = async {
            let mut tx = self.parts.db.read().await?;
            store::active(&mut tx, subject).await
        };
        match active.await {
            Ok(Some(view)) => Error::Active { subject: subject.to_owned(), rollout: view.rollout.id },
            Ok(None) => error.into(),
            Err(error) => error.into(),
        }
    }
}

/// What is live, and what is to be.
async fn standing(tx: &mut Tx, domain: &dyn Subjects, input: &Create) -> Result<(Revision, Content), Error> {
    let subject = &input.subject;
    let live = domain.live(tx, subject).await?;
    let content = domain.content(tx, subject, input.to).await?;
    let (live, content) = match (live, content) {
        (Some(live), Some(content)) => (live, content),
        (Some(_), None) => {
            return Err(Error::RevisionNotFound { subject: subject.clone(), revision: input.to.0 });
        }
        (None, Some(_)) => return Err(Error::NothingLive { subject: subject.clone() }),
        (None, None) => return Err(Error::NotFound { name: subject.clone() }),
    };
    if input.from.is_some_and(|from| from != live) {
        return Err(Error::BaselineMoved { subject: subject.clone(), live: live.0 });
    }
    // What others made live since the draft was made would be taken back with it, and nobody would have said so.
    if input.from.is_none()
        && let Some(base) = domain.base(tx, subject, input.to).await?
        && base != live
    {
        let (subject, draft) = (subject.clone(), input.to.0);
        return Err(Error::DraftOutdated { subject, draft, base: base.0, live: live.0 });
    }
    if input.to == live {
        return Err(Violations::one("candidate_revision", "is live already").into());
    }
    Ok((live, content))
}

/// A rollout before its first turn.
pub(super) fn begun(rollout: Rollout, record: Record, now: Timestamp) -> View {
    let strategy = Plan::strategy(&rollout.plan).to_owned();
    View {
        rollout,
        record,
        strategy,
        last_event: 0,
        step: 0,
        step_times: Vec::new(),
        verdict: None,
        updated_at: now,
        ended_at: None,
    }
}

/// A rollout for the audit log.
fn told(view: &View) -> serde_json::Value {
    let r = &view.rollout;
    json!({
        "subject": r.subject,
        "baseline_revision": r.from.map(|r| r.0),
        "candidate_revision": r.to.0,
        "strategy": view.strategy,
        "plan": r.plan,
        "reason": r.reason,
    })
}
