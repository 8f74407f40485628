//! Load at a rate that does not wait for answers: requests fall due at random moments, as those of many users do, and
//! a latency counts from the moment that its request was due. So a proxy that stalls is not spared what would have come
//! meanwhile (coordinated omission: G. Tene, wrk2).

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::epoll;
use rustix::time::Timespec;

/// How long is waited for answers that are due at the end.
const REST: Duration = Duration::from_secs(5);

/// What to send.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Where to.
    pub(crate) address: SocketAddr,
    /// The path of all requests.
    pub(crate) path: String,
    /// Requests in a second, on average.
    pub(crate) rate: f64,
    /// Connections that are kept open.
    pub(crate) connections: usize,
    /// For how long.
    pub(crate) length: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Latencies of answered requests in µs, rising.
    pub(crate) latencies_us: Vec<u32>,
    /// When requests failed, since the begin.
    pub(crate) failures: Vec<Duration>,
    /// When each backend, by the letter that it tells, answered, since the begin.
    pub(crate) backends: BTreeMap<u8, Vec<Duration>>,
}

impl Outcome {
    /// The latency that this part of requests stayed under, in µs.
    pub(crate) fn quantile_us(&self, part: f64) -> f64 {
        let last = self.latencies_us.len().saturating_sub(1);
        let at = (last as f64 * part).round() as usize;
        self.latencies_us.get(at).copied().unwrap_or_default().into()
    }

    /// Takes in what came of another piece of the same load; `sorted` comes before a question.
    pub(crate) fn add(&mut self, piece: Self) {
        self.latencies_us.extend(piece.latencies_us);
        self.failures.extend(piece.failures);
    }

    /// With its latencies in order again.
    pub(crate) fn sorted(mut self) -> Self {
        self.latencies_us.sort_unstable();
        self
    }

    /// The part of the answers that this backend gave.
    pub(crate) fn share(&self, backend: u8) -> f64 {
        let all: usize = self.backends.values().map(Vec::len).sum();
        self.backends.get(&backend).map_or(0, Vec::len) as f64 / all.max(1) as f64
    }
}

/// Sends it from a thread of its own on this core, and tells what came of it.
pub(crate) async fn send(load: Load, core: usize) -> Result<Outcome> {
    let work = move || super::super::process::on_core(core, || Sender::new(load)?.run())?;
    tokio::task::spawn_blocking(work).await.context("the load generator ended early")?
}

struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
    due: Option<Instant>,
}

struct Sender {
    load: Load,
    request: Vec<u8>,
    connections: Vec<Connection>,
    free: Vec<usize>,
    queue: VecDeque<Instant>,
    outcome: Outcome,
    random: u64,
}

impl Sender {
    fn new(load: Load) -> Result<Self> {
        let request = format!("GET {} HTTP/1.1\r\nHost: bench\r\n\r\n", load.path).into_bytes();
        let connections = (0..load.connections).map(|_| connect(load.address)).collect::<Result<Vec<_>>>()?;
        let free = (0..connections.len()).collect();
        Ok(Self {
            load,
            request,
            connections,
            free,
            queue: VecDeque::new(),
            outcome: Outcome::default(),
            random: 0x9e37_79b9_7f4a_7c15,
        })
    }

    fn run(mut self) -> Result<Outcome> {
        // Else the kernel rounds short waits up by 50 µs.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for index in 0..self.connections.len() {
            self.watch(&poll, index)?;
        }
        let begin = Instant::now();
        let end = begin + self.load.length;
        let mut next = begin;
        let mut events = Vec::with_capacity(256);
        loop {
            let now = Instant::now();
            while next <= now && next < end {
                self.queue.push_back(next);
                next += self.gap();
            }
            self.send_due(&poll, begin)?;
            let idle = self.free.len() == self.connections.len() && self.queue.is_empty();
            if next >= end && (idle || now > end + REST) {
                break;
            }
            let wait = if next < end { next.saturating_duration_since(Instant::now()) } else { REST };
            let wait = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(wait.min(Duration::from_millis(100)).subsec_nanos()),
            };
            events.clear();
            epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), Some(&wait))?;
            for event in &events {
                let index = usize::try_from(event.data.u64())?;
                self.readable(&poll, index, begin)?;
            }
        }
        let lost = self.connections.iter().filter(|c| c.due.is_some()).count() + self.queue.len();
        self.outcome.failures.extend((0..lost).map(|_| begin.elapsed()));
        self.outcome.latencies_us.sort_unstable();
        Ok(self.outcome)
    }

    /// The time to the next request: exponential, so that arrivals are independent of each other.
    fn gap(&mut self) -> Duration {
        // Xorshift, with a fixed start: each run sends at the same moments.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let uniform = ((self.random >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        Duration::from_secs_f64(-uniform.ln() / self.load.rate)
    }

    fn watch(&self, poll: &impl std::os::fd::AsFd, index: usize) -> Result<()> {
        let Some(connection) = self.connections.get(index) else { return Ok(()) };
        let data = epoll::EventData::new_u64(index as u64);
        epoll::add(poll, &connection.stream, data, epoll::EventFlags::IN)?;
        Ok(())
    }

    fn send_due(&mut self, poll: &impl std::os::fd::AsFd, begin: Instant) -> Result<()> {
        while let (Some(due), Some(index)) = (self.queue.front().copied(), self.free.last().copied()) {
            self.queue.pop_front();
            self.free.pop();
            let Some(connection) = self.connections.get_mut(index) else { continue };
            connection.due = Some(due);
            if connection.stream.write(&self.request).ok() != Some(self.request.len()) {
                self.failed(poll, index, begin)?;
            }
        }
        Ok(())
    }

    fn readable(&mut self, poll: &impl std::os::fd::AsFd, index: usize, begin: Instant) -> Result<()> {
        let Some(connection) = self.connections.get_mut(index) else { return Ok(()) };
        let mut piece = [0; 16 * 1024];
        match connection.stream.read(&mut piece) {
            Ok(0) => return self.failed(poll, index, begin),
            Ok(n) => connection.answer.extend_from_slice(piece.get(..n).unwrap_or_default()),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return self.failed(poll, index, begin),
        }
        let Some(answer) = parse(&connection.answer) else { return Ok(()) };
        let Some(due) = connection.due.take() else { return self.failed(poll, index, begin) };
        connection.answer.clear();
        self.free.push(index);
        if answer.status != 200 {
            self.outcome.failures.push(begin.elapsed());
            return Ok(());
        }
        self.outcome.latencies_us.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
        if let Some(name) = answer.backend {
            self.outcome.backends.entry(name).or_default().push(begin.elapsed());
        }
        Ok(())
    }

    /// A connection that ended is opened again; its request, if it had one, has failed.
    fn failed(&mut self, poll: &impl std::os::fd::AsFd, index: usize, begin: Instant) -> Result<()> {
        let had = match self.connections.get_mut(index) {
            Some(connection) => {
                let had = connection.due.take().is_some();
                *connection = connect(self.load.address)?;
                had
            }
            None => return Ok(()),
        };
        if had {
            self.outcome.failures.push(begin.elapsed());
            self.free.push(index);
        }
        self.watch(poll, index)
    }
}

fn connect(address: SocketAddr) -> Result<Connection> {
    let stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(Connection { stream, answer: Vec::with_capacity(2048), due: None })
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    backend: Option<u8>,
}

/// A whole answer; `None`: more is to come.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?.to_ascii_lowercase();
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length: usize = value("content-length:").and_then(|v| v.parse().ok()).unwrap_or(0);
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let backend = value("x-backend:").and_then(|v| v.bytes().next());
    (bytes.len() >= end + 4 + length).then_some(Answer { status, backend })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let bytes = b"HTTP/1.1 200 OK\r\nX-Backend: b\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(parse(bytes), Some(Answer { status: 200, backend: Some(b'b') }));
        assert_eq!(parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n"), None);
    }

    #[tokio::test]
    async fn every_request_that_was_due_is_answered_or_counted_as_failed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::task::spawn_blocking(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut piece, mut seen) = ([0; 1024], 0);
            while let Ok(n @ 1..) = stream.read(&mut piece) {
                for _ in 0..String::from_utf8_lossy(&piece[..n]).matches("GET /x").count() {
                    seen += 1;
                    let status = if seen % 2 == 0 { "200 OK" } else { "503 Service Unavailable" };
                    let answer = format!("HTTP/1.1 {status}\r\nx-backend: a\r\ncontent-length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
            seen
        });
        let length = Duration::from_millis(100);
        let load = Load { address, path: "/x".into(), rate: 1_000.0, connections: 1, length };
        let outcome = send(load, 0).await.unwrap();
        let seen = server.await.unwrap();
        assert_eq!(outcome.latencies_us.len() + outcome.failures.len(), seen);
        assert_eq!(outcome.latencies_us.len(), seen / 2);
        assert!((outcome.share(b'a') - 1.0).abs() < 1e-9);
    }
}
