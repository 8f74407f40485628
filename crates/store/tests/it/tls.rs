//! PostgreSQL over TLS.

use std::fs;
use std::path::{Path, PathBuf};

use hotswap_store::{Database, StoreError};
use hotswap_test_servers::{Postgres, PostgresOptions};
use hotswap_testkit::required;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::support::open;

/// An authority, and its certificate as a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("signed");
        let file = dir.join(name);
        fs::write(&file, issuer.pem()).expect("written");
        Self { issuer, file }
    }
}

/// A server that takes TLS alone on its port, with a certificate for "localhost".
fn server(authority: &Authority) -> Option<Postgres> {
    let mut server = required(Postgres::start(PostgresOptions { tcp: true, ..PostgresOptions::default() }))?;
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let key = KeyPair::generate().expect("key");
    let certificate = params.signed_by(&key, &authority.issuer).expect("signed");
    let (key_file, file) = (server.folder().join("server.key"), server.folder().join("server.crt"));
    fs::write(&key_file, key.serialize_pem()).expect("written");
    fs::write(&file, certificate.pem()).expect("written");
    server.own(&key_file).expect("owned");
    server.own(&file).expect("owned");
    let settings = format!(
        "ALTER SYSTEM SET ssl = on; ALTER SYSTEM SET ssl_cert_file = '{}'; ALTER SYSTEM SET ssl_key_file = '{}'",
        file.display(),
        key_file.display()
    );
    for statement in settings.split(';') {
        server.sql("postgres", statement).expect("set");
    }
    let rules = "hostssl all all 127.0.0.1/32 trust\nlocal all all trust\n";
    fs::write(server.data().join("pg_hba.conf"), rules).expect("written");
    server.stop().expect("stopped");
    server.start_again().expect("started");
    Some(server)
}

async fn connect(server: &Postgres, parameters: &str) -> Result<(), StoreError> {
    let port = server.tcp().expect("a port").port();
    let url = format!("postgres://postgres:not-shown@localhost:{port}/postgres?{parameters}");
    let options = hotswap_store::PostgresOptions::parse(&url).expect("a URL");
    let opened = open(&Database::Postgres(Box::new(options))).await;
    opened.map(drop).inspect_err(|e| assert!(!format!("{e:?}").contains("not-shown"), "{e:?}"))
}

#[tokio::test]
async fn a_server_is_verified_by_its_authority_and_name_and_no_other_is_taken() {
    let dir = tempfile::tempdir().expect("dir");
    let (ours, other) = (Authority::new(dir.path(), "ours.pem"), Authority::new(dir.path(), "other.pem"));
    let Some(server) = server(&ours) else { return };
    let verify = |file: &Path| format!("sslmode=verify-full&sslrootcert={}", file.display());
    connect(&server, &verify(&ours.file)).await.expect("verified");
    let refused = connect(&server, &verify(&other.file)).await.expect_err("another authority");
    assert!(matches!(refused, StoreError::Open { .. }), "{refused:?}");
    let refused = connect(&server, "sslmode=disable").await.expect_err("no TLS");
    assert!(matches!(refused, StoreError::Open { .. }), "{refused:?}");
}
