//! A connection, with TLS or without.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{Outcome, To};

/// The other end of a connection.
pub trait Line: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Line for T {}

/// A client of TLS. One that resumes keeps its sessions; each that is made has its own.
pub fn client(to: &To, resumes: bool, protocol: &[u8]) -> Outcome<Option<Arc<ClientConfig>>> {
    let Some(cert) = &to.cert else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert)?)?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    Ok(Some(Arc::new(config)))
}

/// Connects; the second value: whether a session of before was taken up.
pub async fn connect(to: &To, tls: Option<&Arc<ClientConfig>>) -> Outcome<(Box<dyn Line>, bool)> {
    let tcp = TcpStream::connect(to.address).await?;
    tcp.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok((Box::new(tcp), false)) };
    let stream = TlsConnector::from(Arc::clone(tls)).connect(ServerName::try_from("bench")?, tcp).await?;
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    Ok((Box::new(stream), resumed))
}

/// Asks once by HTTP/1.1, and reads the answer to its end; `buffer` is for that.
pub async fn exchange(line: &mut dyn Line, request: &str, buffer: &mut [u8]) -> Outcome<()> {
    line.write_all(request.as_bytes()).await?;
    let (mut had, mut left) = (0, None);
    loop {
        let n = line.read(buffer.get_mut(had..).unwrap_or_default()).await?;
        if n == 0 {
            return Err("the connection ended".into());
        }
        match &mut left {
            Some(left) => *left -= n.min(*left),
            None => {
                had += n;
                let came = buffer.get(..had).unwrap_or_default();
                if let Some(end) = came.windows(4).position(|w| w == b"\r\n\r\n") {
                    let body = length(came.get(..end).unwrap_or_default())?;
                    left = Some(body.saturating_sub(had - end - 4));
                    had = 0;
                }
            }
        }
        if left == Some(0) {
            return Ok(());
        }
    }
}

/// Of the body that follows a head.
fn length(head: &[u8]) -> Outcome<usize> {
    let head = std::str::from_utf8(head)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(head.lines().next().unwrap_or_default().into());
    }
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    Ok(length.ok_or("an answer without a length")?.1.trim().parse()?)
}
