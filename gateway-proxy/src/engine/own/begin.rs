//! From the bytes of a head to an exchange: read it, ask for a decision, make the request that the backend sees,
//! and send it, all in one turn where the head came whole and a connection is open.

use std::task::Context;

use hotswap_h1::framing::{self, Framing};
use hotswap_h1::{Announced, Head, Known};
use hotswap_matcher::{HeadSize, parse_host};
use http::{HeaderValue, StatusCode};

use super::backend;
use super::client::{Client, Step};
use super::edit;
use super::exchange::Exchange;
use super::front::Front;
use super::reply::Reply;
use super::upload::Bounds;
use super::wire;
use super::wish::Wish;
use crate::config::RouteEntry;
use crate::decide::{Decision, LocalReply, Plan, decide};
use crate::engine::entry::{self, Entered, Instead};
use crate::engine::limits::ExchangeLimits;
use crate::engine::own::core::Backend;
use crate::engine::retry::{Later, Tries};
use crate::engine::shadow::Copied;
use crate::engine::shared::Config;
use crate::grpc;
use crate::reason::Reason;
use crate::trace::{Recording, TRACEPARENT};

/// A request's head as the matcher looks at it.
pub(in crate::engine) struct Asked<'a> {
    pub(in crate::engine) head: &'a Head,
    pub(in crate::engine) host: &'a str,
}

impl hotswap_matcher::RequestHead for Asked<'_> {
    fn method(&self) -> &str {
        self.head.method()
    }

    fn host(&self) -> &str {
        self.host
    }

    fn path(&self) -> &str {
        self.head.path()
    }

    fn query(&self) -> Option<&str> {
        self.head.query()
    }

    fn header(&self, name: &http::HeaderName, visit: &mut dyn FnMut(&[u8])) {
        self.head.named(name.as_str()).for_each(visit);
    }

    fn size(&self) -> HeadSize {
        HeadSize { bytes: self.head.size(), headers: self.head.len() }
    }
}

/// A decision that leads to a backend, and the copy that goes to a candidate.
type Planned = (Config, Plan<Backend>, Option<Box<Copied>>);

impl<F: Front> Client<F> {
    /// Begins an exchange. `rest` is what came behind the head; returns how much of it belongs to the body.
    pub(super) fn begin(&mut self, cx: &mut Context<'_>, head: Head, rest: &mut [u8]) -> (Step, usize) {
        (self.old, self.to_head) = (head.is_old(), head.method() == "HEAD");
        self.keep_alive = F::lasts(&head);
        let framing = framing::of_request(&head).map_err(Reason::from);
        self.track.begin(head);
        let planned = framing.map_err(Reply::Failure).and_then(|framing| self.plan(framing));
        match planned {
            Ok((config, plan, copy)) => {
                let framing = framing.unwrap_or(Framing::None);
                self.send_request(cx, &config, (plan, copy), framing, rest)
            }
            Err(reply) => {
                let (unread, used) = leave_body(&reply, framing, rest);
                (self.reply(cx, reply, unread), used)
            }
        }
    }

    /// Looks at the head and asks for a decision. The error is the gateway's own answer.
    fn plan(&mut self, framing: Framing) -> Result<Planned, Reply> {
        let core = self.core();
        let head = self.track.head().ok_or(Reply::Failure(Reason::BadRequest))?;
        if head.method() == "CONNECT" {
            return Err(Reply::Failure(Reason::Unsupported));
        }
        let most = core.limits.max_body_bytes.unwrap_or(u64::MAX);
        if matches!(framing, Framing::Length(length) if length > most) {
            return Err(Reply::Failure(Reason::BodyTooLarge));
        }
        let host = std::str::from_utf8(head.host().unwrap_or_default()).ok().and_then(parse_host);
        let host = host.ok_or(Reply::Failure(Reason::BadRequest))?;
        if let Some(instead) = self.peer.entered.instead {
            return Err(instead_of(instead, &host.name, head.target()));
        }
        if head.path() == "*" {
            // It asks about the server itself, not about a resource.
            return Err(Reply::Nothing);
        }
        let config = core.config();
        let stages = self.track.is_recorded().then(Recording::stages);
        let decision = decide(
            &config,
            &Asked { head, host: &host.name },
            &core.caller(host.port, &self.peer, stages.as_ref()),
            &mut core.targets.borrow_mut(),
            &mut *core.upstreams.borrow_mut(),
        );
        let copy = match &decision {
            Decision::Forward(plan) => core.copy_of(&config, plan, &host.name, &self.peer, |bytes| {
                head.write_request(None, bytes);
            }),
            Decision::Respond(_) => None,
        };
        if let (Some(stages), Some(recording)) = (&stages, self.track.recording()) {
            recording.decided(stages, decision.chosen().map(|backend| &**backend.text()));
        }
        match decision {
            Decision::Forward(mut plan) => {
                self.track.taken_by(&config, plan.route, plan.arms, plan.admitted.take());
                Ok((config, plan, copy))
            }
            Decision::Respond(LocalReply::Failure { reason, route, arms, admitted }) => {
                if let Some(route) = route {
                    self.track.taken_by(&config, route, arms, admitted);
                }
                Err(Reply::Failure(reason))
            }
            Decision::Respond(LocalReply::Nothing { route, arms, admitted }) => {
                self.track.taken_by(&config, route, arms, admitted);
                Err(Reply::Nothing)
            }
            Decision::Respond(LocalReply::Redirect { status, location, route, arms, admitted }) => {
                self.track.taken_by(&config, route, arms, admitted);
                Err(Reply::Redirect(status, location))
            }
        }
    }

    /// How large the body may be, and what may follow it.
    fn bounds(&self, most: Option<u64>) -> Bounds {
        Bounds { most, trailers: self.track.trailer_names(), all_but: self.track.all_trailers_but() }
    }

    /// Sends the request, or opens a connection for it.
    fn send_request(
        &mut self,
        cx: &mut Context<'_>,
        config: &Config,
        (mut plan, copy): (Plan<Backend>, Option<Box<Copied>>),
        framing: Framing,
        rest: &mut [u8],
    ) -> (Step, usize) {
        let core = self.core();
        let traceparent = self.track.recording().and_then(Recording::sent);
        let (most, delay) = self.track.allowed(core.limits.max_body_bytes);
        let bounds = self.bounds(most);
        let is_call = self.track.is_call();
        let question = self.track.take_question();
        let (Some(route), Some(head)) = (config.route(plan.route), self.track.head_mut()) else {
            return (self.reply(cx, Reply::Failure(Reason::NoRoute), true), 0);
        };
        let Some(wish) = wish::<F>(head, route, framing, &plan.backend) else {
            return (self.reply(cx, Reply::Failure(Reason::NotSwitched), true), 0);
        };
        let tries = Tries::of(config, &plan, head.method(), is_call);
        let per_try = tries.as_ref().and_then(Tries::per_try_ms);
        let read = (framing, reads::<F>(framing, &plan.backend));
        let mut exchange = Exchange::new(head, &mut plan, read, bounds, tries);
        exchange.copy = copy;
        exchange.later = Later::of(config, &plan);
        exchange.asking = question.map(|question| core.ask(question));
        if let Some(traceparent) = traceparent {
            head.set(&TRACEPARENT, traceparent.as_bytes());
        }
        exchange.wish = wish;
        prepare(head, route, plan.backend.text(), (&self.address, &self.peer.entered));
        let limits = limits(&plan, per_try, head, is_call);
        if let Some(wish) = &mut exchange.wish {
            wish.ask(head, &mut core.dice.borrow_mut());
        }
        // Behind that: a client can't have it taken out by naming it in Connection.
        self.track.edit_request();
        let Some(head) = self.track.head() else {
            return (self.reply(cx, Reply::Failure(Reason::NoRoute), true), 0);
        };
        let mut around = core.output.borrow_mut();
        around.clear();
        // To a backend of HTTP/2 it goes apart.
        exchange.write_anew(Some(head), &mut around.before);
        let head_len = around.before.len();
        self.track.keep_cookie(plan.set_cookie);
        self.track.forward(plan.in_flight.map(|in_flight| (&plan.backend, in_flight)), limits);
        let is_held = delay.is_some() || exchange.asking.is_some();
        if is_held {
            self.track.hold();
        }
        let taken = match exchange.upload.begin(rest, self.socket.told_end(), &mut around) {
            Ok(taken) => taken,
            Err(reason) => {
                drop(around);
                return (self.reply(cx, Reply::Failure(reason), true), 0);
            }
        };
        let data = self.track.received(rest.get(taken.from..taken.to).unwrap_or_default());
        exchange.keep([around.before.get(head_len..).unwrap_or_default(), data, &around.behind]);
        exchange.copy_body(data, &core);
        let pieces = wire::pieces(&mut around, data);
        let step = if is_held {
            exchange.send_later(pieces, delay, &core)
        } else {
            exchange.send_first(cx, pieces, &core)
        };
        drop(around);
        (self.go_on(exchange, step), taken.used)
    }

    /// Waits for what the exchange waits for when it has begun so.
    fn go_on(&mut self, exchange: Exchange, step: Step) -> Step {
        match step {
            Step::Exchange => exchange.arm(&mut self.track),
            _ => self.track.wait_for_connection(),
        }
        self.exchange = Some(exchange);
        step
    }
}

/// How a request's body is read that its head frames so. Where it comes and goes by HTTP/2 its end is told beside it, and
/// fields may follow whatever its length; that it is as long as was said, h2 sees to.
fn reads<F: Front>(framing: Framing, backend: &Backend) -> Framing {
    match framing {
        Framing::Length(1..) if !F::IN_TURN && backend::is_shared(backend) => Framing::UntilClose,
        framing => F::reads(framing),
    }
}

/// The wish to go on in another protocol, as far as it goes on, if there is one. `None`: the request can't do without.
fn wish<F: Front>(
    head: &Head,
    route: &RouteEntry,
    framing: Framing,
    backend: &Backend,
) -> Option<Option<Wish>> {
    // Backends of HTTP/2 have no other protocol to go on in.
    let wish = Wish::of(head, route, framing).filter(|_| !backend::is_shared(backend));
    // To a client of HTTP/2 any answer that is well would mean that the backend has switched.
    let can_do_without = F::IN_TURN || head.wanted_protocol().is_none();
    (wish.is_some() || can_do_without).then_some(wish)
}

/// The limits of an exchange. A call of gRPC may set itself a nearer one; the backend is told.
fn limits(plan: &Plan<Backend>, per_try: Option<u64>, head: &mut Head, is_call: bool) -> ExchangeLimits {
    let limits = ExchangeLimits { per_try, ..ExchangeLimits::of(&plan.timeouts) };
    if !is_call {
        return limits;
    }
    let limits = limits.until(grpc::timeout(head));
    if let Some(total) = limits.total {
        grpc::set_timeout(head, total);
    }
    limits
}

/// What every request of a connection gets that came in the wrong way.
fn instead_of(instead: Instead, host: &str, target: &str) -> Reply {
    match instead {
        Instead::Failure(reason) => Reply::Failure(reason),
        Instead::ToHttps(_) if host.is_empty() || !target.starts_with('/') => {
            Reply::Failure(Reason::BadRequest)
        }
        Instead::ToHttps(port) => HeaderValue::try_from(entry::with_tls(host, port, target))
            .map_or(Reply::Failure(Reason::BadRequest), |to| {
                Reply::Redirect(StatusCode::PERMANENT_REDIRECT, to)
            }),
    }
}

/// The body of a request that the gateway answers by itself: whether some of it is unread, and how much of what
/// came was its. A small one that has come already need not cost the connection; one whose head was doubtful
/// does.
fn leave_body(reply: &Reply, framing: Result<Framing, Reason>, rest: &[u8]) -> (bool, usize) {
    let doubtful = matches!(reply, Reply::Failure(reason) if reason.is_doubtful());
    match framing {
        Ok(Framing::None) if !doubtful => (false, 0),
        Ok(Framing::Length(length)) if !doubtful && length <= rest.len() as u64 => {
            (false, usize::try_from(length).unwrap_or(rest.len()))
        }
        _ => (true, rest.len()),
    }
}

/// Makes the request that the backend sees.
pub(in crate::engine) fn prepare(head: &mut Head, route: &RouteEntry, backend: &str, from: (&str, &Entered)) {
    let (client, entered) = from;
    head.strip_request();
    head.announce_request(Announced { client, scheme: entered.scheme() });
    if let Some(shown) = &entered.shown {
        head.push(Known::ClientCert.name(), shown.whole.as_bytes());
        head.push(Known::ForwardedClientCert.name(), shown.parts.as_bytes());
    }
    if let Some(host) = route.rewrite_host() {
        head.remove(Known::Host);
        head.push(Known::Host.name(), host.as_bytes());
    } else if !head.has(Known::Host) {
        // An HTTP/1.0 client without one; towards the backend we speak 1.1.
        head.push(Known::Host.name(), backend.as_bytes());
    }
    edit::apply(route.request_headers(), head);
}
