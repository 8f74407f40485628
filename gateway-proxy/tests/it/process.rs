//! The gateway as a process: what it says, what it serves beside traffic, and how it ends.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::control::*;
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";

struct Process {
    child: Child,
    dir: tempfile::TempDir,
}

impl Process {
    fn start(control_plane: SocketAddr, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("dir");
        let child = command(&dir, control_plane).args(args).spawn().expect("starts");
        Self { child, dir }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where it listens: for traffic, and for the admin page.
    async fn ready(&self) -> (SocketAddr, SocketAddr) {
        let text = in_time("the ready file", async {
            loop {
                match std::fs::read_to_string(self.file("ready.json")) {
                    Ok(text) => break text,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await;
        let ready: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let at = |key: &str| ready[key].as_str().and_then(|a| a.parse().ok()).expect("address");
        (at("listen"), at("admin_listen"))
    }

    fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    }

    async fn ended(&mut self) -> std::process::ExitStatus {
        in_time("the end", async {
            loop {
                match self.child.try_wait().expect("waits") {
                    Some(status) => break status,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &tempfile::TempDir, control_plane: SocketAddr) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotswap-gateway"));
    command
        .current_dir(dir.path())
        // A flag of a test stands before these.
        .envs([("HOTSWAP_GATEWAY_LISTEN", "127.0.0.1:0"), ("HOTSWAP_GATEWAY_ADMIN_LISTEN", "127.0.0.1:0")])
        .args(["--ready-file", "ready.json", "--access-log-file", "access.log", "--access-log", "all"])
        .args(["--control-plane", &format!("http://{control_plane}")])
        .stderr(Stdio::piped());
    command
}

async fn page(address: SocketAddr, path: &str) -> (u16, String) {
    let mut client = Client::connect(address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")).await;
    let response = client.response().await;
    (response.status, response.text())
}

#[tokio::test]
async fn a_gateway_is_ready_with_its_first_configuration_and_ends_in_order_on_sigterm() {
    let go = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let waiting = std::sync::Arc::clone(&go);
    let backend = Backend::each(move |_, mut wire| {
        let go = std::sync::Arc::clone(&waiting);
        async move {
            while wire.request().await.is_some() {
                go.acquire().await.expect("open").forget();
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let mut process = Process::start(control.address, &[]);
    let (mut stream, _) = control.stream().await;
    let (listen, admin) = process.ready().await;
    assert_eq!(page(admin, "/healthz").await.0, 200);
    let (status, why) = page(admin, "/readyz").await;
    assert_eq!((status, why.contains("configuration")), (503, true), "{why}");

    let nonce = stream.say(both(1, 1, backend.address)).await;
    stream.acknowledged(&nonce).await;
    assert_eq!(page(admin, "/readyz").await.0, 200);
    go.add_permits(1);
    let mut client = Client::connect(listen).await;
    client.send(GET).await;
    assert_eq!(client.response().await.text(), "ok");
    let (_, metrics) = page(admin, "/metrics").await;
    assert!(metrics.contains("gateway_config_revision 1\n"), "{metrics}");

    let mut odd = Client::connect(listen).await;
    odd.send("nonsense\r\n\r\n").await;
    assert_eq!(odd.response().await.reason(), Some("BAD_REQUEST"));

    // A request is under way when the signal comes.
    client.send("GET /late?q=1 HTTP/1.1\r\nhost: Shop\r\n\r\n").await;
    in_time("the request", async {
        while !page(admin, "/metrics").await.1.contains("gateway_upstream_reuses_total 1\n") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    process.terminate();
    in_time("not ready", async {
        while page(admin, "/readyz").await.0 == 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    go.add_permits(1);
    let late = client.response().await;
    assert_eq!((late.status, late.header("connection")), (200, Some("close")));
    assert!(process.ended().await.success());

    let log = std::fs::read_to_string(process.file("access.log")).expect("log");
    let last: serde_json::Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    let text = |key: &str| last[key].as_str().unwrap_or_default().to_owned();
    let backend = backend.address.to_string();
    assert_eq!([text("method"), text("host"), text("path")], ["GET", "Shop", "/late"]);
    assert_eq!([text("route"), text("backend")], ["routes/r", backend.as_str()]);
    assert_eq!((last["status"].as_u64(), last["bytes"].as_u64()), (Some(200), Some(2)));
    let odd: serde_json::Value = serde_json::from_str(log.lines().nth(1).expect("a line")).expect("JSON");
    assert_eq!((odd["method"].as_str(), odd["reason"].as_str()), (Some("-"), Some("BAD_REQUEST")));
    assert_eq!(log.lines().count(), 3);
}

#[tokio::test]
async fn a_taken_port_is_one_clear_line_and_a_failure() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = taken.local_addr().expect("addr").to_string();
    for flag in ["--gateway-listen", "--gateway-admin-listen"] {
        let mut process = Process::start(taken.local_addr().expect("addr"), &[flag, &address]);
        assert_eq!(process.ended().await.code(), Some(1));
        let mut said = String::new();
        process.child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with(&format!("error: cannot listen on {address}")), "{said}");
        assert!(said.contains(flag), "{said}");
    }
}
