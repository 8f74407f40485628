//! What was measured, and what happened.

use hotswap_auth::OpContext;
use hotswap_core::{PageSize, PageToken, Violations};
use hotswap_rollout::RolloutId;

use super::{Rollouts, found, parse_name};
use crate::store;
use crate::{Error, Happened, Measured};

/// Which page of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// At most so many; 0: 50.
    pub page_size: i32,
    /// The token of the page before; empty: the first page.
    pub page_token: String,
}

impl Page {
    /// The size, and the key behind which the page begins.
    pub(super) fn parse(
        &self,
        list: &[&str],
        parts: usize,
    ) -> Result<(PageSize, Option<Vec<String>>), Error> {
        let mut v = Violations::new();
        let size = PageSize::parse(self.page_size).map_err(|e| v.nest("", e)).ok();
        let token = PageToken::decode(&self.page_token, list, parts).map_err(|e| v.nest("", e)).ok();
        match (size, token) {
            (Some(size), Some(token)) => Ok((size, token)),
            _ => Err(v.into()),
        }
    }

    /// The number that a token holds, else `first`.
    fn number(&self, list: &[&str], first: i64) -> Result<(PageSize, i64), Error> {
        let (size, token) = self.parse(list, 1)?;
        let fault = |_| Violations::one("page_token", "is not a token that this method gave");
        let number = token.and_then(|key| key.into_iter().next()).map(|n| n.parse().map_err(fault));
        Ok((size, number.transpose()?.unwrap_or(first)))
    }
}

/// Cuts a page to its size; gives the token of the next one, empty where this was the last.
pub(super) fn cut<T>(
    page: &mut Vec<T>,
    size: PageSize,
    list: &[&str],
    key: impl Fn(&T) -> Vec<String>,
) -> String {
    let more = page.len() > size.get();
    page.truncate(size.get());
    let next = page.last().filter(|_| more).map(|last| PageToken::new(list, key(last)).encode());
    next.unwrap_or_default()
}

impl Rollouts {
    /// Measurements of a rollout, the newest first, and the token of the next page.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Store`].
    pub async fn measurements(
        &self,
        _ctx: &OpContext,
        name: &str,
        page: &Page,
    ) -> Result<(Vec<Measured>, String), Error> {
        let id = parse_name(name)?;
        let id_text = id.to_string();
        let list = ["measurements", id_text.as_str()];
        let (size, before) = page.number(&list, i64::MAX)?;
        let mut tx = self.parts.db.read().await?;
        found(&mut tx, id).await?;
        let mut rows = store::measurements(&mut tx, id, before, size.get() + 1).await?;
        let next = cut(&mut rows, size, &list, |m| vec![m.measurement.at.0.to_string()]);
        Ok((rows, next))
    }

    /// What happened in a rollout, the oldest first, and the token of the next page.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Store`].
    pub async fn events(
        &self,
        _ctx: &OpContext,
        name: &str,
        page: &Page,
    ) -> Result<(Vec<Happened>, String), Error> {
        let id: RolloutId = parse_name(name)?;
        let id_text = id.to_string();
        let list = ["events", id_text.as_str()];
        let (size, after) = page.number(&list, 0)?;
        let mut tx = self.parts.db.read().await?;
        found(&mut tx, id).await?;
        let mut rows = store::events(&mut tx, id, after, size).await?;
        let next = cut(&mut rows, size, &list, |e| vec![e.seq.to_string()]);
        Ok((rows, next))
    }
}
