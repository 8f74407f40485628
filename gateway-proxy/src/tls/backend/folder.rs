//! The folder with what pools name: those who may vouch for backends, and what is shown to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotswap_core::check_id;
use hotswap_matcher::BackendTls;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};

use super::super::files::{Pair, entries, read, read_key};
use super::super::{InForce, TlsError, certificates};

type Digest = [u8; 32];

/// What a folder holds, by name.
#[derive(Debug, Default)]
pub(super) struct Folder {
    vouching: BTreeMap<String, Vouching>,
    shown: BTreeMap<String, Shown>,
    digest: Digest,
}

/// What of a folder one pool uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uses {
    vouching: Option<Digest>,
    shown: Option<Digest>,
}

#[derive(Debug)]
struct Vouching {
    roots: Arc<RootCertStore>,
    digest: Digest,
}

#[derive(Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    in_force: InForce,
    digest: Digest,
}

/// The files of one name.
enum Found {
    Vouching(PathBuf),
    Shown(PathBuf, PathBuf),
}

impl Folder {
    /// Reads a folder. What has no name that a pool could use is left alone.
    pub(super) fn read(folder: &Path) -> Result<Self, TlsError> {
        let mut all = Self::default();
        for path in entries(folder)? {
            for (name, found) in found_at(&path) {
                if check_id(&name).is_ok() {
                    all.take(&path, name, found)?;
                }
            }
        }
        let mut digest = Sha256::new();
        let vouching = all.vouching.iter().map(|(name, of)| (name, &of.digest));
        for (name, of) in vouching.chain(all.shown.iter().map(|(name, of)| (name, &of.digest))) {
            digest.update((name.len() as u64).to_be_bytes());
            digest.update(name);
            digest.update(of);
        }
        digest.update((all.vouching.len() as u64).to_be_bytes());
        all.digest = digest.finalize().into();
        Ok(all)
    }

    fn take(&mut self, path: &Path, name: String, found: Found) -> Result<(), TlsError> {
        let twice = match found {
            Found::Vouching(file) => {
                let bytes = read(&file)?;
                let mut roots = RootCertStore::empty();
                for cert in certificates(&bytes, &file)? {
                    roots.add(cert).map_err(|e| TlsError::wrong(&file, &e))?;
                }
                let of = Vouching { roots: Arc::new(roots), digest: digest([&bytes, &[]]) };
                self.vouching.insert(name, of).is_some()
            }
            Found::Shown(cert_file, key_file) => {
                let (cert, key) = (read(&cert_file)?, read_key(&key_file)?);
                let digest = digest([&cert, &key]);
                let (key, in_force) = Pair { cert_file, key_file, cert, key }.parse()?;
                self.shown.insert(name, Shown { key, in_force, digest }).is_some()
            }
        };
        if twice { Err(TlsError::content(path, "the same name stands in the folder twice")) } else { Ok(()) }
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Those who vouch, by this name.
    pub(super) fn roots(&self, name: &str) -> Option<&Arc<RootCertStore>> {
        self.vouching.get(name).map(|of| &of.roots)
    }

    /// What is shown, by this name.
    pub(super) fn shown(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        self.shown.get(name).map(|of| &of.key)
    }

    /// What of it a pool uses.
    pub(super) fn uses(&self, tls: &BackendTls) -> Uses {
        let vouching = tls.ca.as_ref().and_then(|name| self.vouching.get(name)).map(|of| of.digest);
        let shown = tls.client_certificate.as_ref().and_then(|name| self.shown.get(name)).map(|of| of.digest);
        Uses { vouching, shown }
    }

    /// All that can be shown.
    pub(super) fn in_force(&self) -> Vec<InForce> {
        self.shown.values().map(|of| of.in_force.clone()).collect()
    }
}

/// What a file or a folder is, by its name.
fn found_at(path: &Path) -> Vec<(String, Found)> {
    let name = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    if path.is_dir() {
        let (ca, cert, key) = (path.join("ca.crt"), path.join("tls.crt"), path.join("tls.key"));
        let vouching = ca.is_file().then_some(Found::Vouching(ca));
        let shown = (cert.is_file() && key.is_file()).then_some(Found::Shown(cert, key));
        return vouching.into_iter().chain(shown).map(|found| (name(path.file_name()), found)).collect();
    }
    if !path.extension().is_some_and(|e| e == "crt" || e == "pem") {
        return Vec::new();
    }
    let key = path.with_extension("key");
    let cert = path.to_owned();
    let found = if key.is_file() { Found::Shown(cert, key) } else { Found::Vouching(cert) };
    vec![(name(path.file_stem()), found)]
}

fn digest(pieces: [&[u8]; 2]) -> Digest {
    let mut digest = Sha256::new();
    for piece in pieces {
        digest.update((piece.len() as u64).to_be_bytes());
        digest.update(piece);
    }
    digest.finalize().into()
}
