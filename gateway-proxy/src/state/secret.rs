//! Private keys of certificates on disk: sealed with a key from elsewhere, or not there at all.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use hotswap_api::gateway::v1::Resource;
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_certificate::SealingKeys;
use hotswap_runtime::StartError;

/// How private keys are kept; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Option<Arc<SealingKeys>>);

impl Secrets {
    /// With the keys of a file; `None`: private keys are not kept.
    ///
    /// # Errors
    /// Where the file is of no use.
    pub fn load(path: Option<&Path>) -> Result<Self, StartError> {
        let keys = path.map(SealingKeys::load).transpose();
        let keys = keys.map_err(|e| StartError::Option(format!("--state-key-file: {e}")))?;
        Ok(Self(keys.map(Arc::new)))
    }

    /// A resource as it is kept.
    pub(crate) fn sealed<'r>(&self, resource: &'r Resource) -> Cow<'r, Resource> {
        if !matches!(resource.spec, Some(Spec::Certificate(_))) {
            return Cow::Borrowed(resource);
        }
        let mut kept = resource.clone();
        let owner = owner(resource);
        if let Some(Spec::Certificate(certificate)) = &mut kept.spec {
            let sealed = self.0.as_ref().map(|keys| keys.seal(&owner, &certificate.private_key_pem));
            certificate.private_key_pem = sealed.and_then(Result::ok).unwrap_or_default();
        }
        Cow::Owned(kept)
    }

    /// A kept resource as it was. A private key that does not open is left out, and told.
    pub(super) fn opened(&self, mut kept: Resource) -> Resource {
        let owner = owner(&kept);
        if let Some(Spec::Certificate(certificate)) = &mut kept.spec {
            let sealed = std::mem::take(&mut certificate.private_key_pem);
            let opened =
                self.0.as_ref().filter(|_| !sealed.is_empty()).map(|keys| keys.open(&owner, &sealed));
            match opened {
                Some(Ok(key)) => certificate.private_key_pem = key,
                Some(Err(error)) => tracing::warn!(
                    certificate = kept.name,
                    %error,
                    "kept private key not used; compare --state-key-file"
                ),
                None => {}
            }
        }
        kept
    }
}

/// What a key is sealed to.
fn owner(resource: &Resource) -> String {
    format!("hotswap gateway state\n{}\n{}", resource.name, resource.version)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use hotswap_api::route::v1::{Certificate, Pool};

    use super::*;

    fn secrets(digit: &str) -> Secrets {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("key");
        std::fs::write(&path, digit.repeat(64)).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("set");
        Secrets::load(Some(&path)).expect("keys")
    }

    fn certificate(key: &str) -> Resource {
        let spec = Certificate {
            chain_pem: "chain".to_owned(),
            private_key_pem: key.to_owned(),
            ..Certificate::default()
        };
        Resource {
            name: "certificates/shop".to_owned(),
            version: 7,
            spec: Some(Spec::Certificate(spec)),
            candidate: None,
        }
    }

    #[test]
    fn a_key_is_kept_sealed_and_comes_back_with_the_same_key_alone() {
        let (whole, none) = (certificate("a key"), certificate(""));
        let kept = secrets("1").sealed(&whole).into_owned();
        assert_ne!(kept, whole);
        assert_ne!(kept, none);
        assert_eq!(secrets("1").opened(kept.clone()), whole);
        for other in [secrets("2"), Secrets::default()] {
            assert_eq!(other.opened(kept.clone()), none);
        }
        let elsewhere = Resource { version: 8, ..kept };
        assert_eq!(secrets("1").opened(elsewhere), Resource { version: 8, ..none });
    }

    #[test]
    fn without_a_key_file_no_key_is_kept_and_other_resources_are_as_they_are() {
        assert_eq!(Secrets::default().sealed(&certificate("a key")).into_owned(), certificate(""));
        let pool = Resource { spec: Some(Spec::Pool(Pool::default())), ..certificate("") };
        assert!(matches!(secrets("1").sealed(&pool), Cow::Borrowed(kept) if *kept == pool));
        assert_eq!(secrets("1").opened(pool.clone()), pool);
    }
}
