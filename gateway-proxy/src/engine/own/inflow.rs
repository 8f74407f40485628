//! A body that comes on a stream of HTTP/2: alike from clients and from backends.

use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use h2::RecvStream;
use hotswap_h1::{Head, Refused};

use super::bell::Bell;
use super::http2::heads;

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
    body: RecvStream,
    /// What has come and was not read.
    held: Bytes,
    /// Bytes that were read, and that h2 was not told of.
    owed: usize,
    slack: Slack,
    /// Nothing more has come, and who read it is woken when it does.
    is_drained: bool,
    /// All that came has been read, and no more comes.
    cut: Option<h2::Error>,
    /// All of it has been read, and these fields follow it.
    told_end: Option<Head>,
    /// Rings when more has come; of a body that had to be waited for.
    bell: Option<Bell>,
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
            body,
            held: Bytes::new(),
            owed: 0,
            slack,
            is_drained: false,
            cut: None,
            told_end: None,
            bell: None,
        }
    }

    /// Whether it is over with the head.
    pub(super) fn is_none(&self) -> bool {
        self.body.is_end_stream()
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
        self.told_end.as_ref()
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
            if self.told_end.is_some() || n == into.len() {
                return Poll::Ready(Ok(n));
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(())) => {}
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

    /// Copies what is held.
    fn take_held(&mut self, into: &mut [u8]) -> usize {
        let n = self.held.len().min(into.len());
        if n == 0 {
            return 0;
        }
        if let (Some(into), Some(held)) = (into.get_mut(..n), self.held.get(..n)) {
            into.copy_from_slice(held);
        }
        self.held.advance(n);
        self.owed += n;
        if self.owed > self.slack.0 {
            self.settle();
        }
        n
    }

    /// Lets the other side send as much as was read; behind the end of the body, on other streams.
    fn settle(&mut self) {
        if self.owed > 0 {
            // It fails for more than has come, and nothing was read that has not.
            let _ = self.body.flow_control().release_capacity(std::mem::take(&mut self.owed));
        }
    }

    /// Waits for more, or for its end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        let Some(bell) = self.bell.take().filter(|bell| bell.wakes(cx.waker())) else {
            let answer = self.ask(cx);
            if answer.is_pending() {
                self.bell = Some(Bell::new(cx.waker()));
            }
            return answer;
        };
        let answer = bell.poll(|cx| self.ask(cx));
        self.bell = Some(bell);
        answer
    }

    fn ask(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Cut>> {
        Poll::Ready(match self.body.poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => {
                self.held = data;
                Ok(())
            }
            Poll::Ready(Some(Err(error))) => Err(Cut::Ended(error)),
            Poll::Ready(None) => match self.body.poll_trailers(cx) {
                Poll::Ready(Ok(fields)) => {
                    self.settle();
                    self.over(fields.as_ref())
                }
                Poll::Ready(Err(error)) => Err(Cut::Ended(error)),
                Poll::Pending => return Poll::Pending,
            },
            Poll::Pending => return Poll::Pending,
        })
    }

    fn over(&mut self, fields: Option<&http::HeaderMap>) -> Result<(), Cut> {
        let fields = fields.map_or_else(|| Ok(Head::default()), heads::trailers);
        self.told_end = Some(fields.map_err(Cut::Refused)?);
        Ok(())
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
