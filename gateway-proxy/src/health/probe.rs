//! One check.

use std::io;

use bytes::Bytes;
use hotswap_matcher::{Address, BackendProtocol, Probe};
use http::Request;
use http::uri::Scheme;
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::engine::{dial, once};
use crate::grpc::Code;
use crate::reason::Reason;
use crate::tls::BackendFiles;

/// What is read of a response at most: only its first line counts.
const MOST: usize = 1_024;

/// What stands before a message of gRPC, in bytes.
const PREFIX: usize = 5;
/// Of grpc.health.v1.HealthCheckResponse.ServingStatus.
const SERVING: i32 = 1;
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
    /// The call of gRPC failed.
    #[error("{0}")]
    Call(Code),
    /// The server says that it does not serve; by the number of its status.
    #[error("it does not serve (status {0})")]
    NotServing(i32),
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

impl Failed {
    /// Whether the gateway had no socket for it, which says nothing of who is asked.
    pub(crate) fn is_own(&self) -> bool {
        match self {
            Self::Io(error) => dial::is_own(error),
            Self::Unreachable(unreachable) => unreachable.reason() == Reason::NoSocket,
            _ => false,
        }
    }
}

/// Checks a backend once.
pub(super) async fn run(address: &Address, probe: &Probe, files: &BackendFiles) -> Result<(), Failed> {
    let mut stream = dial::reach(address, files).await?;
    let (path, host, expected) = match probe {
        Probe::Tcp => {
            // With TLS the backend hears that nothing follows.
            let _ = stream.shutdown().await;
            return Ok(());
        }
        Probe::Http { path, host, expected } => (path, host, expected),
        Probe::Grpc { service, host } => {
            let authority = (dial::scheme(address), host.as_deref().unwrap_or(address.as_str()));
            return call(stream, authority, service).await;
        }
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
            once::ask(stream, request, Bytes::new(), 0).await?.status.as_u16()
        }
    };
    let fine = if expected.is_empty() { (200..300).contains(&status) } else { expected.contains(&status) };
    if fine { Ok(()) } else { Err(Failed::Status(status)) }
}

/// grpc.health.v1.HealthCheckRequest.
#[derive(Clone, PartialEq, Message)]
struct Asked {
    #[prost(string, tag = "1")]
    service: String,
}

/// grpc.health.v1.HealthCheckResponse.
#[derive(Clone, PartialEq, Message)]
struct Health {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Calls grpc.health.v1.Health/Check.
async fn call<S>(stream: S, (scheme, host): (Scheme, &str), service: &str) -> Result<(), Failed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let asked = Asked { service: service.to_owned() }.encode_to_vec();
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(asked.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(&asked);
    let request = Request::post(format!("{scheme}://{host}/grpc.health.v1.Health/Check"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers");
    let request = request.header("user-agent", AGENT).body(())?;
    let answer = once::ask(stream, request, body.into(), MOST).await?;
    match answer.code() {
        Some(Code::OK) => {}
        Some(code) => return Err(Failed::Call(code)),
        None => return Err(Failed::Status(answer.status.as_u16())),
    }
    let message = answer.body.get(PREFIX..).unwrap_or_default();
    match Health::decode(message) {
        Ok(Health { status: SERVING }) => Ok(()),
        Ok(Health { status }) => Err(Failed::NotServing(status)),
        Err(_) => Err(Failed::Malformed),
    }
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
