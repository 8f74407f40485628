//! What people do beside get and apply: compare, look back, go back, explain, follow, and name control planes.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use crate::harness::{Said, Server, folder, hotswap};

const PLANE: &str = "listening";

fn plane(folder: &Path) -> Server {
    let args =
        ["serve", "route", "--data-dir", "data", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    Server::start(folder, &args, "token")
}

fn shop(port: u16) -> String {
    format!(
        "kind: Pool\nname: pools/shop\nbackends: [{{ address: '127.0.0.1:{port}' }}]\n---\n\
         kind: Route\nname: routes/shop\nmatches: [{{ path: {{ prefix: / }} }}]\n\
         forward: {{ pool: pools/shop }}\n"
    )
}

const CART: &str = "kind: Route\nname: routes/cart\nhosts: [shop.example]\n\
    matches: [{ path: { prefix: /cart }, headers: [{ name: x-tier, exact: gold }] }]\n\
    forward: { pool: pools/shop }\n";

/// Lines without the blanks between columns.
fn squeezed(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn diff_tells_by_its_exit_code_and_changes_nothing() {
    let folder = folder();
    let plane = plane(folder.path());
    std::fs::write(folder.path().join("shop.yaml"), shop(9)).expect("written");
    let diff = || plane.client(PLANE, &["diff", "-f", "shop.yaml"]);
    let said = diff();
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.out.contains("+++ pools/shop (as in the files)\n"), "{}", said.out);
    assert_eq!(plane.client(PLANE, &["get", "pools", "-o", "name"]).ok(), "", "nothing was written");

    plane.client(PLANE, &["apply", "-f", "shop.yaml"]).ok();
    assert_eq!(diff().ok(), "");
    std::fs::write(folder.path().join("shop.yaml"), shop(10)).expect("written");
    let said = diff();
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(said.out.contains("\n-- address: 127.0.0.1:9\n+- address: 127.0.0.1:10\n"), "{}", said.out);
    assert!(!said.out.contains("routes/shop"), "what is the same is not told: {}", said.out);

    let missing = plane.client(PLANE, &["diff", "-f", "nowhere.yaml"]).fails(2);
    assert!(missing.contains("nowhere.yaml"), "{missing}");
}

#[test]
fn a_pool_goes_back_to_what_it_was() {
    let folder = folder();
    let plane = plane(folder.path());
    plane.apply(PLANE, &shop(9), &[]).ok();
    plane.apply(PLANE, &shop(10), &[]).ok();
    let history = plane.client(PLANE, &["history", "pools/shop"]).ok();
    let rows: Vec<_> = squeezed(&history).into_iter().map(|row| row[..9].to_owned()).collect();
    assert_eq!(rows, ["REVISION ", "3 updated", "1 created"]);

    let compared = plane.client(PLANE, &["diff", "pools/shop", "--from", "1", "--to", "3"]);
    assert_eq!(compared.code, Some(1), "{}", compared.err);
    assert!(
        compared.out.contains("127.0.0.1:9") && compared.out.contains("127.0.0.1:10"),
        "{}",
        compared.out
    );

    plane.client(PLANE, &["rollback", "pools/shop", "--to", "1"]).ok();
    assert!(plane.client(PLANE, &["get", "pools/shop", "-o", "wide"]).ok().contains("127.0.0.1:9 "));
    let said = plane.client(PLANE, &["rollback", "pools/none", "--to", "1"]).fails(4);
    assert!(said.contains("pools/none"), "{said}");
}

#[test]
fn explain_tells_the_route_the_reason_and_what_others_missed_by() {
    let folder = folder();
    let plane = plane(folder.path());
    plane.apply(PLANE, &format!("{}---\n{CART}", shop(9)), &[]).ok();
    let explain = |args: &[&str]| plane.client(PLANE, &[&["explain"], args].concat());
    let told = squeezed(&explain(&["shop.example/cart?item=7"]).ok());
    for line in [
        "Request: GET shop.example/cart?item=7",
        "Route: routes/shop",
        "Backend: 127.0.0.1:9",
        "routes/cart the header x-tier must be \"gold\" matches[0].headers[0]",
    ] {
        assert!(told.iter().any(|l| l == line), "{line:?} in {told:#?}");
    }
    let gold = ["http://shop.example:8080/cart", "-H", "X-Tier: gold", "-o", "name"];
    assert_eq!(explain(&gold).ok(), "routes/cart\n");
    let json: serde_json::Value = serde_json::from_str(&explain(&["/", "-o", "json"]).ok()).expect("JSON");
    assert_eq!((&json["kind"], &json["pool"]), (&"Explanation".into(), &"pools/shop".into()));
    assert!(explain(&["a b"]).fails(2).contains("is no URL"));
}

#[test]
fn a_context_stands_for_where_and_who() {
    let folder = folder();
    let plane = plane(folder.path());
    let url = format!("http://{}", plane.address(PLANE));
    let run = |args: &[&str]| -> Said { hotswap(folder.path()).args(args).output().expect("runs").into() };
    let set = ["context", "set", "local", "--server", &url, "--token-file", "data/admin.token", "--use"];
    assert_eq!(run(&set).ok(), "local created, and is current\n");
    assert_eq!(run(&["get", "routes", "-o", "name"]).ok(), "");
    assert_eq!(run(&["context", "current"]).ok(), "local\n");
    let listed = run(&["context", "list"]).ok();
    assert!(squeezed(&listed)[1].starts_with(&format!("* local {url}")), "{listed}");

    let said = run(&["get", "routes", "--context", "other"]).fails(4);
    assert!(said.contains("other"), "{said}");
    run(&["context", "delete", "local"]).ok();
    assert_eq!(run(&["context", "list", "-o", "name"]).ok(), "");
}

#[test]
fn watch_tells_what_was_and_what_happens() {
    let folder = folder();
    let plane = plane(folder.path());
    plane.apply(PLANE, &shop(9), &[]).ok();
    let url = format!("http://{}", plane.address(PLANE));
    let mut command = hotswap(folder.path());
    command.args(["watch", "pools", "--since", "0", "--interval", "100ms"]);
    command.args(["--server", &url, "--data-dir", "data"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut watch = command.spawn().expect("starts");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut next = || lines.next().expect("a line").expect("reads");
    assert!(next().contains("created  pools/shop"));
    plane.apply(PLANE, &shop(10), &[]).ok();
    let line = next();
    assert!(line.contains("updated  pools/shop") && line.contains("revision 3"), "{line}");
    watch.kill().expect("killed");
    watch.wait().expect("ends");
}

#[test]
fn a_shell_completes_the_names_that_there_are() {
    let folder = folder();
    let plane = plane(folder.path());
    plane.apply(PLANE, &shop(9), &[]).ok();
    for shell in ["bash", "zsh", "fish"] {
        let script: Said = hotswap(folder.path()).args(["completion", shell]).output().expect("runs").into();
        assert!(script.ok().contains("hotswap"));
    }
    // What bash asks when somebody types `hotswap get routes/<tab>`.
    let url = format!("http://{}", plane.address(PLANE));
    let set = ["context", "set", "local", "--server", &url, "--token-file", "data/admin.token", "--use"];
    assert!(hotswap(folder.path()).args(set).status().expect("runs").success());
    let mut asks = hotswap(folder.path());
    asks.env("HOTSWAP_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2").env("_CLAP_IFS", "\n");
    asks.env("_CLAP_COMPLETE_COMP_TYPE", "9").env("_CLAP_COMPLETE_SPACE", "true");
    asks.args(["--", "hotswap", "get", "routes/"]);
    let said: Said = asks.output().expect("runs").into();
    assert_eq!(said.ok().trim(), "routes/shop");
}
