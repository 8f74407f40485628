//! What a user writes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::PrivateKey;

/// A certificate, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateDraft {
    /// For people.
    pub display_name: String,
    /// For finding and grouping.
    pub labels: BTreeMap<String, String>,
    /// The certificate and those that lead to its issuer, in PEM form.
    pub chain_pem: String,
    /// The key of the first certificate. It has no serialised form: what is made of a draft, as a row, an event or a
    /// difference, can't have it.
    #[serde(skip)]
    pub private_key: Option<PrivateKey>,
}
