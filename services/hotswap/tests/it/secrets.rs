//! Secrets are planted where they are used, and looked for in everything that comes out: what processes print and log
//! at their most talkative, their pages, their answers, their spans, and what they leave in files.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use hotswap_testkit::{Forge, Redis, TestDatabase, http_get, required};

use crate::collector::Collector;
use crate::harness::{Said, Server, UP, backend, eventually, feed, folder, hotswap, shop};

/// Such words stand nowhere else.
const IN_DATABASE_URL: &str = "planted-database-password";
const IN_REDIS_URL: &str = "planted-redis-password";
const IN_JWKS_URL: &str = "planted-provider-password";
const IN_TOKEN: &str = "planted-in-a-token";
const IN_HEADERS: &str = "planted-in-a-header";

const SEALING_KEY: &str = "c0ffee00c0ffee01c0ffee02c0ffee03c0ffee04c0ffee05c0ffee06c0ffee07";

/// A file that its owner reads alone.
fn private(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("set");
}

/// A certificate as a document, and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]).expect("made");
    let (chain_pem, private_key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
    let document = serde_json::json!({
        "kind": "Certificate",
        "name": "certificates/shop",
        "chainPem": chain_pem,
        "privateKeyPem": private_key_pem,
    });
    (document.to_string(), private_key_pem)
}

/// What was planted, by what it is, and everything that came out, by where.
#[derive(Default)]
struct Search {
    planted: Vec<(&'static str, String)>,
    outputs: Vec<(String, String)>,
}

impl Search {
    fn plant(&mut self, what: &'static str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() > 8, "{what} can be looked for");
        self.planted.push((what, secret));
    }

    /// A token: neither its claims nor its signature may show.
    fn plant_token(&mut self, what: &'static str, token: &str) {
        for part in token.trim().split('.').skip(1).filter(|part| part.len() > 8) {
            self.plant(what, part);
        }
    }

    fn heard(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.outputs.push((place.into(), text.into()));
    }

    fn said(&mut self, place: &str, said: &Said) {
        self.heard(place, format!("{}\n{}", said.out, said.err));
    }

    /// Every file below a folder, but those that hold a secret for their owner, which only he may read.
    fn read_files(&mut self, folder: &Path, private: &[&str]) {
        for path in files(folder) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if private.contains(&name.as_str()) {
                let mode = fs::metadata(&path).expect("there").permissions().mode();
                assert_eq!(mode & 0o077, 0, "{} is private", path.display());
                continue;
            }
            let bytes = fs::read(&path).unwrap_or_default();
            self.heard(path.display().to_string(), String::from_utf8_lossy(&bytes));
        }
    }

    #[track_caller]
    fn finds_nothing(&self) {
        for (place, text) in &self.outputs {
            for (what, secret) in &self.planted {
                let Some(at) = text.find(secret.as_str()) else { continue };
                let line = text[..at].lines().last().unwrap_or_default();
                panic!("{what} shows in {place}, behind {line:?}");
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => all.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => all.push(entry.path()),
            _ => {}
        }
    }
    all
}

/// Tokens that a server refuses, each with something in it that is nobody's business.
fn refused_tokens(data: &Path) -> Vec<String> {
    let forge = Forge::of(data);
    let claims =
        format!(r#"{{"aud":"hotswap","sub":"{IN_TOKEN}","roles":[],"tenant":"{IN_TOKEN}","exp":1}}"#);
    let expired = forge.signed(r#"{"alg":"EdDSA"}"#, &claims);
    vec![
        forge.confused(r#"{"alg":"HS256"}"#, &claims),
        Forge::unsigned(r#"{"alg":"none"}"#, &claims),
        forge.signed(r#"{"alg":"EdDSA"}"#, &claims.replace("\"hotswap\"", &format!("\"{IN_TOKEN}\""))),
        format!("{expired}-{IN_TOKEN}"),
        format!("{IN_TOKEN}-{IN_TOKEN}"),
        expired,
    ]
}

/// Calls with a token that is given in each of the ways that there are.
fn call(folder: &Path, url: &str, token: &str, search: &mut Search) {
    fs::write(folder.join("tried.token"), token).expect("written");
    let get = ["get", "routes", "--server", url];
    let mut with_file = hotswap(folder);
    with_file.args(get).args(["--token-file", "tried.token"]);
    search.said("a call with a file", &with_file.output().expect("runs").into());
    let mut with_variable = hotswap(folder);
    with_variable.args(get).env("HOTSWAP_TOKEN", token);
    search.said("a call with a variable", &with_variable.output().expect("runs").into());
    fs::remove_file(folder.join("tried.token")).expect("removed");
}

/// The suite with a secret in everything that takes one, logging all it can.
fn suite(folder: &Path, database: &str, redis: &str, collector: SocketAddr) -> Server {
    let keys = format!("http://user:{IN_JWKS_URL}@127.0.0.1:9/keys");
    let headers = format!("x-key={IN_HEADERS}");
    let sealing = folder.join("sealing.key");
    private(&sealing, &format!("{SEALING_KEY}\n"));
    let variables = [
        ("HOTSWAP_CERTIFICATE_KEY_FILE", sealing.to_str().expect("text")),
        ("HOTSWAP_DATABASE_URL", database),
        ("HOTSWAP_REDIS_URL", redis),
        ("HOTSWAP_JWKS", &keys),
        ("HOTSWAP_TOKEN_ISSUER", "https://id.example"),
        ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
    ];
    let otlp = format!("http://{collector}");
    let args = [&UP[..11], &["--log", "trace", "--otlp-endpoint", &otlp]].concat();
    let suite = Server::start_with(folder, &variables, &args, "token");
    let page = suite.address("admin");
    eventually("redis", || {
        let metrics = http_get(page, "/metrics").expect("metrics");
        ["limits_redis_connected 1\n", "cache_redis_connected{cache=\"route\"} 1\n"]
            .iter()
            .all(|line| metrics.contains(line))
    });
    suite
}

/// A text as it stands in JSON.
fn json_text(text: &str) -> String {
    text.replace('\n', "\\n")
}

#[test]
fn planted_secrets_show_in_no_log_page_answer_span_or_file() {
    let (Some(database), Some(redis)) = (required(TestDatabase::create()), required(Redis::start())) else {
        return;
    };
    redis.command(&["CONFIG", "SET", "requirepass", IN_REDIS_URL]).expect("set");
    // The server trusts its socket, so that any password will do.
    let database = database.url().replacen("postgres@", &format!("postgres:{IN_DATABASE_URL}@"), 1);
    assert!(database.contains(IN_DATABASE_URL), "{database}");
    let redis_url = format!("{}?pass={IN_REDIS_URL}", redis.url());
    let (folder, collector) = (folder(), Collector::start());
    let mut suite = suite(folder.path(), &database, &redis_url, collector.address());

    let data = folder.path().join("data");
    let mut search = Search::default();
    search.plant("the database's password", IN_DATABASE_URL);
    search.plant("redis's password", IN_REDIS_URL);
    search.plant("the provider's password", IN_JWKS_URL);
    search.plant("a header for the collector", IN_HEADERS);
    search.plant("what a refused token says", IN_TOKEN);
    let key = fs::read_to_string(data.join("signing-key.pem")).expect("a key");
    search.plant("the signing key", key.lines().nth(1).expect("a line"));
    for file in ["admin.token", "gateway.token"] {
        search.plant_token(file, &fs::read_to_string(data.join(file)).expect("a token"));
    }

    let url = format!("http://{}", suite.address("control plane"));
    for token in refused_tokens(&data) {
        search.plant_token("a refused token", &token);
        call(folder.path(), &url, &token, &mut search);
    }
    search.said("an apply", &suite.apply("control plane", &shop(backend("blue")), &[]));
    search.plant("the key that seals", SEALING_KEY);
    let ((good, key), (other, other_key)) = (certificate(), certificate());
    let mixed = good.replace(&json_text(&key), &json_text(&other_key));
    for (what, key) in [("a private key", &key), ("another private key", &other_key)] {
        key.lines().filter(|line| !line.starts_with("--")).for_each(|line| search.plant(what, line));
    }
    for (what, document) in [("a certificate", &good), ("a renewal", &other), ("one that is refused", &mixed)]
    {
        let said = suite.apply("control plane", document, &[]);
        assert_eq!(said.code == Some(0), *document != mixed, "{what}: {}", said.err);
        search.said(what, &said);
    }
    for (place, file) in [("a call as admin", "data/admin.token"), ("as gateway", "data/gateway.token")] {
        let args = ["get", "routes", "-o", "json", "--server", &url, "--token-file", file];
        search.said(place, &hotswap(folder.path()).args(args).output().expect("runs").into());
    }
    for page in suite.addresses("admin") {
        for path in ["/metrics", "/readyz", "/healthz"] {
            search.heard(format!("{path} of {page}"), http_get(page, path).unwrap_or_default());
        }
    }
    for span in ["RouteService/ListRoutes", "store.write", "gateway.apply"] {
        eventually(span, || collector.heard().contains(span));
    }
    assert!(suite.terminate().success());
    search.heard("spans", collector.heard());
    search.read_files(folder.path(), &["signing-key.pem", "admin.token", "gateway.token", "sealing.key"]);
    let all: usize = search.outputs.iter().map(|(_, text)| text.len()).sum();
    assert!(all > 100_000, "it was talkative: {all} bytes");
    search.finds_nothing();
}

#[test]
fn starts_that_fail_tell_nothing_of_the_secrets_that_they_were_given() {
    let folder = folder();
    let mut search = Search::default();
    search.plant("a password", "planted-password");
    let serve =
        ["serve", "route", "--data-dir", "data", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let with = |scheme: &str, rest: &str| format!("{scheme}://user:planted-password@{rest}");
    for (variable, value) in [
        ("HOTSWAP_DATABASE_URL", with("postgres", "127.0.0.1:9/none?sslmode=disable")),
        ("HOTSWAP_DATABASE_URL", with("postgres", "127.0.0.1:port/none")),
        ("HOTSWAP_DATABASE_URL", with("postgres", "127.0.0.1/none?sslmode=odd")),
        ("HOTSWAP_DATABASE_URL", with("mysql", "127.0.0.1/none")),
        ("HOTSWAP_DATABASE_URL", "planted-password".to_owned()),
        ("HOTSWAP_REDIS_URL", with("redis", "127.0.0.1:port")),
        ("HOTSWAP_REDIS_URL", with("http", "127.0.0.1:9")),
        ("HOTSWAP_REDIS_URL", "planted-password".to_owned()),
        ("HOTSWAP_JWKS", with("http", "id.example/keys")),
        ("HOTSWAP_JWKS", with("https", "host:port/keys")),
        ("HOTSWAP_OTLP_ENDPOINT", with("ftp", "127.0.0.1:9")),
    ] {
        let mut command = hotswap(folder.path());
        command.args(serve).args(["--log", "trace"]).env(variable, &value);
        if variable == "HOTSWAP_JWKS" {
            command.env("HOTSWAP_TOKEN_ISSUER", "https://id.example");
        }
        let said = Said::from(command.output().expect("runs"));
        assert_ne!(said.code, Some(0), "{variable}={value}");
        search.said(&format!("{variable}={}", value.replace("planted-password", "…")), &said);
    }
    let mut apply = hotswap(folder.path());
    apply
        .args(["apply", "-f", "-", "--server", "http://127.0.0.1:9"])
        .env("HOTSWAP_TOKEN", "planted-password");
    search.said("an apply", &feed(apply, &shop(backend("blue"))));
    search.finds_nothing();
}

#[test]
#[should_panic(expected = "a password shows in a log, behind \"it is \"")]
fn what_shows_is_found() {
    let mut search = Search::default();
    search.plant("a password", "planted-password");
    search.heard("a log", "well\nit is planted-password");
    search.finds_nothing();
}
