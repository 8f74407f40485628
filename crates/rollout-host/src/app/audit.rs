//! What the use cases tell the audit log.

use hotswap_audit::{Caller, Chain, Entry};
use hotswap_auth::OpContext;
use hotswap_core::Revision;
use hotswap_store::Tx;
use serde_json::Value;

use super::Rollouts;
use crate::Error;

impl Rollouts {
    /// Records a change in its own transaction, as the last thing before the commit.
    pub(super) async fn record(
        &self,
        tx: &mut Tx,
        ctx: &OpContext,
        name: &str,
        (before, after): (Option<Value>, Option<Value>),
    ) -> Result<(), Error> {
        let diff = self.parts.audit.diff(before.as_ref(), after.as_ref());
        let entry = Entry::done(caller(ctx), name, Revision::ZERO, diff);
        self.parts.audit.record(tx, &Chain::Platform, entry).await?;
        Ok(())
    }
}

/// Who calls.
pub(super) fn caller(ctx: &OpContext) -> Caller {
    let principal = &ctx.principal;
    Caller {
        actor: principal.subject.clone(),
        roles: principal.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        tenant: principal.tenant.clone().unwrap_or_default(),
        method: ctx.method.trim_start_matches('/').to_owned(),
        request_id: ctx.request_id,
        source: ctx.source.map(|at| at.ip().to_string()).unwrap_or_default(),
    }
}
