//! The engine's names for fields, as the contract calls them.

use hotswap_core::Violations;
use hotswap_rollout::judge::Limit;
use hotswap_rollout::{CohortKey, PlanDraft, StrategyDraft};

use super::draft::strategy_field;

/// Faults of a plan, with the names of the rollout's fields. Those that bear such a name already keep it.
pub(super) fn of_rollout(faults: Violations, plan: &PlanDraft) -> Violations {
    renamed(faults, |field| of_plan(field, plan))
}

/// Faults of a policy, with the names of its fields.
pub(super) fn of_policy(faults: Violations) -> Violations {
    renamed(faults, |field| match split(field) {
        ("approvals", rest) => format!("approval_levels{rest}"),
        ("min_bake_ms", _) => "min_bake".to_owned(),
        ("max_first_share", _) => "max_first_share_bps".to_owned(),
        _ => field.to_owned(),
    })
}

fn renamed(faults: Violations, name: impl Fn(&str) -> String) -> Violations {
    let mut out = Violations::new();
    for fault in faults.iter() {
        out.add(name(&fault.field), fault.message.clone());
    }
    out
}

fn of_plan(field: &str, plan: &PlanDraft) -> String {
    match split(field) {
        ("strategy", rest) => of_strategy(rest.trim_start_matches('.'), &plan.strategy),
        ("judge", rest) => of_judge(rest.trim_start_matches('.'), plan),
        ("approvals", rest) => format!("approval_levels{rest}"),
        ("source", rest) => format!("judgement.source{rest}"),
        ("sticky", rest) => format!("sticky_key{rest}"),
        ("deadline_ms", _) => "deadline".to_owned(),
        ("act_deadline_ms", _) => "act_deadline".to_owned(),
        ("rollback", ".gradual.every_ms") => "rollback.interval".to_owned(),
        ("rollback", ".gradual.steps") => "rollback.steps".to_owned(),
        _ => field.to_owned(),
    }
}

/// The first name of a path, and what is behind it.
fn split(field: &str) -> (&str, &str) {
    field.split_at(field.find(['.', '[']).unwrap_or(field.len()))
}

fn of_strategy(path: &str, strategy: &StrategyDraft) -> String {
    let name = strategy_field(strategy);
    let (_, rest) = split(path);
    let rest = match rest {
        ".cohort.key" => format!(".cohort.{}", cohort_key(strategy)),
        ".then" => ".gate".to_owned(),
        ".keep_ms" => ".keep".to_owned(),
        other => other.replace(".share_bp", ".share_bps").replace(".bake_ms", ".bake"),
    };
    format!("{name}{rest}")
}

fn cohort_key(strategy: &StrategyDraft) -> &'static str {
    match strategy {
        StrategyDraft::Ab { cohort, .. } => match cohort.key {
            CohortKey::Header(_) => "header",
            CohortKey::Cookie(_) => "cookie",
            CohortKey::Targeting(_) => "targeting_key",
        },
        _ => "key",
    }
}

fn of_judge(path: &str, plan: &PlanDraft) -> String {
    let limit = |name: &str, limit: Option<Limit>| match limit {
        Some(Limit::Relative(_)) => format!("{name}.percent"),
        Some(Limit::Points(_)) | None => format!("{name}.bps"),
    };
    let judge = plan.judge.as_ref();
    let name = match path {
        "" => return "judgement".to_owned(),
        "errors" => limit("max_error_rise", judge.map(|j| j.errors)),
        "slow" => limit("max_slow_rise", judge.and_then(|j| j.slow)),
        "min_requests" => "min_samples".to_owned(),
        "false_rollback_bp" => "false_rollback_bps".to_owned(),
        "false_promotion_bp" => "false_promotion_bps".to_owned(),
        "panic.above_bp" => "panic_bps".to_owned(),
        "panic.min_requests" => "panic_min_samples".to_owned(),
        "patience_ms" => "patience".to_owned(),
        "undecided" => "inconclusive".to_owned(),
        other => {
            let other = other.strip_prefix("method.").unwrap_or(other);
            other.replace("window_ms", "window").replace("level_bp", "level_bps")
        }
    };
    format!("judgement.{name}")
}
