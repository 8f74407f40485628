//! Certificates.

use hotswap_api::route::v1 as wire;
use hotswap_certificate::{CertificateDraft, PrivateKey};

/// What a certificate of the wire says. Its key is there where one was sent.
pub fn certificate_from_wire(certificate: &wire::Certificate) -> CertificateDraft {
    let key = Some(&certificate.private_key_pem).filter(|key| !key.is_empty());
    CertificateDraft {
        display_name: certificate.display_name.clone(),
        labels: certificate.labels.clone(),
        chain_pem: certificate.chain_pem.clone(),
        private_key: key.map(PrivateKey::new),
    }
}

/// A certificate with its content and name, and without its key; output-only fields are unset.
pub fn certificate_to_wire(name: &str, draft: &CertificateDraft) -> wire::Certificate {
    wire::Certificate {
        name: name.to_owned(),
        display_name: draft.display_name.clone(),
        labels: draft.labels.clone(),
        chain_pem: draft.chain_pem.clone(),
        ..wire::Certificate::default()
    }
}
