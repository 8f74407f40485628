//! Servers that are no Prometheus, or stand before one.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, LOCATION};
use axum::response::IntoResponse as _;
use axum::routing::{any, post};
use hotswap_core::Timestamp;
use hotswap_metric_query::{PrometheusClient, PrometheusOptions, QueryError};
use hotswap_testkit::Authority;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::support::{client, listener, options, serve, served};

const ONE: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#;

#[tokio::test]
async fn a_token_is_read_for_each_query_and_shown_nowhere() {
    let guarded = |request: Request| async move {
        match request.headers().get(AUTHORIZATION).and_then(|v| v.to_str().ok()) {
            Some("Bearer hunter2") => (StatusCode::OK, ONE.to_owned()),
            other => (StatusCode::UNAUTHORIZED, format!("no {}", other.is_some())),
        }
    };
    let server = serve(Router::new().route("/prefix/api/v1/query", post(guarded))).await;
    let dir = tempfile::tempdir().expect("dir");
    let token = dir.path().join("token");
    fs::write(&token, "old\n").expect("written");
    let allow = vec![server.address.to_string()];
    let address = format!("http://{}/prefix/", server.address);
    let options =
        PrometheusOptions { token_file: Some(token.clone()), ..PrometheusOptions::new(address, allow) };
    let client = PrometheusClient::new(&options).expect("valid");
    let error = client.instant("1", Timestamp(0)).await.expect_err("the old one");
    assert_eq!(error, QueryError::Http { status: 401, message: "no true".into() });
    fs::write(&token, "hunter2\n").expect("written");
    assert_eq!(client.instant("1", Timestamp(0)).await.expect("a number").value, 1.0);
    let shown = format!("{options:?} {client:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    fs::remove_file(&token).expect("gone");
    assert!(matches!(client.instant("1", Timestamp(0)).await, Err(QueryError::Token { .. })));
}

#[tokio::test]
async fn a_redirect_is_an_error_and_not_followed() {
    let elsewhere = serve(Router::new().fallback(any(|| async { ONE }))).await;
    let to = format!("http://{}/api/v1/query", elsewhere.address);
    let app = Router::new()
        .fallback(any(move || async move { (StatusCode::FOUND, [(LOCATION, to)]).into_response() }));
    let server = serve(app).await;
    let error = client(server.address).instant("1", Timestamp(0)).await.expect_err("elsewhere");
    assert!(matches!(error, QueryError::Http { status: 302, .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_has_its_time_and_no_more() {
    let server = serve(Router::new().fallback(any(std::future::pending::<&str>))).await;
    let after = Duration::from_millis(50);
    let options = PrometheusOptions { timeout: after, ..options(server.address) };
    let client = PrometheusClient::new(&options).expect("valid");
    let error = client.instant("1", Timestamp(0)).await.expect_err("it hangs");
    assert!(error == QueryError::TimedOut { after } && error.may_pass(), "{error}");
}

#[tokio::test]
async fn an_answer_without_end_is_given_up() {
    let server = serve(Router::new().fallback(any(|| async { "x".repeat(3 << 20) }))).await;
    let error = client(server.address).instant("1", Timestamp(0)).await.expect_err("too long");
    assert!(matches!(&error, QueryError::Malformed { what } if what.contains("longer than")), "{error}");
}

#[tokio::test]
async fn over_tls_a_certificate_must_be_trusted() {
    let dir = tempfile::tempdir().expect("dir");
    let authority = Authority::new(dir.path(), "ca");
    let own = authority.issue("server", &["localhost"]);
    let certificate = CertificateDer::from_pem_file(&own.cert).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(&own.key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a pair");
    let (listener, address) = listener().await;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let _served = served(address, async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            // Who does not trust the certificate leaves.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{ONE}", ONE.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let port = address.port();
    let strange =
        PrometheusOptions::new(format!("https://localhost:{port}"), vec![format!("localhost:{port}")]);
    let client = PrometheusClient::new(&strange).expect("valid");
    let error = client.instant("1", Timestamp(0)).await.expect_err("nobody trusts it");
    assert!(
        matches!(&error, QueryError::Unreachable { message } if message.contains("certificate")),
        "{error}"
    );
    let trusted = PrometheusOptions { ca_file: Some(authority.file().to_owned()), ..strange };
    let client = PrometheusClient::new(&trusted).expect("valid");
    assert_eq!(client.instant("1", Timestamp(0)).await.expect("a number").value, 1.0);
}
