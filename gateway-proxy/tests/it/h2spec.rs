//! h2spec, which others have made, asks the gateway whether it keeps to the RFCs of HTTP/2 and of HPACK.
//! `cargo xtask conformance` makes a part of a page of what it says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use hotswap_test_servers::{h2spec_program, required};

use crate::support::*;

/// What its part of the page begins with.
const HEAD: &str = "
## HTTP/2: h2spec 2.2.1, strict cases included, over cleartext
";

/// Cases that fail, and why that is so.
const KNOWN: &[(&str, &str, &str)] = &[(
    "http2/3.5",
    "Sends invalid connection preface",
    "HTTP/1.1 has the same port: what does not begin as HTTP/2 is a request of HTTP/1.1, and gets 400",
)];

/// A case of the suite.
#[derive(Debug)]
struct Case {
    /// The chapter, as "http2/6.9".
    part: String,
    asks: String,
    /// What came instead.
    failed: Option<String>,
    skipped: bool,
}

/// The value of an attribute of an element.
fn attribute(element: &str, name: &str) -> String {
    let start = format!(" {name}=\"");
    let value = element.split_once(&start).and_then(|(_, rest)| rest.split_once('"')).map_or("", |(v, _)| v);
    value
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&gt;", ">")
        .replace("&lt;", "<")
        .replace("&amp;", "&")
}

fn cases(report: &str) -> Vec<Case> {
    let elements = report.split("<testcase").skip(1);
    let of = |element: &str| {
        let element = element.split("</testcase>").next().unwrap_or_default();
        let what = element.split_once("<failure>").or_else(|| element.split_once("<error>"));
        let failed = what.map(|(_, rest)| rest.trim().to_owned());
        let skipped = element.contains("<skipped");
        Case { part: attribute(element, "package"), asks: attribute(element, "classname"), failed, skipped }
    };
    elements.map(of).collect()
}

fn known(case: &Case) -> Option<&'static str> {
    KNOWN.iter().find(|(part, asks, _)| case.part == *part && case.asks == *asks).map(|(.., why)| *why)
}

fn page(cases: &[Case]) -> String {
    let mut parts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for case in cases {
        let (all, passed) = parts.entry(case.part.split('/').next().unwrap_or_default()).or_default();
        *all += 1;
        *passed += usize::from(case.failed.is_none() && !case.skipped);
    }
    let mut page = HEAD.to_owned() + "| part | cases | passed |\n|---|---|---|\n";
    for (part, (all, passed)) in parts {
        let _ = writeln!(page, "| {part} | {all} | {passed} |");
    }
    let open: Vec<_> = cases.iter().filter_map(|case| Some((case, known(case)?))).collect();
    if !open.is_empty() {
        page += "\n| part | does not hold | why |\n|---|---|---|\n";
    }
    for (case, why) in open {
        let _ = writeln!(page, "| {} | {} | {why} |", case.part, case.asks);
    }
    page
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_keeps_to_the_rfcs_as_h2spec_reads_them() {
    let Some(program) = required(h2spec_program()) else { return };
    let backend = Backend::echo().await;
    let gateway = Gateway::before_with(backend.address, &["--gateway-engine", "own"], |_| {});
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("report.xml");
    let mut command = Command::new(program);
    command.args(["--strict", "--timeout", "3", "--max-header-length", "4000", "--host", "127.0.0.1"]);
    command.args(["--port", &gateway.address().port().to_string(), "--junit-report"]).arg(&file);
    let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("runs");
    let shown = String::from_utf8_lossy(&ran.stdout);
    let report = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{e}: {shown}"));
    let cases = cases(&report);
    assert!(cases.len() > 140, "{} cases: {shown}", cases.len());
    let failed: Vec<_> = cases.iter().filter(|case| case.failed.is_some() && known(case).is_none()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let skipped: Vec<_> = cases.iter().filter(|case| case.skipped).collect();
    assert!(skipped.is_empty(), "these were not asked: {skipped:#?}");
    let mended: Vec<_> = KNOWN
        .iter()
        .filter(|(part, asks, _)| {
            !cases.iter().any(|c| c.part == *part && c.asks == *asks && c.failed.is_some())
        })
        .collect();
    assert!(mended.is_empty(), "these hold now: {mended:#?}");
    gateway.counts("gateway_active_connections 0").await;
    record("h2spec", &page(&cases));
}
