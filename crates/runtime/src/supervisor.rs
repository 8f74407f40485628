//! Supervised tasks. Nothing runs in the background without a name and a policy for its end.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

/// What the end of a task means. A panic is logged whatever the kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// The process can't do without it: its end, before shutdown, stops the process.
    Essential,
    /// One of a few that may end at any time.
    Background,
    /// One of many, as one for each peer; [`Supervisor::connections`] counts them.
    Connection,
}

/// Starts tasks, and ends them in good order; cheap to clone.
#[derive(Clone, Debug)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    shutdown: CancellationToken,
    tasks: Mutex<Tasks>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Tasks {
    next: u64,
    running: BTreeMap<u64, Running>,
    reason: Option<String>,
}

#[derive(Debug)]
struct Running {
    name: Cow<'static, str>,
    kind: TaskKind,
    /// `None` for the moment between entry and start.
    handle: Option<AbortHandle>,
}

/// How a drain ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Names of tasks that did not end in time and were aborted, each once, as "listener" or "peer (3)".
    pub aborted: Vec<String>,
    /// Why the process stopped, where it was not asked to.
    pub reason: Option<String>,
}

/// A started task. Dropping it lets the task go on.
#[derive(Clone, Debug)]
pub struct TaskHandle {
    abort: AbortHandle,
    ended: CancellationToken,
}

impl TaskHandle {
    /// Ends the task where it waits next. The end of an essential task stops the process this way too.
    pub fn abort(&self) {
        self.abort.abort();
    }

    /// Waits until the task has ended, in whatever way.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl Supervisor {
    /// No tasks yet.
    pub fn new() -> Self {
        Self { inner: Arc::new(Inner::default()) }
    }

    /// Cancelled when the process is to end. Every task watches it.
    pub fn shutdown(&self) -> CancellationToken {
        self.inner.shutdown.clone()
    }

    /// Asks the process to end. The first reason is kept.
    pub fn request_stop(&self, reason: Option<String>) {
        let mut tasks = self.inner.lock();
        if !self.inner.shutdown.is_cancelled() && tasks.reason.is_none() {
            tasks.reason = reason;
        }
        drop(tasks);
        self.inner.shutdown.cancel();
    }

    /// Starts a task.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<F>(&self, name: impl Into<Cow<'static, str>>, kind: TaskKind, future: F) -> TaskHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let name = name.into();
        let mut tasks = self.inner.lock();
        let id = tasks.next;
        tasks.next += 1;
        // Entered before it starts: a task that ends at once must find itself.
        tasks.running.insert(id, Running { name: name.clone(), kind, handle: None });
        drop(tasks);
        let ended = CancellationToken::new();
        // It is dropped with the task however that ends: returned, panicked, or aborted without a last turn.
        let mut entry = Entry {
            inner: Arc::clone(&self.inner),
            id,
            name,
            kind,
            how: "was aborted",
            ended: ended.clone(),
        };
        let supervised = async move {
            let ended = AssertUnwindSafe(future).catch_unwind().await;
            entry.came_to_an_end(ended.is_err());
        };
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
        let abort = tokio::spawn(supervised).abort_handle();
        if let Some(task) = self.inner.lock().running.get_mut(&id) {
            task.handle = Some(abort.clone());
        }
        TaskHandle { abort, ended }
    }

    /// How many tasks of [`TaskKind::Connection`] run.
    pub fn connections(&self) -> usize {
        self.inner.lock().running.values().filter(|t| t.kind == TaskKind::Connection).count()
    }

    /// Asks every task to end, waits for them, and aborts those that are left at the deadline.
    pub async fn drain(&self, deadline: Duration) -> DrainReport {
        self.inner.shutdown.cancel();
        let all_ended = async {
            loop {
                let ended = self.inner.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if self.inner.lock().running.is_empty() {
                    return;
                }
                ended.await;
            }
        };
        let in_time = tokio::time::timeout(deadline, all_ended).await.is_ok();
        let mut tasks = self.inner.lock();
        let left = if in_time { BTreeMap::new() } else { std::mem::take(&mut tasks.running) };
        let reason = tasks.reason.clone();
        drop(tasks);
        DrainReport { aborted: abort_all(left.into_values()), reason }
    }
}

/// Aborts tasks and gives their names, each once.
fn abort_all(tasks: impl Iterator<Item = Running>) -> Vec<String> {
    let mut names: BTreeMap<Cow<'static, str>, usize> = BTreeMap::new();
    for task in tasks {
        if let Some(handle) = task.handle {
            handle.abort();
        }
        *names.entry(task.name).or_default() += 1;
    }
    let told = |(name, n)| if n == 1 { Cow::into_owned(name) } else { format!("{name} ({n})") };
    names.into_iter().map(told).collect()
}

/// The entry of a running task; dropped at its end.
struct Entry {
    inner: Arc<Inner>,
    id: u64,
    name: Cow<'static, str>,
    kind: TaskKind,
    how: &'static str,
    ended: CancellationToken,
}

impl Entry {
    fn came_to_an_end(&mut self, panicked: bool) {
        self.how = if panicked { "panicked" } else { "ended" };
        if panicked {
            tracing::error!(task = %self.name, "task panicked");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.inner.lock().running.remove(&self.id);
        if self.kind == TaskKind::Essential && !self.inner.shutdown.is_cancelled() {
            let reason = Some(format!("{} {}", self.name, self.how));
            Supervisor { inner: Arc::clone(&self.inner) }.request_stop(reason);
        }
        self.ended.cancel();
        self.inner.ended.notify_waiters();
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    fn stopped_because(reason: &str) -> DrainReport {
        DrainReport { aborted: vec![], reason: Some(reason.into()) }
    }

    #[tokio::test]
    async fn the_end_of_an_essential_task_stops_the_process_and_says_why() {
        let supervisor = Supervisor::new();
        supervisor.spawn("listener", TaskKind::Essential, async {});
        supervisor.shutdown().cancelled().await;
        assert_eq!(supervisor.drain(LONG).await, stopped_because("listener ended"));
    }

    #[tokio::test]
    async fn a_panic_of_an_essential_task_stops_the_process_and_says_why() {
        let supervisor = Supervisor::new();
        supervisor.spawn("listener", TaskKind::Essential, async { panic!("odd") });
        supervisor.shutdown().cancelled().await;
        assert_eq!(supervisor.drain(LONG).await, stopped_because("listener panicked"));
    }

    #[tokio::test]
    async fn the_first_reason_to_stop_is_the_one_kept() {
        let supervisor = Supervisor::new();
        supervisor.request_stop(Some("first".into()));
        supervisor.request_stop(Some("second".into()));
        assert_eq!(supervisor.drain(LONG).await, stopped_because("first"));
    }

    #[tokio::test]
    async fn a_panic_of_a_background_task_stops_nothing() {
        let supervisor = Supervisor::new();
        let odd = supervisor.spawn("odd", TaskKind::Background, async { panic!("odd") });
        let token = supervisor.shutdown();
        supervisor.spawn("waits", TaskKind::Essential, async move { token.cancelled().await });
        odd.ended().await;
        assert!(!supervisor.shutdown().is_cancelled());
        assert_eq!(supervisor.drain(LONG).await.reason, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_names_those_that_do_not_end_and_aborts_them() {
        let supervisor = Supervisor::new();
        let stuck = supervisor.spawn("stuck", TaskKind::Background, std::future::pending());
        let peers: Vec<_> =
            (0..3).map(|_| supervisor.spawn("peer", TaskKind::Connection, std::future::pending())).collect();
        let token = supervisor.shutdown();
        supervisor.spawn("good", TaskKind::Background, async move { token.cancelled().await });
        assert_eq!(supervisor.connections(), 3);
        assert_eq!(supervisor.drain(LONG).await.aborted, ["peer (3)", "stuck"]);
        stuck.ended().await;
        peers[2].ended().await;
        assert_eq!(supervisor.connections(), 0);
    }

    #[tokio::test]
    async fn an_aborted_task_is_not_waited_for() {
        let supervisor = Supervisor::new();
        let task = supervisor.spawn("aborted", TaskKind::Background, std::future::pending());
        // Before its first turn: nothing of the task itself ever runs.
        task.abort();
        task.ended().await;
        let report = supervisor.drain(Duration::from_secs(3_600)).await;
        assert_eq!(report, DrainReport { aborted: vec![], reason: None });
    }
}
