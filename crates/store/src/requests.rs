//! Answers kept for repeated requests (AIP-155), in the transaction of the write they belong to.

use hotswap_core::{Revision, Timestamp};

use crate::{StoreError, Tx};

/// How long an answer is kept, in µs: 24 hours.
const KEPT_FOR: i64 = 24 * 3_600 * 1_000_000;

/// What identifies a request: who asked, the id they gave, and a hash of what they asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The subject of the token.
    pub actor: String,
    /// The caller's request id.
    pub request_id: String,
    /// Hash of the method and the content.
    pub fingerprint: String,
}

/// An answer that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRequest {
    /// Hash of the method and content that the answer belongs to.
    pub fingerprint: String,
    /// The resource that the request wrote.
    pub name: String,
    /// The revision that it made.
    pub revision: Revision,
}

impl Tx {
    /// The answer kept for this actor and request id, if it is not too old.
    pub async fn kept_request(
        &mut self,
        key: &RequestKey,
        now: Timestamp,
    ) -> Result<Option<KeptRequest>, StoreError> {
        const SQL: &str = "SELECT fingerprint, name, revision FROM request_log \
             WHERE actor = $1 AND request_id = $2 AND created_at > $3";
        let since = now.plus_micros(-KEPT_FOR);
        let row = self
            .fetch_opt(SQL, &[key.actor.as_str().into(), key.request_id.as_str().into(), since.into()])
            .await?;
        row.map(|row| {
            Ok(KeptRequest {
                fingerprint: row.text("fingerprint")?,
                name: row.text("name")?,
                revision: Revision(row.int("revision")?),
            })
        })
        .transpose()
    }

    /// Keeps an answer, and drops those that are too old.
    pub async fn keep_request(
        &mut self,
        key: &RequestKey,
        name: &str,
        revision: Revision,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const DROP: &str = "DELETE FROM request_log WHERE created_at <= $1";
        const INSERT: &str = "INSERT INTO request_log \
             (actor, request_id, fingerprint, name, revision, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
        self.execute(DROP, &[now.plus_micros(-KEPT_FOR).into()]).await?;
        let values = [
            key.actor.as_str().into(),
            key.request_id.as_str().into(),
            key.fingerprint.as_str().into(),
            name.into(),
            revision.into(),
            now.into(),
        ];
        self.execute(INSERT, &values).await?;
        Ok(())
    }
}
