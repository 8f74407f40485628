//! A body that comes on a stream of HTTP/2: alike from clients and from backends.

use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::RecvStream;
use hotswap_h1::{Head, Refused};

use super::bell::Bell;
use super::http2::heads;

/// Pieces of so many bytes go on as they came: a copy would cost more than what they keep in memory beside themselves.
pub(super) const LARGE: usize = 4 * 1024;

/// Why no more of a body comes.
#[derive(Debug)]
pub(super) enum Cut {
    /// The stream is over before it, or the connection.
    Ended(h2::Error),
    /// What stands behind it can't be read.
    Refused(Refused),
}

/// How much of a body is read before h2 is told of it, which lets the other side send as much again: a word with h2 costs
/// what a small message costs, and so there is one for several. In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slack(usize);

/// What comes.
pub(super) struct Inflow {
    source: Source,
    /// What has come and was not read: the first piece of it, and the next, where that was looked for.
    held: Bytes,
    next: Bytes,
    /// Nothing more has come, and who read it is woken when it does.
    is_drained: bool,
    /// All that came has been read, and no more comes.
    cut: Option<h2::Error>,
    /// Rings when more has come; of a body that had to be waited for.
    bell: Option<Bell>,
}

/// Where it comes from.
struct Source {
    body: RecvStream,
    /// Bytes that were read, and that h2 was not told of.
    owed: usize,
    slack: Slack,
    /// All of it has been read, and these fields follow it.
    told_end: Option<Head>,
}

impl Slack {
    const MOST: usize = 4 * 1024;

    /// Where a stream and a connection have such windows, in bytes, and a connection so many streams at most. All streams
    /// together keep back no more than a sixteenth of the connection's window, so that as good as all of it is there for
    /// uploads that wait, and for those beside them.
    pub(super) fn of(stream_window: u32, connection_window: u32, streams: u32) -> Self {
        let share = connection_window / streams.max(1);
        let most = usize::try_from(share.min(stream_window) / 16).unwrap_or(Self::MOST);
        Self(most.min(Self::MOST))
    }
}

impl Inflow {
    pub(super) fn new(body: RecvStream, slack: Slack) -> Self {
        Self {
            source: Source { body, owed: 0, slack, told_end: None },
            held: Bytes::new(),
            next: Bytes::new(),
            is_drained: false,
            cut: None,
            bell: None,
        }
    }

    /// Whether it is over with the head.
    pub(super) fn is_none(&self) -> bool {
        self.source.body.is_end_stream()
    }

    /// Whether the last read has found that nothing more has come, so that the task is woken when it does.
    pub(super) fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Why no more comes, where the last read gave what had come before.
    pub(super) fn cut(&self) -> Option<&h2::Error> {
        self.cut.as_ref()
    }

    /// The fields behind it, where all of it has been read.
    pub(super) fn told_end(&self) -> Option<&Head> {
        self.source.told_end.as_ref()
    }

    /// Reads some of it. 0: it is over, see [`Inflow::told_end`].
    ///
    /// # Errors
    /// It is cut. What came before is read first; see [`Inflow::cut`] for who has no use for it.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, Cut>> {
        if let Some(error) = self.cut.take() {
            return Poll::Ready(Err(Cut::Ended(error)));
        }
        let mut n = 0;
        self.is_drained = false;
        loop {
            n += self.take_held(into.get_mut(n..).unwrap_or_default());
            if self.source.told_end.is_some() || n == into.len() {
                return Poll::Ready(Ok(n));
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(more)) => self.held = more,
                Poll::Ready(Err(Cut::Ended(error))) if n > 0 => {
                    self.cut = Some(error);
                    return Poll::Ready(Ok(n));
                }
                Poll::Ready(Err(cut)) => return Poll::Ready(Err(cut)),
                Poll::Pending if n == 0 => return Poll::Pending,
                Poll::Pending => {
                    self.is_drained = true;
                    return Poll::Ready(Ok(n));
                }
            }
        }
    }

    /// Takes the next piece as it came, without a copy. `None`: small ones wait that are better put together, or it is
    /// over; [`Inflow::poll_read`] tells.
    ///
    /// # Errors
    /// As there.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Cut>> {
        if self.is_silent(cx) {
            return Poll::Pending;
        }
        if let Some(error) = self.cut.take() {
            return Poll::Ready(Err(Cut::Ended(error)));
        }
        self.is_drained = false;
        while self.held.is_empty() && self.source.told_end.is_none() {
            self.held = ready!(self.poll_more(cx))?;
        }
        while self.next.is_empty() && self.source.told_end.is_none() {
            match self.poll_more(cx) {
                Poll::Ready(Ok(more)) => self.next = more,
                Poll::Ready(Err(Cut::Refused(refused))) => return Poll::Ready(Err(Cut::Refused(refused))),
                Poll::Ready(Err(Cut::Ended(error))) => {
                    self.cut = Some(error);
                    break;
                }
                Poll::Pending => {
                    self.is_drained = true;
                    break;
                }
            }
        }
        if self.held.is_empty() || (!self.next.is_empty() && self.held.len() < LARGE) {
            return Poll::Ready(Ok(None));
        }
        let piece = std::mem::replace(&mut self.held, std::mem::take(&mut self.next));
        self.source.owe(piece.len());
        Poll::Ready(Ok(Some(piece)))
    }

    /// Takes the piece that has come, where it is known to be alone and more may follow; [`Inflow::has_taken`] or
    /// [`Inflow::put_back`] is next. Whatever else there is stays, for [`Inflow::poll_piece`].
    pub(super) fn take_lone(&mut self, cx: &Context<'_>) -> Option<Bytes> {
        let Self { source, held, next, cut: None, bell: Some(bell), .. } = self else { return None };
        if bell.is_silent() || !bell.wakes(cx.waker()) || !held.is_empty() {
            return None;
        }
        let Poll::Ready(Some(Ok(piece))) = bell.poll(|cx| source.body.poll_data(cx)) else { return None };
        if piece.is_empty() {
            // The bell has rung still.
            return None;
        }
        match bell.poll(|cx| source.body.poll_data(cx)) {
            Poll::Pending => return Some(piece),
            Poll::Ready(Some(Ok(more))) => *next = more,
            // h2 says so again.
            Poll::Ready(_) => {}
        }
        *held = piece;
        None
    }

    /// A piece has gone on.
    pub(super) fn has_taken(&mut self, len: usize) {
        self.source.owe(len);
    }

    /// It could not.
    pub(super) fn put_back(&mut self, piece: Bytes) {
        self.held = piece;
    }

    /// Whether it is known without a question that nothing has come.
    pub(super) fn is_silent(&self, cx: &Context<'_>) -> bool {
        let silent = |bell: &Bell| bell.is_silent() && bell.wakes(cx.waker());
        self.held.is_empty() && self.cut.is_none() && self.bell.as_ref().is_some_and(silent)
    }

    /// Copies what is held.
    fn take_held(&mut self, into: &mut [u8]) -> usize {
        let mut n = 0;
        while let Some(into) = into.get_mut(n..).filter(|into| !into.is_empty() && !self.held.is_empty()) {
            let taken = self.held.len().min(into.len());
            if let (Some(into), Some(held)) = (into.get_mut(..taken), self.held.get(..taken)) {
                into.copy_from_slice(held);
            }
            n += taken;
            self.held.advance(taken);
            if self.held.is_empty() {
                self.held = std::mem::take(&mut self.next);
            }
        }
        self.source.owe(n);
        n
    }

    /// Waits for more, or for its end: then it is nothing that comes, and the end is told.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Cut>> {
        match &self.bell {
            Some(bell) if bell.wakes(cx.waker()) => bell.poll(|cx| self.source.ask(cx)),
            Some(_) | None => {
                let answer = self.source.ask(cx);
                self.bell = answer.is_pending().then(|| Bell::new(cx.waker()));
                answer
            }
        }
    }
}

impl Source {
    fn ask(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Cut>> {
        Poll::Ready(match self.body.poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => Ok(data),
            Poll::Ready(Some(Err(error))) => Err(Cut::Ended(error)),
            Poll::Ready(None) => match self.body.poll_trailers(cx) {
                Poll::Ready(Ok(fields)) => self.over(fields.as_ref()).map(|()| Bytes::new()),
                Poll::Ready(Err(error)) => Err(Cut::Ended(error)),
                Poll::Pending => return Poll::Pending,
            },
            Poll::Pending => return Poll::Pending,
        })
    }

    fn over(&mut self, fields: Option<&http::HeaderMap>) -> Result<(), Cut> {
        self.settle();
        let fields = fields.map_or_else(|| Ok(Head::default()), heads::trailers);
        self.told_end = Some(fields.map_err(Cut::Refused)?);
        Ok(())
    }

    /// So many bytes more have been read.
    fn owe(&mut self, n: usize) {
        self.owed += n;
        if self.owed > self.slack.0 || self.told_end.is_some() {
            self.settle();
        }
    }

    /// Lets the other side send as much as was read; behind the end of the body, on other streams.
    fn settle(&mut self) {
        if self.owed > 0 {
            // It fails for more than has come, and nothing was read that has not.
            let _ = self.body.flow_control().release_capacity(std::mem::take(&mut self.owed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_keep_back_no_more_than_a_sixteenth_of_their_connections_window() {
        for (stream, connection, streams) in [
            (65_535, 65_535, 100),
            (256 * 1024, 1024 * 1024, 100),
            (65_535, 65_535, 1),
            (128 * 1024, 12_800 * 1024, 100),
            (65_535, 65_535, 100_000),
            (u32::MAX / 2, u32::MAX / 2, 1),
        ] {
            let Slack(slack) = Slack::of(stream, connection, streams);
            assert!(slack * streams as usize <= connection as usize / 16, "{slack} of {connection}");
            assert!(slack <= stream as usize / 16 && slack <= Slack::MOST, "{slack} of {stream}");
        }
        assert_eq!(Slack::of(128 * 1024, 12_800 * 1024, 100), Slack(4096));
    }
}
