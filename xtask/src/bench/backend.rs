//! The backend of a run: answers from memory, at a fraction of what any proxy costs. The end of the path says
//! what comes back: "/1k", "/100k"; a POST is read to its end and answered with 1 KB.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::process::{Cores, Group, free_address};
use super::{probe, tools::Tools};

/// Bytes of the small body, and of the answer to a POST.
pub(crate) const SMALL: usize = 1024;
/// Bytes of the large body.
pub(crate) const LARGE: usize = 100 * 1024;

/// A backend that runs for as long as this lives.
pub(crate) struct Backend {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _group: Group,
}

/// Starts the backend as a process of its own on the load's core.
pub(crate) async fn start(tools: &Tools, dir: &Path, cores: Cores) -> Result<Backend> {
    start_as(tools, dir, cores, Manner::default()).await
}

/// Starts a program that listens at this address in its place.
pub(crate) async fn start_other(
    mut command: Command,
    address: SocketAddr,
    dir: &Path,
    cores: Cores,
) -> Result<Backend> {
    let mut group = Group::spawn(&mut command, cores.load, dir, "backend")?;
    let listens = || async { TcpStream::connect(address).await.is_ok() };
    group.until("listening", Duration::from_secs(10), listens).await?;
    Ok(Backend { address, _group: group })
}

/// How a backend answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// Told in the header `X-Backend`.
    pub(crate) name: Option<char>,
    /// How long it takes.
    pub(crate) delay: Duration,
}

/// Starts a backend that answers in this manner.
pub(crate) async fn start_as(tools: &Tools, dir: &Path, cores: Cores, manner: Manner) -> Result<Backend> {
    let address = free_address()?;
    let mut command = Command::new(&tools.xtask);
    command.args(["bench", "backend", "--listen", &address.to_string()]);
    command.args(["--delay-ms", &manner.delay.as_millis().to_string()]);
    if let Some(name) = manner.name {
        command.args(["--name", &name.to_string()]);
    }
    let label = manner.name.map_or_else(|| "backend".to_owned(), |name| format!("backend-{name}"));
    let mut group = Group::spawn(&mut command, cores.load, dir, &label)?;
    group.until("listening", Duration::from_secs(10), || probe::is_ok(address, "/1k")).await?;
    Ok(Backend { address, _group: group })
}

struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
    missing: Vec<u8>,
    refused: Vec<u8>,
    delay: Duration,
}

/// Serves until it is killed.
pub(crate) async fn serve(listen: SocketAddr, manner: Manner) -> Result<()> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;
    let answers = Arc::new(Answers {
        small: answer(&manner, "200 OK", SMALL),
        large: answer(&manner, "200 OK", LARGE),
        missing: answer(&manner, "404 Not Found", 0),
        refused: answer(&manner, "501 Not Implemented", 0),
        delay: manner.delay,
    });
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        connections.spawn(converse(stream, Arc::clone(&answers)));
        while connections.try_join_next().is_some() {}
    }
}

fn answer(manner: &Manner, status: &str, body: usize) -> Vec<u8> {
    let name = manner.name.map(|name| format!("X-Backend: {name}\r\n")).unwrap_or_default();
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{name}Content-Length: {body}\r\n\r\n")
            .into_bytes();
    bytes.resize(bytes.len() + body, b'x');
    bytes
}

/// One connection. Any error just ends it: the other side sees that, and the run counts it.
async fn converse(mut stream: TcpStream, answers: Arc<Answers>) -> std::io::Result<()> {
    let mut buffer = vec![0; 32 * 1024];
    let mut filled = 0;
    loop {
        let Some(end) = buffer.get(..filled).and_then(head_end) else {
            // A head that fills the whole buffer reads nothing more, and ends the connection.
            match stream.read(buffer.get_mut(filled..).unwrap_or_default()).await? {
                0 => return Ok(()),
                n => filled += n,
            }
            continue;
        };
        let request = buffer.get(..end).map(parse).unwrap_or_default();
        let reply = match request.kind {
            Kind::Small => &answers.small,
            Kind::Large => &answers.large,
            Kind::Missing => &answers.missing,
            Kind::Refused => &answers.refused,
            Kind::Chat => return chat(stream).await,
        };
        let have = filled - end;
        if have <= request.body {
            let mut left = request.body - have;
            while left > 0 {
                match stream.read(&mut buffer).await? {
                    0 => return Ok(()),
                    n => left = left.saturating_sub(n),
                }
            }
            filled = 0;
        } else {
            buffer.copy_within(end + request.body..filled, 0);
            filled = have - request.body;
        }
        if !answers.delay.is_zero() {
            tokio::time::sleep(answers.delay).await;
        }
        stream.write_all(reply).await?;
        if request.close || request.kind == Kind::Refused {
            return stream.shutdown().await;
        }
    }
}

/// Switches, and sends back what comes. The bench sends nothing ahead of the switch. Its key is the one of the example
/// in RFC 6455, section 1.3, and so is what is made of it: HAProxy looks at that.
async fn chat(mut stream: TcpStream) -> std::io::Result<()> {
    stream
        .write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
        .await?;
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(buffer.get(..n).unwrap_or_default()).await?;
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    Small,
    Large,
    #[default]
    Missing,
    /// A body of unknown length. No peer sends one here, so it is not read, but must not pass unseen.
    Refused,
    /// A switch to another protocol.
    Chat,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    kind: Kind,
    body: usize,
    close: bool,
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

fn parse(head: &[u8]) -> Request {
    let mut lines = head.split(|b| *b == b'\n').map(|l| l.trim_ascii_end());
    let mut first = lines.next().unwrap_or_default().split(|b| *b == b' ');
    let post = first.next() == Some(b"POST");
    let path = first.next().unwrap_or_default();
    let kind = match path {
        _ if post || path.ends_with(b"/1k") => Kind::Small,
        _ if path.ends_with(b"/100k") => Kind::Large,
        _ if path.ends_with(b"/chat") => Kind::Chat,
        _ => Kind::Missing,
    };
    let mut request = Request { kind, body: 0, close: false };
    for line in lines {
        if let Some(value) = value_of(line, b"content-length:") {
            request.body = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(0);
        } else if value_of(line, b"transfer-encoding:").is_some() {
            request.kind = Kind::Refused;
        } else if let Some(value) = value_of(line, b"connection:") {
            request.close = value.eq_ignore_ascii_case(b"close");
        }
    }
    request
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: Kind, body: usize, close: bool) -> Request {
        Request { kind, body, close }
    }

    #[test]
    fn the_end_of_the_path_decides() {
        assert_eq!(parse(b"GET /r57/1k HTTP/1.1\r\nHost: a\r\n\r\n"), request(Kind::Small, 0, false));
        assert_eq!(parse(b"GET /r57/100k HTTP/1.1\r\n\r\n"), request(Kind::Large, 0, false));
        assert_eq!(parse(b"GET /r57/chat HTTP/1.1\r\n\r\n"), request(Kind::Chat, 0, false));
        assert_eq!(parse(b"GET /r57/10k HTTP/1.1\r\n\r\n"), request(Kind::Missing, 0, false));
    }

    #[test]
    fn headers_are_read_in_any_case() {
        let head = b"POST /r1/post HTTP/1.1\r\ncontent-LENGTH: 10240\r\nconnection: close\r\n\r\n";
        assert_eq!(parse(head), request(Kind::Small, 10_240, true));
        let head = b"POST /r1/post HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(parse(head), request(Kind::Refused, 0, false));
    }

    #[test]
    fn a_head_ends_at_the_empty_line() {
        assert_eq!(head_end(b"GET / HTTP/1.1\r\n\r\nbody"), Some(18));
        assert_eq!(head_end(b"GET / HTTP/1.1\r\n"), None);
    }
}
