//! The layer around every call: token, role, request id, metrics, one log line for a failure.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hotswap_audit::Attempts;
use hotswap_auth::{Access, AuthError, OpContext, Principal, Row, Verifier, authorize, row};
use hotswap_core::{Clock, Ids, Reason, Timestamp};
use hotswap_telemetry::GrpcMetrics;
use http::{HeaderMap, HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use crate::audit::caller;
use crate::expiry::ExpiringBody;
use crate::{WireError, answer, span};

const REQUEST_ID: &str = "x-request-id";

/// Lets a call pass when its token and the permission table say so; cheap to clone.
#[derive(Clone)]
pub struct AuthLayer {
    state: Arc<State>,
    attempts: Option<Attempts>,
}

struct State {
    verifier: Verifier,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    metrics: GrpcMetrics,
}

impl AuthLayer {
    /// A layer that verifies tokens with `verifier` and counts calls in `metrics`.
    pub fn new(verifier: Verifier, clock: Arc<dyn Clock>, ids: Arc<dyn Ids>, metrics: GrpcMetrics) -> Self {
        Self { state: Arc::new(State { verifier, clock, ids, metrics }), attempts: None }
    }

    /// The same, which tells the audit log of calls that it denies.
    pub fn recording(self, attempts: Attempts) -> Self {
        Self { attempts: Some(attempts), ..self }
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AuthService { inner, state: Arc::clone(&self.state), attempts: self.attempts.clone() }
    }
}

/// A service behind [`AuthLayer`].
#[derive(Clone)]
pub struct AuthService<S> {
    inner: S,
    state: Arc<State>,
    attempts: Option<Attempts>,
}

impl<S> Service<Request<Body>> for AuthService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let state = Arc::clone(&self.state);
        let started = Instant::now();
        let request_id = request_id(request.headers()).unwrap_or_else(|| state.ids.uuid());
        let row = row(request.uri().path());
        // Paths that are no RPC share one name: callers must not choose how many there are.
        let label = row.map_or("/unknown", |row| row.path);
        let span = span::server(label, request.headers(), request_id);
        let attempts = self.attempts.clone();
        let admitted = state.admit(&request, row, label, request_id).map_err(|denied| {
            if let Some(attempts) = &attempts {
                denied.note(attempts, label, request_id, source(&request));
            }
            refusal(&denied.error)
        });
        // The service that was polled ready is the one to call; its clone takes its place.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let call = async move {
            let (mut response, failed) = match admitted {
                Ok(None) => reasoned(inner.call(request).await?, row),
                Ok(Some(context)) => {
                    request.extensions_mut().insert(context.clone());
                    let (response, failed) = reasoned(inner.call(request).await?, row);
                    if let (Some(attempts), Some(failed)) = (&attempts, &failed) {
                        answer::note(attempts, &context, row, failed);
                    }
                    (state.bounded(response, context.principal.expires), failed)
                }
                Err(error) => {
                    let status = Status::from(error);
                    (status.clone().into_http(), Some(status))
                }
            };
            let code = failed.map_or(Code::Ok, |status| status.code());
            state.close(label, request_id, started, code, &mut response);
            Ok(response)
        };
        Box::pin(call.instrument(span))
    }
}

impl State {
    /// Who calls, where the RPC asks for that.
    fn admit(
        &self,
        request: &Request<Body>,
        row: Option<&Row>,
        label: &'static str,
        request_id: Uuid,
    ) -> Result<Option<OpContext>, Denied> {
        if row.is_some_and(|r| r.access == Access::Open) {
            return Ok(None);
        }
        let token = bearer(request.headers()).ok_or(AuthError::TokenMissing)?;
        let principal = self.verifier.verify(token, self.clock.now())?;
        // A path without a row is no RPC of ours: the router behind answers UNIMPLEMENTED.
        if let Some(row) = row
            && let Err(error) = authorize(&principal, row)
        {
            return Err(Denied { error, principal: Some(principal) });
        }
        Ok(Some(OpContext::new(principal, request_id, label, source(request))))
    }

    /// The response, ended with the token.
    fn bounded(&self, response: Response<Body>, expires: Timestamp) -> Response<Body> {
        let left = u64::try_from(expires.0.saturating_sub(self.clock.now().0)).unwrap_or(0);
        let over = Status::from(refusal(&AuthError::TokenExpired));
        response.map(|body| Body::new(ExpiringBody::new(body, Duration::from_micros(left), over)))
    }

    fn close(
        &self,
        label: &str,
        request_id: Uuid,
        started: Instant,
        code: Code,
        response: &mut Response<Body>,
    ) {
        if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        span::close(&Span::current(), code);
        self.metrics.observe(label, code_name(code), started.elapsed().as_secs_f64());
        if code != Code::Ok {
            tracing::info!(code = code_name(code), "call failed");
        }
    }
}

/// An answer, and the error that it is, if it is one. Every error has a reason from here on.
fn reasoned(response: Response<Body>, row: Option<&Row>) -> (Response<Body>, Option<Status>) {
    let Some(status) = answer::error_of(&response) else { return (response, None) };
    match answer::completed(&status, row) {
        Some(completed) => (completed.clone().into_http(), Some(completed)),
        None => (response, Some(status)),
    }
}

/// A call that is not let through.
struct Denied {
    error: AuthError,
    /// Who called, where that is known.
    principal: Option<Principal>,
}

impl From<AuthError> for Denied {
    fn from(error: AuthError) -> Self {
        Self { error, principal: None }
    }
}

impl Denied {
    fn note(&self, attempts: &Attempts, method: &str, request_id: Uuid, source: Option<SocketAddr>) {
        attempts.denied(caller(self.principal.as_ref(), method, request_id, source), self.error.reason());
    }
}

fn source(request: &Request<Body>) -> Option<SocketAddr> {
    request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr)
}

fn refusal(error: &AuthError) -> WireError {
    WireError::new(error.reason(), error.to_string())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn request_id(headers: &HeaderMap) -> Option<Uuid> {
    headers.get(REQUEST_ID)?.to_str().ok()?.parse().ok()
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

/// The context that [`AuthLayer`] put on a request.
///
/// # Errors
/// INTERNAL where the service is not behind the layer.
pub fn op_context<T>(request: &tonic::Request<T>) -> Result<OpContext, Status> {
    request.extensions().get::<OpContext>().cloned().ok_or_else(|| {
        Status::from(WireError::new(Reason::Internal, "the call did not pass the authorization layer"))
    })
}
