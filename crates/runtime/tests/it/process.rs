//! These tests start their own binary again: the child is the test `the_child`, which does nothing otherwise.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use hotswap_runtime::{StartError, Supervisor, TaskKind, listen, stop_on_signals};

const ROLE: &str = "HOTSWAP_TEST_CHILD";

#[test]
fn the_child() -> ExitCode {
    let Ok(role) = std::env::var(ROLE) else { return ExitCode::SUCCESS };
    hotswap_runtime::run(async move {
        match role.as_str() {
            "drains" => drains().await,
            "takes-a-taken-port" => {
                let any = "127.0.0.1:0".parse().expect("an address");
                let first = listen::bind(any, "first", "--first")?;
                listen::bind(first.local_addr().expect("address"), "second", "--second").map(drop)
            }
            other => panic!("no such role: {other}"),
        }
    })
}

/// Asked to stop, it drains for an hour.
async fn drains() -> Result<(), StartError> {
    let supervisor = Supervisor::new();
    stop_on_signals(&supervisor)?;
    supervisor.spawn("stuck", TaskKind::Background, std::future::pending());
    say("up");
    supervisor.shutdown().cancelled().await;
    say("stopping");
    supervisor.drain(Duration::from_secs(3_600)).await;
    Ok(())
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "\nchild: {line}").expect("said");
}

/// A child that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn child(role: &str) -> Killed {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "process::the_child", "--nocapture"]).env(ROLE, role);
    Killed(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts"))
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

#[test]
fn the_first_signal_drains_and_the_second_ends_at_once() {
    for [first, second] in [["-TERM", "-INT"], ["-INT", "-TERM"]] {
        let Killed(child) = &mut child("drains");
        let mut lines =
            BufReader::new(child.stdout.take().expect("piped")).lines().map(|l| l.expect("reads"));
        let mut wait_for = |line: &str| assert!(lines.any(|l| l == line), "ended before {line:?}");
        wait_for("child: up");
        signal(child, first);
        wait_for("child: stopping");
        assert!(child.try_wait().expect("asked").is_none(), "it drains");
        signal(child, second);
        assert_eq!(child.wait().expect("ends").code(), Some(130));
    }
}

#[test]
fn a_taken_port_ends_the_process_with_one_line_and_a_failure() {
    let Killed(child) = &mut child("takes-a-taken-port");
    assert!(!child.wait().expect("ends").success());
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("reads");
    let errors: Vec<_> = said.lines().filter(|l| l.contains("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(errors[0].starts_with("error: cannot listen on 127.0.0.1:"), "{said}");
    assert!(errors[0].ends_with(" (second, --second): the address is in use"), "{said}");
}
