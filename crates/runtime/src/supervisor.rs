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

/// What the end of a task means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskKind {
    /// The process can't do without it: its end, before shutdown, stops the process.
    Essential,
    /// Its panic is logged; its end is nobody's concern.
    Background,
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
    running: BTreeMap<u64, (Cow<'static, str>, Option<AbortHandle>)>,
    reason: Option<String>,
}

/// How a drain ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// Names of tasks that did not end in time and were aborted.
    pub aborted: Vec<String>,
    /// Why the process stopped, where it was not asked to.
    pub reason: Option<String>,
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
    pub fn spawn<F>(&self, name: impl Into<Cow<'static, str>>, kind: TaskKind, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let name = name.into();
        let mut tasks = self.inner.lock();
        let id = tasks.next;
        tasks.next += 1;
        // Entered before it starts: a task that ends at once must find itself.
        tasks.running.insert(id, (name.clone(), None));
        drop(tasks);
        let this = self.clone();
        let supervised = async move {
            let ended = AssertUnwindSafe(future).catch_unwind().await;
            this.ended(id, &name, kind, ended.is_err());
        };
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
        let handle = tokio::spawn(supervised).abort_handle();
        if let Some(task) = self.inner.lock().running.get_mut(&id) {
            task.1 = Some(handle);
        }
    }

    fn ended(&self, id: u64, name: &str, kind: TaskKind, panicked: bool) {
        self.inner.lock().running.remove(&id);
        if panicked {
            tracing::error!(task = name, "task panicked");
        }
        if kind == TaskKind::Essential && !self.inner.shutdown.is_cancelled() {
            let how = if panicked { "panicked" } else { "ended" };
            self.request_stop(Some(format!("{name} {how}")));
        }
        self.inner.ended.notify_waiters();
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
        let aborted = left.into_values().map(|(name, handle)| {
            if let Some(handle) = handle {
                handle.abort();
            }
            name.into_owned()
        });
        DrainReport { aborted: aborted.collect(), reason: tasks.reason.clone() }
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

    #[tokio::test]
    async fn the_end_of_an_essential_task_stops_the_process_and_says_why() {
        let supervisor = Supervisor::new();
        supervisor.spawn("listener", TaskKind::Essential, async {});
        supervisor.shutdown().cancelled().await;
        let report = supervisor.drain(Duration::from_secs(5)).await;
        assert_eq!(report, DrainReport { aborted: vec![], reason: Some("listener ended".into()) });
    }

    #[tokio::test]
    async fn a_panic_of_a_background_task_stops_nothing() {
        let supervisor = Supervisor::new();
        supervisor.spawn("odd", TaskKind::Background, async { panic!("odd") });
        let token = supervisor.shutdown();
        supervisor.spawn("waits", TaskKind::Essential, async move { token.cancelled().await });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert!(!supervisor.shutdown().is_cancelled());
        assert_eq!(supervisor.drain(Duration::from_secs(5)).await.reason, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_names_those_that_do_not_end() {
        let supervisor = Supervisor::new();
        supervisor.spawn("stuck", TaskKind::Background, std::future::pending());
        let report = supervisor.drain(Duration::from_secs(5)).await;
        assert_eq!(report.aborted, ["stuck"]);
    }
}
