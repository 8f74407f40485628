//! What is no TLS, or none that is safe; and options that can't work.

use std::process::{Command, Stdio};

use hotswap_test_servers::{Unavailable, required};

use super::*;
use crate::support::{Wire, options};

#[tokio::test]
async fn who_speaks_plain_http_is_told_so_in_words() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let (gateway, backend) = gateway(&["--gateway-tls-certificate", &files.option()]).await;
    let mut client = Wire::connect(at(&gateway)).await;
    client.send(GET).await;
    let response = client.response().await;
    assert_eq!((response.status, response.reason()), (400, Some("TLS_REQUIRED")));
    assert!(response.text().contains("HTTPS"), "{}", response.text());
    assert!(!client.ended().await);
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn oddities_end_in_order_and_leave_nothing_behind() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let args = ["--gateway-tls-certificate", &files.option(), "--gateway-tls-handshake-ms", "300"];
    let (gateway, backend) = gateway(&args).await;
    let hello = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    // Garbage, half a handshake, nothing, a huge record, data before a handshake: each is ended, in order or by a reset.
    let huge = [0x16, 3, 1, 0xff, 0xff, 1, 2, 3];
    let early = [0x17, 3, 3, 0, 3, 1, 2, 3];
    for bytes in [&b"\x00\x01garbage that is no TLS at all"[..], &hello, b"", &huge, &early] {
        let mut client = Wire::connect(at(&gateway)).await;
        client.send(bytes).await;
        let _ = client.ended().await;
    }
    gateway.counts("gateway_tls_handshakes_total{result=\"timed_out\"} 2").await;
    gateway.counts("gateway_tls_handshakes_total{result=\"failed\"} 3").await;
    gateway.counts("gateway_active_connections 0").await;
    assert_eq!(backend.connections(), 0);
    let seen = asked(&gateway, authority.client(), "shop.example", GET).await.expect("answered");
    assert!(seen.starts_with("HTTP/1.1 200"));
}

/// What `openssl s_client` says, asked for with `args`.
fn s_client(gateway: &Gateway, args: &[&str]) -> Option<String> {
    let mut child = Command::new("openssl");
    child.args(["s_client", "-connect", &at(gateway).to_string()]).args(args);
    let output = child.stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_agrees_on_what_is_safe_and_on_nothing_older() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let (gateway, _backend) = gateway(&["--gateway-tls-certificate", &files.option()]).await;
    let asked = s_client(&gateway, &["-tls1_3", "-servername", "shop.example", "-alpn", "http/1.1"]);
    let missing = Unavailable::Missing { program: "openssl", package: "openssl" };
    let Some(new) = required(asked.ok_or(missing)) else { return };
    assert!(new.contains("TLSv1.3") && new.contains("ALPN protocol: http/1.1"), "{new}");
    let old = s_client(&gateway, &["-tls1_2", "-noservername"]).expect("runs");
    assert!(old.contains("TLSv1.2") && old.contains("Secure Renegotiation IS supported"), "{old}");
    for version in ["-tls1", "-tls1_1"] {
        let args = [version, "-cipher", "ALL:@SECLEVEL=0"];
        let refused = s_client(&gateway, &args).expect("runs");
        assert!(refused.contains("SSL alert number"), "{version}: {refused}");
        assert!(refused.contains("no peer certificate available"), "{version}: {refused}");
    }
    let other = s_client(&gateway, &["-alpn", "spdy/3"]).expect("runs");
    assert!(other.contains("alert no application protocol"), "{other}");
}

#[test]
fn what_can_not_work_is_told_before_anything_is_served() {
    let authority = Authority::new();
    let files = authority.issue("shop", &["shop.example"]);
    let other = authority.issue("other", &["other.example"]);
    let listen = ["--gateway-tls-listen", "127.0.0.1:0"];
    let open = authority.issue("open", &["open.example"]);
    std::fs::set_permissions(&open.key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("set");
    let swapped = format!("{}:{}", files.cert.display(), other.key.display());
    let none = format!("{}:/none/key.pem", files.cert.display());
    let no_key = format!("{0}:{0}", files.cert.display());
    std::fs::set_permissions(&files.cert, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    for (args, want) in [
        (vec!["--gateway-tls-certificate", &open.option()], "chmod 600"),
        (vec!["--gateway-tls-certificate", &swapped], "is that of another certificate"),
        (vec!["--gateway-tls-certificate", &none], "cannot read /none/key.pem"),
        (vec!["--gateway-tls-certificate", &no_key], "there is no private key"),
        (vec!["--gateway-tls-certificate", &files.option(), "--gateway-tls-client-optional"], "client-ca"),
        (
            vec!["--gateway-tls-certificate", &files.option(), "--gateway-engine", "hyper"],
            "use --gateway-engine own",
        ),
    ] {
        let own = if args.contains(&"hyper") { vec![] } else { vec!["--gateway-engine", "own"] };
        let args: Vec<_> = listen.iter().copied().chain(own).chain(args).collect();
        let told = hotswap_gateway::plane::DataPlane::start(&options(&args));
        let told = told.expect_err(want).to_string();
        assert!(told.contains(want), "{told}");
    }
}
