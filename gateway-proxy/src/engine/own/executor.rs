//! Runs the tasks of streams within one task of the runtime.
//!
//! A message of a stream is a little work, and what the runtime does for each run of a task is a part of it that shows. Here a
//! wake on the core's own thread is an entry in a list, with no operation that other threads would see, and the tasks that
//! are woken run in one turn of the runtime, [`AT_ONCE`] at most: it looks at the sockets before and after, and a connection
//! that they all write to goes out once.
//!
//! ```text
//!   Waker ─► READY of this thread? ─ yes ─► woken ─┐
//!                                  └ no ──► Others ┴─► Runner, a task of the runtime ─► each task in turn
//! ```

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;
use tokio::task::coop;

/// Runs of tasks in one turn, at most; then sockets and timers are looked at. The runtime by itself does so after 61.
const AT_ONCE: usize = 64;

static NEXT: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// Whose tasks run on this thread.
    static READY: RefCell<Option<Rc<Tasks>>> = const { RefCell::new(None) };
}

/// Runs tasks on the thread that it was made on.
pub(super) struct Executor(Rc<Tasks>);

struct Tasks {
    id: u64,
    all: RefCell<Slab<Option<Task>>>,
    woken: RefCell<Woken>,
    others: Arc<Others>,
    stage: Cell<Stage>,
}

/// What the runner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It has not begun.
    New,
    /// It waits to be woken.
    Asleep,
    /// It runs, or is about to.
    Awake,
    /// It is gone with the runtime, and so are its tasks.
    Over,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
}

/// Tasks that were woken on this thread. What it has room for does not shrink: some bytes for each of the most tasks at a time.
#[derive(Default)]
struct Woken {
    queue: VecDeque<usize>,
    /// By number: whether it stands there.
    is_queued: Vec<bool>,
    runner: Option<Waker>,
}

/// Tasks that were woken on other threads.
#[derive(Default)]
struct Others(Mutex<Calls>);

#[derive(Default)]
struct Calls {
    woken: Vec<usize>,
    runner: Option<Waker>,
    /// Nobody asks for them any more.
    is_over: bool,
}

/// Wakes a task.
struct Call {
    /// Of those whose task it is.
    id: u64,
    number: usize,
    others: Arc<Others>,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let here = READY.try_with(|ready| match &*ready.borrow() {
            Some(tasks) if tasks.id == self.id => {
                tasks.wake(self.number);
                true
            }
            Some(_) | None => false,
        });
        if here != Ok(true) {
            self.others.wake(self.number);
        }
    }
}

impl Others {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, number: usize) {
        let calls = &mut *self.lock();
        if calls.is_over {
            return;
        }
        calls.woken.push(number);
        if let Some(runner) = &calls.runner {
            runner.wake_by_ref();
        }
    }

    /// Says whom to wake, and gives who was woken.
    fn take(&self, runner: &Waker) -> Vec<usize> {
        let calls = &mut *self.lock();
        if calls.runner.is_none() {
            calls.runner = Some(runner.clone());
        }
        std::mem::take(&mut calls.woken)
    }

    fn end(&self) {
        *self.lock() = Calls { is_over: true, ..Calls::default() };
    }
}

impl Executor {
    pub(super) fn new() -> Self {
        let tasks = Rc::new(Tasks {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            all: RefCell::default(),
            woken: RefCell::default(),
            others: Arc::default(),
            stage: Cell::new(Stage::New),
        });
        // Whoever was here before is woken by the longer way from now on.
        drop(READY.replace(Some(Rc::clone(&tasks))));
        Self(tasks)
    }

    /// Runs a task to its end, or to that of the runtime. One that panics ends alone.
    ///
    /// # Panics
    /// The first time outside of a runtime for tasks of one thread.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let tasks = &self.0;
        match tasks.stage.get() {
            Stage::Over => {
                tracing::error!("a stream came to a core whose tasks have ended");
                return;
            }
            Stage::New => {
                tasks.stage.set(Stage::Awake);
                let runner = Runner(Rc::clone(tasks));
                // It ends with the runtime; the drain counts the streams themselves.
                tokio::task::spawn_local(async move { std::future::poll_fn(|cx| runner.poll(cx)).await });
            }
            Stage::Asleep | Stage::Awake => {}
        }
        tasks.wake(tasks.keep(Box::pin(task)));
    }
}

impl Tasks {
    fn keep(&self, future: Pin<Box<dyn Future<Output = ()>>>) -> usize {
        let mut all = self.all.borrow_mut();
        let entry = all.vacant_entry();
        let number = entry.key();
        let call = Call { id: self.id, number, others: Arc::clone(&self.others) };
        entry.insert(Some(Task { future, waker: Waker::from(Arc::new(call)) }));
        number
    }

    fn wake(&self, number: usize) {
        let mut woken = self.woken.borrow_mut();
        if woken.is_queued.len() <= number {
            woken.is_queued.resize(number + 1, false);
        }
        if let Some(is_queued) = woken.is_queued.get_mut(number)
            && !std::mem::replace(is_queued, true)
        {
            woken.queue.push_back(number);
        }
        if self.stage.get() == Stage::Asleep {
            self.stage.set(Stage::Awake);
            if let Some(runner) = &woken.runner {
                runner.wake_by_ref();
            }
        }
    }

    fn next(&self) -> Option<usize> {
        let mut woken = self.woken.borrow_mut();
        let number = woken.queue.pop_front()?;
        if let Some(is_queued) = woken.is_queued.get_mut(number) {
            *is_queued = false;
        }
        Some(number)
    }

    fn run(&self, number: usize) {
        // Out of the list while it runs: it may begin others.
        let Some(mut task) = self.all.borrow_mut().get_mut(number).and_then(Option::take) else { return };
        let Task { future, waker } = &mut task;
        let poll = AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(waker)));
        if let Ok(Poll::Pending) = catch_unwind(poll) {
            if let Some(place) = self.all.borrow_mut().get_mut(number) {
                *place = Some(task);
            }
            return;
        }
        let _ = self.all.borrow_mut().try_remove(number);
        // What it leaves may panic as well; the hook has told of it, both times.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(task)));
    }
}

/// Dropped with the runtime. The tasks know their core, and the core knows them: somebody has to end that.
struct Runner(Rc<Tasks>);

impl Runner {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let tasks = &self.0;
        let woken = &tasks.woken;
        if woken.borrow().runner.is_none() {
            woken.borrow_mut().runner = Some(cx.waker().clone());
        }
        tasks.stage.set(Stage::Awake);
        tasks.others.take(cx.waker()).into_iter().for_each(|number| tasks.wake(number));
        // Who is woken meanwhile has its turn in the next: a task may wake itself.
        let most = woken.borrow().queue.len().min(AT_ONCE);
        for number in (0..most).map_while(|_| tasks.next()) {
            tasks.run(number);
            if !coop::has_budget_remaining() {
                // Sockets would say that they have nothing, whatever they have.
                break;
            }
        }
        if woken.borrow().queue.is_empty() {
            tasks.stage.set(Stage::Asleep);
        } else {
            // Woken by the runtime once it has looked at the sockets; a plain wake would let it run 61 turns before it does.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        }
        Poll::Pending
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let tasks = &self.0;
        tasks.stage.set(Stage::Over);
        tasks.others.end();
        drop(tasks.woken.take());
        let all = tasks.all.take();
        for (_, task) in all {
            // One that panics must not take the others with it.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(task)));
        }
    }
}

#[cfg(test)]
#[path = "executor_tests.rs"]
mod tests;
