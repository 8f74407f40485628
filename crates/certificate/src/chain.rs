//! A certificate with those that lead to its issuer, and what it says of itself.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::key::{self, KeyError};

/// A certificate, and behind it those that lead to its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    certificates: Vec<CertificateDer<'static>>,
    facts: Facts,
    /// The public key of the first, as it stands in it.
    public_key: Vec<u8>,
}

/// What the first certificate of a chain says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The DNS names that it bears, in its order.
    pub dns_names: Vec<String>,
    /// When its time begins, in seconds since 1970.
    pub not_before: i64,
    /// When its time is over, in seconds since 1970.
    pub not_after: i64,
    /// Its serial number, in hex.
    pub serial: String,
    /// Its SHA-256, in hex.
    pub fingerprint: String,
}

/// Why a text is no chain, or a key not that of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// There is no certificate in it.
    #[error("there is no certificate in PEM form")]
    None,
    /// The first certificate can't be read.
    #[error("the certificate is malformed")]
    Malformed,
    /// The key is none that can be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key is that of another certificate.
    #[error("the key is that of another certificate")]
    OtherKey,
}

impl Chain {
    /// Reads a chain in PEM form.
    ///
    /// # Errors
    /// Where there is no certificate, or the first one can't be read.
    pub fn parse(pem: &[u8]) -> Result<Self, ChainError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = read.ok().filter(|all| !all.is_empty()).ok_or(ChainError::None)?;
        let (facts, public_key) = read_first(&certificates[0]).ok_or(ChainError::Malformed)?;
        Ok(Self { certificates, facts, public_key })
    }

    /// How many certificates it has, at least one.
    pub fn length(&self) -> usize {
        self.certificates.len()
    }

    /// What the first says of itself.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether the first certificates of both are of the same key.
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.public_key == other.public_key
    }

    /// The chain with its key, in PEM form, ready for handshakes.
    ///
    /// # Errors
    /// Where the key is none, or that of another certificate.
    pub fn with_key(&self, pem: &[u8]) -> Result<Arc<CertifiedKey>, ChainError> {
        let key = CertifiedKey::new(self.certificates.clone(), key::signing(pem)?);
        key.keys_match().map_err(|_| ChainError::OtherKey)?;
        Ok(Arc::new(key))
    }
}

fn read_first(first: &CertificateDer<'_>) -> Option<(Facts, Vec<u8>)> {
    let (_, parsed) = X509Certificate::from_der(first).ok()?;
    let bears = parsed.subject_alternative_name().ok()?;
    let bears = bears.iter().flat_map(|names| &names.value.general_names);
    let dns_names = bears.filter_map(|name| match name {
        GeneralName::DNSName(dns) => Some((*dns).to_owned()),
        _ => None,
    });
    let facts = Facts {
        dns_names: dns_names.collect(),
        not_before: parsed.validity().not_before.timestamp(),
        not_after: parsed.validity().not_after.timestamp(),
        serial: hex(parsed.raw_serial()),
        fingerprint: hex(&Sha256::digest(first)),
    };
    Some((facts, parsed.public_key().raw.to_vec()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
