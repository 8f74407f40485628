//! More clients than there is room for, and a gateway that has no socket left: who is connected is served on, and no
//! backend is blamed.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hotswap_api::gateway::v1::Resource;
use hotswap_api::gateway::v1::candidate::{Exposure, Spec as Beside};
use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::route::v1 as route;

use crate::control::*;
use crate::gateway_process::*;
use crate::rollouts_watch::pool_with;
use crate::support::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: h\r\n\r\n";
const ENGINES: [&str; 2] = ["own", "hyper"];

/// One request on a connection that is kept.
async fn asks(client: &mut Client) -> Response {
    client.send(GET).await;
    client.response().await
}

#[tokio::test]
async fn clients_beyond_the_limit_wait_until_one_goes() {
    let backend = Backend::always("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    for engine in ENGINES {
        let args = ["--gateway-engine", engine, "--gateway-max-connections", "2"];
        let gateway = Gateway::before_with(backend.address, &args, |_| {});
        let (mut one, mut two) = (gateway.connect().await, gateway.connect().await);
        assert_eq!([asks(&mut one).await.status, asks(&mut two).await.status], [200, 200]);
        // It is connected, as far as it sees, and may say what it likes.
        let mut three = gateway.connect().await;
        three.send(GET).await;
        for _ in 0..20 {
            assert_eq!(asks(&mut one).await.status, 200);
        }
        let metrics = gateway.metrics();
        let has = |line: &str| assert!(metrics.lines().any(|l| l == line), "{engine}: {line}");
        has("gateway_connections_total 2");
        has("gateway_max_connections 2");
        has("gateway_connection_limit_reached_total 1");
        assert!(three.buffered().is_empty());
        drop(one);
        assert_eq!(three.response().await.text(), "ok", "{engine}");
        assert_eq!(asks(&mut two).await.status, 200);
    }
}

#[tokio::test]
async fn all_cores_share_the_places_and_whoever_waits_at_one_is_woken_by_the_others() {
    let busy = [Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default()];
    let [now, most] = busy.clone();
    let backend = Backend::each(move |_, mut wire| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        async move {
            while wire.request().await.is_some() {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                now.fetch_sub(1, Ordering::SeqCst);
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    for engine in ENGINES {
        let args = ["--gateway-engine", engine, "--gateway-workers", "3", "--gateway-max-connections", "4"];
        let gateway = Gateway::before_with(backend.address, &args, |_| {});
        let address = gateway.address();
        let all = (0..200).map(|_| {
            spawn(async move {
                let mut client = Client::connect(address).await;
                client.send("GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
                client.response().await.status
            })
        });
        for client in all.collect::<Vec<_>>() {
            assert_eq!(client.await.expect("ends"), 200, "{engine}");
        }
        gateway.counts("gateway_connections_total 200").await;
    }
    let most = busy[1].load(Ordering::SeqCst);
    assert!(most <= 6, "{most} at once: 4, and one for each other listener");
}

/// The command of a gateway that may open so many files.
fn with_files(files: usize, command: &Command) -> Command {
    let mut limited = Command::new("sh");
    let run = format!("ulimit -n {files}; exec \"$@\"");
    limited.args([OsStr::new("-c"), OsStr::new(&run), OsStr::new("sh"), command.get_program()]);
    limited.args(command.get_args());
    limited.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        limited.current_dir(dir);
    }
    limited
}

/// A pool with everything that counts failures: whoever fails twice is out. Half of the requests are for its candidate, which
/// is the same.
fn strict(backend: &Backend) -> Resource {
    let mut strict = pool_with(1, backend.address, backend.address, Exposure::ShareBps(5_000));
    let candidate = strict.candidate.as_mut().and_then(|candidate| candidate.spec.as_mut());
    let (Some(Spec::Pool(live)), Some(Beside::Pool(other))) = (&mut strict.spec, candidate) else {
        panic!("pools")
    };
    for pool in [live, other] {
        pool.health_check = Some(route::HealthCheck {
            path: "/".into(),
            interval_ms: 100,
            timeout_ms: 60_000,
            unhealthy_threshold: 1,
            ..Default::default()
        });
        pool.circuit_breaker =
            Some(route::CircuitBreaker { failure_threshold: 2, open_ms: 600_000, ..Default::default() });
        pool.outlier_ejection = Some(route::OutlierEjection {
            consecutive_failures: 2,
            base_ms: 600_000,
            max_ms: 600_000,
            max_ejected_percent: 100,
        });
    }
    strict
}

/// A gateway with few files before such a pool, and clients of it and of its admin page that are connected.
async fn cramped(backend: &Backend, files: usize, args: &[&str]) -> (Process, ControlPlane, Client, Client) {
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let dir = Arc::new(tempfile::tempdir().expect("dir"));
    let args = [&["--gateway-workers", "1"], args].concat();
    let mut command = with_files(files, &Process::command(&dir, control.address, &args));
    let said = std::fs::File::options().create(true).append(true).open(dir.path().join("said"));
    command.stderr(said.expect("a file"));
    let process = Process::spawn(&dir, command);
    let (mut stream, _) = control.stream().await;
    let nonce = stream.say(whole(1, vec![strict(backend), to_the_pool(1)])).await;
    stream.acknowledged(&nonce).await;
    let (listen, admin) = process.ready().await;
    let (mut client, mut admin) = (Client::connect(listen).await, Client::connect(admin).await);
    assert_eq!(asks(&mut client).await.status, 200);
    assert!(told(&mut admin, "/metrics").await.contains("gateway_max_connections"));
    (process, control, client, admin)
}

/// A page of the admin address, on a connection that is open.
async fn told(admin: &mut Client, path: &str) -> String {
    admin.send(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n")).await;
    admin.response().await.text()
}

/// A backend whose connections serve one request each.
async fn forgetful() -> Backend {
    Backend::each(|_, mut wire| async move {
        if wire.request().await.is_some() {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
        }
    })
    .await
}

async fn crowd(listen: std::net::SocketAddr, size: usize) -> Vec<Client> {
    let mut crowd = Vec::with_capacity(size);
    for _ in 0..size {
        crowd.push(Client::connect(listen).await);
    }
    crowd
}

#[tokio::test]
async fn no_backend_is_blamed_where_no_file_is_left() {
    let backend = forgetful().await;
    for engine in ENGINES {
        let args = ["--gateway-engine", engine, "--gateway-max-connections", "0"];
        let (process, _control, mut client, mut admin) = cramped(&backend, 128, &args).await;
        let idle = crowd(process.ready().await.0, 200).await;
        in_time("the last file", async {
            while !process.said().contains("accept failed") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        // A file that a check gives back may be there for a moment, until another client has it.
        let mut in_a_row = 0;
        while in_a_row < 5 {
            let response = asks(&mut client).await;
            let none = (response.status, response.reason()) == (503, Some("NO_SOCKET"));
            assert!(none || response.status == 200, "{engine}: {}", response.head);
            in_a_row = if none { in_a_row + 1 } else { 0 };
        }
        in_time("checks", async {
            let none = r#"gateway_health_checks_total{result="not_made"} 0"#;
            while told(&mut admin, "/metrics").await.contains(none) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let metrics = told(&mut admin, "/metrics").await;
        let counted = metrics.lines().filter(|line| line.starts_with("gateway_rollout_requests_total"));
        let errors: Vec<_> = counted.filter(|line| line.contains("\"error\"")).collect();
        assert!(errors.len() == 2 && errors.iter().all(|line| line.ends_with(" 0")), "{engine}: {errors:?}");
        let backends = told(&mut admin, "/backends?format=json").await;
        let one: serde_json::Value = serde_json::from_str(&backends).expect("JSON");
        assert_eq!((one[0]["usable"].as_bool(), one[0]["breaker"].as_str()), (Some(true), Some("closed")));
        drop(idle);
        // As soon as there are files again.
        in_time("an answer", async { while asks(&mut client).await.status != 200 {} }).await;
    }
}

#[tokio::test]
async fn a_crowd_of_idle_clients_leaves_files_for_backends() {
    let backend = forgetful().await;
    let (process, _control, mut client, mut admin) = cramped(&backend, 200, &[]).await;
    let listen = process.ready().await.0;
    let idle = crowd(listen, 300).await;
    let limit = "gateway_max_connections 64\n";
    in_time("the limit", async {
        while !told(&mut admin, "/metrics").await.contains("gateway_connection_limit_reached_total 1\n") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(told(&mut admin, "/metrics").await.contains(limit), "half of 200 - 64 - 8");
    for _ in 0..20 {
        assert_eq!(asks(&mut client).await.status, 200);
    }
    let metrics = told(&mut admin, "/metrics").await;
    assert!(metrics.contains("gateway_active_connections 64\n"), "{metrics}");
    let said = process.said();
    assert_eq!((said.matches("as many clients").count(), said.matches("accept failed").count()), (1, 0));
    drop(idle);
    assert_eq!(ask(listen).await, "ok", "who waited is let in");
}
