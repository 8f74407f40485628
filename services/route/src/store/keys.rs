//! Private keys of certificates, sealed, apart from what else is known of them.

use hotswap_core::Revision;
use hotswap_store::{Row, StoreError, Tx};

use super::sql;

/// A sealed key.
pub(crate) struct SealedKey {
    /// The certificate.
    pub(crate) name: String,
    /// The revision that brought it.
    pub(crate) revision: Revision,
    pub(crate) sealed: String,
}

/// The key of a certificate; `None`: there is none.
pub(crate) async fn sealed_key(tx: &mut Tx, name: &str) -> Result<Option<SealedKey>, StoreError> {
    let row = tx.fetch_opt(sql::KEY, &[name.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// All keys, each with the uid of its certificate.
pub(crate) async fn sealed_keys(tx: &mut Tx) -> Result<Vec<(SealedKey, String)>, StoreError> {
    let rows = tx.fetch_all(sql::KEYS, &[]).await?;
    rows.iter().map(|row| Ok((read(row)?, row.text("uid")?))).collect()
}

/// Writes the key of a certificate; it takes the place of the one before.
pub(crate) async fn put_key(
    tx: &mut Tx,
    name: &str,
    revision: Revision,
    sealed: String,
) -> Result<(), StoreError> {
    tx.execute(sql::PUT_KEY, &[name.into(), revision.into(), sealed.into()]).await.map(drop)
}

fn read(row: &Row) -> Result<SealedKey, StoreError> {
    Ok(SealedKey {
        name: row.text("name")?,
        revision: Revision(row.int("revision")?),
        sealed: row.text("sealed")?,
    })
}
