//! What lasts longer than take-overs: a download, an upload, WebSockets, a stream of HTTP/2 to a backend of HTTP/2.

use std::sync::Arc;

use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;

use super::load::{Line, TIMES, Way};
use crate::support::*;

const CHAT: &str =
    "GET /chat HTTP/1.1\r\nhost: shop.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// Each of them, with a piece more in each generation.
pub struct Lasting {
    /// Without TLS and with it.
    chats: [Box<dyn Line>; 2],
    download: Client,
    upload: Client,
    talk: (SendStream<Bytes>, RecvStream),
    /// Each permit is a byte of the download.
    go: Arc<Semaphore>,
}

impl Lasting {
    /// `http2` leads to a backend of HTTP/2.
    pub async fn begin(plain: &Way, tls: &Way, http2: &Way, go: &Arc<Semaphore>) -> Self {
        let chats = [switched(plain).await, switched(tls).await];
        let mut download = plain.client().await;
        download.send("GET /long HTTP/1.1\r\nhost: h\r\n\r\n").await;
        let mut upload = plain.client().await;
        let length = TIMES + 1;
        upload.send(format!("POST /up HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n\r\n")).await;
        let (send, connection) = h2::client::handshake(http2.connect().await).await.expect("HTTP/2");
        spawn(async move { drop(connection.await) });
        let mut send = in_time("ready", send.ready()).await.expect("open");
        let request = http::Request::post("http://shop.example/h2").body(()).expect("a request");
        let (response, out) = send.send_request(request, false).expect("takes it");
        let back = in_time("a head", response).await.expect("a head").into_body();
        Self { chats, download, upload, talk: (out, back), go: Arc::clone(go) }
    }

    /// A piece more of each.
    pub async fn goes_on(&mut self) {
        for chat in &mut self.chats {
            chat.write_all(b"hi").await.expect("sent");
            chat.flush().await.expect("sent");
            let mut came = [0; 2];
            in_time("an echo", chat.read_exact(&mut came)).await.expect("comes");
            assert_eq!(&came, b"hi");
        }
        let (out, back) = &mut self.talk;
        out.send_data(Bytes::from_static(b"hi"), false).expect("open");
        assert_eq!(in_time("an echo", back.data()).await.expect("more").expect("sound"), "hi");
        self.upload.send("x").await;
        self.go.add_permits(1);
    }

    /// The rest of each.
    pub async fn ends(mut self) {
        self.goes_on().await;
        let all = "x".repeat(TIMES as usize + 1);
        for mut client in [self.download, self.upload] {
            let response = client.response().await;
            assert_eq!((response.status, response.whole, response.text()), (200, true, all.clone()));
        }
        let (mut out, mut back) = self.talk;
        out.send_data(Bytes::new(), true).expect("open");
        assert!(in_time("the end", back.data()).await.is_none());
        let trailers = in_time("trailers", back.trailers()).await.expect("sound").expect("some");
        assert_eq!(trailers["x-end"], "1");
    }
}

/// A connection that has switched.
async fn switched(way: &Way) -> Box<dyn Line> {
    let mut line = way.connect().await;
    line.write_all(CHAT.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(in_time("a head", line.read_u8()).await.expect("comes"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    line
}
