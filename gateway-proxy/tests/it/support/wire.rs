//! Connections that are read by hand.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::in_time;

/// A request, as a backend got it.
#[derive(Debug)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

/// A response, as a client got it.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// Whether the body came to its end.
    pub whole: bool,
    pub trailers: String,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The reason code.
    pub fn reason(&self) -> Option<&str> {
        self.header("x-hotswap-reason")
    }
}

/// The value of a header in a head.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (n, v) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| v.trim())
    })
}

/// A connection that is read by hand, so that a test sees every byte.
pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// A client is such a connection too.
pub type Client = Wire;

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(in_time("connect", TcpStream::connect(address)).await.expect("connects"))
    }

    /// What came and was not looked at.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // A peer that has closed shows when it is read from.
        let _ = in_time("send", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Reads more; false at the end or at a reset.
    pub async fn more(&mut self) -> bool {
        let read = in_time("read", self.stream.read_buf(&mut self.buffer)).await;
        matches!(read, Ok(n) if n > 0)
    }

    /// Whether the peer has ended the connection: `Some(true)` by a reset.
    pub async fn ended(&mut self) -> bool {
        loop {
            match in_time("end", self.stream.read_buf(&mut self.buffer)).await {
                Ok(0) => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
    }

    async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn exactly(&mut self, n: usize) -> (Vec<u8>, bool) {
        while self.buffer.len() < n {
            if !self.more().await {
                return (std::mem::take(&mut self.buffer), false);
            }
        }
        (self.buffer.drain(..n).collect(), true)
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The chunks, whether the last one came, and the trailers.
    async fn chunked(&mut self) -> (Vec<u8>, bool, String) {
        let mut body = Vec::new();
        loop {
            let Some(line) = self.line().await else { return (body, false, String::new()) };
            let n = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("chunk size {line:?}"));
            if n == 0 {
                break;
            }
            let (chunk, whole) = self.exactly(n + 2).await;
            body.extend_from_slice(&chunk[..chunk.len().min(n)]);
            if !whole {
                return (body, false, String::new());
            }
        }
        let mut trailers = String::new();
        loop {
            match self.line().await {
                Some(line) if line.is_empty() => return (body, true, trailers),
                Some(line) => trailers += &(line + "\n"),
                None => return (body, false, trailers),
            }
        }
    }

    async fn body(&mut self, head: &str) -> (Vec<u8>, bool, String) {
        if header(head, "transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
            return self.chunked().await;
        }
        // The engine on hyper passes a list of equal lengths on.
        let length = |v: &str| v.split(',').next().unwrap_or_default().parse().expect("length");
        let n = header(head, "content-length").map_or(0, length);
        let (body, whole) = self.exactly(n).await;
        (body, whole, String::new())
    }

    /// A backend's next request; `None`: the gateway closed.
    pub async fn request(&mut self) -> Option<Request> {
        self.request_and_trailers().await.map(|(request, _)| request)
    }

    /// The same, with the trailers.
    pub async fn request_and_trailers(&mut self) -> Option<(Request, String)> {
        let head = self.head().await?;
        let (body, whole, trailers) = self.body(&head).await;
        whole.then_some((Request { head, body }, trailers))
    }

    /// A backend's next head, without the body.
    pub async fn request_head(&mut self) -> Option<String> {
        self.head().await
    }

    /// A client's next response.
    pub async fn response(&mut self) -> Response {
        self.response_to("GET").await.expect("a response")
    }

    /// A client's next response to a method; `None`: the gateway closed before it.
    pub async fn response_to(&mut self, method: &str) -> Option<Response> {
        let head = self.head().await?;
        let status: u16 = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("status");
        let bodiless = method == "HEAD" || status == 204 || status == 304 || status < 200;
        let framed = header(&head, "content-length").or(header(&head, "transfer-encoding")).is_some();
        let (body, whole, trailers) = if bodiless {
            (Vec::new(), true, String::new())
        } else if framed {
            self.body(&head).await
        } else {
            let reset = self.ended().await;
            (std::mem::take(&mut self.buffer), !reset, String::new())
        };
        Some(Response { status, head, body, whole, trailers })
    }
}
