//! The client's side of an exchange: what differs between a connection of HTTP/1.1, which is read and written as one
//! row of bytes, and a stream of HTTP/2, whose head, body and end are told apart. All else is one state machine,
//! [`Client`], compiled for each.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hotswap_h1::Head;
use hotswap_h1::body::Around;
use hotswap_h1::framing::Framing;
use hotswap_h1::write::Coding;
use tokio::net::TcpStream;

use super::client::{Client, Ending, Step};
use super::core::Core;
use super::upload::Fault;
use super::wire::Rest;
use crate::reason::Reason;

/// One side of an exchange, towards a client.
pub(super) trait Front: Sized {
    /// Where a connection carries one exchange after another, heads say whether it goes on.
    const IN_TURN: bool;

    /// A piece of a body goes out as it came. Else it is better copied, so that what has come goes out in one write.
    const IN_PIECES: bool = false;

    /// Waits for a head, and begins its exchange.
    fn poll_head(client: &mut Client<Self>, cx: &mut Context<'_>) -> Poll<Step>;

    /// Lets pass what needs no look at it, and returns whether that was all that there was to do; see `straight`.
    ///
    /// # Errors
    /// The client has gone.
    fn pass_straight(_: &mut Client<Self>, _: &mut Context<'_>) -> Result<bool, Fault> {
        Ok(false)
    }

    /// Whether another request may come after this one, by its head.
    fn lasts(head: &Head) -> bool;

    /// How a request's body comes that its head frames so.
    fn reads(framing: Framing) -> Framing;

    /// Reads some of the body. 0: it is over, see [`Front::told_end`].
    ///
    /// # Errors
    /// The client has gone.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Fault>>;

    /// Takes the next piece of the body as it came, without a copy. `None`: [`Front::poll_read`] tells what there is.
    ///
    /// # Errors
    /// As there.
    fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        Poll::Ready(Ok(None))
    }

    /// Whether the last read has found that nothing more has come, so that the task is woken when it does.
    fn is_drained(&self) -> bool;

    /// The fields behind the body, where its end was told beside it and all of it has been read.
    fn told_end(&self) -> Option<&Head>;

    /// Looks whether the client is still there.
    ///
    /// # Errors
    /// The client has gone.
    fn watch(client: &mut Client<Self>, cx: &mut Context<'_>) -> Result<(), Fault>;

    /// Says in a stripped response how its body goes out, to a client of HTTP/1.0 or another; and whether the
    /// connection may be used again after it.
    fn frame(head: &mut Head, framing: Framing, old: bool) -> (Coding, bool);

    /// Sends an interim response, or lets `late` keep it.
    fn send_interim(
        &mut self,
        cx: &mut Context<'_>,
        late: &mut Rest,
        head: &Head,
        core: &Core,
    ) -> io::Result<()>;

    /// Sends the head of a response, or puts it before what [`Front::send`] sends next. `over`: no body follows.
    fn send_head(&mut self, head: &Head, old: bool, over: bool, around: &mut Around) -> io::Result<()>;

    /// Sends a piece of a body with what stands around it; `late` keeps what can't go out yet. `over`: it is the last.
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        late: &mut Rest,
        around: &mut Around,
        data: &[u8],
        over: bool,
        core: &Core,
    ) -> io::Result<()>;

    /// The same for a piece that is somebody's own, with nothing before it, where it goes out [`Self::IN_PIECES`].
    fn send_piece(
        &mut self,
        cx: &mut Context<'_>,
        late: &mut Rest,
        around: &mut Around,
        piece: Bytes,
        over: bool,
        core: &Core,
    ) -> io::Result<()> {
        self.send(cx, late, around, &piece, over, core)
    }

    /// Sends what is left.
    fn poll_flush(&mut self, cx: &mut Context<'_>, late: &mut Rest, core: &Core) -> Poll<io::Result<()>>;

    /// How many bytes have gone out of those that it keeps itself, beside `late`.
    fn sent(&self) -> u64;

    /// The socket, where bytes that are written to it reach the client as they are.
    fn plain(&self) -> Option<&TcpStream>;

    /// Whether all that was sent is out.
    fn is_out(&self, late: &Rest) -> bool;

    /// Says in a stripped response that the client goes on in the protocol that it asked for.
    fn say_switched(&mut self, head: &mut Head, protocol: &str);

    /// Reads some of what comes in that protocol. 0: it is over.
    ///
    /// # Errors
    /// It is cut.
    fn poll_relayed(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Whether the client has gone, where only a question tells; and the task is woken when it does.
    fn is_gone(&mut self, _: &mut Context<'_>) -> bool {
        false
    }

    /// Says behind all that was sent that nothing more of it follows.
    ///
    /// # Errors
    /// The client takes no more.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Tells behind what went out of a response to a call of gRPC that it has failed. Whether it could.
    fn fail(&mut self, late: &Rest, reason: Reason) -> bool;

    /// Ends it.
    fn close(self, ending: Ending, core: &Rc<Core>);
}
