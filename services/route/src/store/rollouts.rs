//! Rollouts in the store: how each stands here, what proxies count for it, and what they found when they looked.

use hotswap_core::{Revision, Timestamp};
use hotswap_rollout::RolloutId;
use hotswap_store::{Row, StoreError, Tx};

use super::sql;
use crate::domain::{ArmCounts, Tracked};

const ROLLOUTS: &str = "gateway_rollouts";
const COUNTS: &str = "gateway_arm_counts";

/// How a rollout stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Track {
    /// The highest fence seen.
    pub(crate) fence: i64,
    /// How its candidate stands.
    pub(crate) standing: Tracked,
    /// The version of the resource that the last act made.
    pub(crate) version: Revision,
    /// The revision that was live before it.
    pub(crate) baseline: Revision,
    /// The pool that a commit's way back needs.
    pub(crate) baseline_pool: Option<String>,
    /// The pool of a mirror that it needs.
    pub(crate) baseline_mirror_pool: Option<String>,
    /// The pools of a split that it needs, as [`super::listed`] has them.
    pub(crate) baseline_split_pools: Option<String>,
}

fn key(rollout: RolloutId) -> String {
    rollout.0.to_string()
}

/// How a rollout stands; `None`: nothing was done for it.
pub(crate) async fn tracked(tx: &mut Tx, rollout: RolloutId) -> Result<Option<Track>, StoreError> {
    let row = tx.fetch_opt(sql::TRACKED, &[key(rollout).into()]).await?;
    let track = |row: Row| {
        let standing = Tracked::parse(&row.text("standing")?);
        Ok(Track {
            fence: row.int("fence")?,
            standing: standing.ok_or_else(|| StoreError::inconsistent(ROLLOUTS, "standing", key(rollout)))?,
            version: Revision(row.int("version")?),
            baseline: Revision(row.int("baseline")?),
            baseline_pool: row.opt_text("baseline_pool")?,
            baseline_mirror_pool: row.opt_text("baseline_mirror_pool")?,
            baseline_split_pools: row.opt_text("baseline_split_pools")?,
        })
    };
    row.map(track).transpose()
}

/// Notes how a rollout of a resource stands.
pub(crate) async fn track(
    tx: &mut Tx,
    rollout: RolloutId,
    name: &str,
    track: &Track,
    at: Timestamp,
) -> Result<(), StoreError> {
    let values = [
        key(rollout).into(),
        name.into(),
        track.fence.into(),
        track.standing.as_str().into(),
        track.version.into(),
        track.baseline.into(),
        track.baseline_pool.clone().into(),
        at.into(),
        track.baseline_mirror_pool.clone().into(),
        track.baseline_split_pools.clone().into(),
    ];
    tx.execute(sql::TRACK, &values).await.map(drop)
}

/// Commits whose way back needs a pool: the rollout of each, and of what.
pub(crate) async fn committed_from(tx: &mut Tx, pool: &str) -> Result<Vec<(RolloutId, String)>, StoreError> {
    let rows = tx.fetch_all(sql::COMMITTED_FROM, &[pool.into()]).await?;
    let committed = rows.iter().map(|row| {
        let (id, name) = (row.text("rollout")?, row.text("name")?);
        let damaged = |_| StoreError::inconsistent(ROLLOUTS, "rollout", &id);
        Ok((RolloutId(id.parse().map_err(damaged)?), name))
    });
    committed.collect()
}

/// Forgets rollouts that ended before a time: whoever drove them is long gone.
pub(crate) async fn forget(tx: &mut Tx, before: Timestamp) -> Result<(), StoreError> {
    tx.execute(sql::FORGET, &[before.into()]).await.map(drop)
}

/// Drops what was counted and found for a rollout.
pub(crate) async fn drop_counts(tx: &mut Tx, rollout: RolloutId) -> Result<(), StoreError> {
    tx.execute(sql::DROP_COUNTS, &[key(rollout).into()]).await?;
    tx.execute(sql::DROP_CHECKS, &[key(rollout).into()]).await.map(drop)
}

/// Whose counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Counter {
    pub(crate) rollout: RolloutId,
    pub(crate) epoch: i64,
    pub(crate) proxy: String,
    pub(crate) instance: String,
}

/// Keeps what an instance of a proxy counted, where its rollout is under way and no more is known already.
pub(crate) async fn put_counts(
    tx: &mut Tx,
    of: &Counter,
    counts: &ArmCounts,
    at: Timestamp,
) -> Result<(), StoreError> {
    let json = serde_json::to_string(counts);
    let values = [
        key(of.rollout).into(),
        of.epoch.into(),
        of.proxy.as_str().into(),
        of.instance.as_str().into(),
        i64::try_from(counts.requests()).unwrap_or(i64::MAX).into(),
        json.map_err(|_| StoreError::inconsistent(COUNTS, "counts", &of.proxy))?.into(),
        at.into(),
    ];
    tx.execute(sql::PUT_COUNTS, &values).await.map(drop)
}

/// What was counted for a rollout, by exposure, over all proxies.
pub(crate) async fn counts(tx: &mut Tx, rollout: RolloutId) -> Result<Vec<(i64, ArmCounts)>, StoreError> {
    let rows = tx.fetch_all(sql::COUNTS, &[key(rollout).into()]).await?;
    let mut by_epoch: Vec<(i64, ArmCounts)> = Vec::new();
    for row in rows {
        let (epoch, json) = (row.int("epoch")?, row.text("counts")?);
        let counts: ArmCounts = serde_json::from_str(&json)
            .map_err(|_| StoreError::inconsistent(COUNTS, "counts", key(rollout)))?;
        match by_epoch.last_mut().filter(|(last, _)| *last == epoch) {
            Some((_, sum)) => sum.add(&counts),
            None => by_epoch.push((epoch, counts)),
        }
    }
    Ok(by_epoch)
}

/// What a proxy found when it looked at a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) proxy: String,
    pub(crate) passed: bool,
    pub(crate) message: String,
}

/// Keeps what a proxy found, where its rollout is under way.
pub(crate) async fn put_check(
    tx: &mut Tx,
    rollout: RolloutId,
    number: i64,
    found: &Found,
    at: Timestamp,
) -> Result<(), StoreError> {
    let values = [
        key(rollout).into(),
        number.into(),
        found.proxy.as_str().into(),
        i64::from(found.passed).into(),
        found.message.as_str().into(),
        at.into(),
    ];
    tx.execute(sql::PUT_CHECK, &values).await.map(drop)
}

/// What proxies found in a check, by proxy.
pub(crate) async fn checks(tx: &mut Tx, rollout: RolloutId, number: i64) -> Result<Vec<Found>, StoreError> {
    let rows = tx.fetch_all(sql::CHECKS, &[key(rollout).into(), number.into()]).await?;
    let found = rows.iter().map(|row| {
        let passed = row.int("passed")? != 0;
        Ok(Found { proxy: row.text("proxy")?, passed, message: row.text("message")? })
    });
    found.collect()
}
