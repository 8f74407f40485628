//! The life of a core: accept until told to stop, tick, drain. What becomes of a connection is the engine's.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use hotswap_runtime::listen::BACKLOG;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::order::{Drain, Order};
use super::room::Place;
use super::shared::Shared;
use super::timers::{TICK_MS, Timers};
use super::{CoreSetup, Entry, WayIn};
use crate::explain::Question;
use crate::upstream::Reusable;

/// A pause after an accept that failed, as where no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// For the request of one that is let in when the gateway ends.
const LAST_WORD: Duration = Duration::from_millis(100);

/// An engine, as one core runs it.
pub(super) trait Engine: 'static {
    /// An open connection to a backend.
    type Connection: Reusable + 'static;

    /// What every engine keeps.
    fn shared(&self) -> &Shared<Self::Connection>;

    /// Takes a client's connection over, and counts it; the place is its until its end. It does not wait.
    fn accept(self: &Rc<Self>, client: (TcpStream, SocketAddr), way: &WayIn, place: Place);

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
    let CoreSetup { entries, mut order, up, .. } = setup;
    tokio::task::spawn_local(tick(Rc::clone(&core)));
    tokio::task::spawn_local(answer(Rc::clone(&core), questions));
    // Nobody waits for it where the gateway ends already.
    let _ = up.send(());
    match order.wait_for(|order| *order != Order::Wait).await {
        Ok(order) if *order == Order::Serve => {}
        // Those who wait at the sockets are another gateway's.
        _ => return Ok(()),
    }
    let mut accepting = Vec::with_capacity(entries.len());
    for Entry { listener, way } in entries {
        let task = accept(Rc::clone(&core), begin(listener)?, way, order.clone());
        accepting.push(tokio::task::spawn_local(task));
    }
    for task in accepting {
        let _ = task.await;
    }
    drain(&core, &mut order).await;
    Ok(())
}

/// Lets every connection end, each drain under its deadline.
async fn drain<E: Engine>(core: &Rc<E>, order: &mut watch::Receiver<Order>) {
    let shared = core.shared();
    if matches!(*order.borrow(), Order::Leave { .. }) {
        shared.start_drain(Drain::Leaving);
        tokio::select! {
            () = shared.all_closed() => return,
            () = tokio::time::sleep(shared.drain_deadline()) => return,
            _ = order.wait_for(|order| *order == Order::Stop) => {}
        }
    }
    shared.start_drain(Drain::Stopping);
    let _ = tokio::time::timeout(shared.drain_deadline(), shared.all_closed()).await;
}

/// Begins to listen. One that was taken over does already, which changes nothing; one that was bound beside it does not,
/// so that nobody waits there before somebody accepts.
fn begin(listener: std::net::TcpListener) -> std::io::Result<TcpListener> {
    socket2::SockRef::from(&listener).listen(BACKLOG)?;
    TcpListener::from_std(listener)
}

/// Accepts until told to stop; the socket is closed then.
async fn accept<E: Engine>(
    core: Rc<E>,
    listener: TcpListener,
    way: WayIn,
    mut order: watch::Receiver<Order>,
) {
    let room = &core.shared().room;
    let let_in = |(stream, peer): (TcpStream, SocketAddr)| {
        // A client that has gone already takes no options.
        if stream.set_nodelay(true).is_ok() {
            core.accept((stream, peer), &way, room.take());
        }
    };
    let next = async || {
        room.place().await;
        listener.accept().await
    };
    let mut failed = false;
    let last = loop {
        tokio::select! {
            accepted = next() => match accepted {
                Ok(accepted) => {
                    failed = false;
                    let_in(accepted);
                }
                Err(error) => {
                    // Without a file for it, it fails until one is closed.
                    if !std::mem::replace(&mut failed, true) {
                        tracing::warn!(%error, "accept failed");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            last = order.wait_for(Order::is_over) => break last.map(|order| order.clone()),
        }
    };
    // Whoever waits when the socket is closed is turned away by a reset.
    if last.is_ok_and(|last| last.lets_in(listener.local_addr().ok())) {
        for _ in 0..BACKLOG {
            if !room.has_place() {
                return;
            }
            match accept_now(&listener) {
                Ok((stream, peer)) => {
                    tokio::task::spawn_local(let_in_late(Rc::clone(&core), stream, peer, way.clone()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // That one has gone; who is behind it has not.
                Err(_) => {}
            }
        }
    }
}

/// Takes who waits, if anybody does. The kernel is asked: the runtime may not have heard of them yet.
fn accept_now(listener: &TcpListener) -> std::io::Result<(TcpStream, SocketAddr)> {
    let (socket, peer) = socket2::SockRef::from(listener).accept()?;
    socket.set_nonblocking(true)?;
    let peer = peer.as_socket().ok_or(ErrorKind::InvalidData)?;
    Ok((TcpStream::from_std(socket.into())?, peer))
}

/// Lets one in at the last moment, when what it has sent is there to be read: a drain closes at once what is idle.
fn let_in_late<E: Engine>(
    core: Rc<E>,
    stream: TcpStream,
    peer: SocketAddr,
    way: WayIn,
) -> impl Future<Output = ()> {
    // Counted from now on, so that the drain waits for it.
    core.shared().entering();
    let place = core.shared().room.take();
    async move {
        let _ = tokio::time::timeout(LAST_WORD, stream.readable()).await;
        if stream.set_nodelay(true).is_ok() {
            core.accept((stream, peer), &way, place);
        }
        core.shared().left();
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
