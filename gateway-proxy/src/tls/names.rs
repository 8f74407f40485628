//! Which certificate a client gets, by the name that it asks for (SNI).

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what stands behind "*.".
    below: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// In their order.
    all: Vec<Arc<CertifiedKey>>,
    refuse_unknown: bool,
}

impl Names {
    pub(super) fn new(refuse_unknown: bool) -> Self {
        Self { refuse_unknown, ..Self::default() }
    }

    /// Adds one, with the names that it bears.
    pub(super) fn add<'n>(&mut self, key: Arc<CertifiedKey>, names: impl Iterator<Item = &'n str>) {
        for name in names {
            let name = name.to_ascii_lowercase();
            let under = match name.strip_prefix("*.") {
                Some(rest) => self.below.entry(rest.to_owned()),
                None => self.exact.entry(name),
            };
            under.or_default().push(Arc::clone(&key));
        }
        self.all.push(key);
    }

    /// Those that bear a name: a name of its own comes before a wildcard, which stands for one label.
    fn bearing(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let wildcard = || self.below.get(name.split_once('.')?.1);
        self.exact.get(name).or_else(wildcard)
    }

    /// Those that may be shown to who asks for a name, or for none.
    fn candidates(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let lower = name.map(str::to_ascii_lowercase);
        match lower.and_then(|name| self.bearing(&name)) {
            Some(bearing) => bearing,
            None if self.refuse_unknown => &[],
            None => &self.all,
        }
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.candidates(hello.server_name());
        // One name may have a certificate for each kind of key.
        let fits = |c: &&Arc<CertifiedKey>| c.key.choose_scheme(hello.signature_schemes()).is_some();
        candidates.iter().find(fits).or(candidates.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn names(refuse_unknown: bool) -> (Names, Vec<Arc<CertifiedKey>>) {
        let mut names = Names::new(refuse_unknown);
        let borne: [&[&str]; 3] =
            [&["first.example"], &["*.Shop.example"], &["www.shop.example", "b.example"]];
        let keys = borne.map(|borne| {
            let made = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).expect("made");
            let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
            let key = any_supported_type(&key).expect("a key");
            let key = Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], key));
            names.add(Arc::clone(&key), borne.iter().copied());
            key
        });
        (names, keys.into())
    }

    #[test]
    fn a_name_of_its_own_comes_before_a_wildcard_and_the_first_is_for_the_rest() {
        let (names, keys) = names(false);
        for (asked, want) in [
            (Some("www.shop.example"), 2),
            (Some("WWW.Shop.Example"), 2),
            (Some("other.shop.example"), 1),
            (Some("a.b.shop.example"), 0),
            (Some("shop.example"), 0),
            (Some("unknown"), 0),
            (None, 0),
        ] {
            let got = names.candidates(asked).first().expect("one");
            assert!(Arc::ptr_eq(got, &keys[want]), "{asked:?}");
        }
    }

    #[test]
    fn unknown_names_are_refused_where_that_is_asked_for() {
        let (names, keys) = names(true);
        assert!(Arc::ptr_eq(&names.candidates(Some("b.example"))[0], &keys[2]));
        for asked in [Some("unknown"), Some("shop.example"), None] {
            assert!(names.candidates(asked).is_empty(), "{asked:?}");
        }
    }
}
