//! One exchange: a request's head comes in, a decision is asked for and carried out, a response's head goes
//! back. The bodies stream past this; see `body`.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use super::body::{Gate, RequestBody, ResponseBody};
use super::conn::{Conn, ExchangeLimits};
use super::connect::Lease;
use super::core::{Backend, Config};
use super::local;
use super::target::{self, Head};
use crate::config::RouteEntry;
use crate::decide::{Decision, LocalReply, Plan, decide};
use crate::headers::{self, Seen};
use crate::reason::Reason;

/// How long a body waits for the backend's "100 Continue", when the client asked for one. A backend that does
/// not know the expectation waits for the body.
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// What a request needs to be sent once more: only where that does no harm.
struct Again {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

/// Answers a request. The answer may be a failure, but there always is one. An `ambiguous` one has two framings.
pub(super) async fn run(
    conn: Rc<Conn>,
    request: Request<Incoming>,
    ambiguous: bool,
) -> Result<Response<ResponseBody>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let turn = conn.begin(&parts.method, &parts.uri, !body.is_end_stream());
    if ambiguous {
        return Ok(local::failure(&conn, turn, Reason::BadRequest));
    }
    let version = parts.version;
    let (config, plan, seen) = match receive(&conn, turn, &mut parts, &body) {
        Ok(received) => received,
        Err(response) => return Ok(*response),
    };
    let Some(route) = config.route(plan.route) else {
        return Ok(local::failure(&conn, turn, Reason::NoRoute));
    };
    let gate = gate(&parts.headers, seen, version);
    let path = plan.path.as_deref();
    if prepare(&conn, &mut parts, seen, route, path, &plan.backend).is_err() {
        return Ok(local::failure(&conn, turn, Reason::BadRequest));
    }
    let body = RequestBody::new(body, &conn, turn, gate.clone());
    let mut request = Request::from_parts(parts, body);
    if let Some(gate) = gate {
        keep_back(&mut request, &gate);
    }
    let limits = ExchangeLimits {
        first_byte: millis(plan.timeouts.first_byte),
        total: plan.timeouts.total.map(millis),
        idle: millis(plan.timeouts.idle),
    };
    conn.forward(&plan.backend, limits);
    let failed = match conn.race(send(&conn, &plan, request)).await {
        Ok(Ok((response, lease))) => match pass_on(&conn, turn, route, response, lease) {
            Ok(response) => return Ok(response),
            Err(reason) => reason,
        },
        Ok(Err(reason)) | Err(reason) => reason,
    };
    // A body that was too large shows first as a failure of the backend's connection.
    let reason = conn.failure().unwrap_or(failed);
    Ok(local::failure(&conn, turn, reason))
}

type Received = (Config, Plan<Backend>, Seen);

/// Looks at the head and asks for a decision. The error is the gateway's own answer.
fn receive(
    conn: &Rc<Conn>,
    turn: u32,
    parts: &mut Parts,
    body: &Incoming,
) -> Result<Received, Box<Response<ResponseBody>>> {
    let fail = |reason| Box::new(local::failure(conn, turn, reason));
    let mut seen = Seen::of(&parts.headers);
    conn.note_host(parts.headers.get(HOST).cloned());
    target::admit(parts, &mut seen).map_err(fail)?;
    if seen.transfer_encoding && !headers::is_plain_chunked(&parts.headers) {
        return Err(fail(Reason::Unsupported));
    }
    if conn.core.limits.max_body_bytes.is_some_and(|max| body.size_hint().lower() > max) {
        return Err(fail(Reason::BodyTooLarge));
    }
    if parts.uri.path() == "*" {
        // It asks about the server itself, not about a resource.
        return Err(Box::new(local::plain(conn, turn, StatusCode::NO_CONTENT, Bytes::new())));
    }
    let config = conn.core.config();
    let host = target::host(&parts.headers).map_err(fail)?;
    let head = Head { parts, host: &host.name };
    let decision = decide(
        &config,
        &head,
        host.port,
        &mut conn.core.targets.borrow_mut(),
        &mut *conn.core.upstreams.borrow_mut(),
    );
    match decision {
        Decision::Forward(plan) => {
            conn.note_route(&config, plan.route);
            Ok((config, plan, seen))
        }
        Decision::Respond(reply) => Err(Box::new(answer(conn, turn, &config, reply))),
    }
}

fn answer(conn: &Rc<Conn>, turn: u32, config: &Config, reply: LocalReply) -> Response<ResponseBody> {
    match reply {
        LocalReply::Failure { reason, route } => {
            if let Some(route) = route {
                conn.note_route(config, route);
            }
            local::failure(conn, turn, reason)
        }
        LocalReply::Redirect { status, location, route } => {
            conn.note_route(config, route);
            let mut response = local::redirect(conn, turn, status, location);
            if let Some(entry) = config.route(route) {
                headers::edit(response.headers_mut(), entry.response_headers());
            }
            response
        }
    }
}

/// Makes the request that the backend sees, in place.
fn prepare(
    conn: &Conn,
    parts: &mut Parts,
    seen: Seen,
    route: &RouteEntry,
    path: Option<&str>,
    backend: &Backend,
) -> Result<(), Reason> {
    let host = parts.headers.get(HOST).cloned();
    headers::strip_request(&mut parts.headers, seen);
    headers::announce_request(&mut parts.headers, seen, &conn.client, host.as_ref(), parts.version);
    if let Some(host) = route.rewrite_host() {
        parts.headers.insert(HOST, host.clone());
    } else if host.is_none() {
        // An HTTP/1.0 client without one; towards the backend we speak 1.1.
        let address = HeaderValue::from_str(backend.text()).map_err(|_| Reason::BadRequest)?;
        parts.headers.insert(HOST, address);
    }
    headers::edit(&mut parts.headers, route.request_headers());
    if let Some(path) = path {
        parts.uri = Uri::try_from(path).map_err(|_| Reason::BadRequest)?;
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    Ok(())
}

/// The client asked whether to send its body.
fn gate(headers: &HeaderMap, seen: Seen, version: Version) -> Option<Arc<Gate>> {
    let asks = seen.expect
        && version != Version::HTTP_10
        && headers.get(EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    asks.then(Arc::default)
}

/// Asks the backend in turn, and lets the body go when it says so, or says nothing for a while.
fn keep_back(request: &mut Request<RequestBody>, gate: &Arc<Gate>) {
    let opener = Arc::clone(gate);
    hyper::ext::on_informational(request, move |response| {
        if response.status() == StatusCode::CONTINUE {
            opener.open();
        }
    });
    let late = Arc::clone(gate);
    // Ends by itself; nobody waits for it.
    tokio::task::spawn_local(async move {
        tokio::time::sleep(CONTINUE_PATIENCE).await;
        late.open();
    });
}

/// Sends the request on an open connection or a new one. Where the open one turns out to be closed, the
/// request is sent once more, if hyper hands it back untouched, or if it is idempotent and has no body.
async fn send(
    conn: &Rc<Conn>,
    plan: &Plan<Backend>,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Lease), Reason> {
    let core = &conn.core;
    let (request, lease) = match Lease::reuse(&plan.backend) {
        None => (request, None),
        Some(mut lease) => {
            let again = Again::of(&request);
            let Some(sender) = lease.sender() else { return Err(Reason::BackendClosed) };
            core.metrics.reuses.add(1);
            let mut error = match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, lease)),
                Err(error) => error,
            };
            let untouched = error.take_message();
            let error = error.into_error();
            let once_more = match untouched {
                Some(request) => Some(request),
                None if may_be_stale(&error) => again.map(Again::into_request),
                None => None,
            };
            core.metrics.retries.add(u64::from(once_more.is_some()));
            (once_more.ok_or_else(|| reason_of(&error))?, None::<Lease>)
        }
    };
    debug_assert!(lease.is_none(), "a failed connection is not used again");
    let mut lease = Lease::open(&plan.backend, core, plan.connect_timeout).await?;
    let Some(sender) = lease.sender() else { return Err(Reason::BackendClosed) };
    let response = sender.try_send_request(request).await.map_err(|e| reason_of(&e.into_error()))?;
    Ok((response, lease))
}

impl Again {
    fn of(request: &Request<RequestBody>) -> Option<Self> {
        let harmless = request.method().is_idempotent() && matches!(request.body(), RequestBody::Empty);
        harmless.then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        })
    }

    fn into_request(self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

/// Whether a backend that closed an idle connection explains the failure: then nothing of a response came.
fn may_be_stale(error: &hyper::Error) -> bool {
    !error.is_parse() && !error.is_user()
}

fn reason_of(error: &hyper::Error) -> Reason {
    if error.is_parse() { Reason::BackendProtocol } else { Reason::BackendClosed }
}

/// Makes the response that the client sees.
fn pass_on(
    conn: &Rc<Conn>,
    turn: u32,
    route: &RouteEntry,
    response: Response<Incoming>,
    lease: Lease,
) -> Result<Response<ResponseBody>, Reason> {
    let (mut parts, body) = response.into_parts();
    let seen = Seen::of(&parts.headers);
    let odd_coding = seen.transfer_encoding && !headers::is_plain_chunked(&parts.headers);
    if parts.status.is_informational() || odd_coding {
        return Err(Reason::BackendProtocol);
    }
    headers::strip_response(&mut parts.headers, seen);
    if seen.content_length {
        // Several equal ones were let through; one goes on.
        let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
        if let (Some(one), Some(_)) = (lengths.next().cloned(), lengths.next()) {
            parts.headers.insert(CONTENT_LENGTH, one);
        }
    }
    headers::announce(&mut parts.headers, parts.version);
    headers::edit(&mut parts.headers, route.response_headers());
    parts.version = Version::HTTP_11;
    conn.respond(parts.status, true);
    Ok(Response::from_parts(parts, ResponseBody::backend(body, lease, conn, turn)))
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
