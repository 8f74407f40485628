//! Keys for tokens that gateways have fetched, over their restarts.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use hotswap_api::gateway::v1::watch_config_response::Message as ToProxy;
use jsonwebtoken::Algorithm;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::control::*;
use crate::gateway_process::*;
use crate::keys::{Server, found, set};
use crate::support::*;
use crate::tokens::{Signer, bearer, claims};

/// An issuer that publishes its keys, and what it signs with.
pub struct Issuer {
    pub signer: Signer,
    server: Server,
    backend: Option<Backend>,
    address: SocketAddr,
}

impl Issuer {
    pub async fn start(id: &'static str) -> Self {
        let (signer, server) = (Signer::new(id, Algorithm::EdDSA), Server::default());
        server.has(&[&signer]);
        let backend = server.start().await;
        let address = backend.address;
        Self { signer, server, backend: Some(backend), address }
    }

    pub fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// A request with a token of it.
    pub fn request(&self) -> String {
        bearer(&self.signer.sign(&claims()))
    }

    pub async fn goes_away(&mut self) {
        if let Some(backend) = self.backend.take() {
            backend.end().await;
        }
    }

    /// It signs with another key from then on, and takes the one of before back.
    pub async fn comes_back(&mut self, id: &'static str) {
        self.signer = Signer::new(id, Algorithm::EdDSA);
        self.server.has(&[&self.signer]);
        self.backend = Some(self.server.on(TcpListener::bind(self.address).await.expect("binds")));
    }
}

/// An issuer that answers nobody before it is let to: it takes a permit of `go`, and gives one of `asked`.
pub struct Slow {
    pub signer: Signer,
    pub asked: Arc<Semaphore>,
    pub go: Arc<Semaphore>,
    backend: Backend,
}

impl Slow {
    pub async fn start() -> Self {
        let signer = Signer::new("slow", Algorithm::EdDSA);
        let (asked, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (answer, gates) = (found(&set(&[&signer])), (Arc::clone(&asked), Arc::clone(&go)));
        let backend = Backend::each(move |_, mut wire| {
            let (answer, (asked, go)) = (answer.clone(), gates.clone());
            async move {
                while wire.request().await.is_some() {
                    asked.add_permits(1);
                    go.acquire().await.expect("open").forget();
                    wire.send(&answer).await;
                }
            }
        })
        .await;
        Self { signer, asked, go, backend }
    }

    pub fn url(&self) -> String {
        format!("http://{}/keys", self.backend.address)
    }

    pub fn request(&self) -> String {
        bearer(&self.signer.sign(&claims()))
    }

    pub async fn is_asked(&self) {
        in_time("ask for keys", self.asked.acquire()).await.expect("open").forget();
    }
}

/// What is answered to one request: its status, or the reason why it is no good.
pub async fn answer(at: SocketAddr, request: &str) -> String {
    let mut client = Client::connect(at).await;
    client.send(request).await;
    let response = client.response().await;
    response.reason().map_or_else(|| response.status.to_string(), str::to_owned)
}

/// Asks until this is the answer.
pub async fn becomes(at: SocketAddr, request: &str, want: &str) {
    in_time(want, async {
        while answer(at, request).await != want {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A configuration whose route wants tokens.
pub fn wants_tokens(revision: i64, backend: SocketAddr, jwks_url: &str) -> ToProxy {
    whole(revision, vec![pool(1, backend), guarded(1, jwks_url)])
}

/// Where key sets are kept.
pub fn file(dir: &Path) -> std::path::PathBuf {
    dir.join("state/key-sets")
}

/// Waits until some are.
pub async fn are_kept(dir: &Path) {
    in_time("keys on disk", async {
        while !file(dir).exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A gateway that had keys of this issuer, safe on disk, killed together with its control plane.
async fn killed(backend: SocketAddr, issuer: &Issuer) -> (Arc<tempfile::TempDir>, SocketAddr) {
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let process = Process::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let (listen, admin) = process.ready().await;
    let nonce = stream.say(wants_tokens(1, backend, &issuer.url())).await;
    stream.acknowledged(&nonce).await;
    becomes(listen, &issuer.request(), "200").await;
    counts(admin, "gateway_state_revision 1").await;
    are_kept(process.dir.path()).await;
    (process.kill(), control.kill())
}

#[tokio::test]
async fn tokens_count_after_a_restart_although_the_issuer_is_away_until_it_says_otherwise() {
    let backend = Backend::echo().await;
    let mut issuer = Issuer::start("old").await;
    let (dir, nobody) = killed(backend.address, &issuer).await;
    let mode = fs::metadata(file(dir.path())).expect("kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    issuer.goes_away().await;
    let by_old = issuer.request();
    // Twice: what was kept is still kept when nothing was fetched.
    for _ in 0..2 {
        let process = Process::again(&dir, nobody, &[]);
        let (listen, admin) = process.ready().await;
        assert_eq!(answer(listen, &by_old).await, "200", "from the first request on");
        counts(admin, "gateway_jwks_stale 1").await;
        let told = page(admin, "/config").await.1;
        assert!(told.contains(" s old"), "{told}");
        process.kill();
    }
    let process = Process::again(&dir, nobody, &[]);
    let (listen, _) = process.ready().await;
    assert_eq!(answer(listen, &by_old).await, "200");
    issuer.comes_back("new").await;
    becomes(listen, &by_old, "TOKEN_INVALID").await;
    assert_eq!(answer(listen, &issuer.request()).await, "200");
}

#[tokio::test]
async fn kept_keys_that_are_damaged_are_as_none_and_stop_no_start() {
    let backend = Backend::echo().await;
    let mut issuer = Issuer::start("a").await;
    let (dir, nobody) = killed(backend.address, &issuer).await;
    let path = file(dir.path());
    let good = fs::read(&path).expect("kept");
    issuer.goes_away().await;
    let mut altered = good.clone();
    altered[good.len() / 2] ^= 1;
    for (bytes, why) in [
        (Some(altered), "it was altered"),
        (Some(good[..good.len() - 1].to_vec()), "it was altered"),
        (Some(good[..20].to_vec()), "it is cut short"),
        (Some(b"{\"keys\":[]}".to_vec()), "it is no state of a gateway"),
        (None, "it is no file"),
    ] {
        let _ = fs::remove_file(&path);
        match bytes {
            Some(bytes) => fs::write(&path, bytes).expect("written"),
            None => fs::create_dir(&path).expect("a folder"),
        }
        let process = Process::again(&dir, nobody, &["--log", "warn"]);
        let (listen, _) = process.ready().await;
        assert_eq!(answer(listen, &issuer.request()).await, "KEYS_UNAVAILABLE", "{why}");
        let said = process.said();
        let last = said.lines().rfind(|l| l.contains("kept keys of tokens not used"));
        assert!(last.is_some_and(|l| l.contains(why) && l.contains("state/key-sets")), "{why}: {said}");
        process.kill();
    }
    fs::remove_dir(&path).expect("removed");
    // One that gets keys keeps them again.
    issuer.comes_back("b").await;
    let process = Process::again(&dir, nobody, &[]);
    let (listen, _) = process.ready().await;
    assert_eq!(answer(listen, &issuer.request()).await, "200", "the start has waited for the answer");
    are_kept(dir.path()).await;
    process.kill();
    issuer.goes_away().await;
    let process = Process::again(&dir, nobody, &[]);
    assert_eq!(answer(process.ready().await.0, &issuer.request()).await, "200");
}

#[tokio::test]
async fn a_start_without_keys_waits_for_the_first_answer_but_not_for_ever() {
    let backend = Backend::echo().await;
    let (mut control, slow) = (ControlPlane::start("127.0.0.1:0").await, Slow::start().await);
    let process = Process::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let (listen, admin) = process.ready().await;
    let nonce = stream.say(wants_tokens(1, backend.address, &slow.url())).await;
    stream.acknowledged(&nonce).await;
    slow.is_asked().await;
    let (status, why) = page(admin, "/readyz").await;
    assert!(status == 503 && why.contains("keys that tokens are verified by"), "{why}");
    slow.go.add_permits(1);
    becomes(listen, &slow.request(), "200").await;
    in_time("ready", async { while page(admin, "/readyz").await.0 != 200 {} }).await;
    counts(admin, "gateway_state_revision 1").await;
    are_kept(process.dir.path()).await;
    let (dir, nobody) = (process.kill(), control.kill());

    fs::remove_file(file(dir.path())).expect("removed");
    let process = Process::again(&dir, nobody, &[]);
    slow.is_asked().await;
    assert!(!process.file("ready.json").exists());
    slow.go.add_permits(1);
    assert_eq!(answer(process.ready().await.0, &slow.request()).await, "200", "the first one");
    are_kept(dir.path()).await;
    process.kill();

    fs::remove_file(file(dir.path())).expect("removed");
    let process = Process::again(&dir, nobody, &[]);
    slow.is_asked().await;
    assert_eq!(answer(process.ready().await.0, &slow.request()).await, "KEYS_UNAVAILABLE");
    assert!(process.said().contains("not waiting any longer"), "{}", process.said());
}
