use std::fs;
use std::io;

use hotswap_matcher::{BackendDraft, BackendTlsDraft, PoolDraft, PoolSpec};
use rustls::{AlertDescription, CertificateError, Error};

use super::*;

fn address(text: &str, tls: Option<BackendTlsDraft>) -> Address {
    let backends = vec![BackendDraft { address: text.into(), ..BackendDraft::default() }];
    let pool = PoolSpec::parse(&PoolDraft { backends, tls, ..PoolDraft::default() }).expect("valid");
    pool.backends().backends[0].address.clone()
}

fn authority() -> String {
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("params");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&rcgen::KeyPair::generate().expect("a key")).expect("made").pem()
}

fn of_folder(folder: &std::path::Path) -> Result<BackendFiles, String> {
    let options = BackendTlsOptions { backend_tls_dir: Some(folder.to_owned()) };
    BackendFiles::load(&options).map_err(|e| e.to_string())
}

fn by(ca: &str) -> Option<BackendTlsDraft> {
    Some(BackendTlsDraft { ca: ca.into(), ..BackendTlsDraft::default() })
}

#[test]
fn a_name_stands_in_a_folder_once() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("corp.pem"), authority()).expect("written");
    fs::write(folder.path().join("other.crt"), authority()).expect("written");
    assert!(of_folder(folder.path()).is_ok());
    fs::create_dir(folder.path().join("corp")).expect("made");
    fs::write(folder.path().join("corp/ca.crt"), authority()).expect("written");
    let twice = of_folder(folder.path()).expect_err("twice");
    assert!(twice.contains("corp.pem: the same name stands in the folder twice"), "{twice}");
}

#[test]
fn what_is_made_for_an_address_lasts_until_its_files_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str| fs::write(folder.path().join(name), authority()).expect("written");
    put("a.pem");
    put("b.pem");
    let files = of_folder(folder.path()).expect("sound");
    let (one, two) = (address("h:1", by("a")), address("h:1", by("b")));
    let made = |address: &Address| files.config(address, address.tls().expect("has it")).expect("made");
    let (a, b) = (made(&one), made(&two));
    assert!(Arc::ptr_eq(&a.config, &made(&one).config) && !Arc::ptr_eq(&a.config, &b.config));
    put("a.pem");
    assert!(files.reload().expect("sound"));
    assert!(a.retired.load(Ordering::Relaxed) && !b.retired.load(Ordering::Relaxed));
    assert!(!Arc::ptr_eq(&a.config, &made(&one).config) && Arc::ptr_eq(&b.config, &made(&two).config));
    fs::remove_file(folder.path().join("b.pem")).expect("removed");
    assert!(files.reload().expect("sound") && b.retired.load(Ordering::Relaxed));
    assert!(files.config(&two, two.tls().expect("has it")).is_err());
}

#[test]
fn what_is_wrong_is_kept_until_the_backend_is_reached() {
    let files = BackendFiles::load(&BackendTlsOptions::default()).expect("nothing to read");
    let (one, two) = (address("h:1", by("a")), address("h:1", by("b")));
    files.tell(&one, None);
    assert_eq!(files.trouble_with(&one), None);
    files.tell(&one, Some("no"));
    assert_eq!((files.trouble_with(&one).as_deref(), files.trouble_with(&two)), (Some("no"), None));
    files.tell(&one, None);
    assert_eq!(files.trouble_with(&one), None);
}

#[test]
fn what_is_wrong_is_told_in_words() {
    let told = |error: Error| why(&io::Error::new(io::ErrorKind::InvalidData, error), "a.example");
    let certificate = |of: CertificateError| told(Error::InvalidCertificate(of));
    assert_eq!(
        certificate(CertificateError::Expired),
        "the certificate that it shows for a.example has run out"
    );
    assert!(certificate(CertificateError::UnknownIssuer).ends_with("a.example: tls.ca"));
    assert!(
        told(Error::AlertReceived(AlertDescription::NoApplicationProtocol)).contains("NoApplicationProtocol")
    );
    let refused = Error::AlertReceived(AlertDescription::CertificateRequired);
    assert!(is_refusal(&io::Error::other(refused)) && !is_refusal(&io::ErrorKind::ConnectionReset.into()));
    assert!(!is_refusal(&io::Error::other(Error::AlertReceived(AlertDescription::InternalError))));
}
