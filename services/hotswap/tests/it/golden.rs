//! What commands print, letter by letter, as `tests/it/golden/*.txt` have it. `HOTSWAP_GOLDEN=write` writes these
//! files anew; what changed in them is then to be read before it is committed.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use crate::harness::{Said, Server, folder, hotswap};

const SHOP: &str = "\
kind: Pool
name: pools/shop
labels: { team: web }
backends:
  - address: 127.0.0.1:9001
  - { address: '127.0.0.1:9002', weight: 3 }
---
kind: Route
name: routes/shop
display_name: The shop
labels: { team: web }
hosts: [shop.example]
matches: [{ path: { prefix: / } }]
forward: { pool: pools/shop }
---
kind: Route
name: routes/cart
hosts: [shop.example]
matches: [{ path: { prefix: /cart }, headers: [{ name: x-tier, exact: gold }] }]
forward: { pool: pools/shop }
---
kind: Route
name: routes/old
hosts: [old.example]
redirect: { host: shop.example, status: 301 }
";

const FAULTY: &str = "\
kind: Gateway
name: gateways/a
---
kind: Route
name: routes/a
host: [shop.example]
---
kind: Route
name: routes/b
matches: [{ path: { prefix: /, exact: /b } }]
---
kind: Pool
backends: []
";

const REFUSED: &str = "\
kind: Route
name: routes/bad
hosts: ['not a host']
priority: 2000000
matches: [{ path: { regex: '(' } }]
forward: { pool: pools/none }
";

/// A control plane, and a context that leads to it.
fn plane(folder: &Path) -> Server {
    let args =
        ["serve", "route", "--data-dir", "data", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let plane = Server::start(folder, &args, "token");
    let url = format!("http://{}", plane.address("listening"));
    let set = ["context", "set", "local", "--server", &url, "--token-file", "data/admin.token", "--use"];
    assert!(hotswap(folder).args(set).output().expect("runs").status.success());
    plane
}

/// What changes from run to run, replaced by what is as long.
fn steady(text: &str) -> String {
    static TIME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").expect("a pattern"));
    static UUID: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").expect("a pattern"));
    // Its first part has no fixed length.
    static ETAG: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"(?i)(etag"?:? +(?:is )?"?)[0-9a-f]+-([0-9a-f]+)"#).expect("a pattern")
    });
    static HASH: LazyLock<Regex> = LazyLock::new(|| Regex::new("[0-9a-f]{64}").expect("a pattern"));
    // YAML puts one in quotes that could be taken for a number.
    static QUOTED: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"(?m)^etag: "([0-9-]+)"$"#).expect("a pattern"));
    static AGE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?m)  \d+[sm]( |$)").expect("a pattern"));
    let text = TIME.replace_all(text, "2026-01-01T00:00:00Z");
    let text = UUID.replace_all(&text, "00000000-0000-0000-0000-000000000000");
    let text = ETAG.replace_all(&text, "${1}00000000-$2");
    let text = QUOTED.replace_all(&text, "etag: $1");
    let text = HASH.replace_all(&text, "0".repeat(64));
    // Two of them stand side by side, and share the blank between them.
    let age = |c: &regex::Captures<'_>| {
        let end = c.get(1).map_or("", |end| end.as_str());
        format!("{:width$}{end}", "  0s", width = if end.is_empty() { 4 } else { c[0].len() - 1 })
    };
    let text = AGE.replace_all(&text, age);
    AGE.replace_all(&text, age).into_owned()
}

/// What each command says, as a terminal without colours would show it.
fn transcript(folder: &Path, commands: &[&str]) -> String {
    let mut text = String::new();
    for command in commands {
        let said: Said = hotswap(folder).args(command.split_whitespace()).output().expect("runs").into();
        text += &format!("$ hotswap {command}\n{}", said.out);
        said.err.lines().for_each(|line| text += &format!("! {line}\n"));
        match said.code {
            Some(0) => {}
            code => text += &format!("exit code {}\n", code.map_or("none".to_owned(), |c| c.to_string())),
        }
        text.push('\n');
    }
    steady(&text)
}

#[track_caller]
fn stands(name: &str, said: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name);
    if env::var_os("HOTSWAP_GOLDEN").is_some_and(|how| how == "write") {
        fs::write(&file, said).expect("written");
    }
    let golden = fs::read_to_string(&file).unwrap_or_default();
    let differs = said.lines().zip(golden.lines()).position(|(said, golden)| said != golden);
    assert!(said == golden, "{name}, line {:?}; this is what came:\n{said}", differs.map(|i| i + 1));
}

#[test]
fn what_is_shown_stands_as_it_was_written() {
    let folder = folder();
    let folder = folder.path();
    let _plane = plane(folder);
    fs::write(folder.join("shop.yaml"), SHOP).expect("written");
    let more = SHOP.replace("weight: 3", "weight: 4").replace("The shop", "Our shop");
    fs::write(folder.join("more.yaml"), more).expect("written");
    let said = transcript(
        folder,
        &[
            // In the order of the documents; with one call at a time revisions are, too.
            "apply -f shop.yaml --dry-run",
            "apply -f shop.yaml --parallel 1",
            "apply -f shop.yaml",
            "get routes",
            "get routes -o wide",
            "get routes -o name",
            "get routes --no-headers --filter labels.team=web",
            "get routes/shop routes/none",
            "get routes/shop -o json",
            "get pools -o yaml",
            "get pools -o wide",
            "describe routes/cart",
            "describe pools/shop",
            "diff -f more.yaml",
            "apply -f more.yaml --parallel 1",
            "history pools/shop -o wide",
            "history routes/shop -o json",
            "diff routes/shop --from 2",
            "rollback routes/shop --to 2",
            "explain shop.example/cart",
            "explain -X POST -H x-tier:gold http://shop.example/cart",
            "explain nowhere.example",
            "explain shop.example/cart -o json",
            "fleet list",
            "delete pools/shop",
            "delete routes/old --dry-run",
        ],
    );
    stands("shown.txt", &said);
}

const POLICY: &str = "\
kind: RolloutPolicy
name: rolloutPolicies/pools
subject: pools/*
approval_levels: [{ role: viewer }]
gradual: true
min_bake: 60s
max_first_share_bps: 2000
";

const ROLLOUT: &str = "\
kind: Rollout
subject: pools/shop
canary: { steps: [{ share_bps: 1000, bake: 0s }, { share_bps: 50, bake: 3000000s }] }
sticky_key: { cookie: 'a b' }
judgement: { source: { prometheus: { slow_query: s } } }
approval_levels: [{ role: boss }]
";

const ROLLOUT_COMMANDS: &[&str] = &[
    "apply -f shop.yaml --parallel 1 -o name",
    "rollout create pools/shop --direct",
    "apply -f more.yaml --draft --dry-run",
    "apply -f more.yaml --draft",
    "history pools/shop",
    "get pools",
    "rollout create pools/shop --canary 10,50,100 --bake 1m --gate --dry-run",
    "rollout create pools/shop --canary 10,100 --bake 0 --no-judge --wait",
    "get pools",
    "rollout list",
    "rollout list --filter strategy=canary -o wide",
    "rollout describe pools/shop",
    "rollout events pools/shop -o wide",
    "rollout measurements pools/shop",
    "rollout policy put -f policy.yaml --dry-run",
    "rollout policy put -f policy.yaml",
    "rollout policy list",
    "rollout policy get pools -o yaml",
    "apply -f most.yaml",
    "apply -f most.yaml --draft",
    "rollout create pools/shop --direct",
    "rollout create pools/shop --canary 10 --no-judge --bake 1h --reason faster",
    "rollout create pools/shop --canary 20 --bake 2m",
    "approvals",
    "approvals --mine",
    "approvals --mine --token-file bob.token -o wide",
    "rollout approve pools/shop",
    "rollout approve pools/shop --content-hash other --token-file bob.token",
    "rollout reject pools/shop --reason no --token-file bob.token",
    "rollout watch pools/shop",
    "rollout watch pools/shop -o name",
    "rollout resume pools/shop",
    "rollout freeze status",
    "rollout freeze on --reason sale",
    "rollout create pools/shop --canary 20 --bake 2m",
    "rollout freeze off",
    "rollout policy delete pools",
    "rollout policy get pools",
    "rollout create -f faulty.yaml",
    "rollout create -f shop.yaml",
    "rollout create pools/shop",
    "rollout create pools/shop --shadow 10 --dry-run",
    "rollout create pools/shop --canary 10 --candidate 1000",
    "rollout describe 7",
    "rollout watch routes/none",
    "rollout list --filter color=red",
];

#[test]
fn what_is_told_of_rollouts_stands_as_it_was_written() {
    let folder = folder();
    let folder = folder.path();
    let _plane = plane(folder);
    let heavier = |weight: &str| {
        let text = SHOP.replace("weight: 3", weight);
        text.split("---").next().expect("the pool").to_owned()
    };
    for (name, text) in [
        ("shop.yaml", SHOP),
        ("more.yaml", &heavier("weight: 4")),
        ("most.yaml", &heavier("weight: 5")),
        ("policy.yaml", POLICY),
        ("faulty.yaml", ROLLOUT),
    ] {
        fs::write(folder.join(name), text).expect("written");
    }
    let bob = ["token", "--role", "viewer", "--subject", "bob", "--data-dir", "data"];
    let bob = hotswap(folder).args(bob).output().expect("runs");
    fs::write(folder.join("bob.token"), bob.stdout).expect("written");
    let said = transcript(folder, ROLLOUT_COMMANDS);
    stands("rollouts.txt", &said);
}

#[test]
fn what_is_complained_of_stands_as_it_was_written() {
    let folder = folder();
    let folder = folder.path();
    let _plane = plane(folder);
    for (name, text) in [("shop.yaml", SHOP), ("faulty.yaml", FAULTY), ("refused.yaml", REFUSED)] {
        fs::write(folder.join(name), text).expect("written");
    }
    let viewer = ["token", "--role", "viewer", "--subject", "visitor", "--data-dir", "data"];
    let viewer = hotswap(folder).args(viewer).output().expect("runs");
    fs::write(folder.join("viewer.token"), viewer.stdout).expect("written");
    fs::create_dir(folder.join("empty")).expect("made");
    let said = transcript(
        folder,
        &[
            "apply -f shop.yaml --parallel 1 -o name",
            "apply -f faulty.yaml",
            "apply -f refused.yaml",
            "apply -f empty",
            "apply -f nowhere.yaml",
            "apply -f shop.yaml --prune --selector team=web",
            "get policies",
            "get routes/none",
            "get routes pools/shop",
            "get routes --filter color=red",
            "get routes --order-by color",
            "delete pools/shop",
            "delete routes/shop --etag old",
            "rollback routes/shop --to 1",
            "rollback routes/shop --to 1000",
            "watch routes --since 1000",
            "diff routes/shop --to 1000",
            "diff routes/none",
            "explain [::1/cart",
            "watch routes pools/shop",
            "explain /cart --header gold",
            "fleet describe none",
            "fleet wait --revision 1000 --for 1s",
            "get routes --server ftp://a",
            "get routes --server http://127.0.0.1:1",
            "get routes --token x.y.z",
            "get routes --context other",
            "apply -f shop.yaml --token-file viewer.token --parallel 1",
        ],
    );
    stands("failures.txt", &said);
}
