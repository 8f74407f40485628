//! Which certificate a client gets, by the name that it asks for (SNI).

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Served;

/// Certificates by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what stands behind "*.".
    below: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// In their order.
    all: Vec<Arc<CertifiedKey>>,
}

/// Chooses among those in files and those of the control plane.
#[derive(Debug)]
pub(super) struct Chooser {
    pub(super) files: Names,
    pub(super) resources: Resources,
    /// Nobody gets one that bears another name.
    pub(super) refuse_unknown: bool,
}

/// Where those of the control plane are found; empty: nowhere yet.
pub(super) type Resources = Arc<OnceLock<Arc<ArcSwap<Served>>>>;

impl Names {
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

    /// Those that bear exactly this name.
    fn exactly(&self, name: &str) -> &[Arc<CertifiedKey>] {
        self.exact.get(name).map_or(&[], Vec::as_slice)
    }

    /// Those with a wildcard, which stands for one label.
    fn by_wildcard(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let found = name.split_once('.').and_then(|(_, rest)| self.below.get(rest));
        found.map_or(&[], Vec::as_slice)
    }
}

impl Chooser {
    /// The one for who asks for a name, or for none: a name of its own comes before a wildcard, and a file before what the
    /// control plane has. Among several that are as good, the first that `fits`, or else the first.
    fn choose(
        &self,
        name: Option<&str>,
        fits: impl Fn(&Arc<CertifiedKey>) -> bool,
    ) -> Option<Arc<CertifiedKey>> {
        let resources = self.resources.get().map(|served| served.load_full()).unwrap_or_default();
        let both = [&self.files, resources.names()];
        let best = |of: [&[Arc<CertifiedKey>]; 2]| {
            let all = || of.into_iter().flatten();
            all().find(|key| fits(key)).or_else(|| all().next()).cloned()
        };
        let lower = name.map(str::to_ascii_lowercase);
        let named = lower.and_then(|name| {
            best(both.map(|names| names.exactly(&name)))
                .or_else(|| best(both.map(|names| names.by_wildcard(&name))))
        });
        match named {
            None if !self.refuse_unknown => best(both.map(|names| names.all.as_slice())),
            named => named,
        }
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // One name may have a certificate for each kind of key.
        self.choose(hello.server_name(), |c| c.key.choose_scheme(hello.signature_schemes()).is_some())
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    /// Certificates with these names.
    fn names(borne: &[&[&str]]) -> (Names, Vec<Arc<CertifiedKey>>) {
        let mut names = Names::default();
        let keys = borne.iter().map(|borne| {
            let made = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).expect("made");
            let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
            let key = any_supported_type(&key).expect("a key");
            let key = Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], key));
            names.add(Arc::clone(&key), borne.iter().copied());
            key
        });
        let keys = keys.collect();
        (names, keys)
    }

    const FILES: &[&[&str]] = &[&["first.example"], &["*.Shop.example"], &["www.shop.example", "b.example"]];

    fn chooser(refuse_unknown: bool, resources: &[&[&str]]) -> (Chooser, Vec<Arc<CertifiedKey>>) {
        let (files, mut keys) = names(FILES);
        let (resources, more) = names(resources);
        keys.extend(more);
        let served = OnceLock::from(Arc::new(ArcSwap::from_pointee(Served::of(resources))));
        (Chooser { files, resources: Arc::new(served), refuse_unknown }, keys)
    }

    fn chosen(chooser: &Chooser, keys: &[Arc<CertifiedKey>], name: Option<&str>) -> Option<usize> {
        let got = chooser.choose(name, |_| true)?;
        keys.iter().position(|key| Arc::ptr_eq(key, &got))
    }

    #[test]
    fn a_name_of_its_own_comes_before_a_wildcard_and_the_first_is_for_the_rest() {
        let (chooser, keys) = chooser(false, &[]);
        for (asked, want) in [
            (Some("www.shop.example"), 2),
            (Some("WWW.Shop.Example"), 2),
            (Some("other.shop.example"), 1),
            (Some("a.b.shop.example"), 0),
            (Some("shop.example"), 0),
            (Some("unknown"), 0),
            (None, 0),
        ] {
            assert_eq!(chosen(&chooser, &keys, asked), Some(want), "{asked:?}");
        }
    }

    #[test]
    fn unknown_names_are_refused_where_that_is_asked_for() {
        let (chooser, keys) = chooser(true, &[&["more.example"]]);
        assert_eq!(chosen(&chooser, &keys, Some("b.example")), Some(2));
        assert_eq!(chosen(&chooser, &keys, Some("more.example")), Some(3));
        for asked in [Some("unknown"), Some("shop.example"), None] {
            assert_eq!(chosen(&chooser, &keys, asked), None, "{asked:?}");
        }
    }

    #[test]
    fn a_file_comes_before_what_the_control_plane_has_and_a_name_before_a_wildcard() {
        let resources: &[&[&str]] =
            &[&["b.example", "own.shop.example"], &["*.shop.example", "*.more.example"]];
        let (chooser, keys) = chooser(false, resources);
        for (asked, want) in [
            ("b.example", 2),
            ("own.shop.example", 3),
            ("other.shop.example", 1),
            ("a.more.example", 4),
            ("unknown", 0),
        ] {
            assert_eq!(chosen(&chooser, &keys, Some(asked)), Some(want), "{asked}");
        }
        let alone = Chooser { files: Names::default(), ..chooser };
        assert_eq!(chosen(&alone, &keys, Some("unknown")), Some(3), "without files the first of these");
    }

    #[test]
    fn without_any_nobody_gets_one() {
        let none =
            Chooser { files: Names::default(), resources: Resources::default(), refuse_unknown: false };
        assert!(none.choose(Some("a.example"), |_| true).is_none());
    }
}
