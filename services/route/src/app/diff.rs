//! Compares two revisions of a resource.

use hotswap_auth::OpContext;
use hotswap_core::{ResourceName as _, Revision, Violations};
use hotswap_store::Tx;

use super::{App, Error};
use crate::domain::{Content, Difference, RevisionRecord, differences};
use crate::store;

/// Which revisions of what.
pub(crate) struct Diff {
    pub(crate) name: String,
    /// 0: the one before `to`.
    pub(crate) from: i64,
    /// 0: the newest.
    pub(crate) to: i64,
}

/// Two revisions and what differs.
pub(crate) struct Differences {
    pub(crate) from: Revision,
    pub(crate) to: Revision,
    pub(crate) differences: Vec<Difference>,
}

impl App {
    pub(crate) async fn diff<C: Content>(&self, _ctx: &OpContext, input: Diff) -> Result<Differences, Error> {
        let mut v = Violations::new();
        let name = v.take("name", C::Name::parse(&input.name));
        for (field, revision) in [("from", input.from), ("to", input.to)] {
            if revision < 0 {
                v.add(field, "must not be negative");
            }
        }
        if input.to != 0 && input.from > input.to {
            v.add("from", "must not be later than to");
        }
        let Some(name) = name.filter(|_| v.is_empty()) else { return Err(Error::Invalid(v)) };

        let mut tx = self.db.read().await?;
        let head = tx.revision(store::SCOPE).await?;
        if Revision(input.to) > head {
            return Err(Error::RevisionUnknown { revision: input.to, newest: head.0 });
        }
        let newest = if input.to == 0 { Revision(i64::MAX) } else { Revision(input.to) };
        let to = at(&mut tx, &name, newest).await?;
        let to = to.ok_or_else(|| match (name.to_string(), input.to) {
            (name, 0) => Error::NotFound { name },
            (name, revision) => Error::RevisionNotFound { name, revision },
        })?;
        let from = if input.from == 0 {
            let since = to.landed.unwrap_or(to.revision);
            store::live_at::<C>(&mut tx, &name, Revision(since.0 - 1)).await?
        } else {
            at(&mut tx, &name, Revision(input.from)).await?
        };
        // Before its first revision a resource was not there, which is a fine thing to compare with.
        let content = |r: &RevisionRecord<C>| r.resource.as_ref().map(|r| r.content.clone());
        let (old, new) = (from.as_ref().and_then(content), content(&to));
        Ok(Differences {
            from: from.map_or(Revision::ZERO, |r| r.revision),
            to: to.revision,
            differences: differences(old.as_ref(), new.as_ref()),
        })
    }
}

/// That revision, a draft too; else what was live at it.
async fn at<C: Content>(
    tx: &mut Tx,
    name: &C::Name,
    revision: Revision,
) -> Result<Option<RevisionRecord<C>>, Error> {
    match store::revision(tx, name, revision).await? {
        Some(found) => Ok(Some(found)),
        None => Ok(store::live_at(tx, name, revision).await?),
    }
}
