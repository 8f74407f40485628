//! `/rollouts`: the rollouts under way, who gets their candidates, and what was counted of both arms.

use hotswap_matcher::{Arm, Exposure, RequestKey};
use serde::Serialize;

use super::text::table;
use crate::config::Compiled;
use crate::rollout::{Rollout, Total};

/// Rollouts that are told of, at most.
const MOST: usize = 10_000;

/// A rollout, as this gateway serves it.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    rollout: String,
    resource: String,
    epoch: i64,
    /// Who gets the candidate, in words.
    exposure: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sticky_key: Option<String>,
    /// The number of the check that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<i64>,
    baseline: Counted,
    candidate: Counted,
}

/// Requests of an arm, since the exposure came.
#[derive(Debug, Serialize)]
struct Counted {
    requests: u64,
    errors: u64,
}

/// All rollouts, by what they are about; at most 10,000.
pub(super) fn page(config: &Compiled) -> Vec<Standing> {
    let mut all: Vec<_> = config.rollouts().take(MOST).map(|rollout| standing(rollout)).collect();
    all.sort_by(|a, b| a.resource.cmp(&b.resource));
    all
}

pub(super) fn text(all: &[Standing]) -> String {
    let of = |c: &Counted| format!("{} / {}", c.requests, c.errors);
    let row = |r: &Standing| {
        vec![r.resource.clone(), r.rollout.clone(), r.exposure.clone(), of(&r.baseline), of(&r.candidate)]
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let heads =
        ["RESOURCE", "ROLLOUT", "CANDIDATE FOR", "BASELINE (ALL / ERRORS)", "CANDIDATE (ALL / ERRORS)"];
    table(&heads, &rows) + &format!("{} in all\n", all.len())
}

fn standing(rollout: &Rollout) -> Standing {
    let counted = |arm| {
        let Total { requests, errors } = rollout.tallies().now(arm);
        Counted { requests, errors }
    };
    Standing {
        rollout: rollout.name().to_owned(),
        resource: rollout.resource().to_owned(),
        epoch: rollout.epoch(),
        exposure: exposure(rollout.exposure()),
        sticky_key: rollout.sticky_key().map(key),
        check: rollout.check().map(|check| check.number),
        baseline: counted(Arm::Baseline),
        candidate: counted(Arm::Candidate),
    }
}

fn exposure(exposure: &Exposure) -> String {
    let percent = |bps: u32| format!("{}.{:02} %", bps / 100, bps % 100);
    match exposure {
        Exposure::Nobody => "nobody".to_owned(),
        Exposure::Share(bps) => format!("{} of requests", percent(*bps)),
        Exposure::Shadow(bps) => format!("copies of {} of requests", percent(*bps)),
        Exposure::Cohort(cohort) => {
            format!("those with one of {} values of the {}", cohort.values.len(), key(&cohort.key))
        }
    }
}

fn key(key: &RequestKey) -> String {
    match key {
        RequestKey::Header(name) => format!("header {name}"),
        RequestKey::Cookie(name) => format!("cookie {name}"),
        RequestKey::ClientAddress => "client address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_shown_in_percent() {
        assert_eq!(exposure(&Exposure::Share(1_005)), "10.05 % of requests");
        assert_eq!(exposure(&Exposure::Shadow(10_000)), "copies of 100.00 % of requests");
    }
}
