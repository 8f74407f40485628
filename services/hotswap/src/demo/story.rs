//! What the demo says. Every line is true of the run that it is printed in.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::canaries::Told;
use super::traffic::{CLIENTS, Seen};

/// How a user would call this binary for this suite.
#[derive(Clone, Debug)]
pub(crate) struct Shell {
    /// The name that this process was called by.
    pub(crate) program: String,
    pub(crate) server: SocketAddr,
    pub(crate) token_file: PathBuf,
}

impl Shell {
    /// A command of the client, with the flags that this suite needs.
    fn client(&self, command: &str) -> String {
        let mut line = format!("{} {command}", self.program);
        if self.server.port() != 7400 {
            line.push_str(&format!(" --server http://{}", self.server));
        }
        if self.token_file != *"hotswap-data/admin.token" {
            line.push_str(&format!(" --token-file {}", self.token_file.display()));
        }
        line
    }

    fn grpcurl(&self, body: &str, method: &str) -> [String; 2] {
        let token = self.token_file.display();
        [
            format!("grpcurl -plaintext -H \"authorization: Bearer $(cat {token})\" \\"),
            format!("  -d '{body}' {} {method}", self.server),
        ]
    }
}

/// What happened, in numbers.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) seen: Seen,
    /// From the beginning of the call to the first answer by green.
    pub(super) live: Duration,
    /// From there to the last answer by blue.
    pub(super) last_blue: Duration,
    /// From there until every proxy had confirmed.
    pub(super) confirmed: Duration,
    pub(super) proxies: i32,
    pub(super) revision: i64,
}

pub(super) fn opening() -> Vec<String> {
    vec![String::new(), "Demo: a route moves from blue to green while requests flow.".into(), String::new()]
}

pub(super) fn created(shell: &Shell, blue: SocketAddr, green: SocketAddr, revision: i64) -> Vec<String> {
    vec![
        format!("1. Two backends: blue on {blue}, green on {green}."),
        "   Over gRPC: pools/demo-blue, pools/demo-green, and routes/demo, which sends every path to blue."
            .into(),
        format!("   The gateway serves that as revision {revision}. See it:"),
        format!("     {}", shell.client("get routes")),
        format!("     {}", shell.client("describe routes/demo")),
    ]
}

pub(super) fn flowing(gateway: SocketAddr, seen: &Seen) -> Vec<String> {
    vec![
        format!("2. {CLIENTS} clients ask http://{gateway}/ on connections that stay open."),
        format!("   {} requests answered, all by blue.", grouped(seen.blue)),
    ]
}

/// The move as a document for `apply`.
const DOCUMENT: &str = concat!(
    r#"{"kind":"Route","name":"routes/demo","matches":[{"path":{"prefix":"/"}}],"#,
    r#""forward":{"pool":"pools/demo-green"}}"#
);

/// The move as the body of UpdateRoute.
const BODY: &str = concat!(
    r#"{"route":{"name":"routes/demo","forward":{"pool":"pools/demo-green"}},"#,
    r#""update_mask":"forward"}"#
);

pub(super) fn moved(shell: &Shell, facts: &Facts) -> Vec<String> {
    let [grpcurl, rest] = shell.grpcurl(BODY, "hotswap.route.v1.RouteService/UpdateRoute");
    let proxies =
        if facts.proxies == 1 { "the gateway".into() } else { format!("{} gateways", facts.proxies) };
    vec![
        format!(
            "3. While they go on, one call moves routes/demo to green: revision {}. By hand:",
            facts.revision
        ),
        format!("     {} <<'EOF'", shell.client("apply -f -")),
        format!("     {DOCUMENT}"),
        "     EOF".into(),
        format!("     {grpcurl}"),
        format!("     {rest}"),
        format!(
            "   Green answered {} after the call began; blue for the last time after {}; {proxies} confirmed \
             after {}.",
            Ms(facts.live),
            Ms(facts.last_blue),
            Ms(facts.confirmed)
        ),
    ]
}

pub(super) fn closing(facts: &Facts) -> Vec<String> {
    let Seen { blue, green, failed, .. } = &facts.seen;
    vec![
        String::new(),
        format!("   requests           {:>9}", grouped(facts.seen.requests())),
        format!("   by blue            {:>9}", grouped(*blue)),
        format!("   by green           {:>9}", grouped(*green)),
        format!("   failed             {:>9}", grouped(*failed)),
        format!("   from call to live  {:>9}", Ms(facts.live).to_string()),
        String::new(),
    ]
}

/// What the clients do not see: how the four come to the gateway.
pub(super) fn canaries(shell: &Shell) -> Vec<String> {
    vec![
        "Four candidates for routes/demo, one after the other: to a tenth of the requests, to half, to everybody, at"
            .into(),
        "least a second each. Nobody decides but the judge. By hand, with a file that sends to pools/demo-good:".into(),
        format!("     {}", shell.client("apply -f demo.yaml --draft")),
        format!("     {}", shell.client("rollout create routes/demo --canary 10,50 --bake 1s --wait")),
    ]
}

/// What came of one.
pub(super) fn canary(number: u32, told: &Told) -> Vec<String> {
    let ending = if told.is_good { "promoted itself" } else { "took itself back" };
    let since = if told.died { "after that" } else { "after the call" };
    let mut lines = vec![format!(
        "{number}. pools/demo-{}, {}: {ending} {} {since}.",
        told.name,
        told.what,
        Seconds(told.took)
    )];
    lines.extend(wrapped(&told.ending));
    lines.push(format!(
        "   {} requests, {} answered by it; {} failed.",
        grouped(told.requests),
        grouped(told.by_candidate),
        grouped(told.failed)
    ));
    lines
}

/// A text in lines of the width of the others.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::from("  ")];
    for word in text.split_whitespace() {
        let full = lines.last().is_some_and(|line| line.chars().count() + word.chars().count() >= 116);
        if full {
            lines.push(String::from("  "));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines
}

pub(super) fn staying(gateway: SocketAddr) -> Vec<String> {
    vec![format!("It goes on serving: curl -i http://{gateway}/  Ctrl-C ends it.")]
}

/// A time in ms, to a tenth.
struct Ms(Duration);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1_000.0)
    }
}

/// A time in s, to a tenth.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use hotswap_api::route::v1::{Route, UpdateRouteRequest};
    use serde_json::Value;

    use super::*;
    use crate::proto_json::{descriptor, read};

    #[test]
    fn long_words_of_the_judge_are_wrapped() {
        let text = vec!["word"; 60].join(" ");
        let lines = wrapped(&text);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.starts_with("   word") && line.len() <= 118), "{lines:?}");
        assert_eq!(lines.iter().flat_map(|line| line.split_whitespace()).count(), 60);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn what_is_shown_to_be_typed_is_what_the_demo_does() {
        let mut document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
        document.as_object_mut().expect("a map").remove("kind");
        let desc = |name: &str| descriptor(name).expect("in the contract");
        let route: Route = read(&desc("hotswap.route.v1.Route"), &document).expect("fits");
        assert_eq!(route, super::super::demo_route("pools/demo-green"));
        let body = serde_json::from_str(BODY).expect("JSON");
        let update: UpdateRouteRequest =
            read(&desc("hotswap.route.v1.UpdateRouteRequest"), &body).expect("fits");
        assert_eq!(update.update_mask.expect("a mask").paths, ["forward"]);
        assert_eq!(update.route.expect("a route").action, route.action);
    }

    #[test]
    fn commands_carry_only_the_flags_that_this_suite_needs() {
        let mut shell = Shell {
            program: "hotswap".into(),
            server: SocketAddr::from(([127, 0, 0, 1], 7400)),
            token_file: "hotswap-data/admin.token".into(),
        };
        assert_eq!(shell.client("get routes"), "hotswap get routes");
        shell.server.set_port(7);
        shell.token_file = "/d/admin.token".into();
        assert_eq!(
            shell.client("get routes"),
            "hotswap get routes --server http://127.0.0.1:7 --token-file /d/admin.token"
        );
    }
}
