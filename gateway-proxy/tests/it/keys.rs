//! Keys for tokens that gateways fetch, from real servers and files, for clients of both versions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hotswap_gateway::keys::KeysStanding;
use hotswap_matcher::{JwtDraft, TrafficDraft};
use jsonwebtoken::Algorithm;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::certificates::Authority;
use crate::http2_alike::Either;
use crate::support::*;
use crate::tokens::{Signer, bearer, claims};

/// A key server: what it answers, and how often it was asked.
#[derive(Clone, Default)]
pub struct Server {
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn says(&self, answer: String) {
        *self.answer.lock().expect("free") = answer;
    }

    pub fn has(&self, signers: &[&Signer]) {
        self.says(found(&set(signers)));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn on(&self, listener: TcpListener) -> Backend {
        let server = self.clone();
        Backend::on(listener, move |_, mut wire| {
            let server = server.clone();
            async move {
                while wire.request().await.is_some() {
                    server.asked.fetch_add(1, Ordering::SeqCst);
                    let answer = server.answer.lock().expect("free").clone();
                    wire.send(answer).await;
                }
            }
        })
    }

    pub async fn start(&self) -> Backend {
        self.on(TcpListener::bind("127.0.0.1:0").await.expect("binds"))
    }
}

pub fn set(signers: &[&Signer]) -> String {
    json!({ "keys": signers.iter().map(|s| s.public()).collect::<Vec<_>>() }).to_string()
}

pub fn found(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn by_url(url: &str) -> JwtDraft {
    let algorithms = vec!["EdDSA".to_owned()];
    JwtDraft { jwks_url: url.into(), algorithms, ..JwtDraft::default() }
}

fn gateway(backend: &Backend, jwt: JwtDraft, args: &[&str]) -> Gateway {
    let traffic = TrafficDraft { jwt: Some(jwt), ..TrafficDraft::default() };
    let args = [&["--gateway-engine", "own"], args].concat();
    Gateway::before_with(backend.address, &args, |route| route.traffic = Some(Box::new(traffic)))
}

fn standing(gateway: &Gateway) -> KeysStanding {
    let now = hotswap_gateway::backend_state::clock::now_ms();
    let config = gateway.plane.config().now();
    config.keys().standing(now).first().expect("one").clone()
}

/// Waits until the key set stands so.
async fn stands(gateway: &Gateway, what: &str, so: impl Fn(&KeysStanding) -> bool) -> KeysStanding {
    let wait = async {
        while !so(&standing(gateway)) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        standing(gateway)
    };
    in_time(what, wait).await
}

/// Asks until the answer has this status.
async fn becomes(client: &mut Either, request: &str, status: u16) -> Response {
    in_time("another answer", async {
        loop {
            let response = client.ask(request).await;
            if response.status == status {
                return response;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await
}

#[tokio::test]
async fn keys_are_fetched_and_a_token_by_a_new_one_has_them_fetched_anew_but_once() {
    let backend = Backend::echo().await;
    let (old, new) = (Signer::new("old", Algorithm::EdDSA), Signer::new("new", Algorithm::EdDSA));
    let stranger = bearer(&Signer::new("x", Algorithm::EdDSA).sign(&claims()));
    let [by_old, by_new] = [&old, &new].map(|signer| bearer(&signer.sign(&claims())));
    let server = Server::default();
    server.has(&[&old]);
    let keys = server.start().await;
    let gateway = gateway(&backend, by_url(&format!("http://{}/keys", keys.address)), &[]);
    stands(&gateway, "keys", |s| s.age_ms.is_some()).await;
    let mut clients = Either::both(&gateway).await;
    for client in &mut clients {
        assert_eq!(client.ask(&by_old).await.status, 200);
    }
    let since = std::time::Instant::now();
    server.has(&[&new]);
    let [one, two] = &mut clients;
    assert_eq!(one.ask(&by_new).await.reason(), Some("TOKEN_INVALID"), "the request does not wait for it");
    becomes(two, &by_new, 200).await;
    for client in &mut clients {
        assert_eq!(client.ask(&by_new).await.status, 200);
        assert_eq!(client.ask(&by_old).await.reason(), Some("TOKEN_INVALID"), "its key is gone");
        for _ in 0..20 {
            assert_eq!(client.ask(&stranger).await.reason(), Some("TOKEN_INVALID"));
        }
    }
    let most = 2 + usize::try_from(since.elapsed().as_secs() / 10).expect("fits");
    assert!((2..=most).contains(&server.asked()), "nobody can make gateways ask all the time");
}

#[tokio::test]
async fn keys_stay_while_their_server_fails_and_it_shows() {
    let backend = Backend::echo().await;
    let (good, other) = (Signer::new("a", Algorithm::EdDSA), Signer::new("b", Algorithm::EdDSA));
    let server = Server::default();
    server.has(&[&good]);
    let keys = server.start().await;
    let gateway = gateway(&backend, by_url(&format!("http://{}/keys", keys.address)), &[]);
    stands(&gateway, "keys", |s| s.age_ms.is_some()).await;
    gateway.counts("gateway_jwks_stale 0").await;
    server.says("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".into());
    for client in &mut Either::both(&gateway).await {
        let unknown = client.ask(&bearer(&other.sign(&claims()))).await;
        assert_eq!((unknown.status, unknown.reason()), (401, Some("TOKEN_INVALID")));
        let told = stands(&gateway, "trouble", |s| !s.trouble.is_empty()).await;
        assert!(told.age_ms.is_some() && told.trouble.contains("500"), "{told:?}");
        assert_eq!(client.ask(&bearer(&good.sign(&claims()))).await.status, 200);
    }
    gateway.counts("gateway_jwks_stale 1").await;
}

#[tokio::test]
async fn without_any_keys_tokens_wait_and_then_they_count() {
    let backend = Backend::echo().await;
    let signer = Signer::new("a", Algorithm::EdDSA);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let gateway = gateway(&backend, by_url(&format!("http://{address}/keys")), &[]);
    stands(&gateway, "trouble", |s| !s.trouble.is_empty()).await;
    let token = bearer(&signer.sign(&claims()));
    let mut clients = Either::both(&gateway).await;
    for client in &mut clients {
        let none = client.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
        assert_eq!((none.status, none.reason()), (401, Some("TOKEN_MISSING")));
        let early = client.ask(&token).await;
        assert_eq!((early.status, early.reason()), (503, Some("KEYS_UNAVAILABLE")));
        assert_eq!(early.header("retry-after"), Some("1"));
    }
    let server = Server::default();
    server.has(&[&signer]);
    let _keys = server.on(TcpListener::bind(address).await.expect("binds"));
    for client in &mut clients {
        becomes(client, &token, 200).await;
    }
}

#[tokio::test]
async fn what_is_no_key_set_is_not_taken_and_says_why() {
    let backend = Backend::echo().await;
    let elsewhere = "HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let around = "HTTP/1.1 302 Found\r\nlocation: /again\r\ncontent-length: 0\r\n\r\n";
    let secret = r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#;
    for (answer, why) in [
        ("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_owned(), "404"),
        (found("<html>"), "is not a JSON Web Key Set"),
        (found(r#"{"keys":[]}"#), "has no public key"),
        (found(secret), "secret key"),
        (found(&" ".repeat(65_537)), "65536 bytes"),
        (elsewhere.to_owned(), "another scheme"),
        (around.to_owned(), "too often"),
    ] {
        let server = Server::default();
        server.says(answer);
        let keys = server.start().await;
        let gateway = gateway(&backend, by_url(&format!("http://{}/", keys.address)), &[]);
        let told = stands(&gateway, why, |s| !s.trouble.is_empty()).await;
        assert!(told.trouble.contains(why) && told.age_ms.is_none(), "{why}: {told:?}");
    }
}

#[tokio::test]
async fn a_server_with_tls_is_believed_by_its_certificate_alone() {
    let backend = Backend::echo().await;
    let signer = Signer::new("a", Algorithm::EdDSA);
    let authority = Authority::new();
    let files = authority.issue("keys", &["localhost"]);
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![files.certificate()], files.private_key())
        .expect("fits");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("bound").port();
    let answer = found(&set(&[&signer]));
    let serving = spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(tcp).await else { continue };
            let _ = tls.read(&mut [0; 4_096]).await;
            let _ = tls.write_all(answer.as_bytes()).await;
            let _ = tls.shutdown().await;
        }
    });
    let url = format!("https://localhost:{port}/keys");
    let strangers = gateway(&backend, by_url(&url), &[]);
    let told = stands(&strangers, "trouble", |s| !s.trouble.is_empty()).await;
    assert!(told.age_ms.is_none() && told.trouble.contains("certificate"), "{told:?}");
    let ca = authority.ca();
    let known = gateway(&backend, by_url(&url), &["--jwks-ca-file", ca.to_str().expect("text")]);
    stands(&known, "keys", |s| s.age_ms.is_some()).await;
    assert_eq!(known.ask(&bearer(&signer.sign(&claims()))).await.status, 200);
    serving.abort();
}

#[tokio::test]
async fn keys_in_a_file_are_read_anew_and_only_in_their_folder() {
    let backend = Backend::echo().await;
    let (old, new) = (Signer::new("old", Algorithm::EdDSA), Signer::new("new", Algorithm::EdDSA));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("id.json");
    std::fs::write(&file, set(&[&old])).expect("written");
    let jwt = JwtDraft { jwks_file: "id.json".into(), jwks_url: String::new(), ..by_url("") };
    let dir = folder.path().to_str().expect("text");
    let known = gateway(&backend, jwt.clone(), &["--jwks-dir", dir]);
    stands(&known, "keys", |s| s.age_ms.is_some()).await;
    for client in &mut Either::both(&known).await {
        assert_eq!(client.ask(&bearer(&old.sign(&claims()))).await.status, 200);
    }
    std::fs::write(&file, set(&[&new])).expect("written");
    for client in &mut Either::both(&known).await {
        becomes(client, &bearer(&new.sign(&claims())), 200).await;
    }
    let without = gateway(&backend, jwt, &[]);
    let told = stands(&without, "trouble", |s| !s.trouble.is_empty()).await;
    assert!(told.trouble.contains("--jwks-dir"), "{told:?}");
}
