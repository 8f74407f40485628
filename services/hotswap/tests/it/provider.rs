//! Tokens of an identity provider.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use hotswap_auth::LocalKey;

use crate::harness::{Said, Server, folder, hotswap};

const SERVE: [&str; 9] = [
    "serve",
    "route",
    "--data-dir",
    "data",
    "--listen",
    "127.0.0.1:0",
    "--admin-listen",
    "127.0.0.1:0",
    "--token-issuer",
];

/// A provider: a key in a folder of its own, and its key set.
fn provider(folder: &std::path::Path) -> String {
    fs::create_dir(folder.join("provider")).expect("a folder");
    LocalKey::load_or_create(&folder.join("provider")).expect("a key").key_set()
}

/// A listing with a token that the provider made.
fn ask(folder: &std::path::Path, server: &Server) -> Said {
    let token = hotswap(folder)
        .args(["token", "--role", "viewer", "--subject", "them", "--data-dir", "provider"])
        .output()
        .expect("runs");
    fs::write(folder.join("their.token"), Said::from(token).ok()).expect("written");
    let address = format!("http://{}", server.address("listening"));
    let args = ["get", "routes", "--server", &address, "--token-file", "their.token"];
    hotswap(folder).args(args).output().expect("runs").into()
}

#[test]
fn a_key_set_in_a_file_lets_the_providers_tokens_in() {
    let folder = folder();
    let keys = provider(folder.path());
    let strict = Server::start(folder.path(), &[&SERVE[..8], &["--log", "warn"]].concat(), "token");
    assert!(ask(folder.path(), &strict).fails(6).contains("TOKEN_SIGNATURE"));
    drop(strict);
    fs::write(folder.path().join("keys.json"), keys).expect("written");
    let server =
        Server::start(folder.path(), &[&SERVE[..], &["hotswap", "--jwks", "keys.json"]].concat(), "token");
    ask(folder.path(), &server).ok();
    drop(server);
    let other =
        Server::start(folder.path(), &[&SERVE[..], &["https://id", "--jwks", "keys.json"]].concat(), "token");
    assert!(ask(folder.path(), &other).fails(6).contains("TOKEN_ISSUER"));
}

#[test]
fn a_key_set_at_an_address_lets_the_providers_tokens_in() {
    let folder = folder();
    let keys = provider(folder.path());
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head = BufReader::new(stream.try_clone().expect("cloned")).lines();
            head.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{keys}", keys.len());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let server = Server::start(folder.path(), &[&SERVE[..], &["hotswap", "--jwks", &url]].concat(), "token");
    ask(folder.path(), &server).ok();
}

#[test]
fn keys_that_are_none_end_the_start_with_one_line() {
    let folder = folder();
    fs::write(folder.path().join("keys.json"), "{}").expect("written");
    for (keys, why) in [
        ("keys.json", "not a JSON Web Key Set"),
        ("missing.json", "missing.json"),
        ("http://id.example/keys", "--jwks must be a file or an https:// address"),
    ] {
        let said =
            hotswap(folder.path()).args(SERVE).args(["hotswap", "--jwks", keys]).output().expect("runs");
        let said = Said::from(said);
        assert!(said.code.is_some_and(|c| c != 0), "{keys}");
        assert!(said.err.contains(why) && said.err.trim_end().lines().count() == 1, "{}", said.err);
    }
}
