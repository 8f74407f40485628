//! Proxies in the store.

use hotswap_core::{Revision, Timestamp};
use hotswap_store::{Row, StoreError, Tx, Value};

use super::sql;
use crate::domain::{Place, Proxy};

/// The scope that counts the fleet's changes.
pub(crate) const SCOPE: &str = "fleet";

const TABLE: &str = "gateway_proxies";

/// Takes a proxy over from whoever spoke for it; gives the number of the claim. One that has left already is not
/// taken from anybody: `None`.
pub(crate) async fn claim(tx: &mut Tx, proxy: &Proxy, revision: Revision) -> Result<Option<i64>, StoreError> {
    let sql = if proxy.connected { sql::CLAIM_PROXY } else { sql::ADD_PROXY };
    let row = tx.fetch_opt(sql, &values(proxy, revision)?).await?;
    row.map(|r| r.int("session")).transpose()
}

/// Writes what changed of a proxy under a claim; `false`: another one has claimed it since.
pub(crate) async fn update(
    tx: &mut Tx,
    proxy: &Proxy,
    claim: i64,
    revision: Revision,
) -> Result<bool, StoreError> {
    let mut values = values(proxy, revision)?;
    values.push(claim.into());
    Ok(tx.execute(sql::UPDATE_PROXY, &values).await? == 1)
}

/// The proxies that were written behind a revision of the fleet.
pub(crate) async fn changed_after(tx: &mut Tx, after: Revision) -> Result<Vec<Proxy>, StoreError> {
    let rows = tx.fetch_all(sql::PROXIES_AFTER, &[after.into()]).await?;
    rows.iter().map(proxy).collect()
}

fn values(p: &Proxy, revision: Revision) -> Result<Vec<Value>, StoreError> {
    let json = |text: Result<String, serde_json::Error>, column| {
        text.map_err(|_| StoreError::inconsistent(TABLE, column, &p.id))
    };
    let store = |place: &Option<Place>| place.as_ref().map(|at| at.store_id.clone());
    let number = |place: &Option<Place>| place.as_ref().map(|at| at.revision);
    Ok(vec![
        p.id.as_str().into(),
        revision.into(),
        p.replica.as_str().into(),
        i64::from(p.connected).into(),
        p.instance_id.as_str().into(),
        json(serde_json::to_string(&p.labels), "labels")?.into(),
        p.build_version.as_str().into(),
        store(&p.active).into(),
        number(&p.active).into(),
        store(&p.sent).into(),
        number(&p.sent).into(),
        json(serde_json::to_string(&p.refusals), "refusals")?.into(),
        p.connected_at.into(),
        p.last_seen_at.into(),
        json(serde_json::to_string(&p.backends), "backends")?.into(),
        json(serde_json::to_string(&p.features), "features")?.into(),
    ])
}

fn proxy(row: &Row) -> Result<Proxy, StoreError> {
    let id = row.text("name")?;
    let damaged = |column| StoreError::inconsistent(TABLE, column, &id);
    let place = |store, revision| -> Result<Option<Place>, StoreError> {
        let at = row.opt_text(store)?.zip(row.opt_int(revision)?);
        Ok(at.map(|(store_id, revision)| Place { store_id, revision }))
    };
    Ok(Proxy {
        replica: row.text("replica")?,
        instance_id: row.text("instance_id")?,
        labels: serde_json::from_str(&row.text("labels")?).map_err(|_| damaged("labels"))?,
        build_version: row.text("build_version")?,
        features: serde_json::from_str(&row.text("features")?).map_err(|_| damaged("features"))?,
        connected: row.int("connected")? != 0,
        active: place("active_store", "active_revision")?,
        sent: place("sent_store", "sent_revision")?,
        refusals: serde_json::from_str(&row.text("refusals")?).map_err(|_| damaged("refusals"))?,
        backends: serde_json::from_str(&row.text("backends")?).map_err(|_| damaged("backends"))?,
        connected_at: Timestamp(row.int("connected_at")?),
        last_seen_at: Timestamp(row.int("last_seen_at")?),
        id,
    })
}
