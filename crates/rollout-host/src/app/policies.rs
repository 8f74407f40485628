//! Rollout policies: which steps and approvals a change needs.

use hotswap_auth::OpContext;
use hotswap_core::{Violations, check_id};
use hotswap_rollout::RolloutPolicy;
use hotswap_store::Tx;
use serde_json::json;

use super::Rollouts;
use super::history::{Page, cut};
use crate::store;
use crate::{Error, PolicyView};

/// A policy to be written.
#[derive(Clone, Debug)]
pub struct PutPolicy {
    /// "rolloutPolicies/{id}", or the id alone.
    pub name: String,
    /// Whose changes: a name as "routes/checkout", a collection as "routes/*", or "*".
    pub subject: String,
    /// What it asks for.
    pub policy: RolloutPolicy,
    /// The etag it must have; empty: any.
    pub etag: String,
    /// Checked, not written.
    pub validate_only: bool,
}

impl Rollouts {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::Store`].
    pub async fn policy(&self, _ctx: &OpContext, name: &str) -> Result<PolicyView, Error> {
        let id = policy_id(name)?;
        there(&mut self.parts.db.read().await?, &id).await
    }

    /// Policies by id, and the token of the next page.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::Store`].
    pub async fn policies(&self, _ctx: &OpContext, page: &Page) -> Result<(Vec<PolicyView>, String), Error> {
        let list = ["rolloutPolicies"];
        let (size, token) = page.parse(&list, 1)?;
        let after = token.and_then(|key| key.into_iter().next()).unwrap_or_default();
        let mut tx = self.parts.db.read().await?;
        let mut rows = store::policies(&mut tx, &after, size.get() + 1).await?;
        let next = cut(&mut rows, size, &list, |p| vec![p.id.clone()]);
        Ok((rows, next))
    }

    /// Makes a policy what is sent, or creates it. Rollouts under way keep the plan that they began with.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::StaleEtag`], [`Error::PolicyExists`] of the same subjects, [`Error::NotFound`] where
    /// an etag is given and there is no such policy, [`Error::Store`].
    pub async fn put_policy(&self, ctx: &OpContext, input: PutPolicy) -> Result<PolicyView, Error> {
        let id = check(&input)?;
        let mut tx = self.parts.db.write("rollout-policies").await?;
        let before = store::policy(&mut tx, &id).await?;
        match &before {
            Some(before) => admits(before, &input.etag)?,
            None if input.etag.is_empty() => {}
            None => return Err(Error::NotFound { name: format!("rolloutPolicies/{id}") }),
        }
        if let Some(other) = store::policy_of(&mut tx, &input.subject).await?.filter(|p| p.id != id) {
            return Err(Error::PolicyExists { policy: other.name() });
        }
        let now = self.parts.clock.now();
        let policy = PolicyView {
            uid: before.as_ref().map_or_else(|| self.parts.ids.uuid(), |b| b.uid),
            version: before.as_ref().map_or(1, |b| b.version + 1),
            created_at: before.as_ref().map_or(now, |b| b.created_at),
            updated_at: now,
            id,
            subject: input.subject,
            policy: input.policy,
        };
        if input.validate_only {
            return Ok(policy);
        }
        store::put_policy(&mut tx, &policy).await?;
        self.record(&mut tx, ctx, &policy.name(), (before.as_ref().map(told), Some(told(&policy)))).await?;
        tx.commit().await?;
        Ok(policy)
    }

    /// Deletes a policy.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`], [`Error::StaleEtag`], [`Error::Store`].
    pub async fn delete_policy(&self, ctx: &OpContext, name: &str, etag: &str) -> Result<(), Error> {
        let id = policy_id(name)?;
        let mut tx = self.parts.db.write("rollout-policies").await?;
        let before = there(&mut tx, &id).await?;
        admits(&before, etag)?;
        store::delete_policy(&mut tx, &id).await?;
        self.record(&mut tx, ctx, &before.name(), (Some(told(&before)), None)).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn there(tx: &mut Tx, id: &str) -> Result<PolicyView, Error> {
    let found = store::policy(tx, id).await?;
    found.ok_or_else(|| Error::NotFound { name: format!("rolloutPolicies/{id}") })
}

fn admits(policy: &PolicyView, etag: &str) -> Result<(), Error> {
    let current = policy.etag();
    if current.admits(etag) {
        return Ok(());
    }
    Err(Error::StaleEtag { name: policy.name(), current: current.as_str().to_owned() })
}

fn policy_id(name: &str) -> Result<String, Error> {
    let id = name.strip_prefix("rolloutPolicies/").unwrap_or(name);
    check_id(id).map_err(|e| Violations::one("name", e.to_string()))?;
    Ok(id.to_owned())
}

/// Every fault of a policy; gives its id.
fn check(input: &PutPolicy) -> Result<String, Error> {
    let mut v = Violations::new();
    let id = match policy_id(&input.name) {
        Ok(id) => Some(id),
        Err(Error::Invalid(faults)) => {
            v.nest("", faults);
            None
        }
        Err(other) => return Err(other),
    };
    if !is_pattern(&input.subject) {
        v.add("subject", "must be a name as routes/checkout, a collection as routes/*, or *");
    }
    if let Err(faults) = input.policy.check() {
        v.nest("", faults);
    }
    match id.filter(|_| v.is_empty()) {
        Some(id) => Ok(id),
        None => Err(v.into()),
    }
}

/// A resource name whose last part may be "*", or "*".
fn is_pattern(text: &str) -> bool {
    let parts: Vec<_> = text.split('/').collect();
    let word = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic() && c != '*');
    match parts.as_slice() {
        ["*"] => true,
        [before @ .., last] => {
            text.len() <= 512 && !before.is_empty() && before.iter().all(word) && (*last == "*" || word(last))
        }
        [] => false,
    }
}

fn told(policy: &PolicyView) -> serde_json::Value {
    json!({ "subject": policy.subject, "policy": policy.policy })
}

#[cfg(test)]
mod tests {
    use super::is_pattern;

    #[test]
    fn a_pattern_is_a_name_a_collection_or_all() {
        for good in ["*", "routes/*", "routes/checkout", "tenants/acme/environments/prod/configs/*"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["", "routes", "routes/", "/x", "rou*/x", "routes/a*", "*/x", "a b/c"] {
            assert!(!is_pattern(bad), "{bad}");
        }
    }
}
