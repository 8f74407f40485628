//! The audit log by the command line: read from a control plane, and proved without one.

use std::fs;
use std::path::Path;

use crate::harness::{Said, Server, folder, hotswap};

const PLANE: &str = "listening";
const POOL: &str = "kind: Pool\nname: pools/shop\nbackends:\n  - address: 127.0.0.1:9001\n";

/// Routes and pools without a gateway.
fn plane(folder: &Path) -> Server {
    let args =
        ["serve", "route", "--data-dir", "data", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    Server::start(folder, &args, "token")
}

/// A command that calls nobody.
fn offline(folder: &Path, args: &[&str]) -> Said {
    hotswap(folder).args(args).output().expect("runs").into()
}

/// The words of a line that has all of these.
#[track_caller]
fn line_with(text: &str, words: &[&str]) -> Vec<String> {
    let line = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
    line.unwrap_or_else(|| panic!("{words:?} in {text}")).split_whitespace().map(str::to_owned).collect()
}

#[test]
fn who_did_what_is_listed_and_filtered() {
    let folder = folder();
    let plane = plane(folder.path());
    plane.apply(PLANE, POOL, &[]).ok();
    plane.client(PLANE, &["delete", "pools/none"]).fails(4);
    let text = plane.client(PLANE, &["audit", "list"]).ok();
    assert_eq!(text.lines().next().map(|l| l.split_whitespace().next()), Some(Some("SEQUENCE")));
    let line = line_with(&text, &["UpdatePool", "pools/shop"]);
    assert_eq!((line[0].as_str(), line[2].as_str(), line[5].as_str()), ("1", "admin", "done"));
    let wide = plane.client(PLANE, &["audit", "list", "--filter", "method : UpdatePool", "-o", "wide"]).ok();
    line_with(&wide, &["127.0.0.1", "backends[0].address: nothing to \"127.0.0.1:9001\""]);
    let none = plane.client(PLANE, &["audit", "list", "--filter", "actor = nobody", "-o", "name"]).ok();
    assert_eq!(none, "");
    let json = plane.client(PLANE, &["audit", "list", "--limit", "1", "-o", "json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((json.as_array().map(Vec::len), json[0]["kind"].as_str()), (Some(1), Some("AuditEvent")));
    plane.client(PLANE, &["audit", "list", "--filter", "colour = red"]).fails(2);
    assert!(plane.client(PLANE, &["audit", "verify"]).ok().ends_with("intact\n"));
}

#[test]
fn an_export_is_proved_without_the_server_and_a_changed_one_is_refused() {
    let folder = folder();
    let folder = folder.path();
    let mut plane = plane(folder);
    plane.apply(PLANE, POOL, &[]).ok();
    plane.client(PLANE, &["audit", "export", "log.jsonl"]).ok();
    plane.client(PLANE, &["audit", "export", "log.csv", "--filter", "resource = pools/shop"]).ok();
    let taken = plane.client(PLANE, &["audit", "export", "log.csv"]).fails(3);
    assert!(taken.contains("log.csv is there already"), "{taken}");
    let streamed = plane.client(PLANE, &["audit", "export", "-", "--form", "csv"]).ok();
    assert!(streamed.starts_with("record,sequence,time,actor,"), "{streamed}");
    assert!(plane.terminate().success());

    fs::write(folder.join("keys"), offline(folder, &["audit", "keys", "--data-dir", "data"]).ok())
        .expect("written");
    let anchors = ["--anchors", "data/audit-anchors.jsonl"];
    for file in ["log.jsonl", "log.csv"] {
        let told = offline(folder, &[&["audit", "verify", file, "--keys", "keys"], &anchors[..]].concat());
        let told = told.ok();
        assert!(told.ends_with("intact\n"), "{told}");
        line_with(&told, &["Exported:", "by admin"]);
        let whole = fs::read_to_string(folder.join(file)).expect("read");
        let changed = whole.replacen("UpdatePool", "DeletePool", 1);
        assert_ne!(changed, whole);
        fs::write(folder.join(file), changed).expect("written");
        let refused = offline(folder, &["audit", "verify", file, "--keys", "keys"]);
        assert!(
            refused.out.contains("NOT INTACT") && refused.out.contains("EVENT_ALTERED: event 1"),
            "{}",
            refused.out
        );
        assert!(refused.fails(1).contains("is not intact"));
    }
    let untrusted = offline(folder, &["audit", "verify", "log.csv"]).fails(2);
    assert!(untrusted.contains("hotswap audit keys"), "{untrusted}");
}

#[test]
fn legal_holds_are_placed_listed_and_released() {
    let folder = folder();
    let plane = plane(folder.path());
    let hold = |args: &[&str]| plane.client(PLANE, &[&["audit", "hold"], args].concat());
    let placed = hold(&["place", "--reason", "case 7"]).ok();
    let name = placed.split_whitespace().next().expect("a name").to_owned();
    assert_eq!(placed, format!("{name} placed: no event of platform is dropped until it is released\n"));
    hold(&["place", "--reason", "case 8", "--chain", "tenants/acme"]).ok();
    line_with(&hold(&["list"]).ok(), &[&name, "platform", "admin", "case 7"]);
    let listed = hold(&["list", "--chain", "tenants/acme", "-o", "json"]).ok();
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!((&listed[0]["kind"], &listed[0]["reason"]), (&"LegalHold".into(), &"case 8".into()));

    let id = name.trim_start_matches("legalHolds/");
    let released = hold(&["release", id]).ok();
    assert_eq!(released, format!("{name} released: it held platform for \"case 7\"\n"));
    let again = hold(&["release", &name]).fails(3);
    assert!(again.contains("reason: HOLD_RELEASED") && again.contains("hint: "), "{again}");
    assert_eq!(hold(&["list", "--standing", "-o", "name"]).ok(), "");
    assert_eq!(hold(&["list", "-o", "name"]).ok(), format!("{name}\n"));
    hold(&["place", "--reason", " "]).fails(2);
    hold(&["release", "legalHolds/none"]).fails(4);
}
