//! Tries after the first. Nothing of a response has gone to the client until then.

use std::pin::pin;
use std::rc::Rc;

use http::header::RETRY_AFTER;

use super::conn::Conn;
use super::connect::Lease;
use super::exchange::{Outcome, Way, once_more, send_on_new};
use crate::backend_state;
use crate::engine::retry;
use crate::reason::Reason;

/// What failed, and the patience that the backend asks for, in s; `None`: nothing that another try could mend.
pub(super) fn failed(outcome: &Outcome) -> Option<(backend_state::Outcome, Option<u64>)> {
    match outcome {
        Ok((response, _)) => {
            let status = response.status().as_u16();
            let patience = response.headers().get(RETRY_AFTER).and_then(|v| retry::patience(v.as_bytes()));
            retry::is_worth_it(status).then_some((backend_state::Outcome::Status(status), patience))
        }
        Err(reason) => retry::may_pass(*reason).then(|| (reason.outcome(), None)),
    }
}

/// Tries again until a try succeeds or there is no more.
pub(super) async fn again(conn: &Rc<Conn>, mut way: Way, mut outcome: Outcome) -> Outcome {
    let Some(mut more) = way.more.take() else { return outcome };
    let (tries, request) = &mut *more;
    while let Some((failed, patience)) = failed(&outcome) {
        // The client may have ended it, or sent too much.
        if conn.notes.reason().is_some() || !request.is_whole() {
            return outcome;
        }
        let Some(pause) = conn.core.another_try(tries, patience) else { return outcome };
        // Cuts the connection of the try before.
        drop(outcome);
        conn.end_try(failed);
        conn.race(pin!(tokio::time::sleep(pause))).await?;
        let chosen = conn.core.choose_again(tries)?;
        conn.begin_try(&chosen.backend, chosen.in_flight);
        conn.notes.keep_cookie(chosen.set_cookie);
        way.backend = chosen.backend;
        outcome = send(conn, &way, request.clone().into_request()).await;
    }
    if matches!(&outcome, Ok((response, _)) if response.status().as_u16() < 500) && tries.is_later() {
        conn.core.metrics.tries_saved.add(1);
    }
    outcome
}

/// Sends the request, on a connection that is open if there is one.
async fn send(conn: &Rc<Conn>, way: &Way, request: http::Request<super::body::RequestBody>) -> Outcome {
    let Some(mut lease) = Lease::reuse(&way.backend) else { return send_on_new(conn, way, request).await };
    let Some(sender) = lease.sender() else { return Err(Reason::BackendClosed) };
    conn.core.metrics.reuses.add(1);
    conn.wait_for_response();
    conn.notes.keep_again(None);
    match conn.race(pin!(sender.try_send_request(request))).await? {
        Ok(response) => Ok((response, lease)),
        Err(error) => {
            drop(lease);
            send_on_new(conn, way, once_more(conn, error)?).await
        }
    }
}
