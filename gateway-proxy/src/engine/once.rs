//! One request of HTTP/2 on a connection of its own, for those who need no engine: checks of backends, and copies of
//! requests.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::Builder;
use http::{HeaderMap, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::grpc::{self, Code};

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) fields: HeaderMap,
    /// The beginning of its body.
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

/// Sends a request, and reads the response; of its body no more than the first `most` bytes are kept. There is no limit
/// of time.
///
/// # Errors
/// Those of the connection and of the stream.
pub(crate) async fn ask<S>(
    socket: S,
    request: Request<()>,
    body: Bytes,
    most: usize,
) -> Result<Answer, h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut send, connection) = Builder::new().enable_push(false).handshake::<_, Bytes>(socket).await?;
    let mut connection = pin!(connection);
    let mut answered = pin!(async {
        let (response, mut stream) = send.send_request(request, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(body, true)?;
        }
        let (parts, body) = response.await?.into_parts();
        let (body, trailers) = read(body, most).await?;
        Ok(Answer { status: parts.status, fields: parts.headers, body, trailers })
    });
    poll_fn(|cx| {
        let ended = connection.as_mut().poll(cx);
        if let Poll::Ready(answer) = answered.as_mut().poll(cx) {
            return Poll::Ready(answer);
        }
        match ended {
            // The answer has written something.
            Poll::Pending => {
                let _ = connection.as_mut().poll(cx)?;
                Poll::Pending
            }
            Poll::Ready(Ok(())) => Poll::Ready(Err(h2::Reason::NO_ERROR.into())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
        }
    })
    .await
}

async fn read(mut body: RecvStream, most: usize) -> Result<(Bytes, HeaderMap), h2::Error> {
    let mut kept = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        let room = most.saturating_sub(kept.len()).min(data.len());
        kept.extend_from_slice(data.get(..room).unwrap_or_default());
        body.flow_control().release_capacity(data.len())?;
    }
    let trailers = body.trailers().await?;
    Ok((kept.freeze(), trailers.unwrap_or_default()))
}

/// Whether a request is a call of gRPC.
pub(crate) fn is_call(request: &Request<()>) -> bool {
    request.headers().get("content-type").is_some_and(|value| grpc::is_type_of_call(value.as_bytes()))
}

impl Answer {
    /// The status of the call of gRPC that it answers.
    pub(crate) fn code(&self) -> Option<Code> {
        let of = |fields: &HeaderMap| fields.get(grpc::STATUS).and_then(|value| Code::read(value.as_bytes()));
        of(&self.fields).or_else(|| of(&self.trailers))
    }

    /// Its status; of a call of gRPC that failed what it comes to.
    pub(crate) fn outcome(&self, is_call: bool) -> u16 {
        let failed = self.code().is_some_and(|code| is_call && code.is_failure());
        if failed { 500 } else { self.status.as_u16() }
    }
}
