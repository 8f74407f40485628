//! Lists what a resource has been.

use hotswap_auth::OpContext;
use hotswap_core::{PageSize, PageToken, ResourceName as _, Revision, Violations};

use super::{App, Error};
use crate::domain::{Content, RevisionRecord};
use crate::store;

/// Which page of whose revisions.
pub(crate) struct ListRevisions {
    pub(crate) name: String,
    pub(crate) page_size: i32,
    pub(crate) page_token: String,
}

impl App {
    /// A page, newest first, and the token of the next; empty: this was the last.
    pub(crate) async fn list_revisions<C: Content>(
        &self,
        _ctx: &OpContext,
        input: ListRevisions,
    ) -> Result<(Vec<RevisionRecord<C>>, String), Error> {
        let mut v = Violations::new();
        let name = v.take("name", C::Name::parse(&input.name));
        let size = PageSize::parse(input.page_size).map_err(|e| v.nest("", e)).ok();
        let list = ["revisions", input.name.as_str()];
        let token = PageToken::decode(&input.page_token, &list, 1).map_err(|e| v.nest("", e)).ok();
        let (Some(name), Some(size), Some(token)) = (name, size, token) else {
            return Err(Error::Invalid(v));
        };
        let before = token.and_then(|key| key.first()?.parse().ok()).map_or(Revision(i64::MAX), Revision);
        let mut tx = self.db.read().await?;
        let mut records = store::revisions(&mut tx, &name, before, size).await?;
        if records.is_empty() && before == Revision(i64::MAX) {
            return Err(Error::NotFound { name: input.name });
        }
        let more = records.len() > size.get();
        records.truncate(size.get());
        let next = records.last().filter(|_| more);
        let next = next.map(|r| PageToken::new(&list, vec![r.revision.to_string()]).encode());
        Ok((records, next.unwrap_or_default()))
    }
}
