//! Sessions over real sockets, with rustls at the other end.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use tokio::net::{TcpListener, TcpStream};

use super::Secure;

/// Both ends of a connection, before the handshake.
async fn pair() -> (Secure, Secure) {
    let made = rcgen::generate_simple_self_signed(["gateway.test".to_owned()]).expect("a certificate");
    let cert = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let server = ServerConfig::builder().with_no_client_auth();
    let server = server.with_single_cert(vec![cert.clone()], key).expect("fits");
    let mut roots = RootCertStore::empty();
    roots.add(cert).expect("a root");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let near = TcpStream::connect(listener.local_addr().expect("address")).await.expect("connects");
    let (far, _) = listener.accept().await.expect("accepts");
    let name = ServerName::try_from("gateway.test").expect("a name");
    let client = ClientConnection::new(Arc::new(client), name).expect("a session");
    let server = ServerConnection::new(Arc::new(server)).expect("a session");
    (Secure::new(near, client.into()), Secure::new(far, server.into()))
}

async fn agreed() -> (Secure, Secure) {
    let (mut client, mut server) = pair().await;
    let hand = |secure: &mut Secure, cx: &mut std::task::Context<'_>| secure.poll_handshake(cx);
    let both = tokio::join!(poll_fn(|cx| hand(&mut client, cx)), poll_fn(|cx| hand(&mut server, cx)));
    assert!(both.0.is_ok() && both.1.is_ok());
    (client, server)
}

async fn write(secure: &mut Secure, bytes: &[u8]) -> io::Result<()> {
    let mut at = 0;
    while at < bytes.len() {
        at += poll_fn(|cx| secure.poll_write(cx, [&bytes[at..], &[], &[]])).await?;
    }
    poll_fn(|cx| secure.poll_flush(cx)).await
}

async fn read(secure: &mut Secure, room: usize) -> io::Result<Vec<u8>> {
    let mut into = vec![0; room];
    let n = poll_fn(|cx| secure.poll_read(cx, &mut into)).await?;
    into.truncate(n);
    Ok(into)
}

/// Much, in pieces that end within records, read with room for `room` bytes at a time.
async fn much_passes_whole(room: usize) {
    let (mut client, mut server) = agreed().await;
    let sent: Vec<u8> = (0..700_000_u32).map(|i| (i % 251) as u8).collect();
    let writing = async {
        for piece in sent.chunks(70_001) {
            write(&mut client, piece).await.expect("writes");
        }
        // The socket stays: to close it with tickets unread would be a reset.
        poll_fn(|cx| client.poll_end(cx)).await.expect("ends");
    };
    let reading = async {
        let mut came = Vec::new();
        loop {
            let piece = read(&mut server, room).await.expect("reads");
            if piece.is_empty() {
                return came;
            }
            came.extend(piece);
        }
    };
    let (came, ()) = tokio::join!(reading, writing);
    assert!(came == sent, "{} of {}", came.len(), sent.len());
}

#[tokio::test]
async fn what_goes_in_comes_out_whatever_the_room() {
    for room in [64 * 1024, 5_000, 100] {
        much_passes_whole(room).await;
    }
}

#[tokio::test]
async fn what_the_socket_takes_of_a_large_write_shows_while_it_goes_out() {
    let (mut client, mut server) = agreed().await;
    let sent = vec![7; 30_000_000];
    let before = server.sent();
    let taken = poll_fn(|cx| server.poll_write(cx, [&sent, &[], &[]])).await.expect("takes it");
    assert_eq!(taken, sent.len());
    let first = server.sent();
    assert!(before < first && first < sent.len() as u64 && !server.is_flushed(), "{first}");
    let mut came = 0;
    let flushing = poll_fn(|cx| server.poll_flush(cx));
    let reading = async {
        while came < sent.len() {
            came += read(&mut client, 64 * 1024).await.expect("reads").len();
        }
    };
    let (flushed, ()) = tokio::join!(flushing, reading);
    flushed.expect("goes out");
    assert!(server.is_flushed() && server.sent() > sent.len() as u64);
}

#[tokio::test]
async fn a_library_reads_and_writes_a_socket_of_either_kind() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::socket::Socket;

    let (client, server) = agreed().await;
    let (near, far) = pair().await;
    let pairs = [
        (Socket::Tls(Box::new(client)), Socket::Tls(Box::new(server))),
        (Socket::Plain(near.tcp), Socket::Plain(far.tcp)),
    ];
    for (mut from, mut to) in pairs {
        let sent = vec![5; 300_000];
        let mut came = Vec::new();
        let writing = async {
            from.write_all(&sent).await?;
            from.shutdown().await
        };
        let (wrote, read) = tokio::join!(writing, to.read_to_end(&mut came));
        assert!(wrote.is_ok() && read.is_ok() && came == sent);
    }
}

#[tokio::test]
async fn an_end_that_was_said_is_an_end_and_a_cut_is_an_error() {
    let (mut client, mut server) = agreed().await;
    write(&mut client, b"last words").await.expect("writes");
    poll_fn(|cx| client.poll_end(cx)).await.expect("ends");
    assert_eq!(read(&mut server, 100).await.expect("reads"), b"last words");
    assert_eq!(read(&mut server, 100).await.expect("an end"), b"");
    assert!(!server.holds_nothing(), "it is of no use for another exchange");

    let (mut client, mut server) = agreed().await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.tcp).await.expect("cuts");
    assert_eq!(read(&mut server, 100).await.expect_err("cut").kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn what_comes_behind_the_handshake_is_not_lost() {
    let (mut client, mut server) = pair().await;
    let sent = vec![7; 60_000];
    let ahead = async {
        poll_fn(|cx| client.poll_handshake(cx)).await.expect("agrees");
        write(&mut client, &sent).await.expect("writes");
    };
    let behind = async {
        poll_fn(|cx| server.poll_handshake(cx)).await.expect("agrees");
        let mut came = 0;
        while came < sent.len() {
            came += read(&mut server, 9_000).await.expect("reads").len();
        }
    };
    tokio::join!(ahead, behind);
}

#[tokio::test]
async fn a_peer_that_speaks_no_tls_is_told_so_by_an_alert() {
    let (client, mut server) = pair().await;
    let mut plain = client.tcp;
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"GET / HTTP/1.1\r\n\r\n").await.expect("writes");
    let refused = poll_fn(|cx| server.poll_handshake(cx)).await.expect_err("no handshake");
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    let mut told = Vec::new();
    drop(server);
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut plain, &mut told).await;
    assert_eq!(told.first(), Some(&21), "an alert: {told:?}");
}
