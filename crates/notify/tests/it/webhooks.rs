//! Webhooks as their receivers see them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hotswap_notify::DeliveryState;
use hotswap_testkit::{Authority, Identity};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::receiver::Receiver;
use crate::support::{BEGINNING, Place, SIGNING, message, spawn};

#[tokio::test]
async fn a_receiver_can_check_who_sent_it_and_when_and_knows_it_again() {
    let place = Place::sqlite();
    let (db, receiver) = (place.db().await, Receiver::start([]).await);
    place.put(&db, &message("rollouts/1/7", "rollout.rolled_back")).await;
    let sender = place.sender(&db, &place.webhook("hook", &receiver.url("/hooks/x?y=z"), ""));
    let call = receiver.called(1).await.remove(0);
    place.until(&db, "rollouts/1/7", DeliveryState::Sent).await;
    sender.stop().await;

    let (id, at) = (call.header("webhook-id"), call.header("webhook-timestamp"));
    assert_eq!(at, (BEGINNING / 1_000_000).to_string(), "by the clock that is passed in");
    assert_eq!(call.header("idempotency-key"), id);
    assert_eq!(call.header("content-type"), "application/json");
    assert!(!id.contains('.'), "it separates what is signed");
    let secret = STANDARD.decode(SIGNING.trim_start_matches("whsec_")).expect("base64");
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let tag = STANDARD.decode(call.header("webhook-signature").trim_start_matches("v1,")).expect("base64");
    let signed = format!("{id}.{at}.{}", call.body);
    hmac::verify(&key, signed.as_bytes(), &tag).expect("the signature is right");

    let body: Value = serde_json::from_str(&call.body).expect("JSON");
    let expected = json!({
        "type": "rollout.rolled_back",
        "timestamp": "2027-01-15T08:00:00Z",
        "key": "rollouts/1/7",
        "subject": "routes/checkout",
        "data": { "rollout": "rollouts/1", "reason": "errors rose by 7 points", "words": "it was rolled back" },
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn a_secret_that_is_changed_signs_from_then_on_without_a_restart() {
    let place = Place::sqlite();
    let (db, receiver) = (place.db().await, Receiver::start([]).await);
    let sender = place.sender(&db, &place.webhook("hook", &receiver.url("/"), ""));
    let other = format!("whsec_{}", STANDARD.encode([9; 32]));
    place.file("hook.secret", &format!("{other}\n{SIGNING}\n"));
    place.put(&db, &message("k", "rollout.started")).await;
    place.until(&db, "k", DeliveryState::Sent).await;
    sender.stop().await;
    let call = receiver.calls().remove(0);
    assert_eq!(call.header("webhook-signature").split(' ').count(), 2, "the new one and the old one");
}

/// A receiver over TLS that says yes to everything.
async fn over_tls(own: &Identity) -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(&own.cert).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&own.key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a pair");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("binds");
    let address = listener.local_addr().expect("address");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            // Who does not trust the certificate leaves.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 8192];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

#[tokio::test]
async fn over_tls_only_a_receiver_whose_certificate_is_trusted_gets_it() {
    let place = Place::sqlite();
    let authority = Authority::new(place.dir.path(), "hook-ca");
    let own = authority.issue("hook", &["127.0.0.1"]);
    let address = over_tls(&own).await;
    let db = place.db().await;
    let url = format!("https://{address}/hook");
    let trusting = format!("ca_file = \"{}\"", authority.file().display());
    let config = format!(
        "attempts = 2\n{}{}",
        place.webhook("trusting", &url, &format!("{trusting}\nwants = [\"a\"]")),
        place.webhook("strange", &url, "wants = [\"b\"]")
    );
    place.put(&db, &message("trusted", "a")).await;
    place.put(&db, &message("strange", "b")).await;
    let sender = place.sender(&db, &config);
    place.until(&db, "trusted", DeliveryState::Sent).await;
    let dead = place.until(&db, "strange", DeliveryState::Dead).await;
    sender.stop().await;
    assert!(dead[0].last_error.contains("certificate"), "{dead:?}");
}
