//! Certificates of the control plane: shown, swapped and gone over open connections, and kept on disk or not.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::gateway::v1::watch_config_response::Message as ToProxy;
use hotswap_api::gateway::v1::{Delta, Resource};
use hotswap_api::route::v1::Certificate;

use super::sessions::{shown, unchecked};
use super::*;
use crate::certificates::{Files, write_key};
use crate::control::*;
use crate::gateway_process::{Process, counts, page};
use crate::watch::Watching;

const TLS: [&str; 4] = ["--gateway-engine", "own", "--gateway-tls-listen", "127.0.0.1:0"];
const NAME: &str = "certificates/shop";

fn certificate(version: i64, files: &Files) -> Resource {
    let read = |path: &Path| std::fs::read_to_string(path).expect("read");
    let (chain_pem, private_key_pem) = (read(&files.cert), read(&files.key));
    let spec = Certificate { chain_pem, private_key_pem, ..Default::default() };
    Resource { name: NAME.into(), version, spec: Some(Spec::Certificate(spec)), candidate: None }
}

/// What there is with the certificate at a version.
fn with(version: i64) -> [(&'static str, i64); 3] {
    [("pools/p", 1), ("routes/r", 1), (NAME, version)]
}

fn removed(from: i64) -> ToProxy {
    let digest = digest(&with(0)[..2]);
    let removes = vec![NAME.to_owned()];
    ToProxy::Delta(Delta { from, to: token(from + 1), removes, digest, ..Default::default() })
}

#[tokio::test]
async fn a_certificate_is_shown_from_the_moment_it_is_active_and_open_connections_go_on() {
    let (authority, backend) = (Authority::new(), Backend::echo().await);
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let watching = Watching::start(control.address, &TLS);
    let (gateway, readiness) = (&watching.gateway, &watching.readiness);
    let (mut stream, hello) = control.stream().await;
    assert!(hello.features.iter().any(|f| f == "certificates"));
    assert_eq!(readiness.waiting().len(), 2, "a configuration, and a certificate");
    assert!(handshake(gateway, authority.client(), "shop.example").await.is_err(), "there is none yet");

    let (one, two) = (authority.issue("one", &["shop.example"]), authority.issue("two", &["shop.example"]));
    let without = vec![pool(1, backend.address), to_the_pool(1)];
    let nonce = stream.say(whole(1, without)).await;
    stream.acknowledged(&nonce).await;
    assert!(readiness.waiting().iter().any(|why| format!("{why:?}").contains("--gateway-tls-listen")));
    let nonce = stream.say(step(1, 2, vec![certificate(2, &one)], &with(2))).await;
    stream.acknowledged(&nonce).await;
    assert!(readiness.waiting().is_empty());
    let mut open = handshake(gateway, authority.client(), "shop.example").await.expect("shown");
    assert_eq!(shown(gateway, &authority, "shop.example").await.as_deref(), Some(&*one.certificate()));

    let nonce = stream.say(step(2, 3, vec![certificate(3, &two)], &with(3))).await;
    stream.acknowledged(&nonce).await;
    assert_eq!(shown(gateway, &authority, "shop.example").await.as_deref(), Some(&*two.certificate()));
    assert!(exchange(&mut open, GET).await.expect("goes on").starts_with("HTTP/1.1 200"));

    // One that the control plane could not open leaves the one before in force.
    let mut keyless = certificate(4, &one);
    if let Some(Spec::Certificate(certificate)) = &mut keyless.spec {
        certificate.private_key_pem.clear();
    }
    stream.say(step(3, 4, vec![keyless], &with(4))).await;
    let refusal = stream.refusal().await;
    assert_eq!((&*refusal.errors[0].name, &*refusal.errors[0].field), (NAME, "private_key_pem"));
    assert_eq!(shown(gateway, &authority, "shop.example").await.as_deref(), Some(&*two.certificate()));
    stream.hear().await;

    let nonce = stream.say(removed(4)).await;
    stream.acknowledged(&nonce).await;
    assert!(handshake(gateway, authority.client(), "shop.example").await.is_err(), "it is gone");
    assert!(exchange(&mut open, GET).await.expect("goes on").starts_with("HTTP/1.1 200"));
    assert_eq!(readiness.waiting().len(), 1);
}

#[tokio::test]
async fn files_come_first_and_a_gateway_without_tls_asks_for_no_certificates() {
    let (authority, backend) = (Authority::new(), Backend::echo().await);
    let file = authority.issue("file", &["shop.example"]);
    let resource = authority.issue("resource", &["shop.example", "more.example"]);
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let option = file.option();
    let watching =
        Watching::start(control.address, &[&TLS[..], &["--gateway-tls-certificate", &option]].concat());
    let (mut stream, _) = control.stream().await;
    let all = vec![pool(1, backend.address), to_the_pool(1), certificate(1, &resource)];
    let nonce = stream.say(whole(1, all)).await;
    stream.acknowledged(&nonce).await;
    let gateway = &watching.gateway;
    for (name, want) in [("shop.example", &file), ("more.example", &resource), ("unknown.example", &file)] {
        let got = shown(gateway, &authority, name).await;
        assert_eq!(got.as_deref(), Some(&*want.certificate()), "{name}");
    }
    let plain = Watching::start(control.address, &[]);
    let (_stream, hello) = control.stream().await;
    assert!(hello.features.iter().all(|f| f != "certificates"));
    drop(plain);
}

/// A gateway that serves revision 1 with a certificate, safe on disk.
async fn serving(control: &mut ControlPlane, files: &Files, backend: SocketAddr, args: &[&str]) -> Process {
    let dir = Arc::new(tempfile::tempdir().expect("a folder"));
    write_key(&dir.path().join("state.key"), &"5".repeat(64));
    let process = Process::again(&dir, control.address, &[&TLS[..], args].concat());
    let (mut stream, _) = control.stream().await;
    let (_, admin) = process.ready().await;
    let all = vec![pool(1, backend), to_the_pool(1), certificate(1, files)];
    let nonce = stream.say(whole(1, all)).await;
    stream.acknowledged(&nonce).await;
    counts(admin, "gateway_state_revision 1").await;
    process
}

async fn tls_listen(process: &Process) -> SocketAddr {
    process.told().await["tls_listen"].as_str().and_then(|at| at.parse().ok()).expect("an address")
}

/// The folder of a gateway has the certificate, and nothing of its key.
fn lacks_key(dir: &Path, files: &Files) {
    let key = files.private_key();
    let secret = &key.secret_der()[36..68];
    let text = BASE64_STANDARD.encode(key.secret_der());
    let mut bytes = Vec::new();
    for file in
        std::fs::read_dir(dir.join("state")).expect("a folder").map(|entry| entry.expect("entry").path())
    {
        bytes.extend(std::fs::read(file).unwrap_or_default());
    }
    bytes.extend(std::fs::read(dir.join("said")).expect("read"));
    let has = |what: &[u8]| bytes.windows(what.len()).any(|w| w == what);
    assert!(has(b"BEGIN CERTIFICATE") && !has(b"PRIVATE KEY"));
    assert!(!has(secret) && !has(&text.as_bytes()[48..88]));
}

#[tokio::test]
async fn without_the_control_plane_it_starts_with_the_keys_that_are_sealed_on_disk() {
    let (authority, backend) = (Authority::new(), Backend::echo().await);
    let files = authority.issue("shop", &["shop.example"]);
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let keyed = ["--state-key-file", "state.key", "--log", "trace"];
    let process = serving(&mut control, &files, backend.address, &keyed).await;
    let (dir, nobody) = (process.kill(), control.kill());
    lacks_key(dir.path(), &files);

    let process = Process::again(&dir, nobody, &[&TLS[..], &keyed].concat());
    let client = Arc::new(authority.client());
    let mut seen = handshake_at(tls_listen(&process).await, &client, "shop.example").await.expect("shown");
    assert!(exchange(&mut seen, GET).await.expect("answered").starts_with("HTTP/1.1 200"));
    lacks_key(process.kill().path(), &files);

    // With another key, or none, it serves all but this certificate, and gets it again with the rest.
    write_key(&dir.path().join("state.key"), &"6".repeat(64));
    let process = Process::again(&dir, nobody, &[&TLS[..], &keyed].concat());
    let (_, admin) = process.ready().await;
    let at = tls_listen(&process).await;
    assert!(handshake_at(at, &client, "shop.example").await.is_err());
    assert_eq!(page(admin, "/readyz").await.0, 503);
    let mut control = ControlPlane::start(&nobody.to_string()).await;
    let (mut stream, hello) = control.stream().await;
    assert_eq!(hello.have, None);
    let all = vec![pool(1, backend.address), to_the_pool(1), certificate(1, &files)];
    let nonce = stream.say(whole(1, all)).await;
    stream.acknowledged(&nonce).await;
    handshake_at(at, &client, "shop.example").await.expect("shown");
    assert_eq!(page(admin, "/readyz").await.0, 200);
}

#[tokio::test]
async fn without_a_key_file_no_key_is_on_disk_and_nobody_takes_over_without_one() {
    let (authority, backend) = (Authority::new(), Backend::echo().await);
    let files = authority.issue("shop", &["shop.example"]);
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let process = serving(&mut control, &files, backend.address, &[]).await;
    let at = tls_listen(&process).await;
    lacks_key(process.dir.path(), &files);
    let mut next = process.successor(control.address, &["--gateway-tls-listen", &at.to_string()]);
    assert!(!next.ended().await.success());
    let said = process.said();
    assert!(said.contains(NAME) && said.contains("--state-key-file"), "{said}");
    let client = Arc::new(unchecked(&authority));
    handshake_at(at, &client, "shop.example").await.expect("the first one serves on");

    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let keyed = ["--state-key-file", "state.key"];
    let process = serving(&mut control, &files, backend.address, &keyed).await;
    let at = tls_listen(&process).await;
    let listen = at.to_string();
    let args = [&keyed[..], &["--gateway-tls-listen", &listen]].concat();
    let next = process.successor(control.address, &args);
    assert_eq!(tls_listen(&next).await, at);
    handshake_at(at, &client, "shop.example").await.expect("the next one has the key");
    lacks_key(next.dir.path(), &files);
}
