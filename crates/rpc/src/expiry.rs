//! The end of a stream with the token that opened it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

/// A response body that ends with `status` at a deadline. Nothing is armed until the body first has to wait,
/// so an answer that is there at once costs nothing.
pub(crate) struct ExpiringBody {
    inner: Body,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    status: Option<Status>,
}

impl ExpiringBody {
    /// Ends `inner` with `status` after `remaining`.
    pub(crate) fn new(inner: Body, remaining: Duration, status: Status) -> Self {
        let now = Instant::now();
        let far = Duration::from_secs(365 * 24 * 3_600);
        Self { inner, deadline: now + remaining.min(far), timer: None, status: Some(status) }
    }
}

impl HttpBody for ExpiringBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.status.is_none() {
            return Poll::Ready(None);
        }
        if self.timer.is_some() && Instant::now() >= self.deadline {
            return self.end();
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let deadline = self.deadline;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => self.end(),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }
}

impl ExpiringBody {
    fn end(mut self: Pin<&mut Self>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(status) = self.status.take() else { return Poll::Ready(None) };
        let mut trailers = http::HeaderMap::new();
        match status.add_header(&mut trailers) {
            Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}

use std::future::Future as _;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use hotswap_core::Reason;

    use super::*;
    use crate::WireError;

    fn over() -> Status {
        WireError::new(Reason::TokenExpired, "over").into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_stream_ends_with_the_status_at_its_deadline() {
        let endless =
            http_body_util::StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, Status>>());
        let body = ExpiringBody::new(Body::new(endless), Duration::from_secs(60), over());
        let started = Instant::now();
        let trailers = body.collect().await.expect("ends").trailers().cloned().expect("trailers");
        assert_eq!(started.elapsed().as_secs(), 60);
        assert_eq!(Status::from_header_map(&trailers).map(|s| s.code()), Some(tonic::Code::Unauthenticated));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_there_passes_unchanged() {
        let inner = Body::new(http_body_util::Full::new(Bytes::from_static(b"abc")));
        let body = ExpiringBody::new(inner, Duration::ZERO, over());
        assert_eq!(body.collect().await.expect("body").to_bytes(), "abc");
    }
}
