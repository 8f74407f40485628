//! The private keys of certificates: sealed before they are written, opened where they go to gateways.

use hotswap_certificate::{OpenError, PrivateKey};
use hotswap_core::Revision;
use hotswap_store::Tx;

use super::{App, Error};
use crate::domain::{AnyContent, AnyResource, Content, Resource};
use crate::store::{self, SealedKey};

/// What a key is sealed to: in another row, or as another revision's, it does not open.
fn owner(name: &str, uid: &str, revision: Revision) -> String {
    format!("hotswap certificate key\n{name}\n{uid}\n{revision}")
}

impl App {
    /// Whether a content can be written: a secret must be sealed.
    pub(super) fn can_keep<C: Content>(&self, content: &C) -> Result<(), Error> {
        match (content.secret(), &self.sealing) {
            (Some(_), None) => Err(Error::CertificateKeyMissing),
            _ => Ok(()),
        }
    }

    /// Writes the secret that a resource brings, where it brings one; the one before is gone then.
    pub(super) async fn keep_secret<C: Content>(&self, tx: &mut Tx, r: &Resource<C>) -> Result<(), Error> {
        let Some(secret) = r.content.secret() else { return Ok(()) };
        let sealing = self.sealing.as_ref().ok_or(Error::CertificateKeyMissing)?;
        let owner = owner(r.full_name(), &r.uid.to_string(), r.revision);
        let sealed = sealing.seal(&owner, secret.expose()).map_err(|_| Error::NotSealed)?;
        Ok(store::put_key(tx, r.full_name(), r.revision, sealed).await?)
    }

    /// Takes the secret out of a content where it is the one that is kept already: to apply the same again changes nothing.
    pub(super) async fn leave_known_secret<C: Content>(
        &self,
        tx: &mut Tx,
        current: &Resource<C>,
        content: &mut C,
    ) -> Result<(), Error> {
        let Some(secret) = content.secret() else { return Ok(()) };
        let kept = store::sealed_key(tx, current.full_name()).await?;
        let kept = kept.and_then(|kept| self.open(&kept, &current.uid.to_string()).ok());
        if kept.as_ref() == Some(secret) {
            content.set_secret(None);
        }
        Ok(())
    }

    /// Opens the keys of the certificates among these. One that does not open is left out and told: whoever has it already
    /// goes on with it.
    pub(super) async fn open_keys(&self, tx: &mut Tx, resources: &mut [AnyResource]) -> Result<(), Error> {
        for resource in resources {
            let AnyContent::Certificate(draft) = &mut resource.content else { continue };
            let name = &resource.name;
            let opened = match store::sealed_key(tx, name).await? {
                Some(kept) => self.open(&kept, &resource.uid).map_err(|e| e.to_string()),
                None => Err("there is none".to_owned()),
            };
            draft.private_key = opened
                .inspect_err(|error| {
                    tracing::error!(certificate = name, error, "a private key can't be opened")
                })
                .ok();
        }
        Ok(())
    }

    /// Whether every key that is kept opens: the first certificate of which it does not, and why. What an older key has
    /// sealed is sealed anew with the first, so that the older one can go.
    pub(crate) async fn check_keys(&self) -> Result<Option<(String, OpenError)>, Error> {
        let mut tx = self.db.read().await?;
        let mut old = false;
        for (kept, uid) in store::sealed_keys(&mut tx).await? {
            if let Err(error) = self.open(&kept, &uid) {
                return Ok(Some((kept.name, error)));
            }
            old |= !self.sealing.as_ref().is_some_and(|sealing| sealing.is_of_first(&kept.sealed));
        }
        drop(tx);
        if old {
            self.seal_anew().await?;
        }
        Ok(None)
    }

    async fn seal_anew(&self) -> Result<(), Error> {
        let Some(sealing) = &self.sealing else { return Ok(()) };
        let mut tx = self.db.write(store::SCOPE).await?;
        let mut count = 0;
        for (kept, uid) in store::sealed_keys(&mut tx).await? {
            // One that came meanwhile, sealed by a replica with other keys, is left to that one.
            let Ok(secret) = self.open(&kept, &uid) else { continue };
            if !sealing.is_of_first(&kept.sealed) {
                let owner = owner(&kept.name, &uid, kept.revision);
                let sealed = sealing.seal(&owner, secret.expose()).map_err(|_| Error::NotSealed)?;
                store::put_key(&mut tx, &kept.name, kept.revision, sealed).await?;
                count += 1;
            }
        }
        tx.commit().await?;
        tracing::info!(count, "private keys of certificates are sealed with the first key now");
        Ok(())
    }

    fn open(&self, kept: &SealedKey, uid: &str) -> Result<PrivateKey, OpenError> {
        let SealedKey { name, revision, sealed } = kept;
        let none = || OpenError::KeyMissing { id: "of --certificate-key-file".to_owned() };
        let sealing = self.sealing.as_ref().ok_or_else(none)?;
        sealing.open(&owner(name, uid, *revision), sealed).map(PrivateKey::new)
    }
}
