//! Asks a gateway for one path, over and over on one connection, until its answer is the one that is waited for.
//! It is a thread of its own: a runtime's timers are too coarse.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tokio::sync::oneshot;

/// From the start of one request to the start of the next, at least.
const SPACING: Duration = Duration::from_micros(200);
/// A request that is not answered after this is lost.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The thread; it ends when this is dropped.
pub(crate) struct Poller {
    asks: mpsc::Sender<Ask>,
}

/// A request, and where its answer leads once the change is live.
#[derive(Clone, Debug)]
pub(crate) struct Sign {
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) location: String,
}

/// What to wait for.
struct Ask {
    sign: Sign,
    limit: Duration,
    /// Told when the first answer, an old one, is there: the write may begin.
    began: Option<oneshot::Sender<()>>,
    found: oneshot::Sender<Result<Found>>,
}

/// The answer was there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// When it had been read.
    pub(crate) at: Instant,
    /// Requests that it took.
    pub(crate) requests: u64,
}

/// A wait that has begun.
pub(crate) struct Wait {
    found: oneshot::Receiver<Result<Found>>,
}

impl Poller {
    pub(crate) fn start(gateway: SocketAddr) -> Result<Self> {
        let (asks, inbox) = mpsc::channel::<Ask>();
        let work = move || {
            let mut connection = None;
            for ask in inbox {
                let Ask { sign, limit, mut began, found } = ask;
                let outcome = poll(gateway, &mut connection, &sign, limit, &mut began);
                let _ = found.send(outcome);
            }
        };
        thread::Builder::new().name("poller".to_owned()).spawn(work)?;
        Ok(Self { asks })
    }

    /// Begins to ask; returns once the first answer is there.
    pub(crate) async fn begin(&self, sign: Sign, limit: Duration) -> Result<Wait> {
        let (began, first) = oneshot::channel();
        let (found, outcome) = oneshot::channel();
        let ask = Ask { sign, limit, began: Some(began), found };
        self.asks.send(ask).map_err(|_| anyhow!("the poller has ended"))?;
        // Where the first request failed, the outcome says why.
        let _ = first.await;
        Ok(Wait { found: outcome })
    }
}

impl Wait {
    /// Waits for the answer.
    pub(crate) async fn found(self) -> Result<Found> {
        self.found.await.context("the poller has ended")?
    }
}

fn poll(
    gateway: SocketAddr,
    connection: &mut Option<BufReader<TcpStream>>,
    sign: &Sign,
    limit: Duration,
    began: &mut Option<oneshot::Sender<()>>,
) -> Result<Found> {
    let end = Instant::now() + limit;
    let mut requests = 0;
    loop {
        let begin = Instant::now();
        let open = match connection {
            Some(open) => open,
            None => connection.insert(open(gateway)?),
        };
        let told = match exchange(open, sign) {
            Ok(told) => told,
            Err(error) => {
                *connection = None;
                return Err(error.context(format!("asking for {}", sign.path)));
            }
        };
        requests += 1;
        if told.as_deref().is_some_and(|l| l.ends_with(&sign.location)) {
            return Ok(Found { at: Instant::now(), requests });
        }
        if let Some(began) = began.take() {
            let _ = began.send(());
        }
        if Instant::now() >= end {
            let Sign { path, location, .. } = sign;
            bail!("after {} s {path} leads to {told:?} and not to {location}", limit.as_secs());
        }
        thread::sleep(SPACING.saturating_sub(begin.elapsed()));
    }
}

fn open(gateway: SocketAddr) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(gateway).context("connecting to the gateway")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    Ok(BufReader::new(stream))
}

/// One request; the Location of its answer.
fn exchange(connection: &mut BufReader<TcpStream>, sign: &Sign) -> Result<Option<String>> {
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", sign.path, sign.host);
    connection.get_mut().write_all(request.as_bytes())?;
    let (mut location, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line)? == 0 {
            bail!("the gateway closed the connection");
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "location" => location = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse::<u64>().context("a bad length")?,
            _ => {}
        }
    }
    std::io::copy(&mut connection.by_ref().take(length), &mut std::io::sink())?;
    Ok(location)
}
