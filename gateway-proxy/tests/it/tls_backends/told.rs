//! What is told of it: `/pools`, `/config`, an explanation, the log.

use hotswap_api::gateway::v1::resource::Spec;
use hotswap_api::route::v1 as wire;
use serde_json::{Value, json};

use super::*;
use crate::control::*;
use crate::gateway_process::Process;

async fn page(admin: SocketAddr, path: &str) -> String {
    let mut client = Wire::connect(admin).await;
    client.send(format!("GET {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")).await;
    client.response().await.text()
}

#[tokio::test]
async fn the_pages_tell_how_a_pool_is_reached_and_what_is_wrong() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    authority.issue_in(folder.path(), "edge", &["edge.internal"]);
    let backend = Secured::telling(server(&authority.issue("shop", &["shop.internal"]))).await;
    let mut control = ControlPlane::start("127.0.0.1:0").await;
    let folder = folder_of(folder.path());
    let process = Process::start(control.address, &["--gateway-engine", "own", "--backend-tls-dir", &folder]);
    let (listen, admin) = process.ready().await;
    let (mut stream, _) = control.stream().await;
    let mut pool = pool(1, backend.address);
    if let Some(Spec::Pool(pool)) = &mut pool.spec {
        let (server_name, ca, client_certificate) = ("cart.internal".into(), "corp".into(), "edge".into());
        pool.tls = Some(wire::BackendTls { server_name, ca, client_certificate, skip_verification: false });
    }
    let nonce = stream.say(whole(7, vec![pool, to_the_pool(1)])).await;
    stream.acknowledged(&nonce).await;

    let pools: Value = serde_json::from_str(&page(admin, "/pools?format=json").await).expect("JSON");
    let mut tls = json!({ "server_name": "cart.internal", "ca": "corp", "client_certificate": "edge", "verified": true });
    assert_eq!(pools["entries"][0]["tls"], tls);
    let mut client = Wire::connect(listen).await;
    client.send(GET).await;
    assert_eq!(client.response().await.reason(), Some("BACKEND_TLS"));
    let pools: Value = serde_json::from_str(&page(admin, "/pools?format=json").await).expect("JSON");
    let error = "its certificate is not for cart.internal, but for shop.internal";
    tls["trouble"] = json!([{ "backend": backend.address.to_string(), "error": error }]);
    assert_eq!(pools["entries"][0]["tls"], tls);
    let text = page(admin, "/pools").await;
    assert!(
        text.contains("fails") && text.contains(&format!("{}: TLS: {error}\n", backend.address)),
        "{text}"
    );

    let config = page(admin, "/config").await;
    assert!(config.contains(&folder) && config.contains("edge.pem until"), "{config}");
}

#[tokio::test]
async fn an_explanation_says_that_a_pool_is_reached_with_tls() {
    let authority = Authority::new();
    let folder = folder_with(&authority);
    let backend = Secured::telling(server(&authority.issue("shop", &["shop.internal"]))).await;
    let mut gateway = gateway(folder.path(), &[backend.address], by("corp", "shop.internal"), |_| {});
    let asked =
        || wire::ExplainRequestRequest { method: "GET".into(), path: "/".into(), ..Default::default() };
    let told = hotswap_gateway::explain::live(gateway.plane.config(), asked()).await.expect("explained");
    let (server_name, ca) = ("shop.internal".to_owned(), "corp".to_owned());
    assert_eq!(told.backend_tls, Some(wire::BackendTls { server_name, ca, ..Default::default() }));
    gateway.pool("p", &[backend.address]);
    gateway.swap();
    let told = hotswap_gateway::explain::live(gateway.plane.config(), asked()).await.expect("explained");
    assert_eq!(told.backend_tls, None);
}
