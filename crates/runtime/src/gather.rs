//! A connection whose frames share a write.
//!
//! A change goes to many streams at nearly the same time, and several of them may lie on one connection. The task of
//! the connection is woken by the first frame and would run before the others are there: one system call a frame. So
//! the first bytes after a pause wait until the tasks that are ready now have had their turn, and go together with what
//! those add. Where nobody else is ready, they go at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// After a wait, what more comes within this goes without one: a wave larger than HTTP/2's own buffer waits once.
const WAVE: Duration = Duration::from_millis(1);
/// Bytes of a write, at most.
const FULL: usize = 64 * 1024;

/// The connection.
#[derive(Debug)]
pub(crate) struct Gathered<S> {
    stream: S,
    /// Taken over, and not yet written from `written` on. Given back when it is empty: most connections are idle.
    held: Vec<u8>,
    written: usize,
    turn: Turn,
}

#[derive(Debug)]
enum Turn {
    /// None is needed until the next write.
    Idle,
    /// The others have theirs.
    Waits,
    /// It began then.
    Since(Instant),
}

impl<S> Gathered<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, held: Vec::new(), written: 0, turn: Turn::Idle }
    }

    /// Ready once those tasks had their turn that were ready when a wave began.
    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        match self.turn {
            Turn::Since(begin) if begin.elapsed() < WAVE => Poll::Ready(()),
            Turn::Waits => {
                self.turn = Turn::Since(Instant::now());
                Poll::Ready(())
            }
            Turn::Idle | Turn::Since(_) => {
                self.turn = Turn::Waits;
                // A task that wakes itself goes behind all that are ready.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.held = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.held.is_empty() {
            ready!(self.poll_turn(cx));
        }
        if self.held.len() >= FULL {
            ready!(self.poll_held(cx))?;
        }
        let taken = bytes.len().min(FULL - self.held.len());
        self.held.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Poll::Ready(Ok(taken))
    }

    // `is_write_vectored` stays false: HTTP/2 then gathers small frames by itself, where it would flush each.

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: Connected> Connected for Gathered<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    /// Takes at most `limit` bytes at once, and keeps each write.
    #[derive(Default)]
    struct Writes {
        limit: usize,
        done: Vec<Vec<u8>>,
        ended: bool,
    }

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.limit);
            self.done.push(bytes[..taken].to_vec());
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.ended = true;
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Task {
        io: Gathered<Writes>,
        woken: Arc<Woken>,
    }

    impl Task {
        fn new(limit: usize) -> Self {
            let io = Gathered::new(Writes { limit, ..Default::default() });
            Self { io, woken: Arc::default() }
        }

        fn poll<T>(
            &mut self,
            of: impl FnOnce(Pin<&mut Gathered<Writes>>, &mut Context<'_>) -> Poll<io::Result<T>>,
        ) -> Option<T> {
            let waker = Waker::from(Arc::clone(&self.woken));
            match of(Pin::new(&mut self.io), &mut Context::from_waker(&waker)) {
                Poll::Ready(done) => Some(done.expect("works")),
                Poll::Pending => None,
            }
        }

        fn write(&mut self, bytes: &[u8]) -> Option<usize> {
            self.poll(|io, cx| io.poll_write(cx, bytes))
        }

        fn flush(&mut self) -> Option<()> {
            self.poll(|io, cx| io.poll_flush(cx))
        }
    }

    #[test]
    fn frames_of_tasks_that_are_ready_together_share_a_write() {
        let mut task = Task::new(usize::MAX);
        assert_eq!(task.write(b"one"), None, "the others come first");
        assert_eq!(task.woken.0.load(Ordering::Relaxed), 1, "it asks for its next turn itself");
        assert_eq!(task.write(b"one"), Some(3));
        assert_eq!(task.write(b"two"), Some(3));
        assert!(task.io.stream.done.is_empty());
        task.flush().expect("written");
        assert_eq!(task.io.stream.done, [b"onetwo"]);
        assert_eq!(task.io.held.capacity(), 0, "an idle connection holds nothing");
    }

    #[test]
    fn nothing_is_lost_where_writes_are_short_or_more_than_full() {
        let mut task = Task::new(1000);
        let sent: Vec<u8> = (0..3 * FULL).map(|n| (n % 251) as u8).collect();
        assert_eq!(task.write(&sent), None);
        let mut taken = 0;
        while taken < sent.len() {
            taken += task.write(&sent[taken..]).expect("taken");
        }
        task.poll(|io, cx| io.poll_shutdown(cx)).expect("ended");
        assert!(task.io.stream.ended);
        assert_eq!(task.io.stream.done.concat(), sent);
    }

    #[test]
    fn a_stream_that_takes_nothing_is_an_error() {
        let mut task = Task::new(0);
        assert_eq!(task.write(b"x"), None);
        assert_eq!(task.write(b"x"), Some(1));
        let waker = Waker::noop();
        let flushed = Pin::new(&mut task.io).poll_flush(&mut Context::from_waker(waker));
        assert!(matches!(flushed, Poll::Ready(Err(e)) if e.kind() == io::ErrorKind::WriteZero));
    }
}
