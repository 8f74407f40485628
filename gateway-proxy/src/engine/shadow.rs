//! Copies of requests for a candidate, or for the mirror of a route, whose answers nobody gets. A copy is made when its
//! request has been sent to its own backend as a whole, and has a connection and a time limit of its own: no client waits
//! for it. There are only so many at a time; beyond, copies are dropped and counted.

mod way;

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hotswap_h1::body::{Around, Pipe};
use hotswap_h1::framing;
use hotswap_h1::read::{self, HeadLimits};
use hotswap_h1::write::Coding;
use hotswap_h1::{Head, Known};
use hotswap_matcher::{Address, Arm, BackendProtocol};
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::dial;
use super::entry::Entered;
use super::once;
use super::own::{Socket, prepare, request_to};
use super::shared::{Config, Peer, Shared};
use crate::backend_state::{InFlight, Outcome};
use crate::decide::Plan;
use crate::reason::Reason;
use crate::rollout::Drawn;
use crate::tls::BackendFiles;
use crate::traffic::{COPY, CopyEnd};
use crate::upstream::Reusable;

/// Copies of one core that are under way at most, for candidates and for mirrors each.
const MOST: usize = 100;
/// What is kept of a body where the route says nothing about it, in bytes.
const MOST_BODY: usize = 64 * 1024;
/// A copy ends with this, whatever its route allows.
const LONGEST: Duration = Duration::from_secs(60);
/// Limits of heads: what was read once is read again, and what a backend answers.
const LIMITS: HeadLimits = HeadLimits { bytes: 1024 * 1024, headers: 1_000 };
/// Says to a candidate that nobody gets the answer. A mirror is told by [`COPY`].
const SHADOW: &str = "x-hotswap-shadow";

/// A request of which a copy is to go out, as it came.
#[derive(Debug)]
pub(super) struct Copied {
    config: Config,
    goals: Vec<Goal>,
    head: Vec<u8>,
    host: String,
    sender: IpAddr,
    entered: Entered,
    body: Vec<u8>,
    room: usize,
    /// A part of the body is not here.
    lost: bool,
}

/// A copy as it is sent.
enum Sent {
    /// As HTTP/1.1, the body included.
    Bytes(Vec<u8>),
    /// As HTTP/2.
    Apart(Box<Request<()>>, Bytes),
}

/// Where a copy goes.
#[derive(Clone, Debug)]
enum Goal {
    /// To a candidate.
    Candidate(Drawn),
    /// To the mirror of this route, with this path and query, if not with its own.
    Mirror(usize, Option<String>),
}

/// Copies of a core that are under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    to_candidates: Rc<Cell<usize>>,
    to_mirrors: Rc<Cell<usize>>,
}

/// A copy, ready to go.
struct Outgoing {
    sent: Sent,
    to_head: bool,
    address: Address,
    files: BackendFiles,
    connect_timeout: Duration,
    limit: Duration,
    in_flight: InFlight,
}

impl Sent {
    /// `None`: HTTP/2 has no such head.
    fn of(head: &Head, path: Option<&str>, body: &[u8], address: &Address) -> Option<Self> {
        Some(match address.protocol() {
            BackendProtocol::Http1 => {
                let mut bytes = Vec::with_capacity(head.lines().len() + 256 + body.len());
                head.write_request(path, &mut bytes);
                bytes.extend_from_slice(body);
                Self::Bytes(bytes)
            }
            BackendProtocol::Http2 => {
                let request = request_to(head, path, dial::scheme(address)).ok()?;
                Self::Apart(Box::new(request), Bytes::copy_from_slice(body))
            }
        })
    }
}

impl Copied {
    /// Keeps a piece of the body, while there is room.
    pub(super) fn keep(&mut self, piece: &[u8]) {
        match self.room.checked_sub(piece.len()) {
            Some(room) if !self.lost => {
                self.room = room;
                self.body.extend_from_slice(piece);
            }
            _ => self.lost = true,
        }
    }
}

impl Goal {
    /// Counts what came of a copy.
    fn count(&self, config: &Config, core: usize, failed: bool, took: Duration) {
        match self {
            Self::Candidate(drawn) => {
                if let Some(rollout) = config.rollout(drawn.rollout) {
                    rollout.tallies().count(core, Arm::Candidate, drawn.bucket.into(), failed, took);
                }
            }
            Self::Mirror(..) => self.note(config, if failed { CopyEnd::Failed } else { CopyEnd::Sent }),
        }
    }

    /// Notes the end of a copy for a mirror.
    fn note(&self, config: &Config, end: CopyEnd) {
        if let Self::Mirror(route, _) = self
            && let Some(traffic) = config.route(*route).and_then(|route| route.traffic())
        {
            traffic.state().copies().count(end);
        }
    }

    /// The header that tells what it is.
    fn mark(&self) -> &'static str {
        match self {
            Self::Candidate(_) => SHADOW,
            Self::Mirror(..) => COPY,
        }
    }
}

impl<C: Reusable + 'static> Shared<C> {
    /// The copy of a request, where one is to be made; `head` writes the head as it came.
    pub(super) fn copy_of<H>(
        &self,
        config: &Config,
        plan: &Plan<H>,
        host: &str,
        peer: &Peer,
        head: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Box<Copied>> {
        let drawn = plan.arms.iter().find(|drawn| drawn.shadow);
        let mirrored = plan.admitted.as_ref().is_some_and(|admitted| admitted.is_mirrored());
        if drawn.is_none() && !mirrored {
            return None;
        }
        let mirror = mirrored.then(|| Goal::Mirror(plan.route, plan.path.clone()));
        let retry = config.route(plan.route).and_then(|route| route.forward()?.retry);
        let mut bytes = Vec::new();
        head(&mut bytes);
        Some(Box::new(Copied {
            config: Rc::clone(config),
            goals: drawn.map(Goal::Candidate).into_iter().chain(mirror).collect(),
            head: bytes,
            host: host.to_owned(),
            sender: peer.ip,
            entered: peer.entered.clone(),
            body: Vec::new(),
            room: retry.map_or(MOST_BODY, |retry| retry.max_body_bytes),
            lost: false,
        }))
    }

    /// Sends copies of a request whose body is whole; nobody waits for them.
    pub(super) fn send_copy(&self, copied: Box<Copied>) {
        copied.goals.iter().for_each(|goal| self.send_to(goal, &copied));
    }

    fn send_to(&self, goal: &Goal, copied: &Copied) {
        let is_mirror = matches!(goal, Goal::Mirror(..));
        let UnderWay { to_candidates, to_mirrors } = &self.copies;
        let under_way = if is_mirror { to_mirrors } else { to_candidates };
        if copied.lost || under_way.get() >= MOST {
            goal.note(&copied.config, CopyEnd::Skipped);
            return self.metrics.copies_dropped.add(u64::from(!is_mirror));
        }
        let outgoing = match self.outgoing(goal, copied) {
            Ok(outgoing) => outgoing,
            Err(_) if is_mirror => return goal.note(&copied.config, CopyEnd::Skipped),
            Err(Some(failed)) => {
                self.metrics.copies.add(1);
                return goal.count(&copied.config, self.index, failed, Duration::ZERO);
            }
            // As it would be were the candidate live: the request is none of its.
            Err(None) => return,
        };
        self.metrics.copies.add(u64::from(!is_mirror));
        under_way.set(under_way.get() + 1);
        let (under_way, core) = (Rc::clone(under_way), self.index);
        let (goal, config) = (goal.clone(), Rc::clone(&copied.config));
        // Ends by its own limit, or with the core.
        tokio::task::spawn_local(async move {
            let ended = exchange(outgoing).await;
            under_way.set(under_way.get().saturating_sub(1));
            match ended {
                Some((failed, took)) => goal.count(&config, core, failed, took),
                None => goal.note(&config, CopyEnd::Skipped),
            }
        });
    }

    /// The request as the other backend gets it. The error: the gateway answers by itself, with a failure or not;
    /// `None`: it is not for that backend.
    fn outgoing(&self, goal: &Goal, copied: &Copied) -> Result<Outgoing, Option<bool>> {
        let mut head = Head::default();
        if !matches!(read::request(&copied.head, LIMITS, &mut head), Ok(Some(_))) {
            return Err(None);
        }
        let way = match goal {
            Goal::Candidate(drawn) => self.way_to_candidate(copied, *drawn, &head)?,
            Goal::Mirror(route, path) => self.way_to_mirror(copied, *route, path.clone(), &head)?,
        };
        let route = copied.config.route(way.route).ok_or(None)?;
        let client = copied.sender.to_canonical().to_string();
        prepare(&mut head, route, way.backend.text(), (&client, &copied.entered));
        way.admitted.iter().for_each(|admitted| admitted.edit_request(&mut head));
        frame(&mut head, copied.body.len());
        let told = match goal {
            Goal::Candidate(_) => b"1".to_vec(),
            Goal::Mirror(..) => self.mark.behind(head.named(COPY)),
        };
        head.remove_named(SHADOW.as_bytes());
        head.remove_named(COPY.as_bytes());
        head.push(goal.mark(), &told);
        head.push(Known::Connection.name(), b"close");
        let backend = way.backend.address();
        let sent = Sent::of(&head, way.path.as_deref(), &copied.body, backend).ok_or(None)?;
        Ok(Outgoing {
            sent,
            to_head: head.method() == "HEAD",
            address: way.backend.address().clone(),
            files: self.backend_tls.clone(),
            connect_timeout: way.connect_timeout,
            limit: way.timeouts.total.unwrap_or(LONGEST).min(LONGEST),
            in_flight: way.in_flight,
        })
    }
}

/// Says how long the body is, where there was one; all of it is here.
fn frame(head: &mut Head, body: usize) {
    let framed = head.has(Known::TransferEncoding) || head.has(Known::ContentLength);
    for known in [Known::Expect, Known::TransferEncoding, Known::ContentLength] {
        head.remove(known);
    }
    if framed {
        head.push(Known::ContentLength.name(), body.to_string().as_bytes());
    }
}

/// Sends a copy, and drops what comes. Whether it failed, and how long it took from its first byte on; `None`: the gateway
/// had no socket for it, which says nothing of the other backend.
async fn exchange(outgoing: Outgoing) -> Option<(bool, Duration)> {
    let Outgoing { sent, to_head, address, files, connect_timeout, limit, in_flight } = outgoing;
    let now = crate::backend_state::clock::now_ms;
    let opened = tokio::time::timeout(connect_timeout, dial::reach(&address, &files)).await;
    let began = Instant::now();
    let opened = opened.map_or(Err(Reason::ConnectTimeout), |reached| reached.map_err(|e| e.reason()));
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(reason) => {
            in_flight.report(reason.outcome(), now());
            return (reason != Reason::NoSocket).then_some((true, connect_timeout));
        }
    };
    let answered = async {
        match sent {
            Sent::Bytes(bytes) => {
                stream.write_all(&bytes).await.map_err(|_| Reason::BackendClosed)?;
                stream.flush().await.map_err(|_| Reason::BackendClosed)?;
                answer(&mut stream, to_head).await
            }
            Sent::Apart(request, body) => {
                let is_call = once::is_call(&request);
                let answered = once::ask(stream, *request, body, 0).await;
                answered.map(|answer| answer.outcome(is_call)).map_err(|_| Reason::BackendCut)
            }
        }
    };
    let found = tokio::time::timeout(limit, answered).await.unwrap_or(Err(Reason::TotalTimeout));
    let outcome = found.map_or_else(Reason::outcome, Outcome::Status);
    in_flight.report(outcome, now());
    Some((found.map_or(true, |status| status >= 500), began.elapsed()))
}

/// Reads a response to its end; its status.
async fn answer(stream: &mut Socket, to_head: bool) -> Result<u16, Reason> {
    let (mut came, mut head) = (Vec::new(), Head::default());
    let (status, mut body) = loop {
        match read::response(&came, LIMITS, &mut head).map_err(|_| Reason::BackendProtocol)? {
            Some(len) => {
                came.drain(..len);
                if !(100..200).contains(&head.status()) {
                    let framed = framing::of_response(&head, to_head).ok_or(Reason::BackendProtocol)?;
                    break (head.status(), Pipe::new(framed.0, Coding::Plain, None));
                }
                head.clear();
            }
            None if came.len() > LIMITS.bytes => return Err(Reason::BackendProtocol),
            None => {
                head.clear();
                if !matches!(stream.read_buf(&mut came).await, Ok(1..)) {
                    return Err(Reason::BackendClosed);
                }
            }
        }
    };
    let mut around = Around::default();
    while !body.is_over() {
        if came.is_empty() && !matches!(stream.read_buf(&mut came).await, Ok(1..)) {
            return if body.peer_ended(&mut around) { Ok(status) } else { Err(Reason::BackendCut) };
        }
        let taken = body.pass(&mut came, &mut around).map_err(|_| Reason::BackendCut)?;
        came.drain(..taken.used);
        around.clear();
    }
    Ok(status)
}
