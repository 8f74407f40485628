//! A server process: started in its folder, told by signals, looked up in `/proc`.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Unavailable;
use crate::user::User;

/// A server that is not there or not gone after this is a failure.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(2);

/// A process, and what is needed to start it again.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) user: Option<User>,
    /// It runs here; `<name>.pid` and `<name>.log` lie here.
    pub(crate) dir: PathBuf,
    pub(crate) name: &'static str,
    pub(crate) child: Option<Child>,
}

impl Server {
    /// Starts it and waits until `ready` says yes of its id.
    pub(crate) fn start(&mut self, ready: impl Fn(u32) -> bool) -> Result<(), Unavailable> {
        if self.child.is_some() {
            return Err(Unavailable::Failed(format!("{} runs already", self.name)));
        }
        let child = self.spawn().map_err(|e| Unavailable::failed(format!("starting {}", self.name), e))?;
        let pid = self.child.insert(child).id();
        let end = Instant::now() + LIMIT;
        while !ready(pid) {
            if let Some(status) = self.ended()? {
                return Err(self.failed(&format!("ended ({status}) before it was ready")));
            }
            if Instant::now() >= end {
                return Err(self.failed("is not ready in time"));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let log = File::options().create(true).append(true).open(self.log())?;
        // The id is written before anything runs, so the keeper misses nobody.
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ >"$1"; shift; exec "$@""#, "sh"]);
        command.arg(self.dir.join(format!("{}.pid", self.name))).arg(&self.program).args(&self.args);
        command.current_dir(&self.dir).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        command.spawn()
    }

    /// Its id, where it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn end(&mut self, signal: Signal) -> Result<(), Unavailable> {
        let Some(id) = self.pid() else { return Ok(()) };
        send(id, signal);
        let end = Instant::now() + LIMIT;
        while self.ended()?.is_none() {
            if Instant::now() >= end {
                return Err(self.failed("does not end"));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Kills it and its children, as a machine that loses power does, and waits until all are gone.
    pub(crate) fn kill(&mut self) -> Result<(), Unavailable> {
        let Some(id) = self.pid() else { return Ok(()) };
        // Stopped first, so that it starts nobody new.
        send(id, Signal::STOP);
        let below = children(id);
        below.iter().for_each(|child| send(*child, Signal::KILL));
        self.end(Signal::KILL)?;
        let end = Instant::now() + LIMIT;
        while below.iter().any(|child| !matches!(state(*child), None | Some('Z'))) {
            if Instant::now() >= end {
                return Err(self.failed("has children that do not end"));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// How it ended, where it has.
    fn ended(&mut self) -> Result<Option<ExitStatus>, Unavailable> {
        let Some(child) = self.child.as_mut() else { return Ok(None) };
        let status = child.try_wait().map_err(|e| Unavailable::failed(self.name, e))?;
        if status.is_some() {
            // The id may now become another's.
            let _ = fs::remove_file(self.dir.join(format!("{}.pid", self.name)));
            self.child = None;
        }
        Ok(status)
    }

    fn failed(&self, what: &str) -> Unavailable {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join(" | ");
        Unavailable::Failed(format!("{} {what}; its log ends: {last}", self.name))
    }

    fn log(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Usually its folder's end has killed it already, and it only has to be waited for.
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A process that stands still, with its children, until this is dropped: what a machine does that swaps, or a
/// virtual one that is being moved. To others it looks alive and does not answer.
#[derive(Debug)]
pub struct Frozen {
    ids: Vec<u32>,
}

impl Frozen {
    /// Freezes a process that the caller started and has not waited for, and waits until it stands.
    pub fn process(id: u32) -> Self {
        let mut ids = vec![id];
        stand(id);
        // Those are all: who stands has no more children.
        for child in children(id) {
            stand(child);
            ids.push(child);
        }
        Self { ids }
    }

    /// Lets it go on; the same as a drop.
    pub fn thaw(self) {}
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.ids.iter().rev().for_each(|id| send(*id, Signal::CONT));
    }
}

/// Stops one process and waits until it stands or is gone.
fn stand(id: u32) {
    send(id, Signal::STOP);
    while !matches!(state(id), None | Some('T' | 't' | 'Z')) {
        thread::sleep(PAUSE);
    }
}

/// A process that is gone gets no signal, and that is no error.
fn send(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The processes that a process started: those of all its threads.
fn children(id: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let words: Vec<String> = lists.collect();
    words.iter().flat_map(|list| list.split_whitespace()).filter_map(|word| word.parse().ok()).collect()
}

/// The state of a process: the letter after its name, which is in parentheses and may hold anything.
fn state(id: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_process_stands_and_goes_on_when_it_is_let_go() {
        let mut child = Command::new("sleep").arg("1000").spawn().expect("starts");
        let frozen = Frozen::process(child.id());
        assert_eq!(state(child.id()), Some('T'));
        frozen.thaw();
        while state(child.id()) == Some('T') {
            thread::yield_now();
        }
        child.kill().expect("kills");
        child.wait().expect("ends");
    }

    #[test]
    fn a_process_that_ends_early_shows_its_log() {
        let dir = tempfile::tempdir().expect("temp");
        let args = ["-c", "echo no such option; exit 3"].map(str::to_owned).to_vec();
        let mut server = Server {
            program: "sh".into(),
            args,
            user: None,
            dir: dir.path().into(),
            name: "odd",
            child: None,
        };
        let error = server.start(|_| false).expect_err("ended").to_string();
        assert!(error.contains("exit status: 3") && error.contains("no such option"), "{error}");
        assert!(!dir.path().join("odd.pid").exists(), "its id may be another's");
    }
}
