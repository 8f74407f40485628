//! Where a rollout is, in words.

use hotswap_rollout::{
    Approvals, Ended, Event, Frozen, Plan, Position, Running, State, UndoAct, UndoPosition, Undoing,
};

/// What a rollout waits for, or why it ended as it did.
pub(super) fn state(plan: &Plan, state: &State) -> String {
    match state {
        State::Waiting(approvals) => waiting(plan, approvals),
        State::Running(running) => running_words(plan, running),
        State::Undoing(undoing) => undoing_words(undoing),
        State::Frozen(Frozen { reason, .. }) => Event::Frozen { reason: reason.clone() }.to_string(),
        State::Ended(Ended { outcome, .. }) => Event::Ended { outcome: outcome.clone() }.to_string(),
    }
}

fn waiting(plan: &Plan, approvals: &Approvals) -> String {
    let (level, levels) = (approvals.level(), plan.levels());
    let Some(asked) = levels.get(level) else { return "approved".to_owned() };
    let given = approvals.given().iter().filter(|(at, _)| *at == level).count();
    let of =
        if levels.len() > 1 { format!(" at level {} of {}", level + 1, levels.len()) } else { String::new() };
    format!("waiting for approval{of}: {given} of {} by {}", asked.quorum, asked.approvers)
}

fn running_words(plan: &Plan, running: &Running) -> String {
    let step = step_words(plan, running);
    match &running.paused {
        None => step,
        Some(paused) => {
            let by = paused.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            let why = if paused.why.is_empty() { String::new() } else { format!(": {}", paused.why) };
            format!("paused{by}{why}; {step}")
        }
    }
}

/// As "step 3 of 9: baking for 5 min".
fn step_words(plan: &Plan, running: &Running) -> String {
    let steps = plan.steps();
    let Some(step) = steps.get(running.step) else { return "every step is done".to_owned() };
    let place = format!("step {} of {}: ", running.step + 1, steps.len());
    let words = match &running.position {
        Position::Ready => format!("{step} is next"),
        Position::Acting(pending) if pending.held => format!("{step}, held up"),
        Position::Acting(pending) if pending.attempt > 1 => format!("{step}, try {}", pending.attempt),
        Position::Judging { .. } => {
            let said = running.evidence.as_ref().map(|e| e.words()).unwrap_or_default();
            if said.is_empty() { step.to_string() } else { format!("{step}: {said}") }
        }
        Position::Acting(_) | Position::Baking { .. } | Position::Gated { .. } => step.to_string(),
    };
    place + &words
}

fn undoing_words(undoing: &Undoing) -> String {
    let doing = match &undoing.position {
        UndoPosition::Acting(pending) => match &pending.act {
            UndoAct::Lower(to) => format!("lowering to {to}"),
            UndoAct::Withdraw => "taking the candidate away".to_owned(),
        },
        UndoPosition::Resting { .. } => format!("at {}, on the way down", undoing.ceiling),
    };
    let stuck = if undoing.stuck.is_some() { "; it is stuck, and tried on" } else { "" };
    format!("{doing}: {}{stuck}", undoing.reason)
}
