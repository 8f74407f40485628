//! The client commands against a real control plane.

use std::path::Path;

use crate::harness::{Said, Server, folder, hotswap};

const PLANE: &str = "listening";

/// Routes and pools without a gateway.
fn plane(folder: &Path) -> Server {
    let args =
        ["serve", "route", "--data-dir", "data", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    Server::start(folder, &args, "token")
}

const SHOP: &str = "\
kind: Pool
name: pools/shop
backends:
  - address: 127.0.0.1:9001
  - address: 127.0.0.1:9002
---
kind: Route
name: routes/shop
display_name: The shop
labels: { team: web }
hosts: [shop.example]
matches:
  - path: { prefix: /shop }
    methods: [GET, POST]
forward: { pool: pools/shop, timeouts: { total_ms: 5000 } }
";

#[test]
fn what_is_applied_is_shown_described_applied_again_and_deleted() {
    let folder = folder();
    let plane = plane(folder.path());
    let client = |args: &[&str]| plane.client(PLANE, args);

    let dry = plane.apply(PLANE, SHOP, &["--dry-run"]).ok();
    assert_eq!(dry, "pools/shop created (dry run)\nroutes/shop created (dry run)\n");
    assert_eq!(client(&["get", "routes", "-o", "name"]).ok(), "");
    assert_eq!(plane.apply(PLANE, SHOP, &[]).ok(), "pools/shop created\nroutes/shop created\n");
    assert_eq!(plane.apply(PLANE, SHOP, &[]).ok(), "pools/shop unchanged\nroutes/shop unchanged\n");
    let moved = SHOP.replace("/shop }", "/store }");
    assert_eq!(plane.apply(PLANE, &moved, &[]).ok(), "pools/shop unchanged\nroutes/shop configured\n");

    let table = client(&["get", "routes"]).ok();
    let cells: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0], ["NAME", "HOSTS", "MATCHES", "TARGET", "PRIORITY", "REVISION", "CANDIDATE", "AGE"]);
    let want = ["routes/shop", "shop.example", "GET,POST", "/store/*", "pools/shop", "0", "3", "-"];
    assert_eq!(cells[1][..8], want);
    assert!(client(&["get", "pools", "shop"]).ok().contains("127.0.0.1:9001 +1"));

    let told = client(&["describe", "routes/shop", "pools/shop"]).ok();
    let lines: Vec<_> = told.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "Display name: The shop",
        "Matches: path /store/*, method GET or POST",
        "total 5000 ms",
        "Backends: 127.0.0.1:9001 (50 %)",
        "Routes: routes/shop",
    ] {
        assert!(lines.iter().any(|l| l == line), "{line:?} in\n{told}");
    }
    let did = |what: &str| lines.iter().filter(|line| line.split(' ').nth(1) == Some(what)).count();
    assert_eq!((did("created"), did("updated")), (2, 1), "{told}");

    for format in ["json", "yaml"] {
        let text = client(&["get", "routes/shop", "-o", format]).ok();
        assert!(text.contains("display_name"), "{text}");
        assert_eq!(plane.apply(PLANE, &text, &[]).ok(), "routes/shop unchanged\n");
        let all = client(&["get", "routes", "-o", format]).ok();
        assert_eq!(plane.apply(PLANE, &all, &[]).ok(), "routes/shop unchanged\n");
    }

    let said = client(&["delete", "pools/shop"]).fails(3);
    assert!(said.contains("pools/shop is in use by routes/shop"), "{said}");
    let gone = client(&["delete", "pools/shop", "routes/shop"]).ok();
    assert_eq!(gone, "routes/shop deleted\npools/shop deleted\n");
    let again = client(&["delete", "routes/shop"]).fails(4);
    assert!(again.starts_with("error: routes/shop"), "{again}");
    client(&["delete", "routes/shop", "--ignore-not-found"]).ok();
}

#[test]
fn a_backend_that_is_drained_stays_so_when_its_pool_is_applied_again() {
    let folder = folder();
    let plane = plane(folder.path());
    let client = |args: &[&str]| plane.client(PLANE, args);
    let two = SHOP.replace("backends:", "load_balancing: LOAD_BALANCING_WEIGHTED_ROUND_ROBIN\nbackends:");
    plane.apply(PLANE, &two, &[]).ok();
    let said = client(&["backend", "drain", "shop", "127.0.0.1:9002"]).ok();
    assert_eq!(said, "127.0.0.1:9002 of pools/shop drained, as of revision 3\n");
    assert_eq!(plane.apply(PLANE, &two, &[]).ok(), "pools/shop unchanged\nroutes/shop unchanged\n");
    let told = client(&["describe", "pools/shop"]).ok();
    assert!(told.contains("127.0.0.1:9001 (100 %)") && told.contains("127.0.0.1:9002 (drained)"), "{told}");
    let history = client(&["history", "pools/shop", "-o", "wide"]).ok();
    assert!(history.contains("backends[1].state: none → \"BACKEND_STATE_DRAINED\""), "{history}");
    let said = client(&["backend", "enable", "pools/shop", "127.0.0.1:9002"]).ok();
    assert_eq!(said, "127.0.0.1:9002 of pools/shop enabled, as of revision 4\n");
    assert!(client(&["describe", "pools/shop"]).ok().contains("127.0.0.1:9002 (50 %)"));
    let said = client(&["backend", "hold-open", "shop", "127.0.0.1:1"]).fails(4);
    assert!(said.contains("pools/shop has no backend 127.0.0.1:1"), "{said}");
}

#[test]
fn every_violation_is_told_by_its_field() {
    let folder = folder();
    let plane = plane(folder.path());
    let bad = "kind: Route\nname: routes/bad\npriority: 2000000\nhosts: ['a b']\n\
               matches: [{ path: { regex: '(' } }]\nforward: { pool: pools/none }\n";
    let said = plane.apply(PLANE, bad, &[]).fails(2);
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "error: routes/bad: the request is not valid");
    assert_eq!(lines[1], "  reason: INVALID_INPUT");
    for field in ["route.priority", "route.hosts[0]", "route.matches[0].path.regex"] {
        let found = lines.iter().filter(|line| line.starts_with(&format!("  {field}: "))).count();
        assert_eq!(found, 1, "{field} in\n{said}");
    }
    assert!(said.contains("\n  request id: "), "{said}");
    assert!(said.ends_with("error: 1 of 1 documents were not applied\n"), "{said}");
}

#[test]
fn nothing_is_written_where_a_document_cannot_be_read() {
    let folder = folder();
    let plane = plane(folder.path());
    let said = plane.apply(PLANE, &format!("{SHOP}---\nkind: Route\nname: routes/b\nhost: [a]\n"), &[]);
    let said = said.fails(2);
    assert!(said.starts_with("error: standard input, document 3 (line 17): does not fit"), "{said}");
    assert!(said.contains("\n  host: no such field; there are name, "), "{said}");
    assert_eq!(plane.client(PLANE, &["get", "pools", "-o", "name"]).ok(), "");
}

#[test]
fn one_bad_document_does_not_keep_the_others_back() {
    let folder = folder();
    let plane = plane(folder.path());
    let text = format!("{SHOP}---\nkind: Route\nname: routes/bad\nforward: {{ pool: pools/none }}\n");
    let said = plane.apply(PLANE, &text, &[]);
    assert_eq!(said.out, "pools/shop created\nroutes/shop created\n");
    let said = said.fails(2);
    assert!(said.contains("\n  route.forward.pool: pools/none does not exist"), "{said}");
    assert!(said.ends_with("error: 1 of 3 documents were not applied\n"), "{said}");
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    let folder = folder();
    let plane = plane(folder.path());
    let client = |args: &[&str]| plane.client(PLANE, args);
    plane.apply(PLANE, SHOP, &[]).ok();

    client(&["get", "tables"]).fails(2);
    client(&["get", "routes", "--filter", "color = red"]).fails(2);
    client(&["get", "routes/none"]).fails(4);
    let stale = client(&["delete", "routes/shop", "--etag", "old"]).fails(3);
    assert!(stale.contains("reason: STALE_ETAG"), "{stale}");

    let yaml = client(&["get", "routes/shop", "-o", "yaml"]).ok();
    plane.apply(PLANE, &SHOP.replace("The shop", "A shop"), &[]).ok();
    let lost = plane.apply(PLANE, &yaml, &[]).fails(3);
    assert!(lost.contains("reason: STALE_ETAG"), "{lost}");

    let nobody = ["get", "routes", "--server", "http://127.0.0.1:1"];
    let said: Said = hotswap(folder.path()).args(nobody).output().expect("runs").into();
    let said = said.fails(5);
    assert!(said.starts_with("error: can't reach http://127.0.0.1:1: "), "{said}");
    assert!(said.contains("hint: is the control plane running?"), "{said}");
}

#[test]
fn a_token_lets_its_bearer_do_what_its_role_may_and_no_more() {
    let folder = folder();
    let plane = plane(folder.path());
    let mint = ["token", "--role", "viewer", "--subject", "visitor", "--data-dir", "data"];
    let minted: Said = hotswap(folder.path()).args(mint).output().expect("runs").into();
    let token = minted.ok();
    plane.client(PLANE, &["get", "routes", "--token", token.trim()]).ok();
    let said = plane.apply(PLANE, SHOP, &["--token", token.trim()]).fails(6);
    assert!(said.contains("reason: ROLE_MISSING"), "{said}");
    let said = plane.client(PLANE, &["get", "routes", "--token", "x.y.z"]).fails(6);
    assert!(said.contains("hint: give a valid token"), "{said}");

    let empty = ["get", "routes", "--server", &format!("http://{}", plane.address(PLANE))];
    let said: Said = hotswap(folder.path()).args(empty).output().expect("runs").into();
    assert!(said.fails(6).contains("reason: TOKEN_MISSING"));
}

#[test]
fn a_reader_that_leaves_early_ends_a_command_quietly() {
    let folder = folder();
    let plane = plane(folder.path());
    plane.apply(PLANE, SHOP, &[]).ok();
    let mut command = hotswap(folder.path());
    command.args(["get", "routes", "--data-dir", "data", "--server"]);
    command.arg(format!("http://{}", plane.address(PLANE)));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("starts");
    drop(child.stdout.take());
    let said = Said::from(child.wait_with_output().expect("ends"));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

#[test]
fn a_dry_run_misses_no_pool_that_its_own_documents_bring() {
    let folder = folder();
    let plane = plane(folder.path());
    let mirrored = format!(
        "{SHOP}traffic: {{ mirror: {{ pool: pools/next }} }}\n---\nkind: Pool\nname: pools/next\nbackends: []\n"
    );
    let dry = plane.apply(PLANE, &mirrored, &["--dry-run"]).ok();
    assert!(dry.contains("routes/shop created (dry run)\n"), "{dry}");
    let odd = plane.apply(PLANE, &mirrored.replace("name: pools/next", "name: pools/other"), &["--dry-run"]);
    assert!(odd.err.contains("route.traffic.mirror.pool: pools/next does not exist"), "{}", odd.err);
}
