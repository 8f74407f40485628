//! `hotswap rollout` and `hotswap approvals`.

mod act;
mod approvals;
mod create;
mod freeze;
mod history;
mod list;
mod policy;
mod strategy;
mod subject;
mod watch;

use hotswap_api::rollout::v1::rollout::State;
use hotswap_api::rollout::v1::{GetRolloutRequest, ListRolloutsRequest, Rollout, Verdict};

pub(super) use self::approvals::run as approvals;
use crate::cli::{Rollout as Args, RolloutAction};
use crate::client::Api;
use crate::exit::{Exit, Failure};
use crate::style::{Cell, Tone};

const COLLECTION: &str = "rollouts";

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    match &args.action {
        RolloutAction::Create(args) => create::run(args).await,
        RolloutAction::List(args) => list::run(args).await,
        RolloutAction::Describe(args) => list::describe(args).await,
        RolloutAction::Watch(args) => watch::run(args).await,
        RolloutAction::Promote(args) => act::promote(args).await,
        RolloutAction::Pause(args) => act::pause(args).await,
        RolloutAction::Resume(args) => act::resume(args).await,
        RolloutAction::Rollback(args) => act::rollback(args).await,
        RolloutAction::Approve(args) => act::approve(args).await,
        RolloutAction::Reject(args) => act::reject(args).await,
        RolloutAction::Events(args) => history::events(args).await,
        RolloutAction::Measurements(args) => history::measurements(args).await,
        RolloutAction::Freeze { action } => freeze::run(action).await,
        RolloutAction::Policy { action } => policy::run(action).await,
    }
}

/// The full name of a rollout: of what is given as one or as its id, or the newest of what it carries.
async fn resolved(api: &Api, given: &str) -> Result<String, Failure> {
    if given.starts_with("rollouts/") || !given.contains('/') {
        return Ok(format!("{COLLECTION}/{}", given.trim_start_matches("rollouts/")));
    }
    let subject = subject::full_name(given)?;
    let request = ListRolloutsRequest {
        page_size: 1,
        filter: format!("subject = {subject}"),
        ..ListRolloutsRequest::default()
    };
    let page = api.rollouts.clone().list_rollouts(request).await?.into_inner();
    match page.rollouts.into_iter().next() {
        Some(newest) => Ok(newest.name),
        None => Err(Failure::new(Exit::NotFound, format!("{subject} has no rollout"))
            .hint(format!("`hotswap rollout create {subject}` starts one"))),
    }
}

async fn get(api: &Api, name: &str) -> Result<Rollout, Failure> {
    let answer = api.rollouts.clone().get_rollout(GetRolloutRequest { name: name.to_owned() }).await;
    whole(answer.map_err(|status| Failure::from(status).about(name))?.into_inner().rollout)
}

/// What an answer promises.
fn whole(rollout: Option<Rollout>) -> Result<Rollout, Failure> {
    rollout.ok_or_else(|| Failure::other("the server's answer holds no rollout"))
}

/// A state in words.
fn state(state: State) -> Cell {
    let (word, tone) = match state {
        State::Unspecified => ("unknown", Tone::Faint),
        State::Validating => ("validating", Tone::Warn),
        State::AwaitingApproval => ("awaiting approval", Tone::Warn),
        State::Progressing => ("progressing", Tone::Warn),
        State::Paused => ("paused", Tone::Warn),
        State::RollingBack => ("rolling back", Tone::Bad),
        State::Promoted => ("promoted", Tone::Good),
        State::RolledBack => ("rolled back", Tone::Bad),
        State::Rejected => ("rejected", Tone::Bad),
        State::Frozen => ("frozen", Tone::Bad),
    };
    Cell::toned(word, tone)
}

/// A state and what is said of it, without saying it twice.
fn state_words(rollout: &Rollout) -> String {
    let word = state(rollout.state()).text;
    let message = &rollout.state_message;
    if message.starts_with(&word) { message.clone() } else { format!("{word}: {message}") }
}

fn verdict(verdict: Verdict) -> Cell {
    let (word, tone) = match verdict {
        Verdict::Unspecified => return "-".into(),
        Verdict::Pass => ("pass", Tone::Good),
        Verdict::Fail => ("fail", Tone::Bad),
        Verdict::Panic => ("panic", Tone::Bad),
        Verdict::Inconclusive => ("inconclusive", Tone::Warn),
        Verdict::NoData => ("no data", Tone::Warn),
        Verdict::Broken => ("broken", Tone::Bad),
    };
    Cell::toned(word, tone)
}

/// So many requests of all, in percent.
fn part(some: u64, all: u64) -> String {
    if all == 0 {
        return "-".to_owned();
    }
    // Counts of requests are far below where a double loses whole numbers.
    #[expect(clippy::cast_precision_loss, reason = "shown to two digits")]
    let share = some as f64 / all as f64;
    format!("{:.2} %", share * 100.0)
}

/// Whether a rollout is over.
fn is_over(rollout: &Rollout) -> bool {
    matches!(rollout.state(), State::Promoted | State::RolledBack | State::Rejected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_in_percent() {
        assert_eq!((part(1, 3), part(0, 0)), ("33.33 %".to_owned(), "-".to_owned()));
    }
}
