//! The life of a core: accept until told to stop, tick, drain. What becomes of a connection is the engine's.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::shared::Shared;
use super::timers::{TICK_MS, Timers};
use super::{CoreSetup, Entry, WayIn};
use crate::explain::Question;
use crate::upstream::Reusable;

/// A pause after an accept that failed, as where no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// An engine, as one core runs it.
pub(super) trait Engine: 'static {
    /// An open connection to a backend.
    type Connection: Reusable + 'static;

    /// What every engine keeps.
    fn shared(&self) -> &Shared<Self::Connection>;

    /// Takes a client's connection over. It does not wait.
    fn accept(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, way: &WayIn);

    /// Every tick; once a second with `sweep`.
    fn tick(&self, sweep: bool) {
        self.shared().tick(sweep);
    }
}

/// Runs a core until it is told to stop and its connections have ended, or the drain's deadline is over.
pub(super) async fn serve<E: Engine>(
    setup: CoreSetup,
    engine: impl FnOnce(&CoreSetup) -> E,
) -> std::io::Result<()> {
    let core = Rc::new(engine(&setup));
    let questions = setup.config.cores().join(setup.index);
    let CoreSetup { entries, limits, stop, .. } = setup;
    tokio::task::spawn_local(tick(Rc::clone(&core)));
    tokio::task::spawn_local(answer(Rc::clone(&core), questions));
    let mut accepting = Vec::with_capacity(entries.len());
    for Entry { listener, way } in entries {
        let listener = TcpListener::from_std(listener)?;
        let task = accept(Rc::clone(&core), listener, way, stop.clone());
        accepting.push(tokio::task::spawn_local(task));
    }
    for task in accepting {
        let _ = task.await;
    }
    core.shared().start_drain();
    let _ = tokio::time::timeout(limits.drain_deadline, core.shared().all_closed()).await;
    Ok(())
}

/// Accepts until told to stop; the socket is closed then.
async fn accept<E: Engine>(core: Rc<E>, listener: TcpListener, way: WayIn, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                // A client that has gone already takes no options.
                Ok((stream, peer)) => if stream.set_nodelay(true).is_ok() {
                    core.accept(stream, peer, &way);
                },
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Tells what the core would choose; no turn moves by it.
async fn answer<E: Engine>(core: Rc<E>, mut questions: mpsc::Receiver<Question>) {
    while let Some(question) = questions.recv().await {
        let shared = core.shared();
        let now = shared.timers.now();
        question.answer(|slot, pool, wish| shared.targets.borrow().peek(slot, pool, wish, now));
    }
}

async fn tick<E: Engine>(core: Rc<E>) {
    let mut every = tokio::time::interval(Timers::period());
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut since_sweep = 0;
    loop {
        every.tick().await;
        since_sweep += TICK_MS;
        let sweep = since_sweep >= 1_000;
        if sweep {
            since_sweep = 0;
        }
        core.tick(sweep);
    }
}
