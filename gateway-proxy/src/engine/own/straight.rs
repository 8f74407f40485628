//! The short way of messages: from a stream of HTTP/2 to another, one at a time, as those of a call of gRPC go that both sides
//! keep open. Each is a piece of a body that came alone, and nothing of what a route can do has to look at it any more. All
//! else is left as it came, for the way that knows everything (`upload`, `download`).

use std::io;
use std::task::Context;

use bytes::Bytes;

use super::client::Client;
use super::exchange::Exchange;
use super::http2::Stream;
use super::inflow::Inflow;
use super::link::Link;
use super::upload::Fault;

/// Lets pass what came alone, in both directions. Whether that was all that there was to do: the task is woken when there is
/// more.
///
/// # Errors
/// The client has gone.
pub(super) fn pass(client: &mut Client<Stream>, cx: &Context<'_>) -> Result<bool, Fault> {
    let Client { socket, track, early, late, exchange: Some(exchange), .. } = client else {
        return Ok(false);
    };
    let Exchange { upload, download, link: Some(Link::Stream(backend)), copy: None, keeps: false, .. } =
        exchange
    else {
        return Ok(false);
    };
    let is_clear = early.is_empty() && late.is_empty() && upload.is_straight() && download.is_straight();
    if !is_clear || !socket.is_straight() || !backend.is_straight() {
        return Ok(false);
    }
    let up = hand(socket.body(), cx, |piece| match upload.has_room(piece.len()) {
        true => backend.hand(piece),
        false => Ok(Some(piece)),
    });
    // It may have answered before.
    upload.broken = up.is_err();
    let down = backend.body().map_or(Ok(0), |body| hand(body, cx, |piece| socket.hand(piece)));
    let is_gone = down.is_err();
    let (up, down) = (up.unwrap_or_else(|len| len), down.unwrap_or_else(|len| len));
    upload.passed(up);
    if down > 0 {
        backend.is_answered();
    }
    if up + down > 0 {
        track.passed_straight(up, down);
    }
    if is_gone {
        return Err(Fault::ClientGone);
    }
    Ok(up + down > 0 && !upload.broken && socket.body().is_silent(cx) && backend.is_silent(cx))
}

/// Hands on the piece that came alone; how long it was.
///
/// # Errors
/// Nobody takes it; as long was it.
#[inline]
fn hand(
    from: &mut Inflow,
    cx: &Context<'_>,
    to: impl FnOnce(Bytes) -> io::Result<Option<Bytes>>,
) -> Result<usize, usize> {
    let Some(piece) = from.take_lone(cx) else { return Ok(0) };
    let len = piece.len();
    match to(piece) {
        Ok(None) => {
            from.has_taken(len);
            Ok(len)
        }
        Ok(Some(piece)) => {
            from.put_back(piece);
            Ok(0)
        }
        Err(_) => {
            from.has_taken(len);
            Err(len)
        }
    }
}
