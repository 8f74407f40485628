//! Tells a task which of the things that it waits for has happened. A task that lets two bodies pass is woken for one of
//! them; without a bell it had to ask h2 about both, and each question takes a lock and looks the stream up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Rings when there is something to ask, and wakes the task. It has rung when it is new.
pub(super) struct Bell {
    line: Arc<Line>,
    /// Rings.
    waker: Waker,
}

struct Line {
    has_rung: AtomicBool,
    task: Waker,
}

impl Wake for Line {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Bell {
    pub(super) fn new(task: &Waker) -> Self {
        let line = Arc::new(Line { has_rung: AtomicBool::new(true), task: task.clone() });
        Self { waker: Waker::from(Arc::clone(&line)), line }
    }

    /// Whether it wakes this task.
    pub(super) fn wakes(&self, task: &Waker) -> bool {
        self.line.task.will_wake(task)
    }

    /// Whether it has not rung since an answer was last awaited.
    pub(super) fn is_silent(&self) -> bool {
        !self.line.has_rung.load(Ordering::Acquire)
    }

    /// Asks where it has rung since an answer was last awaited. What is asked keeps the waker that it gets where there is
    /// no answer, and wakes it when there is one.
    pub(super) fn poll<T>(&self, ask: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        if self.is_silent() {
            return Poll::Pending;
        }
        // Before the question: what happens behind it rings anew.
        self.line.has_rung.store(false, Ordering::Release);
        let answer = ask(&mut Context::from_waker(&self.waker));
        if answer.is_ready() {
            self.line.has_rung.store(true, Ordering::Release);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_is_asked_again_when_it_has_rung_alone() {
        let task = Arc::<Task>::default();
        let bell = Bell::new(&Waker::from(Arc::clone(&task)));
        let (asked, kept) = (Cell::new(0), RefCell::new(None));
        let ask = |answer: Poll<()>| {
            bell.poll(|cx| {
                asked.set(asked.get() + 1);
                *kept.borrow_mut() = Some(cx.waker().clone());
                answer
            })
        };
        assert_eq!((ask(Poll::Pending), asked.get()), (Poll::Pending, 1), "new");
        assert_eq!((ask(Poll::Ready(())), asked.get()), (Poll::Pending, 1), "nothing has happened");
        kept.borrow().as_ref().expect("kept").wake_by_ref();
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert_eq!((ask(Poll::Ready(())), asked.get()), (Poll::Ready(()), 2));
        assert_eq!((ask(Poll::Pending), asked.get()), (Poll::Pending, 3), "nobody waited");
        assert_eq!((ask(Poll::Pending), asked.get()), (Poll::Pending, 3));
    }

    #[test]
    fn what_happens_while_it_is_asked_is_not_lost() {
        let bell = Bell::new(Waker::noop());
        let first: Poll<()> = bell.poll(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!(first, Poll::Pending);
        assert_eq!(bell.poll(|_| Poll::Ready(1)), Poll::Ready(1));
    }

    #[test]
    fn another_task_is_known() {
        let task = Waker::from(Arc::<Task>::default());
        let bell = Bell::new(&task);
        assert!(bell.wakes(&task));
        assert!(!bell.wakes(Waker::noop()));
    }
}
