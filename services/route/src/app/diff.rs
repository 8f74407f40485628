//! Compares two revisions of a resource.

use hotswap_auth::OpContext;
use hotswap_core::{ResourceName as _, Revision, Violations};

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
        let newest = if input.to == 0 { Revision(i64::MAX - 1) } else { Revision(input.to) };
        let to = store::revision_at::<C>(&mut tx, &name, newest).await?;
        let to = to.ok_or_else(|| match (name.to_string(), input.to) {
            (name, 0) => Error::NotFound { name },
            (name, revision) => Error::RevisionNotFound { name, revision },
        })?;
        let earlier = if input.from == 0 { Revision(to.revision.0 - 1) } else { Revision(input.from) };
        let from = store::revision_at::<C>(&mut tx, &name, earlier).await?;
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
