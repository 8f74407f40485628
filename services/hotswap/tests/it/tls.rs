//! Processes that speak TLS, to each other and to clients.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use hotswap_testkit::{Authority, Identity};

use crate::harness::{Browser, Said, Server, backend, eventually, feed, folder, hotswap, shop};

const SERVE: [&str; 7] = ["serve", "route", "--data-dir", "data", "--admin-listen", "127.0.0.1:0", "--log"];
const TLS: [&str; 4] = ["--tls-cert", "server.crt", "--tls-key", "server.key"];

/// `hotswap apply` over TLS, trusting one authority; `more`: the client's certificate.
fn apply(folder: &Path, plane: SocketAddr, text: &str, ca: &str, more: &[&str]) -> Said {
    let server = format!("https://{plane}");
    let mut command = hotswap(folder);
    command.args(["apply", "-f", "-", "--server", &server, "--token-file", "data/admin.token"]);
    command.args(["--ca-file", ca, "--tls-name", "localhost"]).args(more);
    feed(command, text)
}

/// A gateway with these options, and where it listens.
fn gateway(folder: &Path, args: &[&str]) -> (Server, SocketAddr) {
    let fixed = ["gateway", "--token-file", "data/gateway.token", "--ready-file", "ready"];
    let listen = ["--gateway-listen", "127.0.0.1:0", "--gateway-admin-listen", "127.0.0.1:0"];
    let server = Server::spawn(folder, &[&fixed[..], &listen, args].concat());
    eventually("the gateway", || folder.join("ready").exists());
    let told = fs::read(folder.join("ready")).expect("read");
    let told: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
    (server, told["listen"].as_str().and_then(|a| a.parse().ok()).expect("an address"))
}

fn answers(gateway: SocketAddr, what: &str) -> bool {
    Browser::open(gateway).get("shop.example").as_ref().is_ok_and(|answer| answer.1 == what)
}

#[test]
fn gateways_and_clients_show_certificates_which_change_without_a_restart() {
    let folder = folder();
    let dir = folder.path();
    let (first, clients) = (Authority::new(dir, "first"), Authority::new(dir, "clients"));
    first.issue("server", &["localhost"]);
    clients.issue("proxy", &["gateway"]);
    clients.issue("person", &["person"]);
    let (blue, green) = (backend("blue"), backend("green"));
    let mutual = [&TLS[..], &["--tls-client-ca", "clients.pem"]].concat();
    let serve = |listen: &str| {
        Server::start(dir, &[&SERVE[..], &["info", "--listen", listen], &mutual].concat(), "token")
    };
    let mut plane = serve("127.0.0.1:0");
    let address = plane.address("listening");
    let person = ["--client-cert", "person.crt", "--client-key", "person.key"];
    apply(dir, address, &shop(blue), "first.pem", &person).ok();
    let list =
        ["get", "routes", "--server", &format!("https://{address}"), "--token-file", "data/admin.token"];
    let mut stranger = hotswap(dir);
    stranger.args(list).args(["--ca-file", "first.pem", "--tls-name", "localhost"]);
    let refused = Said::from(stranger.output().expect("runs")).fails(5);
    assert!(refused.contains("--client-cert"), "{refused}");

    fs::copy(dir.join("first.pem"), dir.join("trusted.pem")).expect("copied");
    let url = format!("https://{address}");
    let proxy = ["--client-cert", "proxy.crt", "--client-key", "proxy.key"];
    let trust = ["--control-plane", &url, "--ca-file", "trusted.pem", "--tls-name", "localhost"];
    let (_gateway, listen) = gateway(dir, &[&trust[..], &proxy].concat());
    eventually("blue", || answers(listen, "blue"));

    let second = Authority::new(dir, "second");
    second.issue("server", &["localhost"]);
    let with = |ca: &str| apply(dir, address, &shop(blue), ca, &person);
    eventually("the new certificate", || with("second.pem").code == Some(0));
    with("first.pem").fails(5);
    // The gateway's stream went on; its next one meets the new certificate.
    fs::copy(dir.join("second.pem"), dir.join("trusted.pem")).expect("copied");
    plane.kill();
    let _plane = serve(&address.to_string());
    apply(dir, address, &shop(green), "second.pem", &person).ok();
    eventually("green", || answers(listen, "green"));
}

/// The admin page, to somebody who trusts an authority and shows a certificate or none.
async fn page(address: SocketAddr, ca: &Authority, own: Option<&Identity>) -> reqwest::Result<String> {
    let ca = reqwest::Certificate::from_pem(&fs::read(ca.file()).expect("there")).expect("a certificate");
    let client = reqwest::Client::builder().tls_certs_only([ca]).resolve("localhost", address).no_proxy();
    let client = match own {
        None => client,
        Some(own) => {
            let files = [fs::read(&own.cert).expect("there"), fs::read(&own.key).expect("there")];
            client.identity(reqwest::Identity::from_pem(&files.concat()).expect("an identity"))
        }
    };
    let url = format!("https://localhost:{}/healthz", address.port());
    client.build()?.get(url).send().await?.text().await
}

#[tokio::test]
async fn the_suite_has_tls_on_every_listener_but_the_one_for_traffic() {
    let folder = folder();
    let dir = folder.path();
    let (ours, clients) = (Authority::new(dir, "ours"), Authority::new(dir, "clients"));
    ours.issue("server", &["localhost"]);
    let person = clients.issue("person", &["person"]);
    let blue = backend("blue");
    let mutual = [&TLS[..], &["--tls-client-ca", "clients.pem"]].concat();
    let suite = Server::start(dir, &[&crate::harness::UP[..], &mutual].concat(), "token");
    let of_plane = suite.told.iter().filter(|(name, _)| name == "control plane" || name == "admin");
    assert!(of_plane.map(|(_, what)| what).all(|url| url.starts_with("https://")), "{:?}", suite.told);
    let own = ["--client-cert", "person.crt", "--client-key", "person.key"];
    apply(dir, suite.address("control plane"), &shop(blue), "ours.pem", &own).ok();
    // Its own gateway needs no certificate: it comes through the data folder.
    eventually("blue", || answers(suite.address("gateway"), "blue"));
    let pages = suite.addresses("admin");
    assert_eq!(pages.len(), 2);
    for address in pages {
        assert_eq!(page(address, &ours, Some(&person)).await.expect("a page"), "ok\n");
        page(address, &ours, None).await.expect_err("no certificate");
        let plain = reqwest::Client::builder().no_proxy().build().expect("a client");
        plain.get(format!("http://{address}/healthz")).send().await.expect_err("no TLS");
    }
}

#[test]
fn other_machines_are_not_listened_to_without_tls_unless_that_is_asked_for() {
    let folder = folder();
    let here = ["--listen", "--admin-listen", "--gateway-listen", "--gateway-admin-listen"];
    let at = |flag: &'static str, address: &'static str| {
        here.into_iter().flat_map(move |f| [f, if f == flag { address } else { "127.0.0.1:0" }])
    };
    for flag in ["--listen", "--admin-listen", "--gateway-admin-listen"] {
        let said: Said =
            hotswap(folder.path()).arg("up").args(at(flag, "0.0.0.0:0")).output().expect("runs").into();
        let said = said.fails(2);
        assert!(said.starts_with(&format!("error: {flag} 0.0.0.0:0: other machines reach it")), "{said}");
        assert!(said.contains("--allow-plaintext") && said.trim_end().lines().count() == 1, "{said}");
        assert!(!folder.path().join("hotswap-data").exists(), "nothing is left behind");
    }
    let open: Vec<&str> = at("--listen", "0.0.0.0:0").collect();
    let args = [&["up", "--data-dir", "data", "--log", "warn", "--allow-plaintext"][..], &open].concat();
    drop(Server::start(folder.path(), &args, "token"));

    let there = ["gateway", "--gateway-listen", "127.0.0.1:0", "--gateway-admin-listen"];
    for (page, plane, why) in [
        ("127.0.0.1:0", "http://control.example:7400", "the token would pass where others can read it"),
        ("0.0.0.0:0", "http://127.0.0.1:7400", "give --gateway-admin-tls-cert"),
    ] {
        let mut gateway = hotswap(folder.path());
        gateway.args(there).args([page, "--control-plane", plane]);
        let said = Said::from(gateway.output().expect("runs")).fails(2);
        assert!(
            said.contains(why) && said.trim_end().lines().last().is_some_and(|l| l.contains(why)),
            "{said}"
        );
    }
}

#[test]
fn files_that_are_of_no_use_end_the_start_with_one_line() {
    let folder = folder();
    let ours = Authority::new(folder.path(), "ours");
    ours.issue("server", &["localhost"]);
    ours.issue("other", &["localhost"]);
    for (args, why) in [
        (&["--tls-cert", "server.crt"][..], "--tls-cert needs --tls-key"),
        (&["--tls-client-ca", "ours.pem"], "--tls-client-ca needs --tls-cert"),
        (&["--tls-cert", "gone.crt", "--tls-key", "server.key"], "cannot read gone.crt"),
        (&["--tls-cert", "server.key", "--tls-key", "server.key"], "server.key: there is no certificate"),
        (&["--tls-cert", "server.crt", "--tls-key", "other.key"], "server.crt: "),
    ] {
        let serve = [&SERVE[..], &["warn", "--listen", "127.0.0.1:0"], args].concat();
        let said = Said::from(hotswap(folder.path()).args(serve).output().expect("runs")).fails(2);
        assert!(said.contains(why) && said.trim_end().lines().count() == 1, "{said}");
    }
}
