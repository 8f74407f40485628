//! Rollouts as the contract has them.

use hotswap_api::rollout::v1 as wire;
use hotswap_api::rollout::v1::rollout::State as Shown;
use hotswap_core::Timestamp;
use hotswap_rollout::judge::Verdict;
use hotswap_rollout::{Ended, Outcome, Position, Reason, Running, State};

use super::{count, measurement, plan, share_bps, time, words};
use crate::{PendingApproval, View};

/// A rollout as it is now.
pub(in crate::rpc) fn rollout(view: &View) -> wire::Rollout {
    let View { rollout: fixed, record, .. } = view;
    let state = &record.state;
    let reach = state.reach();
    let (verdict, verdict_message) = verdict(view);
    wire::Rollout {
        name: fixed.id.to_string(),
        subject: fixed.subject.clone(),
        baseline_revision: fixed.from.map_or(0, |r| r.0),
        candidate_revision: fixed.to.0,
        strategy: plan::strategy(&fixed.plan),
        judgement: Some(plan::judgement(&fixed.plan, &fixed.source)),
        approval_levels: plan::levels(fixed.plan.levels()),
        deadline: fixed.plan.deadline().and_then(plan::span),
        reason: fixed.reason.clone(),
        state: shown(state).into(),
        state_message: words::state(&fixed.plan, state),
        steps: plan::steps(&fixed.plan, &view.step_times),
        current_step: count(view.step),
        share_bps: share_bps(&reach),
        verdict: verdict.into(),
        etag: view.etag().as_str().to_owned(),
        actor: fixed.author.0.clone(),
        create_time: Some(time(fixed.created_at)),
        update_time: Some(time(view.updated_at)),
        end_time: view.ended_at.map(time),
        sticky_key: fixed.sticky.as_ref().map(plan::sticky),
        rollback: plan::rollback(&fixed.plan),
        act_deadline: plan::span(fixed.plan.act_deadline()),
        exposure: reach.to_string(),
        verdict_message,
        step_end_time: step_end(state).map(time),
        content_hash: content_hash(state),
        strategy_name: view.strategy.clone(),
    }
}

fn shown(state: &State) -> Shown {
    match state {
        State::Waiting(_) => Shown::AwaitingApproval,
        State::Running(running) if running.paused.is_some() => Shown::Paused,
        // While the target makes it ready it finds out whether it can take it at all.
        State::Running(running) if running.step == 0 => Shown::Validating,
        State::Running(_) => Shown::Progressing,
        State::Undoing(_) => Shown::RollingBack,
        State::Frozen(_) => Shown::Frozen,
        State::Ended(Ended { outcome, .. }) => match outcome {
            Outcome::Promoted => Shown::Promoted,
            Outcome::Compared | Outcome::RolledBack(_) => Shown::RolledBack,
            Outcome::NotStarted(_) => Shown::Rejected,
        },
    }
}

/// What is or was going on.
fn running(state: &State) -> Option<&Running> {
    match state {
        State::Running(running) => Some(running),
        State::Frozen(frozen) => Some(&frozen.interrupted),
        State::Waiting(_) | State::Undoing(_) | State::Ended(_) => None,
    }
}

fn step_end(state: &State) -> Option<Timestamp> {
    match running(state)?.position {
        Position::Baking { until } | Position::Judging { until } => Some(until),
        Position::Ready | Position::Acting(_) | Position::Gated { .. } => None,
    }
}

fn content_hash(state: &State) -> String {
    match state {
        State::Waiting(approvals) => approvals.content().hash.0.clone(),
        State::Running(_) | State::Frozen(_) | State::Undoing(_) | State::Ended(_) => {
            running(state).map(|running| running.content.hash.0.clone()).unwrap_or_default()
        }
    }
}

/// The newest verdict: of the exposure under way; else the one that ended it, or the last that was stored.
fn verdict(view: &View) -> (wire::Verdict, String) {
    let state = &view.record.state;
    let evidence = running(state).and_then(|running| running.evidence.as_ref()).filter(|e| !e.is_alone());
    let live = evidence.map(|e| (e.verdict(), e.words().to_owned()));
    let ended = || reason(state).and_then(said);
    let found = live.or_else(ended).or_else(|| view.verdict.clone());
    found.map_or((wire::Verdict::Unspecified, String::new()), |(verdict, words)| {
        (measurement::verdict(verdict), words)
    })
}

fn reason(state: &State) -> Option<&Reason> {
    match state {
        State::Undoing(undoing) => Some(&undoing.reason),
        State::Frozen(frozen) => Some(&frozen.reason),
        State::Ended(Ended {
            outcome: Outcome::RolledBack(reason) | Outcome::NotStarted(reason), ..
        }) => Some(reason),
        State::Ended(Ended { outcome: Outcome::Promoted | Outcome::Compared, .. })
        | State::Waiting(_)
        | State::Running(_) => None,
    }
}

/// The verdict that a reason tells of.
fn said(reason: &Reason) -> Option<(Verdict, String)> {
    match reason {
        Reason::Failed(words) => Some((Verdict::Fail, words.clone())),
        Reason::Panic(words) => Some((Verdict::Panic, words.clone())),
        Reason::Undecided(words) => Some((Verdict::Inconclusive, words.clone())),
        Reason::Asked { .. }
        | Reason::Rejected { .. }
        | Reason::NotApproved
        | Reason::Deadline
        | Reason::ActTooLong(_)
        | Reason::Refused { .. }
        | Reason::ContentChanged
        | Reason::SubjectGone => None,
    }
}

/// An approval that a rollout waits for.
pub(in crate::rpc) fn pending(pending: &PendingApproval) -> wire::PendingApproval {
    wire::PendingApproval {
        rollout: Some(rollout(&pending.view)),
        level: count(pending.level),
        approved_by: pending.approved_by.clone(),
        quorum: pending.quorum,
        content_hash: pending.content_hash.clone(),
        expire_time: Some(time(pending.expires_at)),
    }
}
