//! One check.

use std::io;

use bytes::Bytes;
use hotswap_matcher::{Address, BackendProtocol, Probe};
use http::Request;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::engine::{dial, once};
use crate::tls::BackendFiles;

/// What is read of a response at most: only its first line counts.
const MOST: usize = 1_024;

/// Who asks.
const AGENT: &str = "hotswap-gateway health check";

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Connecting, writing or reading failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// There is no connection.
    #[error("{0}")]
    Unreachable(#[from] dial::Unreachable),
    /// The connection or the stream of HTTP/2 failed.
    #[error("{0}")]
    Http2(#[from] h2::Error),
    /// The settings make no request.
    #[error("{0}")]
    Unfit(#[from] http::Error),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// What came is no response.
    #[error("the answer is not HTTP/1")]
    Malformed,
    /// The status is not one of those that are expected.
    #[error("status {0}")]
    Status(u16),
}

/// Checks a backend once.
pub(super) async fn run(address: &Address, probe: &Probe, files: &BackendFiles) -> Result<(), Failed> {
    let mut stream = dial::reach(address, files).await?;
    let Probe::Http { path, host, expected } = probe else {
        // With TLS the backend hears that nothing follows.
        let _ = stream.shutdown().await;
        return Ok(());
    };
    let host = host.as_deref().unwrap_or(address.as_str());
    let status = match address.protocol() {
        BackendProtocol::Http1 => {
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {AGENT}\r\naccept: */*\r\n\
                 connection: close\r\n\r\n"
            );
            ask(&mut stream, &request).await?
        }
        BackendProtocol::Http2 => {
            let request = Request::get(format!("{}://{host}{path}", dial::scheme(address)));
            let request = request.header("user-agent", AGENT).header("accept", "*/*").body(())?;
            once::ask(stream, request, Bytes::new()).await?.as_u16()
        }
    };
    let fine = if expected.is_empty() { (200..300).contains(&status) } else { expected.contains(&status) };
    if fine { Ok(()) } else { Err(Failed::Status(status)) }
}

/// Sends a request, and reads the status of what comes.
pub(crate) async fn ask<S>(stream: &mut S, request: &str) -> Result<u16, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::with_capacity(MOST);
    let line = loop {
        if let Some(end) = memchr::memchr(b'\n', &head) {
            break head.get(..end).unwrap_or_default();
        }
        let room = MOST.saturating_sub(head.len()) as u64;
        if room == 0 || (&mut *stream).take(room).read_buf(&mut head).await? == 0 {
            return Err(Failed::Malformed);
        }
    };
    status(line).ok_or(Failed::Malformed)
}

/// Of "HTTP/1.1 200 OK".
fn status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?.get(1..)?.strip_prefix(b" ")?;
    let digits = std::str::from_utf8(rest.get(..3)?).ok()?;
    let ends = rest.get(3).is_none_or(|b| matches!(b, b' ' | b'\r'));
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?.filter(|_| ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_strictly() {
        for (line, of) in [
            ("HTTP/1.1 200 OK\r", Some(200)),
            ("HTTP/1.0 503\r", Some(503)),
            ("HTTP/1.1 204 ", Some(204)),
            ("HTTP/1.1 2000 OK", None),
            ("HTTP/2 200 OK", None),
            ("HTTP/1.1 +20 OK", None),
            ("SSH-2.0-OpenSSH", None),
            ("HTTP/1.1", None),
        ] {
            assert_eq!(status(line.as_bytes()), of, "{line}");
        }
    }
}
