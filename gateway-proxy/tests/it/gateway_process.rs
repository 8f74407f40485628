//! The gateway as a process, in a folder of its own that outlives it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use crate::support::*;

/// A gateway that runs. Dropped, it is killed; the folder goes with the last gateway in it.
pub struct Process {
    child: Child,
    pub dir: Arc<tempfile::TempDir>,
}

impl Process {
    pub fn start(control_plane: SocketAddr, args: &[&str]) -> Self {
        Self::again(&Arc::new(tempfile::tempdir().expect("dir")), control_plane, args)
    }

    /// In the folder of one that was there before.
    pub fn again(dir: &Arc<tempfile::TempDir>, control_plane: SocketAddr, args: &[&str]) -> Self {
        Self::spawn(dir, Self::command(dir, control_plane, args))
    }

    /// One that takes over from this one.
    pub fn successor(&self, control_plane: SocketAddr, args: &[&str]) -> Self {
        Self::again(&self.dir, control_plane, &[args, &["--gateway-engine", "own", "--take-over"]].concat())
    }

    /// With what a test has changed of its command.
    pub fn spawn(dir: &Arc<tempfile::TempDir>, mut command: Command) -> Self {
        let _ = fs::remove_file(dir.path().join("ready.json"));
        Self { child: command.spawn().expect("starts"), dir: Arc::clone(dir) }
    }

    pub fn command(dir: &Arc<tempfile::TempDir>, control_plane: SocketAddr, args: &[&str]) -> Command {
        let said = fs::File::options().create(true).append(true).open(dir.path().join("said"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotswap-gateway"));
        command
            .current_dir(dir.path())
            // A flag of a test stands before these.
            .envs([
                ("HOTSWAP_GATEWAY_LISTEN", "127.0.0.1:0"),
                ("HOTSWAP_GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
                ("HOTSWAP_GATEWAY_DATA_DIR", "state"),
            ])
            .args(["--ready-file", "ready.json", "--access-log-file", "access.log", "--access-log", "all"])
            .args(["--control-plane", &format!("http://{control_plane}")])
            .args(args)
            .stderr(said.expect("a file"));
        command
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What gateways in this folder have said on standard error.
    pub fn said(&self) -> String {
        fs::read_to_string(self.file("said")).expect("text")
    }

    /// Where it listens: for traffic, and for the admin page.
    pub async fn ready(&self) -> (SocketAddr, SocketAddr) {
        let ready = self.told().await;
        let at = |key: &str| ready[key].as_str().and_then(|a| a.parse().ok()).expect("address");
        (at("listen"), at("admin_listen"))
    }

    /// What it tells once it is ready.
    pub async fn told(&self) -> serde_json::Value {
        let text = in_time("the ready file", async {
            loop {
                match fs::read_to_string(self.file("ready.json")) {
                    Ok(text) => break text,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await;
        serde_json::from_str(&text).expect("JSON")
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().expect("kill").success());
    }

    /// As by `kill -9`; gives the folder that it leaves behind.
    pub fn kill(mut self) -> Arc<tempfile::TempDir> {
        self.child.kill().expect("kills");
        self.child.wait().expect("waits");
        Arc::clone(&self.dir)
    }

    pub async fn ended(&mut self) -> ExitStatus {
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

/// Backends that answer "a" and "b".
pub async fn two_backends() -> (Backend, Backend) {
    let answer =
        ["HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb"];
    (Backend::always(answer[0]).await, Backend::always(answer[1]).await)
}

/// The newest file of this ending that is kept in a folder.
pub fn newest(dir: &Path, end: &str) -> PathBuf {
    let files = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("entry").path());
    files.filter(|f| f.to_string_lossy().ends_with(end)).max().expect("a file")
}

pub async fn page(address: SocketAddr, path: &str) -> (u16, String) {
    let mut client = Client::connect(address).await;
    client.send(format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")).await;
    let response = client.response().await;
    (response.status, response.text())
}

/// One request; the answer's body, or the reason why there is none.
pub async fn ask(address: SocketAddr) -> String {
    let mut client = Client::connect(address).await;
    client.send("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    let response = client.response().await;
    response.reason().map(str::to_owned).unwrap_or_else(|| response.text())
}

/// Waits until a line stands among the metrics.
pub async fn counts(admin: SocketAddr, line: &str) {
    in_time(line, async {
        while !page(admin, "/metrics").await.1.lines().any(|l| l == line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
