//! The end of events: the one path on which they are dropped, and legal holds, which close it.
//!
//! ```text
//!   a checkpoint whose events are all too old ─► under the chain's lock:
//!        no legal hold · an event that tells of it · the floor is raised to the checkpoint · the events are deleted
//! ```
//! The triggers let nothing else delete: the floor rises only to a checkpoint and under no hold, and events above it
//! stay. What is left is verified from that checkpoint on, and must tell of the drop.

use hotswap_core::{PageSize, PageToken, Revision, Timestamp, Violations};
use hotswap_store::{Lease, Row, StoreError};
use uuid::Uuid;

use crate::checkpoints::Stored;
use crate::metrics::Task;
use crate::{AuditError, AuditLog, Caller, Chain, Change, Diff, Entry, event, sql};

/// The method of the events that tell of a drop; their revision is the new floor.
pub(crate) const METHOD: &str = "hotswap.audit/DropEvents";
const HOLDS: &str = "legalHolds/";
const MAX_REASON: usize = 512;

/// A legal hold: while it is not released, retention drops nothing of its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegalHold {
    /// "legalHolds/{uuid}".
    pub name: String,
    /// The chain.
    pub chain: Chain,
    /// Why.
    pub reason: String,
    /// Who placed it.
    pub placed_by: String,
    /// When.
    pub placed_at: Timestamp,
    /// Who released it, and when; `None`: it holds.
    pub released: Option<(String, Timestamp)>,
}

impl AuditLog {
    /// Drops the events of a chain that are older than they are kept, as far as there is no legal hold. Gives how
    /// many.
    ///
    /// # Errors
    /// As the store says. What was dropped until then stays dropped.
    pub async fn retain(&self, chain: &Chain) -> Result<u64, AuditError> {
        self.retain_chain(chain, None).await
    }

    /// The same for every chain, as one of several processes may.
    ///
    /// # Errors
    /// As for one; the others are looked after all the same.
    pub(crate) async fn retain_under(&self, lease: Option<&Lease>) -> Result<(), AuditError> {
        let mut outcome = Ok(());
        let metrics = &self.inner.metrics;
        for chain in metrics.of(Task::Upkeep, self.known_chains().await)? {
            let retained = self.retain_chain(&chain, lease).await;
            outcome = outcome.and(metrics.of(Task::Retention, retained).map(drop));
        }
        outcome
    }

    async fn retain_chain(&self, chain: &Chain, lease: Option<&Lease>) -> Result<u64, AuditError> {
        let kept = i64::try_from(self.inner.retention.as_micros()).unwrap_or(i64::MAX);
        let oldest = Timestamp(self.inner.clock.now().0.saturating_sub(kept));
        let mut dropped = 0;
        while let Some(floor) = self.next_floor(chain, oldest).await? {
            match self.drop_up_to(chain, floor, oldest, lease).await? {
                0 => break,
                n => dropped += n,
            }
        }
        if dropped > 0 {
            tracing::info!(%chain, dropped, "audit events were dropped, as they are older than they are kept");
        }
        Ok(dropped)
    }

    /// The floor, and the next checkpoint whose events are all older.
    async fn next_floor(&self, chain: &Chain, oldest: Timestamp) -> Result<Option<(i64, i64)>, AuditError> {
        let name = chain.to_string();
        let mut tx = self.inner.db.read().await?;
        let Some(row) = tx.fetch_opt(sql::CHAIN, &[name.as_str().into()]).await? else { return Ok(None) };
        let floor = row.int("floor")?;
        let range = [name.as_str().into(), floor.into(), i64::MAX.into(), 1.into()];
        let rows = tx.fetch_all(sql::CHECKPOINTS, &range).await?;
        let Some(size) = rows.first().map(Stored::from_row).transpose()?.map(|c| c.size) else {
            return Ok(None);
        };
        let row = tx.fetch_opt(sql::NEWEST_AT, &[name.into(), size.into()]).await?;
        let newest = row.map(|row| row.opt_int("at")).transpose()?.flatten();
        Ok(newest.is_some_and(|at| Timestamp(at) < oldest).then_some((floor, size)))
    }

    async fn drop_up_to(
        &self,
        chain: &Chain,
        (floor, size): (i64, i64),
        oldest: Timestamp,
        lease: Option<&Lease>,
    ) -> Result<u64, AuditError> {
        let name = chain.to_string();
        let mut tx = self.inner.db.write_unscoped().await?;
        if let Some(lease) = lease {
            tx.check_fence(lease).await?;
        }
        let row = tx.fetch_opt(sql::LOCK, &[name.as_str().into()]).await?;
        let now = row.map(|row| row.int("floor")).transpose()?;
        let held = tx.fetch_opt(sql::HELD, &[name.as_str().into()]).await?.is_some();
        if held || now != Some(floor) {
            return Ok(0);
        }
        let change = |path: &str, old: Option<i64>, new: i64| Change {
            path: path.to_owned(),
            old_json: old.map(|n| n.to_string()),
            new_json: Some(new.to_string()),
        };
        let changes = vec![change("floor", Some(floor), size), change("older_than_micros", None, oldest.0)];
        let caller = Caller {
            actor: Caller::ITSELF.to_owned(),
            method: METHOD.to_owned(),
            request_id: self.inner.ids.uuid(),
            ..Caller::default()
        };
        let diff = Diff { changes, ..Diff::default() };
        let entry = Entry::done(caller, format!("auditLogs/{chain}"), Revision(size), diff);
        self.record(&mut tx, chain, entry).await?;
        tx.execute(sql::RAISE_FLOOR, &[name.as_str().into(), size.into()]).await?;
        let dropped = tx.execute(sql::DROP, &[name.into(), size.into()]).await?;
        tx.commit().await?;
        self.inner.metrics.dropped.inc_by(dropped);
        Ok(dropped)
    }

    /// Places a legal hold on a chain.
    ///
    /// # Errors
    /// [`AuditError::Invalid`], or as the store says.
    pub async fn place_hold(
        &self,
        caller: Caller,
        chain: &Chain,
        reason: &str,
    ) -> Result<LegalHold, AuditError> {
        if reason.trim().is_empty() || reason.len() > MAX_REASON {
            return Err(Violations::one("legal_hold.reason", "must be 1 to 512 bytes").into());
        }
        let id = self.inner.ids.uuid();
        let hold = LegalHold {
            name: format!("{HOLDS}{id}"),
            chain: chain.clone(),
            reason: event::clean(reason, MAX_REASON),
            placed_by: event::clean(&caller.actor, MAX_REASON),
            placed_at: self.inner.clock.now(),
            released: None,
        };
        let after = serde_json::json!({ "chain": chain.to_string(), "reason": hold.reason });
        let diff = self.diff(None, Some(&after));
        let mut tx = self.inner.db.write_unscoped().await?;
        // It locks the chain: retention, which does too, is either before or behind it.
        self.record(&mut tx, chain, Entry::done(caller, hold.name.as_str(), Revision::ZERO, diff)).await?;
        let values = [
            id.to_string().into(),
            chain.to_string().into(),
            hold.reason.as_str().into(),
            hold.placed_by.as_str().into(),
            hold.placed_at.into(),
        ];
        tx.execute(sql::PUT_HOLD, &values).await?;
        tx.commit().await?;
        Ok(hold)
    }

    /// A legal hold.
    ///
    /// # Errors
    /// [`AuditError::HoldNotFound`], or as the store says.
    pub async fn hold(&self, name: &str) -> Result<LegalHold, AuditError> {
        let id = name.strip_prefix(HOLDS).and_then(|id| id.parse::<Uuid>().ok());
        let not_found = || AuditError::HoldNotFound { name: event::clean(name, MAX_REASON) };
        let id = id.ok_or_else(not_found)?;
        let row = self.inner.db.read().await?.fetch_opt(sql::HOLD, &[id.to_string().into()]).await?;
        Ok(held(&row.ok_or_else(not_found)?)?)
    }

    /// Releases a legal hold.
    ///
    /// # Errors
    /// [`AuditError::HoldNotFound`], [`AuditError::HoldReleased`], or as the store says.
    pub async fn release_hold(&self, caller: Caller, name: &str) -> Result<LegalHold, AuditError> {
        let hold = self.hold(name).await?;
        let (by, at) = (event::clean(&caller.actor, MAX_REASON), self.inner.clock.now());
        let before = serde_json::json!({ "chain": hold.chain.to_string(), "reason": hold.reason });
        let diff = self.diff(Some(&before), None);
        let mut tx = self.inner.db.write_unscoped().await?;
        self.record(&mut tx, &hold.chain, Entry::done(caller, hold.name.as_str(), Revision::ZERO, diff))
            .await?;
        let id = hold.name.strip_prefix(HOLDS).unwrap_or_default();
        if tx.execute(sql::RELEASE_HOLD, &[id.into(), by.as_str().into(), at.into()]).await? == 0 {
            return Err(AuditError::HoldReleased { name: hold.name });
        }
        tx.commit().await?;
        Ok(LegalHold { released: Some((by, at)), ..hold })
    }

    /// A page of a chain's legal holds, in the order of their names, and the token of the next; empty: this was
    /// the last.
    ///
    /// # Errors
    /// [`AuditError::Invalid`], or as the store says.
    pub async fn list_holds(
        &self,
        chain: &Chain,
        page_size: i32,
        page_token: &str,
    ) -> Result<(Vec<LegalHold>, String), AuditError> {
        let name = chain.to_string();
        let list = ["legalHolds", name.as_str()];
        let mut v = Violations::new();
        let size = PageSize::parse(page_size).map_err(|e| v.nest("", e)).ok();
        let token = PageToken::decode(page_token, &list, 1).map_err(|e| v.nest("", e)).ok();
        let (Some(size), Some(token)) = (size, token) else { return Err(AuditError::Invalid(v)) };
        let after = token.and_then(|key| key.into_iter().next()).unwrap_or_default();
        let limit = i64::try_from(size.get() + 1).unwrap_or(i64::MAX);
        let values = [name.as_str().into(), after.into(), limit.into()];
        let rows = self.inner.db.read().await?.fetch_all(sql::HOLDS, &values).await?;
        let mut holds = rows.iter().map(held).collect::<Result<Vec<_>, _>>()?;
        let more = holds.len() > size.get();
        holds.truncate(size.get());
        let last = holds.last().filter(|_| more).and_then(|hold| hold.name.strip_prefix(HOLDS));
        let next = last.map(|id| PageToken::new(&list, vec![id.to_owned()]).encode());
        Ok((holds, next.unwrap_or_default()))
    }
}

fn held(row: &Row) -> Result<LegalHold, StoreError> {
    let id = row.text("id")?;
    let damaged = |column| StoreError::inconsistent("audit_holds", column, &id);
    Ok(LegalHold {
        name: format!("{HOLDS}{id}"),
        chain: Chain::parse(&row.text("chain")?).ok_or_else(|| damaged("chain"))?,
        reason: row.text("reason")?,
        placed_by: row.text("placed_by")?,
        placed_at: Timestamp(row.int("placed_at")?),
        released: row.opt_text("released_by")?.zip(row.opt_int("released_at")?.map(Timestamp)),
    })
}
