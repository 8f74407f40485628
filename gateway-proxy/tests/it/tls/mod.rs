//! TLS towards clients, by real handshakes.

mod client_certificates;
mod exchanges;
mod refused;
mod resources;
mod sessions;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::Authority;
use crate::support::{Backend, Gateway, header, in_time};

const GET: &str = "GET /a?b HTTP/1.1\r\nhost: shop.example\r\n\r\n";

/// A gateway with TLS before a backend that tells what it got.
async fn gateway(args: &[&str]) -> (Gateway, Backend) {
    let backend = Backend::echo().await;
    let fixed = ["--gateway-engine", "own", "--gateway-tls-listen", "127.0.0.1:0"];
    let args: Vec<_> = fixed.iter().chain(args).copied().collect();
    (Gateway::before_with(backend.address, &args, |_| {}), backend)
}

fn at(gateway: &Gateway) -> SocketAddr {
    gateway.plane.listen_tls().expect("listens with TLS")
}

pub async fn handshake(
    gateway: &Gateway,
    client: ClientConfig,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    handshake_with(gateway, &Arc::new(client), name).await
}

async fn handshake_with(
    gateway: &Gateway,
    client: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    handshake_at(at(gateway), client, name).await
}

async fn handshake_at(
    address: SocketAddr,
    client: &Arc<ClientConfig>,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    in_time("handshake", TlsConnector::from(Arc::clone(client)).connect(name, tcp)).await
}

/// One exchange; the whole response.
pub async fn exchange(stream: &mut TlsStream<TcpStream>, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes()).await?;
    let mut came = Vec::new();
    loop {
        if let Some(end) = came.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&came[..end + 4]).into_owned();
            let length: usize = header(&head, "content-length").map_or(0, |v| v.parse().expect("a length"));
            if came.len() >= end + 4 + length {
                return Ok(String::from_utf8_lossy(&came).into_owned());
            }
        }
        if in_time("response", stream.read_buf(&mut came)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

async fn asked(gateway: &Gateway, client: ClientConfig, name: &str, request: &str) -> io::Result<String> {
    exchange(&mut handshake(gateway, client, name).await?, request).await
}
