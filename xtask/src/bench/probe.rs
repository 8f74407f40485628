//! One HTTP/1.1 request by hand, to see that a contestant is up and answers what it should.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(5);

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Bytes after the head.
    pub(crate) body: usize,
}

/// Sends a GET, or with a body a POST, and reads to the end of the connection.
pub(crate) async fn ask(address: SocketAddr, path: &str, body: &[u8]) -> Result<Answer> {
    tokio::time::timeout(LIMIT, exchange(address, path, body)).await.context("no answer in 5 s")?
}

/// Whether a GET of `path` is answered with 200.
pub(crate) async fn is_ok(address: SocketAddr, path: &str) -> bool {
    ask(address, path, b"").await.is_ok_and(|a| a.status == 200)
}

async fn exchange(address: SocketAddr, path: &str, body: &[u8]) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).await?;
    let method = if body.is_empty() { "GET" } else { "POST" };
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{length}\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    parse(&answer)
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        bail!("an answer without a head")
    };
    let (head, body) = bytes.split_at(end + 4);
    let head = String::from_utf8_lossy(head);
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    Ok(Answer { status: status.context("an answer without a status")?, body: body.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_length_are_read() {
        let answer = parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno").unwrap();
        assert_eq!(answer, Answer { status: 404, body: 2 });
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_err());
        assert!(parse(b"nonsense\r\n\r\n").is_err());
    }
}
