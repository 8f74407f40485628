//! Why the gateway answered by itself, or why an exchange did not end well. The codes are stable: they stand
//! in the header `x-hotswap-reason`, in the access log and in `gateway_requests_failed_total`.

use hotswap_h1::Refused;
use http::StatusCode;

use crate::backend_state::Outcome;

macro_rules! reasons {
    ($( #[doc = $meaning:literal] $variant:ident = $code:literal, $status:expr, $text:literal, $remedy:literal; )*) => {
        /// A reason; each has a code, a status and a line for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Reason {
            $( #[doc = $meaning] $variant, )*
        }

        impl Reason {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Self] = &[$( Self::$variant, )*];

            /// The stable code, as "NO_ROUTE".
            pub const fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// The status that the client gets, where it still can get one.
            pub const fn status(self) -> StatusCode {
                match self { $( Self::$variant => $status, )* }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$variant => $meaning.trim_ascii(), )* }
            }

            /// What to do about it, in a sentence.
            pub const fn remedy(self) -> &'static str {
                match self { $( Self::$variant => $remedy, )* }
            }

            /// The body of the answer: one line, nothing of the inside.
            pub const fn text(self) -> &'static str {
                match self { $( Self::$variant => concat!($text, "\n"), )* }
            }
        }
    };
}

reasons! {
    /// The head breaks the rules of HTTP.
    BadRequest = "BAD_REQUEST", StatusCode::BAD_REQUEST, "the request is malformed",
        "Mend the client; the gateway takes nothing that two readers could read differently.";
    /// The path has a "." or ".." segment, plain or percent-encoded.
    BadPath = "BAD_PATH", StatusCode::BAD_REQUEST, "the path has a dot segment",
        "Send the path without `.` and `..` segments.";
    /// The target is longer than the gateway reads.
    UriTooLong = "URI_TOO_LONG", StatusCode::URI_TOO_LONG, "the request target is too long",
        "Send less in the target, as by moving the query into the body.";
    /// The head has more bytes or headers than allowed.
    HeadTooLarge = "HEAD_TOO_LARGE", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too large",
        "Send fewer or smaller headers, most often cookies; `--max-head-bytes` and `traffic.limits` of the route allow more.";
    /// The body has more bytes than allowed.
    BodyTooLarge = "BODY_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE, "the body is too large",
        "Send less; `--max-body-bytes` of the gateway and `traffic.limits` of the route allow more.";
    /// The request did not arrive in time: its head, or the rest of its body.
    ClientTimeout = "CLIENT_TIMEOUT", StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time",
        "Send the request at once; a slow network or a stalled client shows here.";
    /// The client did not take the response in time; only the log and the metrics see it.
    ClientStalled = "CLIENT_STALLED", StatusCode::REQUEST_TIMEOUT, "the client did not take the response in time",
        "Read the response faster; `timeouts.idle_ms` and `timeouts.total_ms` of the route allow more time.";
    /// The client spoke without TLS where the gateway expects it.
    TlsRequired = "TLS_REQUIRED", StatusCode::BAD_REQUEST, "this port takes HTTPS only",
        "Use https:// for this port, or the gateway's port without TLS.";
    /// The request asks for what the gateway does not do: CONNECT, a transfer coding other than chunked.
    Unsupported = "UNSUPPORTED", StatusCode::NOT_IMPLEMENTED, "the gateway does not support this",
        "Use another method or coding.";
    /// A client of HTTP/2 asked for another protocol, as WebSocket, which the route or the backend does not speak.
    NotSwitched = "NOT_SWITCHED", StatusCode::NOT_IMPLEMENTED, "the protocol that was asked for is not spoken here",
        "Name the protocol in `upgrades` of the route, whose pool must be one of HTTP/1.1, ask without a body, and look at what the backend answers.";
    /// The client's address is not one that the route takes requests from.
    AddressDenied = "ADDRESS_DENIED", StatusCode::FORBIDDEN, "this address may not send requests here",
        "Look at `traffic.access` of the route, and at whether `--trusted-proxies` names the proxies in front.";
    /// A page of another origin asks for what the route does not allow it.
    CorsDenied = "CORS_DENIED", StatusCode::FORBIDDEN, "this origin may not do this",
        "Look at `traffic.cors` of the route: origins, methods and headers must have what the browser asks for.";
    /// The request brings no token, and the route wants one.
    TokenMissing = "TOKEN_MISSING", StatusCode::UNAUTHORIZED, "a token is needed",
        "Send a token in Authorization, behind `Bearer`, or in the header that `traffic.jwt` of the route names.";
    /// The token that the request brings is of no use for the route.
    TokenInvalid = "TOKEN_INVALID", StatusCode::UNAUTHORIZED, "the token is not valid",
        "WWW-Authenticate says why; get a new token, or look at keys, issuer and audiences in `traffic.jwt` of the route.";
    /// The keys that tokens are verified by have never been fetched.
    KeysUnavailable = "KEYS_UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE, "tokens can't be verified yet",
        "Look at /config of the gateway's admin page, which says why the keys of `jwt.jwks_url` or `jwt.jwks_file` could not be fetched.";
    /// The rate limit of the fleet can't be asked, and the route refuses requests then.
    LimitUnavailable = "LIMIT_UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE, "the rate limit can't be asked",
        "Look at Redis and `--gateway-redis-url`; `traffic.rate_limit.fallback` of the route says what happens without it.";
    /// More requests came than the route's rate limit lets pass.
    RateLimited = "RATE_LIMITED", StatusCode::TOO_MANY_REQUESTS, "too many requests",
        "Wait as long as Retry-After says; `traffic.rate_limit` of the route allows more.";
    /// As many requests are under way as the route allows.
    ConcurrencyLimit = "CONCURRENCY_LIMIT", StatusCode::SERVICE_UNAVAILABLE, "too many requests are under way",
        "Wait as long as Retry-After says; look at why the backends are slow, or raise `traffic.concurrency` of the route.";
    /// The route lets a share of requests fail on purpose; the status is the one that it says.
    FaultInjected = "FAULT_INJECTED", StatusCode::SERVICE_UNAVAILABLE, "this request fails on purpose",
        "Take `traffic.fault` out of the route when the test is over.";
    /// No route takes the request.
    NoRoute = "NO_ROUTE", StatusCode::NOT_FOUND, "no route takes this request",
        "`hotswap explain URL` tells which routes came near, and by what they missed.";
    /// The gateway has no configuration yet.
    NoConfig = "NO_CONFIG", StatusCode::SERVICE_UNAVAILABLE, "the gateway has no configuration yet",
        "Look at whether the control plane is there: `/readyz` of the gateway says what it waits for.";
    /// The route's pool does not exist.
    PoolMissing = "POOL_MISSING", StatusCode::SERVICE_UNAVAILABLE, "the route has no pool",
        "`hotswap fleet describe` tells what the gateway refuses; the pool is likely among it.";
    /// The pool has no backend that may take requests: none at all, or only drained ones and those of weight 0.
    NoBackend = "NO_BACKEND", StatusCode::SERVICE_UNAVAILABLE, "no backend takes requests",
        "Add a backend to the pool, give one a weight above 0, or enable one: `hotswap backend enable POOL ADDRESS`.";
    /// The pool has backends, but none is healthy, with a breaker that is closed.
    NoHealthyBackend = "NO_HEALTHY_BACKEND", StatusCode::SERVICE_UNAVAILABLE, "no backend is healthy",
        "`/backends` on the gateway's admin address tells what is the matter with each; look at those backends.";
    /// The route's pool wants what the gateway's engine does not do: HTTP/2 or TLS to backends, with the engine on hyper.
    PoolUnsupported = "POOL_UNSUPPORTED", StatusCode::NOT_IMPLEMENTED, "the gateway does not speak the backend's protocol",
        "Let the gateway use its own engine (`--gateway-engine own`), or change `protocol` and `tls` of the pool.";
    /// No connection to the backend could be opened.
    ConnectFailed = "CONNECT_FAILED", StatusCode::BAD_GATEWAY, "the backend can't be reached",
        "Look at whether the backend runs and listens at the address in the pool.";
    /// The gateway could not begin a connection to the backend: it has no file descriptor or no local port left.
    NoSocket = "NO_SOCKET", StatusCode::SERVICE_UNAVAILABLE, "the gateway can't open more connections",
        "Let the gateway open more files (`ulimit -n`, `LimitNOFILE`) or take fewer clients (`--gateway-max-connections`); where ports are short, add backends or let them keep connections open.";
    /// No session of TLS with the backend came about.
    BackendTls = "BACKEND_TLS", StatusCode::BAD_GATEWAY, "the backend's TLS can't be used",
        "Compare `tls` of the pool with the backend's certificate, and with what the gateway has in `--backend-tls-dir`; its log and its page `/pools` say what is wrong.";
    /// The backend closed the connection before the head of its response.
    BackendClosed = "BACKEND_CLOSED", StatusCode::BAD_GATEWAY, "the backend closed the connection",
        "Look into the backend's log; where it closes idle connections early, let it wait longer.";
    /// What the backend sent is not of the pool's protocol.
    BackendProtocol = "BACKEND_PROTOCOL", StatusCode::BAD_GATEWAY, "the backend's response is malformed",
        "Look at what the backend sends: it must be what `protocol` of the pool says.";
    /// No connection to the backend was open in time.
    ConnectTimeout = "CONNECT_TIMEOUT", StatusCode::GATEWAY_TIMEOUT, "the backend can't be reached in time",
        "Look at the network to the backend; `connect_timeout_ms` of the pool allows more time.";
    /// The head of the response did not come in time.
    FirstByteTimeout = "FIRST_BYTE_TIMEOUT", StatusCode::GATEWAY_TIMEOUT, "the backend did not answer in time",
        "Look at why the backend is slow; `timeouts.first_byte_ms` of the route allows more time.";
    /// The whole exchange took too long.
    TotalTimeout = "TOTAL_TIMEOUT", StatusCode::GATEWAY_TIMEOUT, "the exchange took too long",
        "Look at why it takes so long; `timeouts.total_ms` of the route allows more time.";
    /// The caller's own deadline has passed: a call of gRPC says how long it waits.
    DeadlinePassed = "DEADLINE_PASSED", StatusCode::GATEWAY_TIMEOUT, "the caller's deadline has passed",
        "Look at why the backend is slow, or let the caller wait longer.";
    /// A body stood still for too long.
    IdleTimeout = "IDLE_TIMEOUT", StatusCode::GATEWAY_TIMEOUT, "the exchange stood still for too long",
        "Look at which side stalls; `timeouts.idle_ms` of the route allows more time.";
    /// Nothing moved for too long where a client had switched to another protocol, as WebSocket, or its backend took nothing.
    UpgradeIdle = "UPGRADE_IDLE", StatusCode::REQUEST_TIMEOUT, "the connection stood still for too long",
        "Let one side send something now and then, as a ping, and look at whether the backend reads; `timeouts.idle_ms` of the route allows more time.";
    /// The gateway stopped while a connection that had switched to another protocol, as WebSocket, was open.
    GatewayStopping = "GATEWAY_STOPPING", StatusCode::SERVICE_UNAVAILABLE, "the gateway stops",
        "Let the client connect again; `--drain-deadline-ms` lets the connections that are open stay for longer.";
    /// The backend cut its body short: the client's connection is cut as well.
    BackendCut = "BACKEND_CUT", StatusCode::BAD_GATEWAY, "the backend cut its response short",
        "Look into the backend's log: it closed before its body was whole.";
    /// The client went away before the end; only the log and the metrics see it.
    ClientGone = "CLIENT_GONE", StatusCode::BAD_REQUEST, "the client went away",
        "Nothing, unless there are many: then clients wait less long than backends take.";
}

impl Reason {
    /// Whether it says that the request itself may be other than it looks, or that nothing else can come on its connection:
    /// then that is not used again.
    pub const fn is_doubtful(self) -> bool {
        matches!(
            self,
            Self::BadRequest
                | Self::BadPath
                | Self::UriTooLong
                | Self::HeadTooLarge
                | Self::BodyTooLarge
                | Self::ClientTimeout
                | Self::ClientStalled
                | Self::ClientGone
                | Self::TlsRequired
        )
    }

    /// Whether it says nothing of the arm of a rollout that the request met: what the gateway lacks is nobody's doing, and
    /// any client can ask for a protocol that a backend does not know.
    pub const fn spares_arms(self) -> bool {
        matches!(self, Self::NoSocket | Self::NotSwitched)
    }

    /// What an exchange that ended so says of its backend.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::ConnectFailed | Self::ConnectTimeout | Self::BackendTls => Outcome::Unreachable,
            Self::BackendClosed
            | Self::BackendProtocol
            | Self::BackendCut
            | Self::FirstByteTimeout
            | Self::TotalTimeout => Outcome::NoAnswer,
            // A body that stands still may be either side's doing, and how long a caller waits is its own.
            Self::IdleTimeout
            | Self::DeadlinePassed
            | Self::UpgradeIdle
            | Self::GatewayStopping
            // What the gateway lacks is not the backend's.
            | Self::NoSocket
            | Self::ClientGone
            | Self::ClientTimeout
            | Self::ClientStalled
            | Self::BadRequest
            | Self::BadPath
            | Self::TlsRequired
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::Unsupported
            | Self::NotSwitched
            | Self::AddressDenied
            | Self::CorsDenied
            | Self::TokenMissing
            | Self::TokenInvalid
            | Self::KeysUnavailable
            | Self::RateLimited
            | Self::LimitUnavailable
            | Self::ConcurrencyLimit
            | Self::FaultInjected
            | Self::NoRoute
            | Self::NoConfig
            | Self::PoolMissing
            | Self::PoolUnsupported
            | Self::NoBackend
            | Self::NoHealthyBackend => Outcome::Unknown,
        }
    }
}

impl From<Refused> for Reason {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed => Self::BadRequest,
            Refused::TargetTooLong => Self::UriTooLong,
            Refused::HeadTooLarge => Self::HeadTooLarge,
            Refused::Unsupported => Self::Unsupported,
        }
    }
}

/// The header that carries the code.
pub const HEADER: http::HeaderName = http::HeaderName::from_static("x-hotswap-reason");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_their_index_is_their_place() {
        for (i, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, i);
            assert_eq!(Reason::ALL.iter().filter(|r| r.code() == reason.code()).count(), 1);
            assert!(reason.meaning().ends_with('.') && !reason.meaning().contains(['|', '\n']), "{reason:?}");
            assert!(reason.remedy().ends_with('.') && !reason.remedy().contains(['|', '\n']), "{reason:?}");
            assert!(reason.text().ends_with('\n') && reason.status().as_u16() >= 400);
        }
    }
}
