//! Acts in the store: each a transaction that leaves the resource as the act wants it.

use std::sync::Arc;

use hotswap_audit::Caller;
use hotswap_core::{ResourceName as _, Revision, Timestamp};
use hotswap_rollout::{Act, Check, CohortKey, Exposure, Rollout, StickyKey, TargetContext};
use hotswap_store::{StoreError, Tx};
use hotswap_telemetry::trace;

use super::RouteTarget;
use crate::app::{Changed, Error, check};
use crate::domain::{Candidate, CandidateCheck, Content, Resource, Tracked};
use crate::store::{
    self,
    rollouts::{self, Track},
};

/// How an act wants the resource.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Want {
    /// With a candidate.
    Staged,
    /// With a candidate that proxies look at.
    Checked(CandidateCheck),
    /// With a candidate that these get.
    Exposed(Exposure),
    /// With the candidate live.
    Committed,
    /// Without a candidate.
    Withdrawn,
}

impl Want {
    /// What an act asks for.
    ///
    /// # Errors
    /// What no gateway can do, in words.
    pub(super) fn of(act: &Act, context: &TargetContext) -> Result<Self, String> {
        Ok(match act {
            Act::Stage => Self::Staged,
            Act::Commit => Self::Committed,
            Act::Withdraw => Self::Withdrawn,
            Act::Check(check) => {
                let number = context.ticket.and_then(|ticket| i64::try_from(ticket).ok()).unwrap_or(0);
                let tests = match check {
                    Check::Smoke(tests) => tests.clone(),
                    Check::Health => Vec::new(),
                };
                Self::Checked(CandidateCheck { number, tests })
            }
            Act::Expose(Exposure::Cohort(cohort)) if matches!(cohort.key(), CohortKey::Targeting(_)) => {
                return Err("requests of a gateway have no targeting key".to_owned());
            }
            Act::Expose(exposure) => Self::Exposed(exposure.clone()),
        })
    }

    /// Whether it leads to nobody having the candidate: nothing of the candidate is needed for that.
    pub(super) fn is_way_back(&self) -> bool {
        matches!(self, Self::Withdrawn | Self::Exposed(Exposure::None))
    }
}

/// Why an act was not done.
pub(super) enum No {
    /// It never will be.
    Refused(String),
    /// Not now.
    Store(Arc<StoreError>),
}

impl From<StoreError> for No {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

fn no<T>(why: impl Into<String>) -> Result<T, No> {
    Err(No::Refused(why.into()))
}

/// A rollout and its subject, as an act finds them.
struct Found<C: Content> {
    resource: Resource<C>,
    track: Option<Track>,
}

impl<C: Content> Found<C> {
    /// How the candidate stands; `None`: it was never here, or not any more.
    fn standing(&self, rollout: &Rollout) -> Option<Tracked> {
        let standing = self.track.as_ref()?.standing;
        let resident = self.resource.candidate.as_ref().is_some_and(|c| c.rollout == rollout.id);
        (standing != Tracked::Resident || resident).then_some(standing)
    }
}

/// What an act makes of a resource.
struct Placed<C: Content> {
    resource: Resource<C>,
    standing: Tracked,
    /// The content is to be that of this revision.
    live: Option<Revision>,
}

impl RouteTarget {
    /// Leaves the resource as it is wanted; gives the version that proxies must have then.
    pub(super) async fn place<C: Content>(
        &self,
        rollout: &Rollout,
        fence: i64,
        want: &Want,
    ) -> Result<Revision, No> {
        let Ok(name) = C::Name::parse(&rollout.subject) else { return no("is no name") };
        let mut tx = self.app.db.write(store::SCOPE).await?;
        let track = rollouts::tracked(&mut tx, rollout.id).await?;
        if track.as_ref().is_some_and(|t| t.fence > fence) {
            return no("another one has driven this rollout since");
        }
        let Some(resource) = store::get::<C>(&mut tx, &name).await? else {
            return if want.is_way_back() {
                Ok(Revision::ZERO)
            } else {
                no(format!("{name} does not exist"))
            };
        };
        let found = Found { resource, track };
        let before = found.resource.clone();
        let next = match self.next(&mut tx, rollout, &found, want).await? {
            Some(next) => next,
            None => return self.leave(tx, rollout, fence, (found, want)).await,
        };
        let baseline = match (next.standing, &found.track) {
            (Tracked::Committed, _) => before.revision,
            (_, Some(track)) => track.baseline,
            (_, None) => before.revision,
        };
        let after = self.write(&mut tx, rollout, next.resource, next.live).await?;
        let way_back = (next.standing == Tracked::Committed).then_some(&before.content);
        let track = Track {
            fence,
            standing: next.standing,
            version: after.version,
            baseline,
            baseline_pool: way_back.and_then(Content::pool).map(str::to_owned),
            baseline_mirror_pool: way_back.and_then(Content::mirror_pool).map(str::to_owned),
            baseline_split_pools: store::listed([way_back]),
        };
        rollouts::track(&mut tx, rollout.id, after.full_name(), &track, self.app.clock.now()).await?;
        if next.standing != Tracked::Resident {
            rollouts::drop_counts(&mut tx, rollout.id).await?;
        }
        if before.content != after.content {
            self.tell(&mut tx, rollout, &before, &after).await?;
        }
        tx.commit().await?;
        self.app.changed(after.version, after.full_name());
        Ok(after.version)
    }

    /// What is to be written; `None`: all is as it should be.
    async fn next<C: Content>(
        &self,
        tx: &mut Tx,
        rollout: &Rollout,
        found: &Found<C>,
        want: &Want,
    ) -> Result<Option<Placed<C>>, No> {
        let standing = found.standing(rollout);
        match (standing, want) {
            (Some(Tracked::Withdrawn), want) if want.is_way_back() => Ok(None),
            (Some(Tracked::Withdrawn), _) => no("its candidate was taken away before"),
            (Some(Tracked::Committed), Want::Committed | Want::Exposed(Exposure::Full)) => Ok(None),
            (Some(Tracked::Committed), Want::Staged | Want::Checked(_)) => {
                no("its candidate is live already")
            }
            (Some(Tracked::Committed), want) => self.taken_back(tx, rollout, found, want).await.map(Some),
            (None, Want::Exposed(Exposure::None)) => Ok(None),
            (None, Want::Withdrawn) => Ok(None),
            (None, want) => {
                let candidate = installed(tx, rollout, &found.resource).await?;
                with(tx, found, candidate, want, true).await
            }
            (Some(Tracked::Resident), want) => match found.resource.candidate.clone() {
                Some(candidate) => with(tx, found, candidate, want, false).await,
                None => Ok(None),
            },
        }
    }

    /// A commit undone: the baseline is live again.
    async fn taken_back<C: Content>(
        &self,
        tx: &mut Tx,
        rollout: &Rollout,
        found: &Found<C>,
        want: &Want,
    ) -> Result<Placed<C>, No> {
        let (current, baseline) = (&found.resource, found.track.as_ref().map(|t| t.baseline));
        let baseline = baseline.unwrap_or(current.revision);
        let record = store::revision::<C>(tx, &current.name, baseline).await?;
        let Some(old) = record.and_then(|r| r.resource).filter(|old| old.uid == current.uid) else {
            return no(format!("revision {baseline} of {} is gone", current.full_name()));
        };
        let mut content = old.content;
        content.settle(Some(&current.content));
        fit(tx, &content).await?;
        let candidate = match want {
            Want::Exposed(exposure) if *exposure != Exposure::None => {
                let fresh = fresh(rollout, current.content.clone());
                Some(Candidate { exposure: exposure.clone(), ..fresh })
            }
            _ => None,
        };
        let standing = if candidate.is_some() { Tracked::Resident } else { Tracked::Withdrawn };
        let resource = Resource { content, candidate, ..current.clone() };
        Ok(Placed { resource, standing, live: Some(baseline) })
    }

    /// Notes the fence where nothing else is to be written.
    async fn leave<C: Content>(
        &self,
        mut tx: Tx,
        rollout: &Rollout,
        fence: i64,
        (found, want): (Found<C>, &Want),
    ) -> Result<Revision, No> {
        let at = found.resource.version;
        let known = found.track.as_ref().map(|t| (t.fence, t.standing));
        let standing = match found.standing(rollout) {
            Some(standing) => standing,
            // A candidate that was to be taken away, and never came, must not come later.
            None if *want == Want::Withdrawn => Tracked::Withdrawn,
            None => return Ok(at),
        };
        if known != Some((fence, standing)) {
            let baseline = found.resource.revision;
            let fresh = Track {
                fence,
                standing,
                version: at,
                baseline,
                baseline_pool: None,
                baseline_mirror_pool: None,
                baseline_split_pools: None,
            };
            let track = found.track.map_or(fresh, |track| Track { fence, standing, ..track });
            let name = found.resource.full_name();
            rollouts::track(&mut tx, rollout.id, name, &track, self.app.clock.now()).await?;
            tx.commit().await?;
        }
        Ok(at)
    }

    /// Writes the resource under the next revision. Content that is live anew keeps the revision that wrote it, unless
    /// operators have changed since what its backends may do.
    async fn write<C: Content>(
        &self,
        tx: &mut Tx,
        rollout: &Rollout,
        mut next: Resource<C>,
        live: Option<Revision>,
    ) -> Result<Resource<C>, No> {
        tx.belongs_to(trace::current().map(|context| context.to_string()));
        let version = tx.next_revision(store::SCOPE).await?;
        next.version = version;
        if let Some(candidate) = &mut next.candidate
            && candidate.epoch == 0
        {
            candidate.epoch = version.0;
        }
        let Some(revision) = live else {
            store::write(tx, &next).await?;
            return Ok(next);
        };
        next.updated_at = self.app.clock.now();
        let written = store::revision::<C>(tx, &next.name, revision).await?.and_then(|r| r.resource);
        if written.is_some_and(|written| written.content == next.content) {
            next = Resource { revision, live: revision, ..next };
            store::write(tx, &next).await?;
            store::land(tx, next.full_name(), revision, version).await?;
        } else {
            next = next.landed(version);
            store::put(tx, &next, &rollout.author.0).await?;
        }
        Ok(next)
    }

    /// The audit log is told of content that became live.
    async fn tell<C: Content>(
        &self,
        tx: &mut Tx,
        rollout: &Rollout,
        before: &Resource<C>,
        after: &Resource<C>,
    ) -> Result<(), No> {
        let caller = Caller {
            actor: rollout.author.0.clone(),
            roles: Vec::new(),
            tenant: String::new(),
            method: rollout.id.to_string(),
            request_id: self.app.ids.uuid(),
            source: String::new(),
        };
        let changed = Changed {
            name: after.full_name(),
            revision: after.version,
            before: Some(&before.content),
            after: Some(&after.content),
        };
        self.app.record_of(tx, caller, changed).await.map_err(unfit)
    }

    /// Who has the candidate, as the store has it.
    pub(super) async fn exposure<C: Content>(&self, rollout: &Rollout) -> Result<Exposure, StoreError> {
        let Ok(name) = C::Name::parse(&rollout.subject) else { return Ok(Exposure::None) };
        let mut tx = self.app.db.read().await?;
        let track = rollouts::tracked(&mut tx, rollout.id).await?;
        let Some(resource) = store::get::<C>(&mut tx, &name).await? else { return Ok(Exposure::None) };
        let found = Found { resource, track };
        Ok(match found.standing(rollout) {
            Some(Tracked::Committed) => Exposure::Full,
            Some(Tracked::Resident) => found.resource.candidate.map(|c| c.exposure).unwrap_or_default(),
            Some(Tracked::Withdrawn) | None => Exposure::None,
        })
    }
}

/// The resource with a candidate, as it is wanted.
async fn with<C: Content>(
    tx: &mut Tx,
    found: &Found<C>,
    mut candidate: Candidate<C>,
    want: &Want,
    is_new: bool,
) -> Result<Option<Placed<C>>, No> {
    let current = &found.resource;
    let standing = match want {
        Want::Withdrawn => {
            let resource = Resource { candidate: None, ..current.clone() };
            return Ok(Some(Placed { resource, standing: Tracked::Withdrawn, live: None }));
        }
        Want::Committed => {
            fit(tx, &candidate.content).await?;
            let resource = Resource { content: candidate.content, candidate: None, ..current.clone() };
            let live = Some(candidate.revision);
            return Ok(Some(Placed { resource, standing: Tracked::Committed, live }));
        }
        Want::Staged => Tracked::Resident,
        Want::Checked(check) => {
            candidate.check = Some(check.clone());
            Tracked::Resident
        }
        Want::Exposed(exposure) => {
            if candidate.exposure != *exposure {
                candidate = Candidate { exposure: exposure.clone(), epoch: 0, check: None, ..candidate };
            }
            Tracked::Resident
        }
    };
    if !is_new && current.candidate.as_ref() == Some(&candidate) {
        return Ok(None);
    }
    Ok(Some(Placed {
        resource: Resource { candidate: Some(candidate), ..current.clone() },
        standing,
        live: None,
    }))
}

/// The candidate as it comes: with nobody on it.
async fn installed<C: Content>(
    tx: &mut Tx,
    rollout: &Rollout,
    current: &Resource<C>,
) -> Result<Candidate<C>, No> {
    if let Some(other) = &current.candidate
        && other.rollout != rollout.id
    {
        return no(format!("{} has a candidate of {}", current.full_name(), other.rollout));
    }
    let record = store::revision::<C>(tx, &current.name, rollout.to).await?;
    let Some(written) = record.and_then(|r| r.resource).filter(|r| r.uid == current.uid) else {
        return no(format!("{} has no revision {}", current.full_name(), rollout.to));
    };
    if rollout.sticky == Some(StickyKey::Targeting) {
        return no("requests of a gateway have no targeting key");
    }
    let mut content = written.content;
    content.settle(Some(&current.content));
    fit(tx, &content).await?;
    Ok(fresh(rollout, content))
}

fn fresh<C: Content>(rollout: &Rollout, content: C) -> Candidate<C> {
    Candidate {
        rollout: rollout.id,
        revision: rollout.to,
        exposure: Exposure::None,
        sticky: rollout.sticky.clone(),
        epoch: 0,
        check: None,
        content,
    }
}

/// The content must be such as may be live now.
async fn fit<C: Content>(tx: &mut Tx, content: &C) -> Result<(), No> {
    // Only routes and pools have rollouts, and to them the time is all the same.
    check(tx, content, None, Timestamp::default()).await.map_err(unfit)
}

fn unfit(error: Error) -> No {
    match error {
        Error::Store(error) => No::Store(error),
        other => No::Refused(other.to_string()),
    }
}
