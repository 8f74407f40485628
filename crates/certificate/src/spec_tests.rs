use rcgen::{CertificateParams, KeyPair, generate_simple_self_signed};

use super::*;
use crate::PrivateKey;

fn draft() -> CertificateDraft {
    let made = generate_simple_self_signed(vec!["shop.example".to_owned(), "*.shop.example".to_owned()])
        .expect("made");
    CertificateDraft {
        chain_pem: made.cert.pem(),
        private_key: Some(PrivateKey::new(made.signing_key.serialize_pem())),
        ..CertificateDraft::default()
    }
}

fn faults(draft: &CertificateDraft) -> Vec<(String, String)> {
    let faults = CertificateSpec::parse(draft).expect_err("not in order");
    faults.iter().map(|v| (v.field.clone(), v.message.clone())).collect()
}

fn one(field: &str, message: &str) -> Vec<(String, String)> {
    vec![(field.to_owned(), message.to_owned())]
}

#[test]
fn a_pair_that_fits_says_what_it_is() {
    let spec = CertificateSpec::parse(&draft()).expect("in order");
    let facts = spec.facts();
    assert_eq!(facts.dns_names, ["shop.example", "*.shop.example"]);
    assert!(facts.not_before < facts.not_after && facts.fingerprint.len() == 64 && !facts.serial.is_empty());
    assert!(spec.key().is_some());
    let without = CertificateDraft { private_key: None, ..draft() };
    assert!(CertificateSpec::parse(&without).expect("in order").key().is_none());
}

#[test]
fn what_does_not_fit_is_told_with_its_field_and_nothing_of_the_key() {
    let other = CertificateDraft { private_key: draft().private_key, ..draft() };
    assert_eq!(faults(&other), one("private_key_pem", "the key is that of another certificate"));
    let none = CertificateDraft { private_key: Some(PrivateKey::new("secret words")), ..draft() };
    assert_eq!(faults(&none), one("private_key_pem", "there is no private key in PEM form"));
    let long = CertificateDraft { private_key: Some(PrivateKey::new("k".repeat(MAX_KEY + 1))), ..draft() };
    assert_eq!(faults(&long), one("private_key_pem", "must be at most 16384 bytes"));
    for (chain, message) in [
        (String::new(), "is required"),
        ("words".to_owned(), "there is no certificate in PEM form"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            "the certificate is malformed",
        ),
        ("x".repeat(MAX_CHAIN + 1), "must be at most 65536 bytes"),
    ] {
        assert_eq!(faults(&CertificateDraft { chain_pem: chain, ..draft() }), one("chain_pem", message));
    }
    let both = CertificateDraft { private_key: Some(PrivateKey::new("")), ..CertificateDraft::default() };
    assert_eq!(faults(&both).len(), 2);
}

#[test]
fn a_certificate_without_a_name_is_of_no_use_to_clients() {
    let key = KeyPair::generate().expect("a key");
    let made = CertificateParams::default().self_signed(&key).expect("made");
    let nameless = CertificateDraft { chain_pem: made.pem(), ..CertificateDraft::default() };
    assert_eq!(faults(&nameless)[0].0, "chain_pem");
}

#[test]
fn a_renewed_certificate_of_the_same_key_is_known_by_it() {
    let key = KeyPair::generate().expect("a key");
    let made = |name: &str| {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("params");
        Chain::parse(params.self_signed(&key).expect("made").pem().as_bytes()).expect("a chain")
    };
    assert!(made("a.example").has_key_of(&made("b.example")));
    assert!(!made("a.example").has_key_of(CertificateSpec::parse(&draft()).expect("in order").chain()));
}

#[test]
fn no_form_of_a_draft_has_its_key() {
    let draft = draft();
    let json = serde_json::to_string(&draft).expect("JSON");
    let key = draft.private_key.as_ref().expect("a key").expose().lines().nth(1).expect("a line");
    assert!(!json.contains(key) && !json.contains("private_key"), "{json}");
    assert!(!format!("{draft:?}").contains(key));
    let read: CertificateDraft = serde_json::from_str(&json).expect("read");
    assert_eq!(read, CertificateDraft { private_key: None, ..draft });
}
