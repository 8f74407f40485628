//! `hotswap rollout events` and `measurements`.

use hotswap_api::rollout::v1::{
    ArmCounts, ListMeasurementsRequest, ListRolloutEventsRequest, Measurement, RolloutEvent,
};

use super::{part, resolved, verdict};
use crate::cli::RolloutHistory;
use crate::client::Api;
use crate::exit::Failure;
use crate::output::{self, Show};
use crate::proto_json::Document;
use crate::style::Cell;
use crate::words::moment;

/// Rows asked for at once: the most that a page holds.
const PAGE: usize = 1_000;

pub(super) async fn events(args: &RolloutHistory) -> Result<(), Failure> {
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let api = target.connect().await?;
    let name = resolved(&api, &args.rollout.name).await?;
    output::many(&all_events(&api, &name, limit(args)).await?, view, 0)
}

pub(super) async fn measurements(args: &RolloutHistory) -> Result<(), Failure> {
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let api = target.connect().await?;
    let name = resolved(&api, &args.rollout.name).await?;
    let (found, dropped) = all_measurements(&api, &name, limit(args)).await?;
    if dropped.is_some() {
        let at = moment(dropped.as_ref());
        output::remark(&format!(
            "the measurements were dropped at {at}; `hotswap rollout events {name}` shows what happened"
        ));
    }
    output::many(&found, view, 0)
}

fn limit(args: &RolloutHistory) -> usize {
    usize::try_from(args.limit).unwrap_or(usize::MAX)
}

fn size(limit: usize, found: usize) -> i32 {
    i32::try_from(limit.saturating_sub(found).min(PAGE)).unwrap_or(i32::MAX)
}

/// What happened, the oldest first, at most so many.
pub(super) async fn all_events(api: &Api, name: &str, limit: usize) -> Result<Vec<RolloutEvent>, Failure> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let page_size = size(limit, found.len());
        let request = ListRolloutEventsRequest { name: name.to_owned(), page_size, page_token };
        let page = api.rollouts.clone().list_rollout_events(request).await;
        let page = page.map_err(|status| Failure::from(status).about(name))?.into_inner();
        found.extend(page.events);
        if found.len() >= limit || page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
}

/// What was measured, the newest first, at most so many; and when it was dropped, if it was.
async fn all_measurements(
    api: &Api,
    name: &str,
    limit: usize,
) -> Result<(Vec<Measurement>, Option<prost_types::Timestamp>), Failure> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let page_size = size(limit, found.len());
        let request = ListMeasurementsRequest { name: name.to_owned(), page_size, page_token };
        let page = api.rollouts.clone().list_measurements(request).await;
        let page = page.map_err(|status| Failure::from(status).about(name))?.into_inner();
        found.extend(page.measurements);
        if found.len() >= limit || page.next_page_token.is_empty() {
            return Ok((found, page.drop_time));
        }
        page_token = page.next_page_token;
    }
}

impl Show for RolloutEvent {
    const COLUMNS: &'static [&'static str] = &["SEQUENCE", "WHEN", "WHAT"];
    const WIDE: &'static [&'static str] = &["KIND"];

    fn called(&self) -> String {
        self.sequence.to_string()
    }

    fn row(&self, wide: bool, _now: i64) -> Vec<Cell> {
        let mut row = vec![
            self.sequence.to_string().into(),
            moment(self.time.as_ref()).into(),
            self.message.as_str().into(),
        ];
        if wide {
            row.push(self.kind.as_str().into());
        }
        row
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of("RolloutEvent", "hotswap.rollout.v1.RolloutEvent", self)
    }
}

impl Show for Measurement {
    const COLUMNS: &'static [&'static str] =
        &["WHEN", "STEP", "CANDIDATE", "BASELINE", "ERRORS", "SLOW", "VERDICT"];
    const WIDE: &'static [&'static str] = &["SLOW OVER", "MESSAGE"];

    fn called(&self) -> String {
        moment(self.time.as_ref())
    }

    fn row(&self, wide: bool, _now: i64) -> Vec<Cell> {
        let none = ArmCounts::default();
        let (candidate, baseline) =
            (self.candidate.as_ref().unwrap_or(&none), self.baseline.as_ref().unwrap_or(&none));
        let beside = |of: fn(&ArmCounts) -> u64| {
            let share = |arm: &ArmCounts| part(of(arm), arm.total);
            format!("{}, baseline {}", share(candidate), share(baseline))
        };
        let slow = if self.slow_over_us == 0 { "-".to_owned() } else { beside(|arm| arm.slow) };
        let mut row = vec![
            moment(self.time.as_ref()).into(),
            (self.step + 1).to_string().into(),
            candidate.total.to_string().into(),
            baseline.total.to_string().into(),
            beside(|arm| arm.errors).into(),
            slow.into(),
            verdict(self.verdict()),
        ];
        if wide {
            let over = if self.slow_over_us == 0 { "-".to_owned() } else { over(self.slow_over_us) };
            row.push(over.into());
            row.push(self.message.as_str().into());
        }
        row
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of("Measurement", "hotswap.rollout.v1.Measurement", self)
    }
}

/// A threshold in µs, as "40 ms".
pub(super) fn over(us: u64) -> String {
    if us < 10_000 { format!("{}.{} ms", us / 1_000, us % 1_000 / 100) } else { format!("{} ms", us / 1_000) }
}
