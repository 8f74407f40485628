//! `hotswap rollout list` and `describe`.

use hotswap_api::rollout::v1::rollout::State;
use hotswap_api::rollout::v1::step::Kind;
use hotswap_api::rollout::v1::{ApprovalLevel, ListRolloutsRequest, Rollout, Step};
use hotswap_core::{Clock as _, SystemClock};

use super::{get, resolved, state, state_words, verdict};
use crate::cli::{RolloutDescribe, RolloutList};
use crate::client::Api;
use crate::columns::{age, percent};
use crate::commands::describe::fields;
use crate::exit::Failure;
use crate::output::{self, Format, Show, View, render};
use crate::proto_json::Document;
use crate::style::{Cell, Tone};
use crate::words::{between, moment};

/// Rollouts asked for at once: the most that a page holds.
const PAGE: usize = 1_000;

pub(super) async fn run(args: &RolloutList) -> Result<(), Failure> {
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let found = all(&target.connect().await?, args).await?;
    output::many(&found, view, SystemClock.now().seconds())
}

async fn all(api: &Api, args: &RolloutList) -> Result<Vec<Rollout>, Failure> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let size = limit.saturating_sub(found.len()).min(PAGE);
        let request = ListRolloutsRequest {
            page_size: i32::try_from(size).unwrap_or(i32::MAX),
            page_token,
            filter: args.filter.clone(),
            order_by: args.order_by.clone(),
        };
        let page = api.rollouts.clone().list_rollouts(request).await?.into_inner();
        found.extend(page.rollouts);
        if found.len() >= limit || page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
}

impl Show for Rollout {
    const COLUMNS: &'static [&'static str] =
        &["SUBJECT", "STATE", "SHARE", "STEP", "VERDICT", "STRATEGY", "AGE", "NAME"];
    const WIDE: &'static [&'static str] = &["FROM", "TO", "BY", "MESSAGE", "REASON"];

    fn called(&self) -> String {
        self.name.clone()
    }

    fn row(&self, wide: bool, now: i64) -> Vec<Cell> {
        // A write that was live at once went through no steps.
        let all = i32::try_from(self.steps.len()).unwrap_or(i32::MAX);
        let step = if self.state() == State::Promoted { all } else { self.current_step + 1 };
        let mut row = vec![
            self.subject.as_str().into(),
            state(self.state()),
            percent(self.share_bps).into(),
            format!("{}/{}", step, self.steps.len()).into(),
            verdict(self.verdict()),
            self.strategy_name.as_str().into(),
            age(self.create_time.as_ref(), now).into(),
            self.name.as_str().into(),
        ];
        if wide {
            row.push(self.baseline_revision.to_string().into());
            row.push(self.candidate_revision.to_string().into());
            row.push(self.actor.as_str().into());
            row.push(self.state_message.as_str().into());
            row.push(self.reason.as_str().into());
        }
        row
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of("Rollout", "hotswap.rollout.v1.Rollout", self)
    }
}

pub(super) async fn describe(args: &RolloutDescribe) -> Result<(), Failure> {
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let api = target.connect().await?;
    let name = resolved(&api, &args.rollout.name).await?;
    let rollout = get(&api, &name).await?;
    match view.format {
        Format::Table | Format::Wide => output::told(&told(&rollout)).map(drop),
        Format::Json | Format::Yaml | Format::Name => {
            output::one(&rollout, view, SystemClock.now().seconds())
        }
    }
}

/// Everything about a rollout.
fn told(r: &Rollout) -> String {
    let mut lines = vec![
        ("Name", vec![r.name.clone()]),
        ("Subject", vec![r.subject.clone()]),
        ("Revisions", vec![format!("{} → {}", r.baseline_revision, r.candidate_revision)]),
        ("Strategy", vec![r.strategy_name.clone()]),
        ("State", vec![state_words(r)]),
        ("Exposed to", vec![r.exposure.clone()]),
        (
            "Verdict",
            vec![if r.verdict_message.is_empty() { "-".to_owned() } else { r.verdict_message.clone() }],
        ),
    ];
    if !r.approval_levels.is_empty() {
        lines.push(("Approvals", r.approval_levels.iter().map(level).collect()));
    }
    if !r.reason.is_empty() {
        lines.push(("Reason", vec![r.reason.clone()]));
    }
    lines.push(("By", vec![r.actor.clone()]));
    lines.push(("Created", vec![moment(r.create_time.as_ref())]));
    lines.push(("Updated", vec![moment(r.update_time.as_ref())]));
    if r.end_time.is_some() {
        lines.push(("Ended", vec![moment(r.end_time.as_ref())]));
    }
    if !r.content_hash.is_empty() {
        lines.push(("Content hash", vec![r.content_hash.clone()]));
    }
    lines.push(("Etag", vec![r.etag.clone()]));
    let rows = r.steps.iter().enumerate().map(|(i, step)| step_row(i, step)).collect();
    format!("{}\n{}", fields(&lines), render(&["STEP", "WHAT", "BEGAN", "TOOK"], rows, View::PLAIN))
}

/// As "2 of role operator".
fn level(level: &ApprovalLevel) -> String {
    match level.role.as_str() {
        "" => format!("{} of {}", level.quorum, level.principals.join(", ")),
        role => format!("{} of role {role}", level.quorum),
    }
}

fn step_row(i: usize, step: &Step) -> Vec<Cell> {
    let took = match (&step.start_time, &step.end_time) {
        (Some(from), Some(to)) => between(from, to),
        (Some(_), None) => "…".to_owned(),
        (None, _) => "-".to_owned(),
    };
    let what = match step.kind() {
        Kind::Commit if step.end_time.is_some() => Cell::toned(step.message.as_str(), Tone::Good),
        _ => step.message.as_str().into(),
    };
    vec![(i + 1).to_string().into(), what, moment(step.start_time.as_ref()).into(), took.into()]
}
