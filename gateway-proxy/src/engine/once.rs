//! One request of HTTP/2 on a connection of its own, for those who need no engine: checks of backends, and copies of
//! requests.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::Builder;
use http::{Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

/// Sends a request, and reads the response to its end; its status. There is no limit of time.
///
/// # Errors
/// Those of the connection and of the stream.
pub(crate) async fn ask<S>(socket: S, request: Request<()>, body: Bytes) -> Result<StatusCode, h2::Error>
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
        read(body).await?;
        Ok(parts.status)
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

async fn read(mut body: RecvStream) -> Result<(), h2::Error> {
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    body.trailers().await.map(drop)
}
