//! Lists rollouts.

use hotswap_auth::OpContext;
use hotswap_core::{Comparison, Filter, Violations};

use super::Rollouts;
use super::history::{Page, cut};
use crate::store::{self, sql};
use crate::{Error, View};

/// Rows read at once where a filter may drop most of them.
const SCAN: usize = 500;

const FIELDS: &[&str] = &["subject", "state", "actor", "strategy"];

/// Which page of which list.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// Which page.
    pub page: Page,
    /// Conditions on `subject`, `state`, `actor` and `strategy`.
    pub filter: String,
    /// `create_time` or `update_time`, with ` desc` behind it for falling order; empty: `create_time desc`.
    pub order_by: String,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    updated: bool,
    descending: bool,
}

impl Order {
    fn parse(text: &str) -> Result<Self, Violations> {
        let words: Vec<_> = text.split_whitespace().collect();
        let (updated, descending) = match words.as_slice() {
            [] | ["create_time", "desc"] => (false, true),
            ["create_time"] | ["create_time", "asc"] => (false, false),
            ["update_time", "desc"] => (true, true),
            ["update_time"] | ["update_time", "asc"] => (true, false),
            _ => {
                let message = "must be create_time or update_time, with \" desc\" for falling order";
                return Err(Violations::one("order_by", message));
            }
        };
        Ok(Self { updated, descending })
    }

    fn sql(self) -> &'static str {
        match (self.updated, self.descending) {
            (false, false) => sql::BY_CREATED,
            (false, true) => sql::BY_CREATED_DESC,
            (true, false) => sql::BY_UPDATED,
            (true, true) => sql::BY_UPDATED_DESC,
        }
    }

    /// A place that every row lies behind.
    fn start(self) -> (i64, String) {
        if self.descending { (i64::MAX, "~".into()) } else { (i64::MIN, String::new()) }
    }

    fn place(self, view: &View) -> (i64, String) {
        let at = if self.updated { view.updated_at } else { view.rollout.created_at };
        (at.0, view.rollout.id.0.to_string())
    }
}

impl Rollouts {
    /// A page of rollouts, and the token of the next; empty: this was the last.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Store`].
    pub async fn list(&self, _ctx: &OpContext, input: &List) -> Result<(Vec<View>, String), Error> {
        let mut v = Violations::new();
        let filter = Filter::parse(&input.filter, FIELDS).map_err(|e| v.nest("", e)).ok();
        let order = Order::parse(&input.order_by).map_err(|e| v.nest("", e)).ok();
        let list = ["rollouts", input.filter.as_str(), input.order_by.as_str()];
        let page = match input.page.parse(&list, 2) {
            Ok(page) => Some(page),
            Err(Error::Invalid(faults)) => {
                v.nest("", faults);
                None
            }
            Err(other) => return Err(other),
        };
        let (Some(filter), Some(order), Some((size, token))) = (filter, order, page) else {
            return Err(v.into());
        };
        let mut after = token.map_or_else(|| Ok(order.start()), |key| place(&key))?;
        let wanted = size.get() + 1;
        let step = if filter.is_empty() { wanted } else { SCAN.max(wanted) };
        let mut tx = self.parts.db.read().await?;
        let mut rows: Vec<View> = Vec::new();
        while rows.len() < wanted {
            let some = store::list(&mut tx, order.sql(), &after, step).await?;
            let exhausted = some.len() < step;
            after = some.last().map_or(after, |last| order.place(last));
            rows.extend(some.into_iter().filter(|view| filter.all(|c| satisfies(view, c))));
            if exhausted {
                break;
            }
        }
        let key = |view: &View| {
            let (at, id) = order.place(view);
            vec![at.to_string(), id]
        };
        let next = cut(&mut rows, size, &list, key);
        Ok((rows, next))
    }
}

pub(super) fn place(key: &[String]) -> Result<(i64, String), Error> {
    let fault = || Violations::one("page_token", "is not a token that this method gave");
    match key {
        [at, id] => Ok((at.parse().map_err(|_| fault())?, id.clone())),
        _ => Err(fault().into()),
    }
}

fn satisfies(view: &View, condition: &Comparison) -> bool {
    match condition.field.as_str() {
        "subject" => condition.holds([view.rollout.subject.as_str()]),
        "actor" => condition.holds([view.rollout.author.0.as_str()]),
        "strategy" => condition.holds([view.strategy.as_str()]),
        _ => {
            let word = view.record.state.word();
            let wire = wire_state(word);
            let long = format!("STATE_{wire}");
            condition.holds([word, wire, long.as_str()])
        }
    }
}

/// The state as the contract has it.
fn wire_state(word: &str) -> &'static str {
    match word {
        "waiting_for_approval" => "AWAITING_APPROVAL",
        "paused" => "PAUSED",
        "running" | "waiting_for_promotion" => "PROGRESSING",
        "rollback_stuck" | "rolling_back" => "ROLLING_BACK",
        "frozen" => "FROZEN",
        "promoted" => "PROMOTED",
        "compared" | "rolled_back" => "ROLLED_BACK",
        _ => "REJECTED",
    }
}
