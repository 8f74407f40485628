use std::future::{pending, poll_fn};
use std::sync::mpsc;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Notify, oneshot};

use super::*;

fn runtime() -> LocalRuntime {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).expect("a runtime")
}

/// Turns of the runtime, more than enough for all that is awake.
async fn turns() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// A task that never ends: how often it ran, and how to wake it.
fn endless(executor: &Executor) -> (Rc<Cell<usize>>, Rc<RefCell<Option<Waker>>>) {
    let (runs, waker) = (Rc::<Cell<usize>>::default(), Rc::<RefCell<_>>::default());
    let (counted, known) = (Rc::clone(&runs), Rc::clone(&waker));
    executor.spawn(poll_fn(move |cx| {
        counted.set(counted.get() + 1);
        *known.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }));
    (runs, waker)
}

fn wake(waker: &RefCell<Option<Waker>>) {
    waker.borrow().as_ref().expect("it ran").wake_by_ref();
}

#[test]
fn a_task_runs_when_it_begins_and_once_for_all_its_wakes_of_a_turn() {
    runtime().block_on(async {
        let executor = Executor::new();
        let (runs, waker) = endless(&executor);
        let (others, _) = endless(&executor);
        turns().await;
        assert_eq!((runs.get(), others.get()), (1, 1));
        (0..3).for_each(|_| wake(&waker));
        turns().await;
        assert_eq!((runs.get(), others.get()), (2, 1));
        wake(&waker);
        turns().await;
        assert_eq!((runs.get(), others.get()), (3, 1));
    });
}

#[test]
fn another_thread_wakes_a_task() {
    runtime().block_on(async {
        let executor = Executor::new();
        let (send, receive) = oneshot::channel::<usize>();
        let (done, is_done) = oneshot::channel();
        executor.spawn(async move {
            let _ = done.send(receive.await);
        });
        turns().await;
        std::thread::scope(|threads| {
            threads.spawn(move || send.send(7));
        });
        assert_eq!(is_done.await, Ok(Ok(7)));
    });
}

/// Part of a task that panics when it goes.
struct Leaves;

impl Drop for Leaves {
    fn drop(&mut self) {
        panic!("by what it left");
    }
}

#[test]
fn a_task_that_panics_ends_alone_whatever_it_leaves() {
    runtime().block_on(async {
        let executor = Executor::new();
        let (runs, waker) = endless(&executor);
        executor.spawn(async { panic!("on purpose") });
        let left = Leaves;
        executor.spawn(poll_fn(move |_| {
            let _ = &left;
            Poll::Ready(())
        }));
        turns().await;
        wake(&waker);
        turns().await;
        assert_eq!(runs.get(), 2);
        assert_eq!(executor.0.all.borrow().len(), 1, "their places are free");
    });
}

#[test]
fn a_task_begins_another_and_its_place_is_used_again() {
    runtime().block_on(async {
        let executor = Rc::new(Executor::new());
        let (done, is_done) = mpsc::channel();
        for number in 0..3 {
            let (inner, done) = (Rc::clone(&executor), done.clone());
            executor.spawn(async move {
                inner.spawn(async move { done.send(number).expect("somebody asks") });
            });
            turns().await;
        }
        assert_eq!(is_done.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert!(executor.0.all.borrow().capacity() <= 4, "{}", executor.0.all.borrow().capacity());
    });
}

#[test]
fn another_thread_wakes_a_task_that_has_not_run_and_one_that_is_over_is_nobody() {
    runtime().block_on(async {
        let executor = Executor::new();
        let (runs, waker) = endless(&executor);
        let call = |number| Call { id: 0, number, others: Arc::clone(&executor.0.others) };
        // Neither has the runner run, nor is there a task of the second number.
        Waker::from(Arc::new(call(0))).wake();
        Waker::from(Arc::new(call(7))).wake();
        turns().await;
        assert_eq!(runs.get(), 1, "once for both wakes");
        Waker::from(Arc::new(call(0))).wake();
        turns().await;
        assert_eq!(runs.get(), 2);
        let (other, _) = endless(&executor);
        turns().await;
        wake(&waker);
        turns().await;
        assert_eq!((runs.get(), other.get()), (3, 1));
    });
}

/// Runs the executor beside one who waits for a socket that has something. How often the task ran that always has something to
/// do.
async fn beside_a_socket(executor: &Executor) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let runs = Rc::<Cell<usize>>::default();
    let counted = Rc::clone(&runs);
    executor.spawn(poll_fn(move |cx| {
        counted.set(counted.get() + 1);
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    turns().await;
    let _client = std::net::TcpStream::connect(address).expect("connected");
    let before = runs.get();
    listener.accept().await.expect("a client");
    runs.get() - before
}

#[test]
fn the_runtime_looks_at_sockets_between_turns_of_tasks_that_never_rest() {
    runtime().block_on(async {
        let executor = Executor::new();
        let runs = beside_a_socket(&executor).await;
        assert!((1..20).contains(&runs), "it ran {runs} times until the socket was looked at");
        for _ in 0..4 * AT_ONCE {
            endless(&executor);
        }
        assert!(beside_a_socket(&executor).await < 20);
    });
}

#[test]
fn a_turn_ends_when_sockets_would_say_that_they_have_nothing() {
    const TASKS: usize = 60;
    runtime().block_on(async {
        let executor = Executor::new();
        let polls = Rc::<Cell<usize>>::default();
        let mut done = tokio::task::JoinSet::new();
        for _ in 0..TASKS {
            let polls = Rc::clone(&polls);
            let (send, receive) = oneshot::channel();
            executor.spawn(async move {
                let work = async {
                    for _ in 0..20 {
                        coop::consume_budget().await;
                    }
                };
                let mut work = pin!(work);
                poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    work.as_mut().poll(cx)
                })
                .await;
                let _ = send.send(());
            });
            done.spawn(receive);
        }
        while let Some(ended) = done.join_next().await {
            assert_eq!(ended.expect("no panic"), Ok(()));
        }
        // One of six meets the end of a budget.
        assert!(polls.get() <= TASKS + TASKS / 5, "{} polls", polls.get());
    });
}

#[test]
fn tasks_end_with_the_runtime_and_none_begin_after_it() {
    let held = Rc::new(());
    let executor = {
        let runtime = runtime();
        runtime.block_on(async {
            let executor = Rc::new(Executor::new());
            for _ in 0..2 {
                // It knows who runs it, as streams know their core.
                let (held, executor_too) = (Rc::clone(&held), Rc::clone(&executor));
                executor.spawn(async move {
                    let _all = (held, executor_too);
                    pending::<()>().await;
                });
            }
            turns().await;
            assert_eq!(Rc::strong_count(&held), 3);
            executor
        })
    };
    assert_eq!((Rc::strong_count(&held), Rc::strong_count(&executor)), (1, 1));
    let late = Rc::clone(&held);
    executor.spawn(async move { drop(late) });
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn what_tasks_leave_panics_one_by_one_where_they_end_with_the_runtime() {
    let held = Rc::new(());
    runtime().block_on(async {
        let executor = Executor::new();
        // A second panic amid a first would end the process.
        for _ in 0..2 {
            let left = (Leaves, Rc::clone(&held));
            executor.spawn(async move {
                let _left = left;
                pending::<()>().await;
            });
        }
        turns().await;
        assert_eq!(Rc::strong_count(&held), 3);
    });
    assert_eq!(Rc::strong_count(&held), 1);
}

#[test]
fn two_executors_of_a_thread_run_their_tasks_both() {
    runtime().block_on(async {
        let (first, second) = (Executor::new(), Executor::new());
        let heard = Rc::new(Notify::new());
        let said = [first, second].map(|executor| {
            let (done, is_done) = oneshot::channel();
            let heard = Rc::clone(&heard);
            executor.spawn(async move {
                heard.notified().await;
                let _ = done.send(());
            });
            (is_done, executor)
        });
        turns().await;
        heard.notify_waiters();
        for (is_done, _executor) in said {
            assert_eq!(is_done.await, Ok(()));
        }
    });
}
