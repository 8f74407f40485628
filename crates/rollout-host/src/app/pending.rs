//! Lists what waits for approval.

use hotswap_auth::OpContext;
use hotswap_core::Timestamp;
use hotswap_rollout::{Actor, Principal, State};

use super::Rollouts;
use super::history::{Page, cut};
use super::list::place;
use crate::store::{self, sql};
use crate::{Error, View};

/// Rows read at once where most may be others'.
const SCAN: usize = 200;

/// Which of those that wait.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// Which page.
    pub page: Page,
    /// Only what the caller may approve now.
    pub mine: bool,
}

/// A rollout that waits for approval.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingApproval {
    /// Which.
    pub view: View,
    /// The level that is asked, from 0.
    pub level: usize,
    /// Who said yes at this level.
    pub approved_by: Vec<String>,
    /// How many must.
    pub quorum: u32,
    /// What an approval is bound to.
    pub content_hash: String,
    /// When it is too late.
    pub expires_at: Timestamp,
}

impl Rollouts {
    /// Rollouts that wait for approval, the oldest first, and the token of the next page.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Store`].
    pub async fn pending(
        &self,
        ctx: &OpContext,
        input: &Pending,
    ) -> Result<(Vec<PendingApproval>, String), Error> {
        let list = ["pending", if input.mine { "mine" } else { "" }];
        let (size, token) = input.page.parse(&list, 2)?;
        let mut after = token.map_or(Ok((i64::MIN, String::new())), |key| place(&key))?;
        let roles = ctx.principal.roles.iter().map(|role| role.as_str().to_owned()).collect();
        let actor = Actor { principal: Principal(ctx.actor().to_owned()), roles };
        let mut tx = self.parts.db.read().await?;
        let mut rows: Vec<PendingApproval> = Vec::new();
        while rows.len() <= size.get() {
            let some = store::list(&mut tx, sql::WAITING, &after, SCAN).await?;
            let exhausted = some.len() < SCAN;
            after = some.last().map_or(after, place_of);
            rows.extend(some.into_iter().filter_map(|view| pending(view, input.mine.then_some(&actor))));
            if exhausted {
                break;
            }
        }
        let key = |p: &PendingApproval| {
            let (at, id) = place_of(&p.view);
            vec![at.to_string(), id]
        };
        let next = cut(&mut rows, size, &list, key);
        Ok((rows, next))
    }
}

fn place_of(view: &View) -> (i64, String) {
    (view.rollout.created_at.0, view.rollout.id.0.to_string())
}

fn pending(view: View, mine: Option<&Actor>) -> Option<PendingApproval> {
    let State::Waiting(approvals) = &view.record.state else { return None };
    let levels = view.rollout.plan.levels();
    if mine.is_some_and(|actor| !approvals.asks(levels, actor)) {
        return None;
    }
    let level = approvals.level();
    let here = approvals.given().iter().filter(|(at, _)| *at == level);
    Some(PendingApproval {
        level,
        approved_by: here.map(|(_, who)| who.0.clone()).collect(),
        quorum: levels.get(level).map_or(1, |level| level.quorum),
        content_hash: approvals.content().hash.0.clone(),
        expires_at: approvals.expires_at(),
        view,
    })
}
