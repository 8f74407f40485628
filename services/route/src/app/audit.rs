//! What the use cases tell the audit log.

use hotswap_audit::{Caller, Chain, Entry};
use hotswap_auth::OpContext;
use hotswap_core::Revision;
use hotswap_runtime::{Supervisor, TaskKind};
use hotswap_store::Tx;

use super::{App, Error};
use crate::domain::{Content, to_json};

/// A change of one resource.
pub(crate) struct Changed<'a, C: Content> {
    /// Its full name.
    pub(crate) name: &'a str,
    /// The revision that makes it.
    pub(crate) revision: Revision,
    /// `None`: it was not there.
    pub(crate) before: Option<&'a C>,
    /// `None`: it is deleted.
    pub(crate) after: Option<&'a C>,
}

impl App {
    /// Records a change in its own transaction, as the last thing before the commit. Routes and pools belong to the
    /// platform, and so do their events.
    pub(super) async fn record<C: Content>(
        &self,
        tx: &mut Tx,
        ctx: &OpContext,
        changed: Changed<'_, C>,
    ) -> Result<(), Error> {
        self.record_of(tx, caller(ctx), changed).await
    }

    /// Records a change that somebody has made who does not call now.
    pub(crate) async fn record_of<C: Content>(
        &self,
        tx: &mut Tx,
        caller: Caller,
        changed: Changed<'_, C>,
    ) -> Result<(), Error> {
        let (before, after) = (changed.before.map(to_json), changed.after.map(to_json));
        let diff = self.audit.diff(before.as_ref(), after.as_ref());
        let entry = Entry::done(caller, changed.name, changed.revision, diff);
        self.audit.record(tx, &Chain::Platform, entry).await?;
        Ok(())
    }

    /// Looks after the audit log beside the calls.
    pub(crate) fn keep_audit_log(&self, supervisor: &Supervisor) {
        let (log, shutdown) = (self.audit.clone(), supervisor.shutdown());
        supervisor.spawn("audit log", TaskKind::Essential, async move {
            log.keep(shutdown.cancelled_owned()).await;
        });
    }
}

fn caller(ctx: &OpContext) -> Caller {
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
