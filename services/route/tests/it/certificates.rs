//! Certificates: what is taken, what is shown, where their keys are, and who gets them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hotswap_api::audit::v1::ListEventsRequest;
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::gateway::v1::{Hello, Resource};
use hotswap_api::route::v1 as wire;
use hotswap_auth::Role;
use hotswap_core::{Clock, Ids, Revision, SystemClock, SystemIds};
use hotswap_route::{RouteOptions, RouteServer};
use hotswap_store::{Database, Db, Value};
use hotswap_testkit::sql;
use prost::Message as _;
use rcgen::{CertificateParams, KeyPair};
use tonic::Code;

use crate::harness::{Server, create_pool, database, error, fields};
use crate::watch::{FakeProxy, named};

const ONE: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222222222222222222222222222";

/// A key, and certificates of it.
struct Owner(KeyPair);

impl Owner {
    fn new() -> Self {
        Self(KeyPair::generate().expect("a key"))
    }

    fn chain(&self, names: &[&str]) -> String {
        self.chain_with(names, |_| {})
    }

    fn chain_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> String {
        let names: Vec<_> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        params.self_signed(&self.0).expect("made").pem()
    }

    fn key(&self) -> String {
        self.0.serialize_pem()
    }

    /// Bytes that stand in its key alone: DER, and the lines of its PEM form.
    fn traces(&self) -> Vec<Vec<u8>> {
        let der = self.0.serialize_der();
        // Behind the head of PKCS #8, which every such key has, stands the private number.
        let secret = der[36..68].to_vec();
        let text = BASE64_STANDARD.encode(&der);
        vec![secret, text.as_bytes()[48..88].to_vec(), self.key().lines().nth(1).expect("a line").into()]
    }
}

fn certificate(owner: &Owner, names: &[&str]) -> wire::Certificate {
    let (chain_pem, private_key_pem) = (owner.chain(names), owner.key());
    wire::Certificate { chain_pem, private_key_pem, ..Default::default() }
}

fn create(id: &str, certificate: wire::Certificate) -> wire::CreateCertificateRequest {
    let (certificate_id, certificate) = (id.to_owned(), Some(certificate));
    wire::CreateCertificateRequest { certificate_id, certificate, ..Default::default() }
}

fn update(certificate: wire::Certificate) -> wire::UpdateCertificateRequest {
    wire::UpdateCertificateRequest { certificate: Some(certificate), ..Default::default() }
}

fn key_file(dir: &Path, lines: &[&str]) -> PathBuf {
    let path = dir.join("certificate.keys");
    fs::write(&path, lines.join("\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    path
}

fn options(dir: &Path, lines: &[&str]) -> RouteOptions {
    RouteOptions { certificate_key_file: Some(key_file(dir, lines)), ..RouteOptions::default() }
}

async fn sealing(dir: &Path, lines: &[&str]) -> Server {
    Server::with(dir, options(dir, lines)).await
}

/// Why a server does not start.
async fn refused(dir: &Path, lines: &[&str]) -> String {
    use hotswap_auth::LocalKey;
    use hotswap_rpc::SigningKey;
    let key = Arc::new(SigningKey::new(Arc::new(LocalKey::load_or_create(dir).expect("key"))).expect("key"));
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let (metrics, supervisor) = (hotswap_telemetry::Metrics::new(), hotswap_runtime::Supervisor::new());
    let (store, options) = (database(dir), options(dir, lines));
    let opened = RouteServer::open(&store, options, key, clock, ids, &metrics, &supervisor).await;
    opened.expect_err("it does not start").to_string()
}

fn taking(proxy: &str) -> Hello {
    Hello { features: vec!["certificates".to_owned()], ..named(proxy) }
}

/// The certificates among these, by name, each with the key that came.
fn keys(resources: &[Resource]) -> Vec<(&str, &str)> {
    let certificates = resources.iter().filter_map(|r| match &r.spec {
        Some(Spec::Certificate(certificate)) => Some((r.name.as_str(), certificate.private_key_pem.as_str())),
        Some(Spec::Route(_) | Spec::Pool(_)) | None => None,
    });
    certificates.collect()
}

/// What a gateway gets that begins now.
async fn distributed(server: &Server) -> Vec<(String, String)> {
    let (_, chunk) = FakeProxy::connect(server, taking("edge-9")).await.snapshot().await;
    keys(&chunk.resources).into_iter().map(|(name, key)| (name.to_owned(), key.to_owned())).collect()
}

/// All that lies in the store.
fn stored(dir: &Path) -> Vec<u8> {
    match database(dir) {
        Database::Postgres(_) => {
            let url = crate::harness::url(dir);
            let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
            let tables = sql(&url, tables).expect("tables");
            let rows = tables.lines().map(|table| {
                sql(&url, &format!("SELECT row_to_json(t)::text FROM {table} t")).expect("rows")
            });
            rows.collect::<String>().into_bytes()
        }
        _ => {
            let files = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("entry").path());
            let files = files.filter(|f| f.to_string_lossy().contains("hotswap.db"));
            files.flat_map(|file| fs::read(file).expect("read")).collect()
        }
    }
}

#[track_caller]
fn lacks(what: &str, bytes: &[u8], owner: &Owner) {
    for trace in owner.traces() {
        assert!(!bytes.windows(trace.len()).any(|w| w == trace), "{what} has something of the key");
    }
}

#[tokio::test]
async fn a_certificate_shows_what_it_is_and_nothing_shows_its_key() {
    let dir = tempfile::tempdir().expect("dir");
    let server = sealing(dir.path(), &[ONE]).await;
    let mut client = server.routes().await;
    let owner = Owner::new();
    let first = certificate(&owner, &["shop.example", "*.shop.example"]);
    let made = client.create_certificate(create("shop", first.clone())).await.expect("made").into_inner();
    let shown = made.certificate.clone().expect("one");
    assert_eq!(shown.dns_names, ["shop.example", "*.shop.example"]);
    assert_eq!((shown.name.as_str(), shown.revision, shown.fingerprint.len()), ("certificates/shop", 1, 64));
    assert!(shown.not_before.expect("set").seconds < shown.not_after.expect("set").seconds);
    assert_eq!((shown.chain_pem.as_str(), shown.private_key_pem.as_str()), (first.chain_pem.as_str(), ""));
    let changed = wire::Certificate {
        name: shown.name.clone(),
        labels: [("team".to_owned(), "web".to_owned())].into(),
        chain_pem: owner.chain(&["shop.example"]),
        ..Default::default()
    };
    let changed = client.update_certificate(update(changed)).await.expect("changed").into_inner();
    let name = shown.name.clone();
    let got = client.get_certificate(wire::GetCertificateRequest { name: name.clone() }).await.expect("got");
    assert_eq!(got.get_ref().certificate, changed.certificate);
    let filter = "dns_names = \"shop.example\" AND labels.team = \"web\"".to_owned();
    let list = wire::ListCertificatesRequest { filter, ..Default::default() };
    let list = client.list_certificates(list).await.expect("listed").into_inner();
    assert_eq!(list.certificates.len(), 1);
    let revisions = wire::ListCertificateRevisionsRequest { name: name.clone(), ..Default::default() };
    let revisions = client.list_certificate_revisions(revisions).await.expect("listed").into_inner();
    assert_eq!(revisions.revisions.len(), 2);
    let diff = wire::DiffCertificateRevisionsRequest { name: name.clone(), ..Default::default() };
    let diff = client.diff_certificate_revisions(diff).await.expect("compared").into_inner();
    let paths: Vec<_> = diff.differences.iter().map(|d| d.path.as_str()).collect();
    assert_eq!(paths, ["chain_pem", "labels.team"]);
    let mut audit = server.audit(Role::Admin).await;
    let events = audit.list_events(ListEventsRequest::default()).await.expect("listed").into_inner();
    assert_eq!(events.events.len(), 2);
    server.route.distributed(Revision(2)).await;
    assert_eq!(distributed(&server).await, [(name, owner.key())]);
    for (what, bytes) in [
        ("the answer", made.encode_to_vec()),
        ("a read", got.into_inner().encode_to_vec()),
        ("a list", list.encode_to_vec()),
        ("the revisions", revisions.encode_to_vec()),
        ("a difference", diff.encode_to_vec()),
        ("the audit log", events.encode_to_vec()),
        ("the store", stored(dir.path())),
    ] {
        assert!(bytes.len() > 20, "{what}");
        lacks(what, &bytes, &owner);
    }
    assert!(
        String::from_utf8_lossy(&stored(dir.path())).contains("BEGIN CERTIFICATE"),
        "it was looked through"
    );
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_field() {
    let dir = tempfile::tempdir().expect("dir");
    let server = sealing(dir.path(), &[ONE]).await;
    let mut client = server.routes().await;
    let (owner, other) = (Owner::new(), Owner::new());
    let good = || certificate(&owner, &["shop.example"]);
    let over =
        owner.chain_with(&["shop.example"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    for (wrong, want) in [
        (wire::Certificate { private_key_pem: other.key(), ..good() }, "certificate.private_key_pem"),
        (wire::Certificate { private_key_pem: String::new(), ..good() }, "certificate.private_key_pem"),
        (wire::Certificate { private_key_pem: "words".to_owned(), ..good() }, "certificate.private_key_pem"),
        (wire::Certificate { chain_pem: over, ..good() }, "certificate.chain_pem"),
        (wire::Certificate { chain_pem: "words".to_owned(), ..good() }, "certificate.chain_pem"),
        (wire::Certificate { chain_pem: owner.chain(&[]), ..good() }, "certificate.chain_pem"),
        (wire::Certificate { display_name: "x".repeat(201), ..good() }, "certificate.display_name"),
    ] {
        let status = client.create_certificate(create("shop", wrong)).await.expect_err("refused");
        assert_eq!((status.code(), fields(&status)), (Code::InvalidArgument, vec![want.to_owned()]));
        for trace in [owner.key(), other.key()] {
            assert!(!status.message().contains(trace.lines().nth(1).expect("a line")));
        }
    }
    client.create_certificate(create("shop", good())).await.expect("made");
    let taken = client.create_certificate(create("shop", good())).await.expect_err("taken");
    assert_eq!(taken.code(), Code::AlreadyExists);
    server.stop().await;
}

#[tokio::test]
async fn the_key_stays_while_it_is_that_of_the_chain() {
    let dir = tempfile::tempdir().expect("dir");
    let server = sealing(dir.path(), &[ONE]).await;
    let mut client = server.routes().await;
    let (owner, other) = (Owner::new(), Owner::new());
    let first = certificate(&owner, &["shop.example"]);
    client.create_certificate(create("shop", first.clone())).await.expect("made");
    let named = |c: wire::Certificate| wire::Certificate { name: "certificates/shop".to_owned(), ..c };
    let put = async |client: &mut wire::route_service_client::RouteServiceClient<_>, c, paths: &[&str]| {
        let paths = paths.iter().map(|p| (*p).to_owned()).collect();
        let update_mask = Some(prost_types::FieldMask { paths });
        client.update_certificate(wire::UpdateCertificateRequest { update_mask, ..update(named(c)) }).await
    };
    let revision = |answer: tonic::Response<wire::UpdateCertificateResponse>| {
        answer.into_inner().certificate.expect("one").revision
    };
    let same = put(&mut client, first.clone(), &["*"]).await.expect("the same");
    assert_eq!(revision(same), 1, "the same again changes nothing");
    let keyless = wire::Certificate { chain_pem: other.chain(&["shop.example"]), ..Default::default() };
    let status = put(&mut client, keyless, &["*"]).await.expect_err("another key's");
    assert_eq!(fields(&status), ["certificate.private_key_pem"]);
    let masked = certificate(&other, &["shop.example"]);
    let status =
        put(&mut client, masked.clone(), &["chain_pem"]).await.expect_err("the mask leaves the key out");
    assert_eq!(fields(&status), ["certificate.private_key_pem"]);
    let both = put(&mut client, masked, &["chain_pem", "private_key_pem"]).await.expect("both");
    assert_eq!(revision(both), 2);
    server.route.distributed(Revision(2)).await;
    assert_eq!(distributed(&server).await[0].1, other.key());
    let stale = named(wire::Certificate { etag: "old".to_owned(), ..first });
    assert_eq!(client.update_certificate(update(stale)).await.expect_err("stale").code(), Code::Aborted);
}

#[tokio::test]
async fn without_keys_to_seal_with_no_certificate_is_created() {
    let dir = tempfile::tempdir().expect("dir");
    let server = Server::start(dir.path()).await;
    let mut client = server.routes().await;
    for validate_only in [true, false] {
        let request = create("shop", certificate(&Owner::new(), &["shop.example"]));
        let request = wire::CreateCertificateRequest { validate_only, ..request };
        let status = client.create_certificate(request).await.expect_err("refused");
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(error(&status).reason, "CERTIFICATE_KEY_MISSING");
        assert!(status.message().contains("--certificate-key-file"), "{}", status.message());
    }
    let list = client.list_certificates(wire::ListCertificatesRequest::default()).await.expect("listed");
    assert!(list.into_inner().certificates.is_empty());
}

#[tokio::test]
async fn only_a_proxy_that_asks_for_certificates_gets_them() {
    let dir = tempfile::tempdir().expect("dir");
    let server = sealing(dir.path(), &[ONE]).await;
    let mut client = server.routes().await;
    client.create_pool(create_pool("p")).await.expect("pool");
    let owner = Owner::new();
    client.create_certificate(create("shop", certificate(&owner, &["shop.example"]))).await.expect("made");
    server.route.distributed(Revision(2)).await;
    let mut taking = FakeProxy::connect(&server, taking("edge-1")).await;
    let mut plain = FakeProxy::connect(&server, named("edge-2")).await;
    let (nonce, chunk) = taking.snapshot().await;
    assert_eq!(
        (keys(&chunk.resources), chunk.resources.len()),
        (vec![("certificates/shop", &*owner.key())], 2)
    );
    taking.ack(&nonce, chunk.at.as_ref().expect("a place")).await;
    let (nonce, chunk) = plain.snapshot().await;
    assert_eq!((chunk.resources.len(), chunk.resources[0].name.as_str()), (1, "pools/p"));
    let mut digest = hotswap_core::SetDigest::default();
    digest.insert("pools/p", 1);
    assert_eq!(*chunk.digest, digest.to_bytes(), "of what it gets");
    plain.ack(&nonce, chunk.at.as_ref().expect("a place")).await;

    let more = certificate(&Owner::new(), &["more.example"]);
    client.create_certificate(create("more", more.clone())).await.expect("made");
    let (nonce, delta) = taking.delta().await;
    assert_eq!(keys(&delta.upserts), [("certificates/more", more.private_key_pem.as_str())]);
    taking.ack(&nonce, delta.to.as_ref().expect("a place")).await;
    let (nonce, delta) = plain.delta().await;
    assert_eq!(
        (delta.upserts.len(), &*delta.digest),
        (0, &digest.to_bytes()[..]),
        "its place moves, no more"
    );
    plain.ack(&nonce, delta.to.as_ref().expect("a place")).await;

    let gone = wire::DeleteCertificateRequest { name: "certificates/shop".into(), ..Default::default() };
    client.delete_certificate(gone).await.expect("deleted");
    let (_, delta) = taking.delta().await;
    assert_eq!(delta.removes, ["certificates/shop"]);
    let (_, delta) = plain.delta().await;
    assert!(delta.removes.is_empty());
}

#[tokio::test]
async fn a_new_key_on_top_takes_over_what_the_old_one_sealed() {
    let dir = tempfile::tempdir().expect("dir");
    let owner = Owner::new();
    let want = [("certificates/shop".to_owned(), owner.key())];
    let server = sealing(dir.path(), &[ONE]).await;
    let request = create("shop", certificate(&owner, &["shop.example"]));
    server.routes().await.create_certificate(request).await.expect("made");
    server.stop().await;

    let told = refused(dir.path(), &[TWO]).await;
    assert!(told.contains("--certificate-key-file") && told.contains("certificates/shop"), "{told}");
    let server = sealing(dir.path(), &[TWO, ONE]).await;
    assert_eq!(distributed(&server).await, want, "nothing was lost");
    server.stop().await;
    let server = sealing(dir.path(), &[TWO]).await;
    assert_eq!(distributed(&server).await, want, "the old key is not needed any more");
    server.stop().await;

    // Without keys the rest is there, and gateways that begin get none.
    let server = Server::start(dir.path()).await;
    assert_eq!(distributed(&server).await, [("certificates/shop".to_owned(), String::new())]);
    let mut client = server.routes().await;
    let name = "certificates/shop".to_owned();
    client.get_certificate(wire::GetCertificateRequest { name: name.clone() }).await.expect("there");
    client
        .delete_certificate(wire::DeleteCertificateRequest { name, ..Default::default() })
        .await
        .expect("deleted");
    server.stop().await;
    sealing(dir.path(), &[ONE]).await.stop().await;
}

#[tokio::test]
async fn a_sealed_key_in_the_place_of_another_does_not_open() {
    let dir = tempfile::tempdir().expect("dir");
    let server = sealing(dir.path(), &[ONE]).await;
    let mut client = server.routes().await;
    for (id, name) in [("a", "a.example"), ("b", "b.example")] {
        client.create_certificate(create(id, certificate(&Owner::new(), &[name]))).await.expect("made");
    }
    server.stop().await;
    let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let db = Db::open(&database(dir.path()), &clock, &ids).await.expect("opens");
    let mut tx = db.write("gateway").await.expect("a transaction");
    let exchange = "UPDATE gateway_certificate_keys SET sealed = \
         (SELECT sealed FROM gateway_certificate_keys WHERE name = 'certificates/b'), revision = 2 \
         WHERE name = $1";
    tx.execute(exchange, &[Value::from("certificates/a")]).await.expect("exchanged");
    tx.commit().await.expect("committed");
    db.close().await;
    let told = refused(dir.path(), &[ONE]).await;
    assert!(told.contains("certificates/a") && told.contains("belongs to something else"), "{told}");
}
