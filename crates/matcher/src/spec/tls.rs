//! How backends are reached with TLS.

use hotswap_core::{Violations, check_id};

use super::check_host;
use crate::draft::BackendTlsDraft;

/// How a backend is reached with TLS. Certificates and keys are files of the gateway, under names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendTls {
    /// The name that it is asked for and must bear, without brackets; `None`: the host of its address.
    pub server_name: Option<String>,
    /// Who may vouch for it, by the name of a file; `None`: those whom the gateway's machine trusts.
    pub ca: Option<String>,
    /// What the gateway shows, by the name of its files; `None`: nothing.
    pub client_certificate: Option<String>,
    /// Whether its certificate must be good.
    pub verify: bool,
}

impl BackendTls {
    pub(super) fn parse(draft: &BackendTlsDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let some = |text: &String| Some(text.clone()).filter(|t| !t.is_empty());
        let server_name = some(&draft.server_name).map(|name| name.to_ascii_lowercase());
        if let Some(name) = &server_name {
            v.take("server_name", check_host(name));
        }
        let (ca, client_certificate) = (some(&draft.ca), some(&draft.client_certificate));
        for (field, name) in [("ca", &ca), ("client_certificate", &client_certificate)] {
            if let Some(name) = name {
                v.take(field, check_id(name));
            }
        }
        if draft.skip_verification && ca.is_some() {
            v.add("ca", "must be empty where skip_verification is set: nobody is asked to vouch");
        }
        if !v.is_empty() {
            return Err(v);
        }
        let server_name = server_name.map(|name| bare(&name).to_owned());
        Ok(Self { server_name, ca, client_certificate, verify: !draft.skip_verification })
    }
}

/// A host without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::{BackendDraft, PoolDraft};
    use crate::spec::PoolSpec;

    fn pool(address: &str, tls: Option<BackendTlsDraft>) -> Result<PoolSpec, Violations> {
        let backends = vec![BackendDraft { address: address.into(), ..BackendDraft::default() }];
        PoolSpec::parse(&PoolDraft { backends, tls, ..PoolDraft::default() })
    }

    #[test]
    fn every_fault_of_tls_is_named() {
        let draft = BackendTlsDraft {
            server_name: "no:80".into(),
            ca: "../corp".into(),
            client_certificate: "Edge".into(),
            skip_verification: true,
        };
        let faults = pool("h:1", Some(draft)).expect_err("faulty");
        let fields: Vec<_> = faults.iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["tls.server_name", "tls.ca", "tls.client_certificate", "tls.ca"]);
    }

    #[test]
    fn an_address_reached_otherwise_is_another_one() {
        let address = |tls| pool("H.example:1", tls).expect("valid").backends().backends[0].address.clone();
        let (plain, tls) = (address(None), address(Some(BackendTlsDraft::default())));
        let other = address(Some(BackendTlsDraft { ca: "corp".into(), ..BackendTlsDraft::default() }));
        assert!(plain != tls && tls != other && plain != other);
        assert_eq!(tls, address(Some(BackendTlsDraft::default())));
        assert_eq!((plain.as_str(), tls.as_str(), tls.host()), ("h.example:1", "h.example:1", "h.example"));
        assert!(
            plain.tls().is_none() && tls.tls().is_some_and(|tls| tls.verify && tls.server_name.is_none())
        );
    }

    #[test]
    fn names_are_without_brackets() {
        let draft = BackendTlsDraft { server_name: "[::1]".into(), ..BackendTlsDraft::default() };
        let pool = pool("[::2]:443", Some(draft)).expect("valid");
        let address = &pool.backends().backends[0].address;
        assert_eq!(address.host(), "::2");
        assert_eq!(address.tls().and_then(|tls| tls.server_name.as_deref()), Some("::1"));
    }
}
