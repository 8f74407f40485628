//! A certificate that is in order.

use std::sync::Arc;

use hotswap_core::Violations;
use hotswap_matcher::check_meta;
use rustls::sign::CertifiedKey;

use crate::{CertificateDraft, Chain, ChainError, Facts};

/// The largest chain, in bytes of its PEM form and in certificates.
const MAX_CHAIN: usize = 65_536;
const MAX_CERTIFICATES: usize = 16;
/// The largest key, in bytes of its PEM form.
const MAX_KEY: usize = 16_384;

/// A certificate that is in order; with its key, where the draft had one.
#[derive(Clone, Debug)]
pub struct CertificateSpec {
    chain: Chain,
    key: Option<Arc<CertifiedKey>>,
}

impl CertificateSpec {
    /// Checks a draft, but for its time.
    ///
    /// # Errors
    /// Every fault, each with its field. Nothing of the key is in them.
    pub fn parse(draft: &CertificateDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        check_meta(&mut v, &draft.display_name, &draft.labels);
        let chain = v.take("chain_pem", chain(&draft.chain_pem));
        let mut key = None;
        if let Some(given) = &draft.private_key {
            let given = given.expose();
            if given.len() > MAX_KEY {
                v.add("private_key_pem", format!("must be at most {MAX_KEY} bytes"));
            } else if let Some(chain) = &chain {
                key = v.take("private_key_pem", chain.with_key(given.as_bytes()));
            } else if let Err(error) = crate::key::signing(given.as_bytes()) {
                v.add("private_key_pem", error.to_string());
            }
        }
        match chain.filter(|_| v.is_empty()) {
            Some(chain) => Ok(Self { chain, key }),
            None => Err(v),
        }
    }

    /// What it says of itself.
    pub fn facts(&self) -> &Facts {
        self.chain.facts()
    }

    /// The chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The chain with its key; `None`: the draft had none.
    pub fn key(&self) -> Option<&Arc<CertifiedKey>> {
        self.key.as_ref()
    }
}

fn chain(pem: &str) -> Result<Chain, String> {
    if pem.is_empty() {
        return Err("is required".to_owned());
    }
    if pem.len() > MAX_CHAIN {
        return Err(format!("must be at most {MAX_CHAIN} bytes"));
    }
    let chain = Chain::parse(pem.as_bytes()).map_err(|error: ChainError| error.to_string())?;
    if chain.length() > MAX_CERTIFICATES {
        return Err(format!("must have at most {MAX_CERTIFICATES} certificates"));
    }
    if chain.facts().dns_names.is_empty() {
        return Err("the first certificate must bear a DNS name (subjectAltName)".to_owned());
    }
    Ok(chain)
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
