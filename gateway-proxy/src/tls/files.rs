//! The files of certificates: which there are, and what they hold.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hotswap_runtime::tls::TlsError;
use sha2::{Digest as _, Sha256};

use super::options::{ClientTlsOptions, PairOption};

/// What the files held.
pub(super) struct Contents {
    /// In the order in which they are chosen by default.
    pub(super) pairs: Vec<Pair>,
    /// Those who vouch for clients.
    pub(super) client_ca: Option<(PathBuf, Vec<u8>)>,
    /// Of all of it.
    pub(super) digest: [u8; 32],
}

/// A certificate and its key, as they stand in their files.
pub(super) struct Pair {
    pub(super) cert_file: PathBuf,
    pub(super) key_file: PathBuf,
    pub(super) cert: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl Contents {
    pub(super) fn read(options: &ClientTlsOptions) -> Result<Self, TlsError> {
        let mut named = options.gateway_tls_certificate.clone();
        if let Some(folder) = &options.gateway_tls_certificates {
            named.extend(in_folder(folder)?);
            if named.is_empty() {
                return Err(TlsError::content(folder, "there is no certificate with a key beside it"));
            }
        }
        let mut digest = Sha256::new();
        let mut pairs = Vec::with_capacity(named.len());
        for PairOption { cert: cert_file, key: key_file } in named {
            let (cert, key) = (read(&cert_file)?, read_key(&key_file)?);
            for piece in [cert_file.as_os_str().as_encoded_bytes(), &cert, &key] {
                digest.update((piece.len() as u64).to_be_bytes());
                digest.update(piece);
            }
            pairs.push(Pair { cert_file, key_file, cert, key });
        }
        let client_ca = match &options.gateway_tls_client_ca {
            Some(file) => {
                let bytes = read(file)?;
                digest.update(&bytes);
                Some((file.clone(), bytes))
            }
            None => None,
        };
        Ok(Self { pairs, client_ca, digest: digest.finalize().into() })
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

/// Reads a key, which only its owner and their group may read.
pub(super) fn read_key(path: &Path) -> Result<Vec<u8>, TlsError> {
    let file = |source| TlsError::File { path: path.to_owned(), source };
    let mode = fs::metadata(path).map_err(file)?.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        let why = format!("others may read or change the key (mode {mode:03o}); chmod 600 mends it");
        return Err(TlsError::content(path, why));
    }
    read(path)
}

/// The pairs of a folder, by name.
fn in_folder(folder: &Path) -> Result<Vec<PairOption>, TlsError> {
    let mut pairs = Vec::new();
    for path in entries(folder)? {
        if path.is_dir() {
            let usual = [("tls.crt", "tls.key"), ("fullchain.pem", "privkey.pem")];
            let found = usual.map(|(cert, key)| PairOption { cert: path.join(cert), key: path.join(key) });
            pairs.extend(found.into_iter().filter(|pair| pair.cert.is_file() && pair.key.is_file()));
        } else if path.extension().is_some_and(|e| e == "crt" || e == "pem") {
            let key = path.with_extension("key");
            if key.is_file() {
                pairs.push(PairOption { cert: path, key });
            }
        }
    }
    Ok(pairs)
}

/// What is in a folder, by name; nothing hidden, which leaves out what a mounted secret is swapped with.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, TlsError> {
    let failed = |source| TlsError::File { path: folder.to_owned(), source };
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            all.push(entry.path());
        }
    }
    all.sort();
    Ok(all)
}
