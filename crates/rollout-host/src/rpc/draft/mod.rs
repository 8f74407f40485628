//! From the contract to drafts, with every fault named under the field where it stands.

mod judgement;
mod policy;
mod spans;
mod strategy;

use hotswap_api::rollout::v1 as wire;
use hotswap_auth::Role;
use hotswap_core::{Revision, Violations};
use hotswap_rollout::{Approvers, Level, Millis, Plan, PlanDraft, Powers, Principal};

pub(super) use policy::policy;
pub(super) use strategy::field as strategy_field;

use self::judgement::judgement;
use self::spans::{millis, or};
use self::strategy::{rollback, sticky, strategy};
use super::paths;
use crate::{Create, WriteOptions};

/// What a rollout is to be. Faults are of the rollout's fields.
///
/// # Errors
/// Every fault that can be told without knowing what is rolled out.
pub(super) fn rollout(m: &wire::Rollout) -> Result<Create, Violations> {
    let mut v = Violations::new();
    if m.subject.is_empty() {
        v.add("subject", "must be set");
    }
    if m.baseline_revision < 0 {
        v.add("baseline_revision", "must not be negative");
    }
    if m.candidate_revision < 1 {
        v.add("candidate_revision", "must be 1 or more");
    }
    let strategy = strategy(&mut v, m.strategy.as_ref());
    let (judge, source) = judgement(&mut v, m.judgement.as_ref());
    let plan = PlanDraft {
        strategy,
        judge,
        rollback: rollback(&mut v, m.rollback.as_ref()),
        approvals: levels(&mut v, &m.approval_levels),
        deadline_ms: Some(millis(&mut v, "deadline", m.deadline.as_ref(), Millis::hours(24 * 7))),
        act_deadline_ms: millis(&mut v, "act_deadline", m.act_deadline.as_ref(), Millis::minutes(10)),
        commit_is_final: false,
    };
    let sticky = sticky(&mut v, m.sticky_key.as_ref());
    // What the engine finds stands beside what was found here: a caller sees all of it at once.
    if let Err(faults) = Plan::parse(&plan, Powers::ALL) {
        v.nest("", paths::of_rollout(faults, &plan));
    }
    v.into_result()?;
    Ok(Create {
        subject: m.subject.clone(),
        from: (m.baseline_revision > 0).then_some(Revision(m.baseline_revision)),
        to: Revision(m.candidate_revision),
        plan,
        sticky,
        source,
        reason: m.reason.clone(),
        options: WriteOptions::default(),
    })
}

/// Who must approve, level by level; faults are of `approval_levels`.
fn levels(v: &mut Violations, levels: &[wire::ApprovalLevel]) -> Vec<Level> {
    let level = |(i, m): (usize, &wire::ApprovalLevel)| {
        let approvers = match (m.role.as_str(), m.principals.as_slice()) {
            ("", []) => {
                v.add(format!("approval_levels[{i}]"), "must have a role or principals");
                Approvers::Role(Role::Admin.as_str().to_owned())
            }
            ("", some) => Approvers::Principals(some.iter().cloned().map(Principal).collect()),
            (role, others) => {
                if !others.is_empty() {
                    v.add(format!("approval_levels[{i}]"), "must have a role or principals, not both");
                }
                if let Err(unknown) = role.parse::<Role>() {
                    v.add(format!("approval_levels[{i}].role"), unknown.to_string());
                }
                Approvers::Role(role.to_owned())
            }
        };
        Level { approvers, quorum: or(m.quorum, 1) }
    };
    levels.iter().enumerate().map(level).collect()
}

#[cfg(test)]
mod tests;
