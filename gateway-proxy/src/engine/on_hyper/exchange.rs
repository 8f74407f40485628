//! One exchange: a request's head comes in, a decision is asked for and carried out, a response's head goes
//! back. The bodies stream past this; see `body`.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, HeaderMap, SET_COOKIE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::body::{Gate, RequestBody, ResponseBody};
use super::conn::Conn;
use super::connect::Lease;
use super::kept::Reader;
use super::local;
use super::retry;
use super::target::{self, Head};
use super::{Backend, Core};
use crate::backend_state::InFlight;
use crate::config::RouteEntry;
use crate::decide::{Decision, LocalReply, Plan, decide};
use crate::engine::limits::ExchangeLimits;
use crate::engine::retry::{Later, Tries};
use crate::engine::shadow::Copied;
use crate::engine::shared::{Asking, Config};
use crate::headers::{self, Seen};
use crate::reason::Reason;
use crate::trace::{Recording, TRACEPARENT};
use crate::traffic::Admitted;

/// How long a body waits for the backend's "100 Continue", when the client asked for one. A backend that does
/// not know the expectation waits for the body.
const CONTINUE_PATIENCE: Duration = Duration::from_secs(1);

/// What a request needs to be sent once more: only where that does no harm.
#[derive(Clone)]
pub(super) struct Again {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Option<Reader>,
    gate: Option<Arc<Gate>>,
}

/// An exchange whose request has been looked at. `W` waits for the response.
enum Begun<W> {
    /// The gateway answers by itself.
    Answered(Box<Response<ResponseBody>>),
    /// The request is out, on a connection that was open.
    Sent(W, Lease, Way),
    /// A connection must be opened first.
    Waiting(Box<Request<RequestBody>>, Way),
}

/// Where a request goes.
pub(super) struct Way {
    pub(super) turn: u32,
    pub(super) backend: Backend,
    pub(super) connect_timeout: Duration,
    /// It waits so long first, on purpose.
    pub(super) delay: Option<Duration>,
    /// The fleet is asked first whether it goes on.
    asking: RefCell<Option<Asking>>,
    /// Goes out when the request does: it has no body that would take it along.
    copy: RefCell<Option<Box<Copied>>>,
    /// Where it may have more than one try: those, and what each of them sends.
    pub(super) more: Option<Box<(Tries, Again)>>,
}

/// A response's head, and the connection that its body comes on; or why there is none.
pub(super) type Outcome = Result<(Response<Incoming>, Lease), Reason>;

/// What waiting for a response comes to.
type Sending = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

impl Way {
    /// The request goes on, and its copy with it.
    fn send_copy(&self, core: &Core) {
        self.copy.take().into_iter().for_each(|copy| core.send_copy(copy));
    }
}

/// Answers a request. The answer may be a failure, but there always is one.
///
/// hyper calls this as soon as it has read the head. All that needs no waiting is done at once, so that the
/// future, which hyper moves about, stays small.
pub(super) fn answer(
    conn: Rc<Conn>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> {
    let begun = begin(&conn, request);
    async move {
        let (mut outcome, way) = match begun {
            Begun::Answered(response) => return Ok(*response),
            Begun::Waiting(request, way) => (Box::pin(send_on_new(&conn, &way, *request)).await, way),
            Begun::Sent(waiting, lease, way) => match conn.race(pin!(waiting)).await {
                Ok(Ok(response)) => (Ok((response, lease)), way),
                Ok(Err(error)) => match once_more(&conn, error) {
                    Ok(request) => (Box::pin(send_on_new(&conn, &way, request)).await, way),
                    Err(reason) => (Err(reason), way),
                },
                Err(limit) => (Err(limit), way),
            },
        };
        let turn = way.turn;
        if way.more.is_some() && retry::failed(&outcome).is_some() {
            outcome = Box::pin(retry::again(&conn, way, outcome)).await;
        }
        let passed = outcome.and_then(|(response, lease)| pass_on(&conn, turn, response, lease));
        Ok(passed.unwrap_or_else(|reason| {
            // A body that was too large shows first as a failure of the backend's connection.
            local::failure(&conn, turn, conn.notes.reason().unwrap_or(reason))
        }))
    }
}

fn begin(conn: &Rc<Conn>, request: Request<Incoming>) -> Begun<impl Future<Output = Sending> + use<>> {
    let (mut parts, body) = request.into_parts();
    let ambiguous = parts.headers.contains_key(TRANSFER_ENCODING) && conn.has_two_framings(&parts.method);
    let turn = conn.begin(&parts, !body.is_end_stream());
    let fail = |reason| Begun::Answered(Box::new(local::failure(conn, turn, reason)));
    if ambiguous {
        return fail(Reason::BadRequest);
    }
    let (config, mut plan, seen, copy) = match receive(conn, turn, &mut parts, &body) {
        Ok(received) => received,
        Err(response) => return Begun::Answered(response),
    };
    let in_flight = match choose(conn, &config, &mut plan) {
        Ok(in_flight) => in_flight,
        Err(reason) => return fail(reason),
    };
    let Some(route) = config.route(plan.route) else { return fail(Reason::NoRoute) };
    let gate = gate(&parts.headers, seen, parts.version);
    if prepare(conn, &mut parts, seen, route, &plan).is_err() {
        return fail(Reason::BadRequest);
    }
    let tries = Tries::of(&config, &plan, parts.method.as_str(), false);
    // A body takes it along, and is read when the request goes on.
    let (with_body, alone) = if body.is_end_stream() { (None, copy) } else { (copy, None) };
    let mut body = RequestBody::new(body, conn, turn, gate.clone(), with_body);
    if let Some(tries) = &tries {
        body = body.kept(tries.most());
    }
    let mut request = Request::from_parts(parts, body);
    if let Some(gate) = &gate {
        keep_back(&mut request, gate);
    }
    conn.notes.keep_cookie(plan.set_cookie);
    let per_try = tries.as_ref().and_then(Tries::per_try_ms);
    let limits = ExchangeLimits { per_try, ..ExchangeLimits::of(&plan.timeouts) };
    conn.forward(&plan.backend, in_flight, limits);
    let more = tries.map(|tries| Box::new((tries, Again::kept(&request, gate))));
    let delay = conn.notes.with_admitted(Admitted::delay).flatten();
    let asking = conn.notes.take_question().map(|question| conn.core.ask(question));
    let is_held = delay.is_some() || asking.is_some();
    let (backend, connect_timeout) = (plan.backend, plan.connect_timeout);
    let (asking, copy) = (RefCell::new(asking), RefCell::new(alone));
    let way = Way { turn, backend, connect_timeout, delay, asking, copy, more };
    if way.asking.borrow().is_none() {
        way.send_copy(&conn.core);
    }
    let Some(mut lease) = Lease::reuse(&way.backend).filter(|_| !is_held) else {
        return Begun::Waiting(Box::new(request), way);
    };
    let Some(sender) = lease.sender() else { return fail(Reason::BackendClosed) };
    conn.core.metrics.reuses.add(1);
    conn.wait_for_response();
    conn.notes.keep_again(Again::of(&request));
    Begun::Sent(sender.try_send_request(request), lease, way)
}

/// The request, counted at its backend. This engine chooses it before a request waits on purpose, too.
fn choose(conn: &Conn, config: &Config, plan: &mut Plan<Backend>) -> Result<InFlight, Reason> {
    if let Some(in_flight) = plan.in_flight.take() {
        return Ok(in_flight);
    }
    let Some(later) = Later::of(config, plan) else { return Err(Reason::NoBackend) };
    let chosen = conn.core.choose_now(&later)?;
    (plan.backend, plan.place, plan.set_cookie) = (chosen.backend, chosen.place, chosen.set_cookie);
    Ok(chosen.in_flight)
}

/// With the copy that goes to a candidate.
type Received = (Config, Plan<Backend>, Seen, Option<Box<Copied>>);

/// Looks at the head and asks for a decision. The error is the gateway's own answer.
fn receive(
    conn: &Rc<Conn>,
    turn: u32,
    parts: &mut Parts,
    body: &Incoming,
) -> Result<Received, Box<Response<ResponseBody>>> {
    let fail = |reason| Box::new(local::failure(conn, turn, reason));
    let mut seen = Seen::of(&parts.headers);
    conn.notes.host(parts.headers.get(HOST).cloned());
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
    let stages = conn.notes.with_recording(|_| Recording::stages());
    let decision = decide(
        &config,
        &head,
        &conn.core.caller(host.port, &conn.peer, stages.as_ref()),
        &mut conn.core.targets.borrow_mut(),
        &mut *conn.core.upstreams.borrow_mut(),
    );
    if let Some(stages) = &stages {
        let backend = decision.chosen().map(|backend| &**backend.text());
        conn.notes.with_recording(|recording| recording.decided(stages, backend));
    }
    match decision {
        Decision::Forward(mut plan) => {
            let copy = conn.core.copy_of(&config, &plan, &host.name, &conn.peer, |bytes| {
                target::write(parts, bytes);
            });
            conn.notes.route(&config, plan.route, plan.arms, plan.admitted.take());
            Ok((config, plan, seen, copy))
        }
        Decision::Respond(reply) => Err(Box::new(reply_with(conn, turn, &config, reply))),
    }
}

fn reply_with(conn: &Rc<Conn>, turn: u32, config: &Config, reply: LocalReply) -> Response<ResponseBody> {
    match reply {
        LocalReply::Failure { reason, route, arms, admitted } => {
            if let Some(route) = route {
                conn.notes.route(config, route, arms, admitted);
            }
            local::failure(conn, turn, reason)
        }
        LocalReply::Nothing { route, arms, admitted } => {
            conn.notes.route(config, route, arms, admitted);
            local::plain(conn, turn, StatusCode::NO_CONTENT, Bytes::new())
        }
        LocalReply::Redirect { status, location, route, arms, admitted } => {
            conn.notes.route(config, route, arms, admitted);
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
    plan: &Plan<Backend>,
) -> Result<(), Reason> {
    let host = parts.headers.get(HOST).cloned();
    headers::strip_request(&mut parts.headers, seen);
    headers::announce_request(&mut parts.headers, seen, &conn.client, host.as_ref(), parts.version);
    if let Some(host) = route.rewrite_host() {
        parts.headers.insert(HOST, host.clone());
    } else if host.is_none() {
        // An HTTP/1.0 client without one; towards the backend we speak 1.1.
        let address = HeaderValue::from_str(plan.backend.text()).map_err(|_| Reason::BadRequest)?;
        parts.headers.insert(HOST, address);
    }
    if let Some(traceparent) = conn.notes.with_recording(Recording::sent).flatten() {
        parts.headers.insert(TRACEPARENT, traceparent);
    }
    headers::edit(&mut parts.headers, route.request_headers());
    conn.notes.with_admitted(|admitted| admitted.edit_request(&mut parts.headers));
    if let Some(path) = &plan.path {
        parts.uri = Uri::try_from(path.as_str()).map_err(|_| Reason::BadRequest)?;
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

/// Sends the request on a connection that is opened for it.
pub(super) async fn send_on_new(conn: &Rc<Conn>, way: &Way, request: Request<RequestBody>) -> Outcome {
    conn.wait_for_connection();
    let sent = async {
        let asking = way.asking.borrow_mut().take();
        if let Some(asking) = asking
            && let Some(reason) = conn.notes.learn(asking.await)
        {
            return Err(reason);
        }
        way.send_copy(&conn.core);
        if let Some(delay) = way.delay {
            tokio::time::sleep(delay).await;
        }
        let mut lease = Lease::open(&way.backend, &conn.core, way.connect_timeout).await?;
        let Some(sender) = lease.sender() else { return Err(Reason::BackendClosed) };
        conn.wait_for_response();
        let response = sender.try_send_request(request).await.map_err(|e| reason_of(&e.into_error()))?;
        Ok((response, lease))
    };
    conn.race(pin!(sent)).await?
}

/// A connection that was open turned out to be closed. The request is sent once more if hyper hands it back
/// untouched, or if it is idempotent and has no body.
pub(super) fn once_more(
    conn: &Conn,
    mut error: TrySendError<Request<RequestBody>>,
) -> Result<Request<RequestBody>, Reason> {
    let untouched = error.take_message();
    let error = error.into_error();
    let again = conn.notes.take_again().filter(|_| may_be_stale(&error));
    let request = untouched.or_else(|| again.map(Again::into_request)).ok_or_else(|| reason_of(&error))?;
    conn.core.metrics.retries.add(1);
    Ok(request)
}

impl Again {
    fn of(request: &Request<RequestBody>) -> Option<Self> {
        let harmless = request.method().is_idempotent() && matches!(request.body(), RequestBody::Empty);
        harmless.then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body: None,
            gate: None,
        })
    }

    /// Of a request that may have more than one try.
    fn kept(request: &Request<RequestBody>, gate: Option<Arc<Gate>>) -> Self {
        let body = match request.body() {
            RequestBody::Kept(reader) => Some(reader.again()),
            RequestBody::Empty | RequestBody::Client(_) => None,
        };
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { method, uri, headers: request.headers().clone(), body, gate }
    }

    /// Whether it can be sent: too much of its body may be gone.
    pub(super) fn is_whole(&self) -> bool {
        self.body.as_ref().is_none_or(Reader::is_whole)
    }

    pub(super) fn into_request(self) -> Request<RequestBody> {
        let mut request = Request::new(self.body.map_or(RequestBody::Empty, RequestBody::Kept));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        if let Some(gate) = &self.gate {
            keep_back(&mut request, gate);
        }
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
    if let Some(cookie) = conn.notes.take_cookie() {
        parts.headers.append(SET_COOKIE, cookie);
    }
    conn.notes.with_admitted(|admitted| admitted.edit_response(&mut parts.headers));
    conn.notes.with_route(|route| headers::edit(&mut parts.headers, route.response_headers()));
    parts.version = Version::HTTP_11;
    conn.respond(parts.status, true);
    Ok(Response::from_parts(parts, ResponseBody::backend(body, lease, conn, turn)))
}
