//! Clients of HTTP/2: one on the h2 crate, which takes requests as text, and one that sends frames by hand.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::*;

/// A client that keeps to the rules.
pub struct Http2 {
    pub send: SendRequest<Bytes>,
    /// Ends with the connection; says whether that was in order.
    pub ended: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

impl Http2 {
    pub async fn connect(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.address()).await.expect("connects");
        stream.set_nodelay(true).expect("a socket");
        Self::over(stream).await
    }

    pub async fn over<T>(stream: T) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = in_time("handshake", h2::client::handshake(stream)).await.expect("HTTP/2");
        Self { send, ended: spawn(connection) }
    }

    /// Sends a head, written as HTTP/1.1 has it.
    pub async fn begin(&self, head: &str, over: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let mut send = in_time("ready", self.send.clone().ready()).await.expect("open");
        send.send_request(request(head), over).expect("takes it")
    }

    /// One request, written as HTTP/1.1 has it, with its body.
    pub async fn ask(&self, text: &str) -> Response {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let (response, mut stream) = self.begin(head, body.is_empty()).await;
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true).expect("takes it");
        }
        whole(response).await
    }
}

fn request(head: &str) -> http::Request<()> {
    let mut lines = head.trim_end().lines();
    let (method, target) = lines.next().and_then(|l| l.split_once(' ')).expect("a first line");
    let target = target.split(' ').next().expect("a target");
    let fields: Vec<_> = lines.filter_map(|l| l.split_once(':')).map(|(n, v)| (n, v.trim())).collect();
    let host = fields.iter().find(|(n, _)| n.eq_ignore_ascii_case("host")).map_or("h", |(_, v)| v);
    let uri = http::Uri::builder().scheme("http").authority(host).path_and_query(target);
    let mut request = http::Request::builder().method(method).uri(uri.build().expect("a URI"));
    for (name, value) in fields.iter().filter(|(n, _)| !n.eq_ignore_ascii_case("host")) {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

/// A response with its body, in the form of one by HTTP/1.1.
pub async fn whole(response: ResponseFuture) -> Response {
    let response = in_time("response", response).await.expect("a response");
    let mut head = format!("HTTP/2 {}\r\n", response.status().as_str());
    for (name, value) in response.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().expect("text"));
    }
    let status = response.status().as_u16();
    let (body, whole, trailers) = body(response.into_body()).await;
    Response { status, head, body, whole, trailers }
}

/// A body, whether its end came, and its trailers.
pub async fn body(mut stream: RecvStream) -> (Vec<u8>, bool, String) {
    let mut body = Vec::new();
    while let Some(data) = in_time("body", stream.data()).await {
        let Ok(data) = data else { return (body, false, String::new()) };
        stream.flow_control().release_capacity(data.len()).expect("open");
        body.extend_from_slice(&data);
    }
    let Ok(fields) = in_time("trailers", stream.trailers()).await else {
        return (body, false, String::new());
    };
    let lines = fields.iter().flatten().map(|(n, v)| format!("{n}: {}\n", v.to_str().expect("text")));
    (body, true, lines.collect())
}

// === by hand ===

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
/// Of PING and SETTINGS.
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const BOTH: u8 = END_STREAM | END_HEADERS;

/// What a connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The number that the payload has from `at` on: a code, an increment.
    pub fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("4 bytes"))
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("fits").to_be_bytes();
    let mut bytes = vec![len[1], len[2], len[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Fields, each as a literal that no table keeps.
pub fn fields<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(text.len(), &mut block);
            block.extend_from_slice(text);
        }
    }
    block
}

/// A number with a prefix of 7 bits.
pub fn integer(n: usize, block: &mut Vec<u8>) {
    if n < 127 {
        block.push(n as u8);
        return;
    }
    block.push(127);
    let mut rest = n - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// The fields of a response without any of its own: 200, as the static table of HPACK has it.
pub const OK: [u8; 1] = [0x88];

/// The fields of a request without any of its own.
pub fn get(path: &str) -> Vec<u8> {
    asked("GET", path, &[])
}

/// The fields of a request.
pub fn asked(method: &str, path: &str, own: &[(&str, &str)]) -> Vec<u8> {
    let first = [(":method", method), (":scheme", "http"), (":authority", "h"), (":path", path)];
    fields(first.iter().chain(own).map(|(n, v)| (n.as_bytes(), v.as_bytes())))
}

/// A connection whose frames a test writes itself.
pub struct Frames {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Frames {
    /// Opens one, and says what every client says.
    pub async fn open(address: SocketAddr) -> Self {
        let mut this = Self { stream: TcpStream::connect(address).await.expect("connects"), buffer: vec![] };
        this.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        this
    }

    /// A backend's end of a connection that was accepted: what every client says has been read, and what every server
    /// says was said.
    pub async fn accepted(stream: TcpStream) -> Self {
        let mut this = Self { stream, buffer: vec![] };
        while this.buffer.len() < PREFACE.len() {
            let read = in_time("the preface", this.stream.read_buf(&mut this.buffer)).await;
            assert!(matches!(read, Ok(1..)), "the connection ended");
        }
        assert_eq!(this.buffer.drain(..PREFACE.len()).collect::<Vec<_>>(), PREFACE);
        this.send(&[frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat()).await;
        this
    }

    /// Whether all of it went out.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        in_time("send", self.stream.write_all(bytes)).await.is_ok()
    }

    /// The next frame; `None`: the gateway has ended the connection.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((head, rest)) = self.buffer.split_at_checked(9) {
                let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
                if let Some(payload) = rest.get(..len) {
                    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                    let (kind, payload) = (head[3], payload.to_vec());
                    self.buffer.drain(..9 + len);
                    return Some(Frame { kind, stream, payload });
                }
            }
            let read = in_time("a frame", self.stream.read_buf(&mut self.buffer)).await;
            if !matches!(read, Ok(1..)) {
                return None;
            }
        }
    }

    /// The next frame of this kind.
    pub async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The code with which the gateway ends the connection; `None`: it ends it without a word.
    pub async fn goodbye(&mut self) -> Option<u32> {
        let code = self.next_of(GOAWAY).await?.number(4);
        while self.next().await.is_some() {}
        Some(code)
    }
}
