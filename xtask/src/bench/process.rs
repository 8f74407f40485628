//! Processes that a run starts: pinned, logged, and gone at its end.

use std::fs::{self, File};
use std::future::Future;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, bail};
use rustix::process::{Pid, Signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::procfs;

/// Tells the person at the terminal how far a run is; the table itself goes to standard output.
pub(crate) fn say(line: &str) {
    // A closed terminal must not end a run.
    let _ = writeln!(std::io::stderr().lock(), "bench: {line}");
}

/// Which cores a run uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// For the contestant that has its turn.
    pub(crate) proxy: usize,
    /// For all else.
    pub(crate) load: usize,
}

/// A process that leads a group. Dropped, it is killed with all that it started.
pub(crate) struct Group {
    child: Child,
    log: PathBuf,
}

impl Group {
    /// Starts `command` pinned to `core`, its output in `<dir>/<name>.log`.
    pub(crate) fn spawn(command: &mut Command, core: usize, dir: &Path, name: &str) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let out = File::create(&log)?;
        command.stdin(Stdio::null()).stderr(out.try_clone()?).stdout(out).process_group(0);
        let child = on_core(core, || command.spawn())?
            .with_context(|| format!("starting {}", command.get_program().to_string_lossy()))?;
        Ok(Self { child, log })
    }

    /// The leader's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` answers yes. An early death or the limit is an error that shows the log's end.
    pub(crate) async fn until<F: Future<Output = bool>>(
        &mut self,
        what: &str,
        limit: Duration,
        ready: impl Fn() -> F,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        while !ready().await {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.log_end().context(format!("it ended ({status}) before {what}")));
            }
            if Instant::now() >= end {
                return Err(self.log_end().context(format!("it is not {what} after {} s", limit.as_secs())));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn log_end(&self) -> Error {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join(" | ");
        anyhow!("its log ends: {last}")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Some below may lead groups of their own, so they are looked up before their parent is gone.
        let below = procfs::tree(self.pid()).unwrap_or_default();
        if let Some(leader) = pid(self.pid()) {
            let _ = rustix::process::kill_process_group(leader, Signal::KILL);
        }
        for pid in below.into_iter().skip(1).filter_map(pid) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn pid(raw: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(raw).ok()?)
}

/// Does `work` with the calling thread on `core`: a process started there stays there.
pub(crate) fn on_core<T>(core: usize, work: impl FnOnce() -> T) -> Result<T> {
    let before = sched_getaffinity(None).context("reading the affinity")?;
    sched_setaffinity(None, &only(core))
        .with_context(|| format!("there is no core {core} for this process"))?;
    let done = work();
    sched_setaffinity(None, &before).context("restoring the affinity")?;
    Ok(done)
}

/// Moves every thread of a running process to `core`.
pub(crate) fn pin(process: u32, core: usize) -> Result<()> {
    for thread in procfs::threads(process)? {
        sched_setaffinity(pid(thread), &only(core)).with_context(|| format!("pinning thread {thread}"))?;
    }
    Ok(())
}

/// From now on the process and all its threads run only where nobody else wants the core (`SCHED_IDLE`): who wakes up
/// beside it has the core at once, which a high niceness does not give.
pub(crate) async fn give_way(process: u32) -> Result<()> {
    let mut command = Command::new("chrt");
    command.args(["--all-tasks", "--idle", "--pid", "0"]).arg(process.to_string());
    output(command).await.map(drop)
}

/// A command that gives way from its beginning.
pub(crate) fn giving_way(program: &Path) -> Command {
    let mut command = Command::new("chrt");
    command.args(["--idle", "0"]).arg(program);
    command
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}

/// A loopback address with a port that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Runs a command to its end and returns what it printed, on both streams. A failure is an error with its
/// last lines. Dropping the future kills the command.
pub(crate) async fn output(command: Command) -> Result<String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let mut command = tokio::process::Command::from(command);
    let done = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let done = done.with_context(|| format!("running {shown}"))?;
    let mut text = String::from_utf8_lossy(&done.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&done.stderr));
    if !done.status.success() {
        let lines: Vec<_> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join(" | ");
        bail!("{shown} failed ({}): {last}", done.status);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_group_leaves_nobody_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; wait"]);
        let group = Group::spawn(&mut command, 0, dir.path(), "sh").unwrap();
        let log = dir.path().join("sh.log");
        let sleeping = |pid| procfs::command_line(pid).last().is_some_and(|word| word == "1000");
        let sleeper: u32 = loop {
            match fs::read_to_string(&log).unwrap().trim().parse() {
                Ok(pid) if sleeping(pid) => break pid,
                _ => std::thread::yield_now(),
            }
        };
        drop(group);
        // The grandchild is killed, though who reaps it, and when, is not ours to say: it may show as a zombie,
        // whose command line is empty.
        while !procfs::command_line(sleeper).is_empty() {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_process_that_ends_early_shows_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such option; exit 3"]);
        let mut group = Group::spawn(&mut command, 0, dir.path(), "sh").unwrap();
        let error = group.until("ready", Duration::from_secs(60), || async { false }).await.unwrap_err();
        assert!(format!("{error:#}").contains("no such option"), "{error:#}");
    }
}
