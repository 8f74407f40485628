//! A stream as the client's side of an exchange.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::Reason as Code;
use h2::server::SendResponse;
use hotswap_h1::Head;
use hotswap_h1::body::Around;
use hotswap_h1::framing::Framing;
use hotswap_h1::write::Coding;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpStream;

use super::frames::Earned;
use super::heads;
use crate::engine::own::client::{Client, Ending, Step};
use crate::engine::own::core::Core;
use crate::engine::own::flow::{After, Outflow};
use crate::engine::own::front::Front;
use crate::engine::own::inflow::{Cut, Inflow};
use crate::engine::own::reply::Reply;
use crate::engine::own::straight;
use crate::engine::own::upload::Fault;
use crate::engine::own::wire::Rest;
use crate::grpc;
use crate::reason::Reason;

/// The streams of a connection that are open, and whom to wake when none is left.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: Cell<usize>,
    connection: RefCell<Option<Waker>>,
    /// One that is over may have left in h2 what the connection's window has no room for.
    pub(super) leaves: Cell<bool>,
    /// What they have sent waits in h2, since the client does not take it.
    pub(super) is_behind: Cell<bool>,
    pub(super) earned: Rc<Earned>,
}

/// A stream that is open. Dropped, it is not.
#[derive(Debug)]
pub(super) struct Open(Rc<Streams>);

/// Why a request is refused whose head can't be taken, and how it is to be told.
pub(super) struct Unread {
    pub(super) reason: Reason,
    /// It is a HEAD.
    pub(super) to_head: bool,
    /// It is a call of gRPC.
    pub(super) is_call: bool,
}

/// One stream: a request and its response.
pub(in crate::engine::own) struct Stream {
    /// What is asked, or why it is refused; `None`: it has been looked at.
    asked: Option<Result<Head, Unread>>,
    has_body: bool,
    body: Inflow,
    respond: SendResponse<Bytes>,
    /// The response, once its head is out.
    answer: Option<Outflow>,
    /// No more of the response follows what `late` keeps.
    is_last: bool,
    /// What follows the response's body.
    trailers: Option<HeaderMap>,
    /// The end of the response has been told.
    is_over: bool,
    /// Another protocol passes, in both directions.
    is_tunnel: bool,
    open: Open,
}

impl Streams {
    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// The end of one is about to be told.
    fn ends(&self, answer: &mut Outflow) {
        if answer.may_wait() {
            self.leaves.set(true);
        }
    }

    /// Says whom to wake.
    pub(super) fn known_by(&self, cx: &Context<'_>) {
        let mut connection = self.connection.borrow_mut();
        if connection.is_none() {
            *connection = Some(cx.waker().clone());
        }
    }
}

impl Open {
    pub(super) fn new(streams: &Rc<Streams>) -> Self {
        streams.open.set(streams.open.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        if self.0.open.get() == 0
            && let Some(connection) = &*self.0.connection.borrow()
        {
            connection.wake_by_ref();
        }
    }
}

impl Stream {
    pub(super) fn new(
        asked: Result<Head, Unread>,
        body: Inflow,
        respond: SendResponse<Bytes>,
        open: Open,
    ) -> Self {
        // What comes behind a wish to switch is of the other protocol.
        let wishes = asked.as_ref().is_ok_and(|head| head.wanted_protocol().is_some());
        Self {
            has_body: !wishes && !body.is_none(),
            asked: Some(asked),
            body,
            respond,
            answer: None,
            is_last: false,
            trailers: None,
            is_over: false,
            is_tunnel: false,
            open,
        }
    }

    /// Whether a piece of the response, which is not its last, can go at once.
    pub(in crate::engine::own) fn is_straight(&self) -> bool {
        !self.is_last && self.trailers.is_none() && !self.open.0.is_behind.get()
    }

    /// The request's body.
    pub(in crate::engine::own) fn body(&mut self) -> &mut Inflow {
        &mut self.body
    }

    /// Keeps what follows the piece that is sent next. `over`: it is the last.
    fn follow(&mut self, around: &Around, over: bool) -> io::Result<()> {
        if over && !around.behind.is_empty() {
            self.trailers = Some(heads::lines(&around.behind)?);
        }
        self.is_last = over;
        Ok(())
    }

    /// Hands so much to h2 as the client has room for; how much that is.
    fn push(&mut self, cx: &mut Context<'_>, data: &[u8]) -> io::Result<usize> {
        let answer = self.answer.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let is_last = self.is_last && self.trailers.is_none();
        let sent = answer.push(cx, data, is_last)?;
        self.is_over |= is_last && sent > 0 && sent == data.len();
        self.open.0.earned.add_data(sent);
        Ok(sent)
    }

    /// Hands a piece to h2 as it is, where there is room for all of it; else gives it back.
    pub(in crate::engine::own) fn hand(&mut self, piece: Bytes) -> io::Result<Option<Bytes>> {
        let answer = self.answer.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let after = match &self.trailers {
            _ if !self.is_last => After::More,
            Some(_) => After::Trailers,
            None => After::Nothing,
        };
        let len = piece.len();
        let left = answer.hand(piece, after)?;
        if left.is_none() {
            self.is_over |= after == After::Nothing;
            self.open.0.earned.add_data(len);
        }
        Ok(left)
    }

    /// Tells that the response is over, where that is all that is left.
    fn end(&mut self, late: &Rest) -> io::Result<()> {
        if !self.is_last || !late.is_empty() {
            return Ok(());
        }
        if !self.is_over {
            let answer = self.answer.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            self.open.0.ends(answer);
            answer.end(self.trailers.take())?;
            self.is_over = true;
        }
        self.is_last = false;
        self.open.0.earned.add_whole();
        Ok(())
    }

    /// A request that is given up must not reach a backend whole by what it had sent before.
    fn came<T>(&self, read: Result<T, Cut>) -> Result<T, Fault> {
        match read {
            Err(Cut::Refused(refused)) => Err(Fault::Refused(refused.into())),
            Ok(came) if self.body.cut().is_none() => Ok(came),
            Ok(_) | Err(Cut::Ended(_)) => Err(Fault::ClientGone),
        }
    }

    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Code, h2::Error>> {
        match &mut self.answer {
            Some(answer) => answer.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        }
    }
}

impl Front for Stream {
    const IN_TURN: bool = false;
    const IN_PIECES: bool = true;

    fn poll_head(client: &mut Client<Self>, cx: &mut Context<'_>) -> Poll<Step> {
        let core = client.core();
        Poll::Ready(match client.socket.asked.take() {
            Some(Ok(head)) => {
                let mut input = core.input.borrow_mut();
                let n = match client.socket.has_body.then(|| client.socket.poll_read(cx, &mut input)) {
                    Some(Poll::Ready(Ok(n))) => n,
                    Some(Poll::Ready(Err(Fault::Refused(reason)))) => {
                        drop(input);
                        client.track.begin(head);
                        client.track.failure(reason);
                        return Poll::Ready(client.reply(cx, Reply::Failure(reason), true));
                    }
                    // A client that has gone shows again.
                    Some(Poll::Ready(Err(Fault::ClientGone)) | Poll::Pending) | None => 0,
                };
                let rest = input.get_mut(..n).unwrap_or_default();
                let (step, used) = client.begin(cx, head, rest);
                client.early.put(rest.get(used..).unwrap_or_default(), &core);
                step
            }
            Some(Err(Unread { reason, to_head, is_call })) => {
                client.to_head = to_head;
                client.track.unreadable(reason);
                client.track.is_known_as(is_call);
                client.reply(cx, Reply::Failure(reason), true)
            }
            None => Step::End,
        })
    }

    fn pass_straight(client: &mut Client<Self>, cx: &mut Context<'_>) -> Result<bool, Fault> {
        straight::pass(client, cx)
    }

    fn lasts(_: &Head) -> bool {
        false
    }

    fn reads(framing: Framing) -> Framing {
        // Its end is told beside it, and nothing in the data is coded.
        if framing == Framing::Chunked { Framing::UntilClose } else { framing }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Fault>> {
        let read = ready!(self.body.poll_read(cx, into));
        Poll::Ready(self.came(read))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        let read = ready!(self.body.poll_piece(cx));
        Poll::Ready(self.came(read))
    }

    fn is_drained(&self) -> bool {
        self.body.is_drained()
    }

    fn told_end(&self) -> Option<&Head> {
        self.body.told_end()
    }

    fn watch(client: &mut Client<Self>, cx: &mut Context<'_>) -> Result<(), Fault> {
        if client.socket.poll_reset(cx).is_ready() {
            return Err(Fault::ClientGone);
        }
        let kept_back = client.exchange.as_ref().is_some_and(|e| e.upload.is_kept_back());
        if kept_back && client.early.is_empty() && client.socket.told_end().is_none() {
            let core = client.core();
            let mut input = core.input.borrow_mut();
            if let Poll::Ready(n) = client.socket.poll_read(cx, &mut input) {
                client.early.put(input.get(..n?).unwrap_or_default(), &core);
            }
        }
        Ok(())
    }

    fn frame(head: &mut Head, framing: Framing, _: bool) -> (Coding, bool) {
        (head.frame_told_response(framing), false)
    }

    fn send_interim(&mut self, _: &mut Context<'_>, _: &mut Rest, head: &Head, _: &Core) -> io::Result<()> {
        self.respond.send_informational(heads::response(head)?).map_err(io::Error::other)
    }

    fn send_head(&mut self, head: &Head, _: bool, over: bool, _: &mut Around) -> io::Result<()> {
        let answer = self.respond.send_response(heads::response(head)?, over).map_err(io::Error::other)?;
        self.answer = Some(Outflow::new(answer));
        self.is_over = over;
        Ok(())
    }

    fn send(
        &mut self,
        cx: &mut Context<'_>,
        late: &mut Rest,
        around: &mut Around,
        data: &[u8],
        over: bool,
        core: &Core,
    ) -> io::Result<()> {
        self.follow(around, over)?;
        let sent = if late.is_empty() { self.push(cx, data)? } else { 0 };
        late.put(data.get(sent..).unwrap_or_default(), core);
        self.end(late)
    }

    fn send_piece(
        &mut self,
        cx: &mut Context<'_>,
        late: &mut Rest,
        around: &mut Around,
        piece: Bytes,
        over: bool,
        core: &Core,
    ) -> io::Result<()> {
        if !late.is_empty() || self.open.0.is_behind.get() {
            return self.send(cx, late, around, &piece, over, core);
        }
        self.follow(around, over)?;
        match self.hand(piece)? {
            Some(piece) => self.send(cx, late, around, &piece, over, core),
            None => self.end(late),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, late: &mut Rest, core: &Core) -> Poll<io::Result<()>> {
        while !late.is_empty() {
            let n = self.push(cx, late.as_slice())?;
            late.advance(n, core);
            if n == 0 {
                return Poll::Pending;
            }
        }
        Poll::Ready(self.end(late))
    }

    fn sent(&self) -> u64 {
        0
    }

    fn plain(&self) -> Option<&TcpStream> {
        None
    }

    fn is_out(&self, late: &Rest) -> bool {
        late.is_empty()
    }

    fn say_switched(&mut self, head: &mut Head, _: &str) {
        head.set_status(StatusCode::OK);
        self.is_tunnel = true;
    }

    fn poll_relayed(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.body.poll_read(cx, into).map_err(|_| io::ErrorKind::ConnectionReset.into())
    }

    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_reset(cx).is_ready()
    }

    fn poll_end(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_last = true;
        Poll::Ready(self.end(&Rest::default()))
    }

    fn fail(&mut self, late: &Rest, reason: Reason) -> bool {
        let Some(answer) = self.answer.as_mut().filter(|_| late.is_empty() && !self.is_over) else {
            return false;
        };
        let mut fields = Head::default();
        grpc::tell(reason, reason.grpc(), &mut fields);
        self.open.0.ends(answer);
        self.is_over = heads::fields(&fields).is_ok_and(|fields| answer.end(Some(fields)).is_ok());
        self.is_over
    }

    /// Where the response is whole, h2 tells a client that still sends that it need not, with NO_ERROR.
    fn close(mut self, ending: Ending, _: &Rc<Core>) {
        match ending {
            // RFC 8441 section 5.
            Ending::Abort if self.is_tunnel => self.respond.send_reset(Code::CANCEL),
            Ending::Abort => self.respond.send_reset(Code::INTERNAL_ERROR),
            Ending::Plain if self.is_tunnel => {
                self.is_last = !self.is_over;
                let _ = self.end(&Rest::default());
            }
            Ending::Plain | Ending::Linger | Ending::Http2 => {}
        }
    }
}
