//! Rows to types. A row that no version of this program writes is an error that names it.

use hotswap_audit::Caller;
use hotswap_core::Timestamp;
use hotswap_rollout::judge::{Arm, Finding, Verdict};
use hotswap_rollout::{Actor, Command, Order, Principal, Record, Rollout, RolloutId, Stored};
use hotswap_store::{Row, StoreError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Freeze, Happened, Measured, PolicyView, View};

pub(super) const ROLLOUTS: &str = "rollouts";
pub(super) const EVENTS: &str = "rollout_events";
pub(super) const COMMANDS: &str = "rollout_commands";
pub(super) const MEASUREMENTS: &str = "rollout_measurements";
pub(super) const POLICIES: &str = "rollout_policies";
pub(super) const COUNTS: &str = "rollout_counts";

pub(super) fn to_json<T: Serialize>(
    value: &T,
    table: &'static str,
    column: &'static str,
) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::inconsistent(table, column, "(to be written)"))
}

pub(super) fn from_json<T: DeserializeOwned>(
    row: &Row,
    table: &'static str,
    column: &'static str,
    key: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(&row.text(column)?).map_err(|_| StoreError::inconsistent(table, column, key))
}

pub(super) fn id(row: &Row) -> Result<RolloutId, StoreError> {
    let text = row.text("id")?;
    let damaged = |_| StoreError::inconsistent(ROLLOUTS, "id", text.clone());
    text.parse().map(RolloutId).map_err(damaged)
}

pub(super) fn record(row: &Row, key: &str) -> Result<Record, StoreError> {
    Ok(from_json::<Stored>(row, ROLLOUTS, "record", key)?.into_record())
}

pub(super) fn rollout(row: &Row, key: &str) -> Result<Rollout, StoreError> {
    from_json(row, ROLLOUTS, "rollout", key)
}

pub(super) fn view(row: &Row) -> Result<View, StoreError> {
    let id = row.text("id")?;
    Ok(View {
        rollout: rollout(row, &id)?,
        record: record(row, &id)?,
        strategy: row.text("strategy")?,
        last_event: row.int("last_event")?,
        step: step(row, &id)?,
        step_times: from_json(row, ROLLOUTS, "step_times", &id)?,
        verdict: verdict(row, &id)?,
        updated_at: Timestamp(row.int("updated_at")?),
        ended_at: row.opt_int("ended_at")?.map(Timestamp),
    })
}

pub(super) fn step(row: &Row, key: &str) -> Result<usize, StoreError> {
    usize::try_from(row.int("step")?).map_err(|_| StoreError::inconsistent(ROLLOUTS, "step", key))
}

pub(super) fn verdict(row: &Row, key: &str) -> Result<Option<(Verdict, String)>, StoreError> {
    let Some(word) = row.opt_text("verdict")? else { return Ok(None) };
    let verdict = serde_json::from_value(word.into());
    let verdict = verdict.map_err(|_| StoreError::inconsistent(ROLLOUTS, "verdict", key))?;
    Ok(Some((verdict, row.opt_text("verdict_words")?.unwrap_or_default())))
}

/// The word of a value that is stored as one.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

pub(super) fn event(row: &Row, rollout: &str) -> Result<Happened, StoreError> {
    let at = Timestamp(row.int("at")?);
    let (seq, kind) = (row.int("seq")?, row.text("kind")?);
    Ok(Happened { seq, at, kind, event: from_json(row, EVENTS, "event", rollout)? })
}

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Demand {
    /// Of which rollout: with the key it tells whether it is the same request.
    pub(crate) rollout: String,
    pub(crate) order: Order,
    /// Why, for the audit log.
    pub(crate) why: String,
}

/// Who sent a command, for the audit log.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sender {
    pub(crate) actor: String,
    pub(crate) roles: Vec<String>,
    pub(crate) tenant: String,
    pub(crate) method: String,
    pub(crate) request_id: Uuid,
    pub(crate) source: String,
}

impl From<Caller> for Sender {
    fn from(c: Caller) -> Self {
        let Caller { actor, roles, tenant, method, request_id, source } = c;
        Self { actor, roles, tenant, method, request_id, source }
    }
}

impl From<Sender> for Caller {
    fn from(s: Sender) -> Self {
        let Sender { actor, roles, tenant, method, request_id, source } = s;
        Self { actor, roles, tenant, method, request_id, source }
    }
}

pub(super) fn command(row: &Row, rollout: &str) -> Result<(Command, Caller), StoreError> {
    let sender: Sender = from_json(row, COMMANDS, "caller", rollout)?;
    let demand: Demand = from_json(row, COMMANDS, "demand", rollout)?;
    let actor = Actor { principal: Principal(row.text("actor")?), roles: sender.roles.clone() };
    let at = Timestamp(row.int("created_at")?);
    let command = Command { seq: row.int("seq")?, key: row.text("key")?, actor, at, order: demand.order };
    Ok((command, sender.into()))
}

pub(super) fn measured(row: &Row, rollout: &str) -> Result<Measured, StoreError> {
    let slow = row.opt_int("slow_over_us")?.map(u64::try_from).transpose();
    Ok(Measured {
        since: Timestamp(row.int("since")?),
        slow_over_us: slow.map_err(|_| StoreError::inconsistent(MEASUREMENTS, "slow_over_us", rollout))?,
        measurement: from_json(row, MEASUREMENTS, "measurement", rollout)?,
        finding: from_json(row, MEASUREMENTS, "finding", rollout)?,
    })
}

/// JSON has no infinities: the largest numbers stand for them.
pub(super) fn finite(mut finding: Finding) -> Finding {
    for f in &mut finding.figures {
        for x in [
            &mut f.candidate,
            &mut f.baseline,
            &mut f.limit,
            &mut f.lower,
            &mut f.upper,
            &mut f.worse,
            &mut f.needed,
            &mut f.dispersion,
        ] {
            *x = if x.is_nan() { 0.0 } else { x.clamp(f64::MIN, f64::MAX) };
        }
    }
    finding
}

pub(super) fn policy(row: &Row) -> Result<PolicyView, StoreError> {
    let id = row.text("id")?;
    let uid = row.text("uid")?.parse().map_err(|_| StoreError::inconsistent(POLICIES, "uid", &id))?;
    Ok(PolicyView {
        subject: row.text("subject")?,
        policy: from_json(row, POLICIES, "policy", &id)?,
        uid,
        version: row.int("version")?,
        created_at: Timestamp(row.int("created_at")?),
        updated_at: Timestamp(row.int("updated_at")?),
        id,
    })
}

pub(super) fn freeze(row: &Row) -> Result<Freeze, StoreError> {
    Ok(Freeze {
        on: row.int("frozen")? != 0,
        reason: row.text("reason")?,
        actor: row.text("actor")?,
        changed_at: Some(Timestamp(row.int("changed_at")?)),
    })
}

/// What one reporter counted.
#[derive(Clone, Debug)]
pub(crate) struct Reported {
    pub(crate) reporter: String,
    pub(crate) epoch: u32,
    pub(crate) baseline: Arm,
    pub(crate) candidate: Arm,
    pub(crate) p95_us: Option<u64>,
    /// What was slow where it was counted; `None`: it was not known.
    pub(crate) slow_over_us: Option<u64>,
}

pub(super) fn reported(row: &Row, rollout: &str) -> Result<Reported, StoreError> {
    let damaged = |column| StoreError::inconsistent(COUNTS, column, rollout);
    let micros = |column| row.opt_int(column)?.map(u64::try_from).transpose().map_err(|_| damaged(column));
    Ok(Reported {
        reporter: row.text("reporter")?,
        epoch: u32::try_from(row.int("epoch")?).map_err(|_| damaged("epoch"))?,
        baseline: from_json(row, COUNTS, "baseline", rollout)?,
        candidate: from_json(row, COUNTS, "candidate", rollout)?,
        p95_us: micros("p95_us")?,
        slow_over_us: micros("slow_over_us")?,
    })
}
