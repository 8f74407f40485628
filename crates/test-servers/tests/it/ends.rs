//! Nothing is left behind, however its owner ended.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, thread};

use hotswap_test_servers::{Postgres, PostgresOptions, Redis};

use crate::there;

#[test]
fn a_dropped_server_leaves_no_folder_and_no_shared_memory() {
    let Some(mut server) = there(Postgres::start(PostgresOptions::default())) else { return };
    let segment = segment(&server.data());
    server.kill().expect("kills");
    assert!(shared_memory().contains(&segment), "a killed server leaves its segment");
    let folder = server.folder().to_owned();
    drop(server);
    assert!(!folder.exists());
    assert!(!shared_memory().contains(&segment));
}

/// This test runs itself in another process, where the variable is set, and kills that.
#[test]
fn the_servers_of_a_process_that_is_killed_are_gone_too() {
    const INNER: &str = "HOTSWAP_TEST_SERVERS_INNER";
    if env::var_os(INNER).is_some() {
        let servers = (Postgres::start(PostgresOptions::default()), Redis::start());
        let (Ok(postgres), Ok(redis)) = &servers else { panic!("{servers:?}") };
        let _frozen = postgres.freeze();
        use std::io::Write as _;
        writeln!(std::io::stdout(), "\nat {} {}", postgres.folder().display(), redis.socket().display())
            .expect("writes");
        loop {
            thread::park();
        }
    }
    if there(Redis::start()).is_none() || there(hotswap_test_servers::postgres_programs()).is_none() {
        return;
    }
    let name = "ends::the_servers_of_a_process_that_is_killed_are_gone_too";
    let mut inner = Command::new(env::current_exe().expect("has a name"))
        .args(["--exact", name, "--nocapture"])
        .env(INNER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(inner.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let told = lines.into_iter().find(|line| line.starts_with("at ")).expect("the inner process has servers");
    let paths: Vec<_> = told.split(' ').skip(1).map(PathBuf::from).collect();
    assert!(paths.iter().all(|path| path.exists()), "{told}");
    inner.kill().expect("kills");
    inner.wait().expect("ends");
    while paths.iter().any(|path| path.exists()) {
        thread::yield_now();
    }
}

/// The id of the server's segment of shared memory: the last word of line 7.
fn segment(data: &Path) -> String {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).expect("reads");
    text.lines().nth(6).and_then(|l| l.split_whitespace().last()).expect("has a segment").to_owned()
}

/// The ids of the machine's segments.
fn shared_memory() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/sysvipc/shm").expect("reads");
    text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).map(str::to_owned).collect()
}
