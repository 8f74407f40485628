//! What the database tells afterwards.

use std::collections::HashMap;
use std::time::Duration;

use hotswap_rollout::Step;
use hotswap_store::Row;

use crate::Failure;
use crate::home::{Home, ctx};

/// How many have not got to their first bake.
pub(crate) const NOT_BAKING: &str = "SELECT COUNT(*) AS n FROM rollouts WHERE step < 2 AND created_at > $1";
/// How many were not measured since.
pub(crate) const NOT_MEASURED_SINCE: &str =
    "SELECT COUNT(*) AS n FROM rollouts WHERE measured_at IS NULL OR measured_at < $1";
/// Measurements since.
pub(crate) const MEASUREMENTS_SINCE: &str = "SELECT COUNT(*) AS n FROM rollout_measurements WHERE at > $1";
/// Bytes of a rollout's texts.
pub(crate) const ROW_BYTES: &str = "SELECT CAST(AVG(LENGTH(rollout) + LENGTH(record) + LENGTH(step_times) + \
     LENGTH(verdict_words)) AS BIGINT) AS n FROM rollouts WHERE measured_at > $1";
/// Bytes of a measurement's texts.
pub(crate) const MEASUREMENT_BYTES: &str = "SELECT CAST(AVG(LENGTH(measurement) + LENGTH(finding)) AS BIGINT) AS n \
     FROM rollout_measurements WHERE at > $1";

/// The middle, the hundredth and the most.
pub(crate) struct Spread {
    pub(crate) count: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None`: there are none.
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    pub(crate) fn of(values: &mut [f64]) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let at =
            |hundredths: usize| values.get((values.len() * hundredths / 100).min(values.len() - 1)).copied();
        let max = *values.last()?;
        Some(Self { count: values.len() as f64, p50: at(50)?, p99: at(99)?, max })
    }
}

/// The database's time.
pub(crate) async fn now(home: &Home) -> Result<i64, Failure> {
    Ok(home.db.read().await?.now().await?.0)
}

/// A number that a statement gives.
#[expect(clippy::cast_precision_loss, reason = "some millions")]
pub(crate) async fn number(home: &Home, sql: &'static str, since: i64) -> Result<f64, Failure> {
    let row = home.db.read().await?.fetch_opt(sql, &[since.into()]).await?;
    Ok(row.ok_or("no row")?.opt_int("n")?.unwrap_or(0) as f64)
}

/// Waits until a statement counts none.
pub(crate) async fn until_none(home: &Home, sql: &'static str, since: i64) -> Result<(), Failure> {
    while number(home, sql, since).await? > 0.0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Spreads them over an interval, as rollouts are that began at any time; gives the time from which on they are.
pub(crate) async fn spread(home: &Home, every: u32) -> Result<i64, Failure> {
    const IDS: &str = "SELECT id FROM rollouts ORDER BY id";
    const SET: &str = "UPDATE rollouts SET measured_at = $2, compared_at = $2, wake_at = $3 \
         WHERE id = $1 AND ended_at IS NULL";
    let interval = i64::from(every) * 1_000_000;
    let mut tx = home.db.write_unscoped().await?;
    let (now, mut dice) = (tx.now().await?.0, 7_u64);
    for row in tx.fetch_all(IDS, &[]).await? {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let ago = i64::try_from(dice % u64::from(every * 1_000))? * 1_000;
        let values = [row.text("id")?.into(), (now - ago).into(), (now - ago + interval).into()];
        tx.execute(SET, &values).await?;
    }
    tx.commit().await?;
    Ok(now)
}

/// How late rollouts were judged between two times, in ms: each goes by its measurement before.
pub(crate) async fn looks(home: &Home, spread: i64, from: i64, to: i64) -> Result<Vec<f64>, Failure> {
    const SQL: &str =
        "SELECT rollout_id, at, since FROM rollout_measurements WHERE at > $1 ORDER BY rollout_id, at";
    let rows = home.db.read().await?.fetch_all(SQL, &[spread.into()]).await?;
    let (mut last, mut late) = (HashMap::new(), Vec::new());
    for row in &rows {
        let (at, since) = (row.int("at")?, row.int("since")?);
        let before = last.insert(row.text("rollout_id")?, (at, since));
        if let Some((before, of)) = before
            && of == since
            && (from..to).contains(&at)
        {
            let interval = ((before - since) / 60).clamp(1_000_000, 30_000_000);
            late.push(millis(at - before - interval));
        }
    }
    Ok(late)
}

/// How late bakes ended between two times, in ms.
pub(crate) async fn steps(home: &Home, from: i64, to: i64) -> Result<Vec<f64>, Failure> {
    const SQL: &str = "SELECT id FROM rollouts WHERE step > 2 ORDER BY id";
    let rows: Vec<Row> = home.db.read().await?.fetch_all(SQL, &[]).await?;
    let mut late = Vec::new();
    for row in &rows {
        let view = home.rollouts.get(&ctx(), &row.text("id")?).await?;
        let bake = view.rollout.plan.steps().iter().enumerate().find_map(|(i, step)| match step {
            Step::Bake(span) => Some((i, *span)),
            _ => None,
        });
        let Some((i, span)) = bake else { continue };
        let times = view.step_times.get(i).copied().unwrap_or_default();
        let (Some(began), Some(ended)) = (times.began, times.ended) else { continue };
        let due = span.after(began).0;
        if (from..to).contains(&due) {
            late.push(millis(ended.0 - due));
        }
    }
    Ok(late)
}

/// How long after a command its rollout was over, in ms.
pub(crate) async fn gone(home: &Home) -> Result<Vec<f64>, Failure> {
    const SQL: &str = "SELECT c.rollout_id, e.at - c.created_at AS took FROM rollout_commands c \
         JOIN rollout_events e ON e.rollout_id = c.rollout_id AND e.kind = 'ended'";
    let rows = home.db.read().await?.fetch_all(SQL, &[]).await?;
    rows.iter().map(|row| Ok(millis(row.int("took")?))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "some hours at most")]
fn millis(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}
