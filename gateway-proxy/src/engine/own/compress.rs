//! Responses that are compressed on their way to the client: what comes of the backend's body goes through an encoder, and
//! what comes out of that goes on, framed anew.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hotswap_h1::Head;
use hotswap_h1::body::Around;
use hotswap_h1::framing::Framing;
use hotswap_h1::write::Coding;

use super::client::Client;
use super::core::Core;
use super::download::Down;
use super::front::Front;
use crate::reason::Reason;
use crate::traffic::{Encoder, Told};

/// Bodies of one core that are compressed at a time, at most: each has some hundred KiB of memory. What comes beyond goes
/// as it is.
const MOST: usize = 256;
/// Bytes of a body that are compressed before others have their turn.
pub(super) const AT_ONCE: usize = 128 * 1024;

/// A body that is compressed. Dropped, it makes room for another.
pub(super) struct Squeeze {
    /// `None`: it is over.
    encoder: Option<Encoder>,
    /// How it goes out.
    coding: Coding,
    under_way: Rc<Cell<usize>>,
}

/// Lets others have their turn, and then goes on. A task that wakes itself would do so without the core having asked what
/// else has come, time and again: a body that is compressed would hold up who waits for the socket, and the clock.
pub(super) fn let_others<T>(cx: &mut Context<'_>) -> Poll<T> {
    // Woken by the runtime once it has asked.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
    Poll::Pending
}

impl Drop for Squeeze {
    fn drop(&mut self) {
        self.under_way.set(self.under_way.get().saturating_sub(1));
    }
}

impl Squeeze {
    pub(super) fn new(encoder: Encoder, coding: Coding, core: &Core) -> Self {
        let under_way = Rc::clone(&core.squeezed);
        under_way.set(under_way.get() + 1);
        Self { encoder: Some(encoder), coding, under_way }
    }

    /// Compresses a piece into `out`, and frames it.
    fn pass(&mut self, data: &[u8], over: bool, around: &mut Around, out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(encoder) = &mut self.encoder {
            encoder.take(data, out)?;
        }
        let mut trailers = Vec::new();
        if over {
            // They stand there as lines, with an empty one behind them.
            std::mem::swap(&mut trailers, &mut around.behind);
            trailers.truncate(trailers.len().saturating_sub(2));
            if let Some(encoder) = self.encoder.take() {
                encoder.end(out)?;
            }
        }
        self.coding.open(out.len(), &mut around.before);
        self.coding.close(out.len(), &mut around.behind);
        if over {
            self.coding.end(&trailers, &mut around.behind);
        }
        Ok(())
    }

    fn flush(&mut self, around: &mut Around, out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(encoder) = &mut self.encoder {
            encoder.flush(out)?;
        }
        self.coding.open(out.len(), &mut around.before);
        self.coding.close(out.len(), &mut around.behind);
        Ok(())
    }
}

impl<F: Front> Client<F> {
    /// Brings the head of a response into the form that it has where its body is compressed, if it is to be.
    pub(super) fn squeeze(&self, head: &mut Head, framing: Framing, core: &Core) -> Option<Encoder> {
        let wanted = self.track.wanted_coding()?;
        let told = match framing {
            Framing::None if self.to_head => Told::HeadAlone,
            Framing::None => Told::Nothing,
            Framing::Length(length) => Told::Length(length),
            Framing::Chunked | Framing::UntilClose => Told::Open,
        };
        wanted.edit(head.status(), told, head, |coding| {
            let room = core.squeezed.get() < MOST;
            let encoder = room.then(|| Encoder::new(coding, wanted.quality()).ok()).flatten();
            core.metrics.compressed(encoder.as_ref().map(|_| coding));
            encoder
        })
    }

    /// Sends a piece of the body with what stands around it, compressed where it is to be.
    pub(super) fn send_back(
        &mut self,
        cx: &mut Context<'_>,
        around: &mut Around,
        data: &[u8],
        over: bool,
        core: &Core,
    ) -> Result<(), Down> {
        let squeeze = self.exchange.as_mut().and_then(|e| e.download.squeeze.as_mut());
        let Some(squeeze) = squeeze else {
            self.track.passed(data.len());
            let sent = self.socket.send(cx, &mut self.late, around, data, over, core);
            return sent.map_err(|_| Down::ClientGone);
        };
        let mut out = core.take_buffer();
        let passed = squeeze.pass(data, over, around, &mut out);
        core.metrics.compressed_in.add(data.len() as u64);
        self.send_squeezed(cx, around, (passed, out), over, core)
    }

    /// The backend pauses: what it has sent goes out whole, so that events reach who waits for them.
    pub(super) fn flush_back(&mut self, cx: &mut Context<'_>, core: &Core) -> Result<(), Down> {
        let squeeze = self.exchange.as_mut().and_then(|e| e.download.squeeze.as_mut());
        let Some(squeeze) = squeeze.filter(|s| s.encoder.as_ref().is_some_and(Encoder::holds)) else {
            return Ok(());
        };
        let mut around = core.output.borrow_mut();
        around.clear();
        let mut out = core.take_buffer();
        let passed = squeeze.flush(&mut around, &mut out);
        self.send_squeezed(cx, &mut around, (passed, out), false, core)
    }

    fn send_squeezed(
        &mut self,
        cx: &mut Context<'_>,
        around: &mut Around,
        (passed, out): (io::Result<()>, Vec<u8>),
        over: bool,
        core: &Core,
    ) -> Result<(), Down> {
        passed.map_err(|_| Down::Failed(Reason::BackendCut))?;
        core.metrics.compressed_out.add(out.len() as u64);
        self.track.passed(out.len());
        let sent = self.socket.send(cx, &mut self.late, around, &out, over, core);
        core.give_buffer(out);
        sent.map_err(|_| Down::ClientGone)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn who_lets_others_lets_the_core_ask_what_has_come() {
        const ENOUGH: usize = 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let _client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (mut waiting, mut busy) = (JoinSet::new(), JoinSet::new());
        let accepted = waiting.spawn(async move { listener.accept().await.map(drop) });
        busy.spawn(async move {
            let mut turns = 0;
            std::future::poll_fn(move |cx| {
                if accepted.is_finished() || turns == ENOUGH {
                    return Poll::Ready(turns);
                }
                turns += 1;
                let_others(cx)
            })
            .await
        });
        let turns = busy.join_next().await.expect("one").expect("no panic");
        assert!(turns < ENOUGH, "the client waits for a task that has more to do");
    }
}
