//! The demo's clients: each keeps one connection to the gateway open and asks again and again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hotswap_runtime::{CancellationToken, Supervisor, TaskKind};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::backends::BACKEND;

/// Clients at once.
pub(super) const CLIENTS: usize = 8;
/// Each client asks this often: enough to see a change within a fraction of a millisecond, and little enough
/// to leave a small machine some room.
const PACE: Duration = Duration::from_millis(2);
/// Backends beside blue and green.
const OTHERS: [&str; 4] = ["good", "failing", "slow", "dying"];
/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What the clients have seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) blue: u64,
    pub(super) green: u64,
    /// Answered by others of the demo's backends, by name.
    others: BTreeMap<&'static str, u64>,
    pub(super) failed: u64,
    /// The first failure, in words.
    pub(super) failure: Option<String>,
    pub(super) first_green: Option<Instant>,
    pub(super) last_blue: Option<Instant>,
}

impl Seen {
    pub(super) fn requests(&self) -> u64 {
        self.blue + self.green + self.others.values().sum::<u64>() + self.failed
    }

    /// How many a candidate has answered.
    pub(super) fn by(&self, candidate: &'static str) -> u64 {
        self.others.get(candidate).copied().unwrap_or_default()
    }

    fn note(&mut self, outcome: Result<String, String>) {
        let now = Instant::now();
        match outcome.as_deref() {
            Ok("blue") => {
                self.blue += 1;
                self.last_blue = Some(now);
            }
            Ok("green") => {
                self.green += 1;
                self.first_green.get_or_insert(now);
            }
            Ok(name) if let Some(known) = OTHERS.iter().find(|other| **other == name) => {
                *self.others.entry(known).or_default() += 1;
            }
            Ok(other) => self.fail(format!("an answer that no backend of the demo gave: {other}")),
            Err(why) => self.fail(why.to_owned()),
        }
    }

    fn fail(&mut self, why: String) {
        self.failed += 1;
        self.failure.get_or_insert(why);
    }
}

/// Clients at work. They stop, each after the answer that it waits for, when told so.
pub(super) struct Traffic {
    seen: watch::Receiver<Seen>,
    stop: CancellationToken,
}

impl Traffic {
    pub(super) fn start(gateway: SocketAddr, supervisor: &Supervisor) -> Self {
        let (tell, seen) = watch::channel(Seen::default());
        let stop = supervisor.shutdown().child_token();
        for _ in 0..CLIENTS {
            let client = Client {
                gateway,
                tell: tell.clone(),
                stop: stop.clone(),
                supervisor: supervisor.clone(),
                sender: None,
            };
            supervisor.spawn("demo client", TaskKind::Background, client.run());
        }
        Self { seen, stop }
    }

    /// Waits until what the clients have seen fits.
    pub(super) async fn until(&mut self, fits: impl FnMut(&Seen) -> bool) -> Seen {
        // An error says that the clients have ended; what they saw last is all there is then.
        let _ = self.seen.wait_for(fits).await;
        self.seen.borrow().clone()
    }

    /// Stops the clients and waits for their last answers.
    pub(super) async fn end(mut self) -> Seen {
        self.stop.cancel();
        while self.seen.changed().await.is_ok() {}
        self.seen.borrow().clone()
    }
}

/// One client.
struct Client {
    gateway: SocketAddr,
    tell: watch::Sender<Seen>,
    stop: CancellationToken,
    supervisor: Supervisor,
    sender: Option<SendRequest<Empty<Bytes>>>,
}

impl Client {
    async fn run(mut self) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = pace.tick() => {}
                () = self.stop.cancelled() => return,
            }
            let outcome = match tokio::time::timeout(LIMIT, self.ask()).await {
                Ok(outcome) => outcome,
                Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
            };
            if outcome.is_err() {
                self.sender = None;
            }
            self.tell.send_modify(|seen| seen.note(outcome));
        }
    }

    /// Asks once; gives the backend that answered.
    async fn ask(&mut self) -> Result<String, String> {
        let mut sender = self.connection().await?;
        let request = Request::get("/")
            .header(HOST, self.gateway.to_string())
            .body(Empty::new())
            .map_err(|e| e.to_string())?;
        let response = sender.send_request(request).await.map_err(|e| format!("no answer: {e}"))?;
        let (head, body) = response.into_parts();
        body.collect().await.map_err(|e| format!("an answer was cut: {e}"))?;
        self.sender = Some(sender);
        let backend = head.headers.get(BACKEND).and_then(|v| v.to_str().ok());
        match backend {
            Some(backend) if head.status.is_success() => Ok(backend.to_owned()),
            Some(_) => Err(format!("a backend answered {}", head.status)),
            None => Err(format!("the gateway answered {}, and no backend of the demo", head.status)),
        }
    }

    /// The open connection, or a new one where the gateway has closed it between two requests.
    async fn connection(&mut self) -> Result<SendRequest<Empty<Bytes>>, String> {
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            return Ok(sender);
        }
        let failed = |e: &dyn std::fmt::Display| format!("no connection to the gateway: {e}");
        let stream = TcpStream::connect(self.gateway).await.map_err(|e| failed(&e))?;
        stream.set_nodelay(true).map_err(|e| failed(&e))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
        // It ends with its sender, so it needs no signal of its own.
        self.supervisor.spawn("demo connection", TaskKind::Background, async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "demo connection ended");
            }
        });
        Ok(sender)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_of_the_demos_backends_count_as_answers() {
        let mut seen = Seen::default();
        let outcomes =
            [Ok("blue"), Ok("green"), Ok("red"), Err("the gateway answered 502"), Ok("green"), Ok("slow")];
        for outcome in outcomes {
            seen.note(outcome.map(str::to_owned).map_err(str::to_owned));
        }
        assert_eq!((seen.blue, seen.green, seen.by("slow"), seen.failed, seen.requests()), (1, 2, 1, 2, 6));
        assert_eq!(seen.failure.as_deref(), Some("an answer that no backend of the demo gave: red"));
    }

    #[tokio::test]
    async fn clients_keep_their_connections_and_see_who_answers() {
        let supervisor = Supervisor::new();
        let blue = super::super::backends::start("blue", super::super::backends::Manner::Well, &supervisor)
            .expect("a port");
        let mut traffic = Traffic::start(blue, &supervisor);
        let seen = traffic.until(|seen| seen.requests() >= 100).await;
        assert_eq!((seen.failed, seen.green), (0, 0), "{seen:?}");
        let last = traffic.end().await;
        assert!(last.blue >= 100 && last.failed == 0, "{last:?}");
        let report = supervisor.drain(Duration::from_secs(30)).await;
        assert_eq!(report.aborted, Vec::<String>::new());
    }
}
