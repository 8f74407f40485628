//! Routes, pools and certificates in full, for `describe`: names of properties, each with its values.

mod traffic;

use hotswap_api::rollout::v1::Standing;
use hotswap_api::route::v1::{
    BackendProtocol, BackendTls, Balancing, Certificate, CircuitBreaker, Forward, HashKey, HeaderEdits,
    HealthCheck, HealthCheckKind, OutlierEjection, Pool, ProxyRefusal, Redirect, Retry, Rewrite, Route,
    RouteMatch, Timeouts, forward, hash_key, header_match, query_match, rewrite, route,
};
use prost_types::Timestamp;

use crate::columns;

type Lines = Vec<(&'static str, Vec<String>)>;

/// Everything about a route.
pub(crate) fn route(route: &Route) -> Lines {
    let mut lines = head(&route.name, &route.display_name, route.labels.iter());
    lines.push(("Hosts", or(&route.hosts, "any")));
    let matches: Vec<_> = route.matches.iter().map(match_line).collect();
    lines.push(("Matches", or(&matches, "every request")));
    lines.push(("Priority", vec![route.priority.to_string()]));
    match &route.action {
        None => {}
        Some(route::Action::Forward(forward)) => forward_lines(forward, &mut lines),
        Some(route::Action::Redirect(redirect)) => lines.push(("Redirect", vec![redirect_line(redirect)])),
    }
    edits("Request headers", route.request_headers.as_ref(), &mut lines);
    edits("Response headers", route.response_headers.as_ref(), &mut lines);
    traffic::lines(route.traffic.as_ref(), &mut lines);
    standing(route.standing.as_ref(), &mut lines);
    refusals(&route.refusals, &mut lines);
    tail(route.revision, &route.etag, &route.uid, &mut lines);
    lines.push(("Created", vec![moment(route.create_time.as_ref())]));
    lines.push(("Updated", vec![moment(route.update_time.as_ref())]));
    lines
}

/// Everything about a pool.
pub(crate) fn pool(pool: &Pool) -> Lines {
    let mut lines = head(&pool.name, &pool.display_name, pool.labels.iter());
    lines.push(("Strategy", vec![columns::strategy(pool.load_balancing).to_owned()]));
    balancing(pool.balancing.as_ref(), &mut lines);
    let backends: Vec<_> = pool.backends.iter().map(columns::backend).collect();
    lines.push(("Backends", or(&backends, "none: requests are answered with 503")));
    protocol(pool.protocol, &mut lines);
    lines.push(("Connect limit", vec![limit(pool.connect_timeout_ms, 2_000)]));
    lines.extend(pool.tls.iter().map(|tls| ("TLS", vec![backend_tls(tls)])));
    lines.push(("Health check", vec![pool.health_check.as_ref().map_or("none".into(), health)]));
    lines.push(("Breaker", vec![pool.circuit_breaker.as_ref().map_or("none".into(), breaker)]));
    lines.push(("Ejection", vec![pool.outlier_ejection.as_ref().map_or("none".into(), ejection)]));
    standing(pool.standing.as_ref(), &mut lines);
    refusals(&pool.refusals, &mut lines);
    tail(pool.revision, &pool.etag, &pool.uid, &mut lines);
    lines.push(("Created", vec![moment(pool.create_time.as_ref())]));
    lines.push(("Updated", vec![moment(pool.update_time.as_ref())]));
    lines
}

/// Everything about a certificate but its key, which no answer has.
pub(crate) fn certificate(certificate: &Certificate) -> Lines {
    let mut lines = head(&certificate.name, &certificate.display_name, certificate.labels.iter());
    lines.push(("DNS names", certificate.dns_names.clone()));
    lines.push(("From", vec![moment(certificate.not_before.as_ref())]));
    lines.push(("Until", vec![moment(certificate.not_after.as_ref())]));
    lines.push(("Serial", vec![certificate.serial.clone()]));
    lines.push(("SHA-256", vec![certificate.fingerprint.clone()]));
    refusals(&certificate.refusals, &mut lines);
    tail(certificate.revision, &certificate.etag, &certificate.uid, &mut lines);
    lines.push(("Created", vec![moment(certificate.create_time.as_ref())]));
    lines.push(("Updated", vec![moment(certificate.update_time.as_ref())]));
    lines
}

/// A moment in UTC, to the second.
pub(crate) fn moment(at: Option<&Timestamp>) -> String {
    at.map_or("-".to_owned(), |at| Timestamp { nanos: 0, ..*at }.to_string())
}

/// A span of seconds in words, as "3m 2s".
pub(crate) fn span(seconds: u64) -> String {
    let (unit, small, (first, rest)) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3_600 => ("m", "s", (seconds / 60, seconds % 60)),
        3_600..86_400 => ("h", "m", (seconds / 3_600, seconds % 3_600 / 60)),
        _ => ("d", "h", (seconds / 86_400, seconds % 86_400 / 3_600)),
    };
    if rest == 0 { format!("{first}{unit}") } else { format!("{first}{unit} {rest}{small}") }
}

/// The time between two moments, in words.
pub(crate) fn between(from: &Timestamp, to: &Timestamp) -> String {
    span(u64::try_from(to.seconds.saturating_sub(from.seconds)).unwrap_or_default())
}

fn head<'a>(name: &str, display: &str, labels: impl Iterator<Item = (&'a String, &'a String)>) -> Lines {
    let mut lines = vec![("Name", vec![name.to_owned()])];
    if !display.is_empty() {
        lines.push(("Display name", vec![display.to_owned()]));
    }
    lines.push(("Labels", labels.map(|(key, value)| format!("{key}={value}")).collect()));
    lines
}

fn tail(revision: i64, etag: &str, uid: &str, lines: &mut Lines) {
    lines.push(("Revision", vec![revision.to_string()]));
    lines.push(("Etag", vec![etag.to_owned()]));
    lines.push(("UID", vec![uid.to_owned()]));
}

fn or(items: &[String], none: &str) -> Vec<String> {
    if items.is_empty() { vec![none.to_owned()] } else { items.to_vec() }
}

/// What a strategy has beside its name.
fn balancing(b: Option<&Balancing>, lines: &mut Lines) {
    let Some(b) = b else { return };
    if let Some(rules) = &b.header_rules {
        let rule = |value: &str, to: &[String]| format!("{value} to {}", to.join(", "));
        let mut told = vec![format!("by {}", rules.header)];
        told.extend(rules.rules.iter().map(|r| rule(&format!("{:?}", r.value), &r.addresses)));
        if !rules.default_addresses.is_empty() {
            told.push(rule("others", &rules.default_addresses));
        }
        lines.push(("Header rules", told));
    }
    if let Some(hash) = &b.hash {
        lines.push(("Hash", vec![hash_line(hash)]));
    }
    if let Some(cookie) = &b.sticky_cookie {
        let name = if cookie.name.is_empty() { "hotswap-backend (default)" } else { &cookie.name };
        lines.push(("Sticky cookie", vec![name.to_owned()]));
    }
    if b.slow_start_ms > 0 {
        lines.push(("Slow start", vec![format!("{} ms", b.slow_start_ms)]));
    }
    if b.panic_threshold_percent > 0 {
        let told = format!("below {} % of backends that take requests", b.panic_threshold_percent);
        lines.push(("Panic", vec![told]));
    }
}

fn hash_line(hash: &HashKey) -> String {
    let of = match &hash.source {
        None => "nothing".to_owned(),
        Some(hash_key::Source::Header(name)) => format!("header {name}"),
        Some(hash_key::Source::Cookie(name)) => format!("cookie {name}"),
    };
    match hash.load_limit_percent {
        0 => format!("of {of}"),
        limit => format!("of {of}, up to {limit} % of the fair load"),
    }
}

/// A limit in ms; 0 stands for the default.
fn limit(ms: u32, default: u32) -> String {
    if ms == 0 { format!("{default} ms (default)") } else { format!("{ms} ms") }
}

fn match_line(m: &RouteMatch) -> String {
    let mut parts = vec![format!("path {}", columns::path(m.path.as_ref()))];
    if !m.methods.is_empty() {
        parts.push(format!("method {}", m.methods.join(" or ")));
    }
    for header in &m.headers {
        use header_match::Kind;
        parts.push(match &header.kind {
            None => format!("header {}", header.name),
            Some(Kind::Exact(value)) => format!("header {} = {value:?}", header.name),
            Some(Kind::Prefix(value)) => format!("header {} begins with {value:?}", header.name),
            Some(Kind::Regex(value)) => format!("header {} ~ {value}", header.name),
            Some(Kind::Present(there)) => presence("header", &header.name, *there),
        });
    }
    for query in &m.query {
        use query_match::Kind;
        parts.push(match &query.kind {
            None => format!("query {}", query.name),
            Some(Kind::Exact(value)) => format!("query {} = {value:?}", query.name),
            Some(Kind::Regex(value)) => format!("query {} ~ {value}", query.name),
            Some(Kind::Present(there)) => presence("query", &query.name, *there),
        });
    }
    parts.join(", ")
}

fn presence(what: &str, name: &str, there: bool) -> String {
    let verb = if there { "is there" } else { "is not there" };
    format!("{what} {name} {verb}")
}

/// What nobody has set is not said.
fn protocol(number: i32, lines: &mut Lines) {
    match BackendProtocol::try_from(number) {
        Ok(BackendProtocol::Unspecified | BackendProtocol::Http1) => {}
        Ok(BackendProtocol::Http2) => lines.push(("Protocol", vec!["HTTP/2".to_owned()])),
        Err(_) => lines.push(("Protocol", vec!["unknown".to_owned()])),
    }
}

fn forward_lines(forward: &Forward, lines: &mut Lines) {
    match &forward.target {
        None if forward.split.is_empty() => {}
        None => {
            lines.push(("Forward", columns::shares(forward).map(|share| format!("to {share}")).collect()))
        }
        Some(forward::Target::Pool(pool)) => lines.push(("Forward", vec![format!("to {pool}")])),
        Some(forward::Target::Inline(inline)) => {
            let strategy = columns::strategy(inline.load_balancing);
            let mut to = vec![format!("to backends of its own, {strategy}")];
            to.extend(inline.backends.iter().map(columns::backend));
            lines.push(("Forward", to));
            balancing(inline.balancing.as_ref(), lines);
            protocol(inline.protocol, lines);
            lines.push(("Connect limit", vec![limit(inline.connect_timeout_ms, 2_000)]));
            lines.extend(inline.tls.iter().map(|tls| ("TLS", vec![backend_tls(tls)])));
        }
    }
    if let Some(rewrite) = &forward.rewrite {
        lines.push(("Rewrite", rewrite_lines(rewrite)));
    }
    let Timeouts { first_byte_ms, total_ms, idle_ms } = forward.timeouts.unwrap_or_default();
    let total = if total_ms == 0 { "none".to_owned() } else { format!("{total_ms} ms") };
    let first = format!("first byte {}", limit(first_byte_ms, 15_000));
    let idle = format!("idle {}", limit(idle_ms, 60_000));
    lines.push(("Limits", vec![first, format!("total {total}"), idle]));
    lines.push(("Retries", vec![forward.retry.as_ref().map_or("none".into(), retry)]));
    if !forward.upgrades.is_empty() {
        lines.push(("Upgrades", vec![forward.upgrades.join(", ")]));
    }
}

/// How backends are reached with TLS, as "ledger.internal, ca corp, shows edge".
pub(crate) fn backend_tls(tls: &BackendTls) -> String {
    let name = if tls.server_name.is_empty() { "the host of each address" } else { &tls.server_name };
    let vouched = match (tls.skip_verification, tls.ca.as_str()) {
        (true, _) => "not verified".to_owned(),
        (false, "") => "ca of the gateway's machine".to_owned(),
        (false, ca) => format!("ca {ca}"),
    };
    let shown = match tls.client_certificate.as_str() {
        "" => String::new(),
        shown => format!(", shows {shown}"),
    };
    format!("{name}, {vouched}{shown}")
}

fn rewrite_lines(rewrite: &Rewrite) -> Vec<String> {
    let mut out = Vec::new();
    match &rewrite.path {
        None => {}
        Some(rewrite::Path::FullPath(path)) => out.push(format!("path to {path}")),
        Some(rewrite::Path::ReplacePrefix(path)) => out.push(format!("matched prefix to {path}")),
    }
    if !rewrite.host.is_empty() {
        out.push(format!("host to {}", rewrite.host));
    }
    out
}

fn redirect_line(redirect: &Redirect) -> String {
    let words = columns::redirect(redirect);
    if redirect.drop_query { format!("{words}, without the query") } else { words }
}

fn edits(title: &'static str, edits: Option<&HeaderEdits>, lines: &mut Lines) {
    let Some(edits) = edits else { return };
    let mut out: Vec<_> = edits.remove.iter().map(|name| format!("remove {name}")).collect();
    out.extend(edits.set.iter().map(|h| format!("set {}: {}", h.name, h.value)));
    out.extend(edits.add.iter().map(|h| format!("add {}: {}", h.name, h.value)));
    lines.push((title, out));
}

fn health(check: &HealthCheck) -> String {
    let path = if check.path.is_empty() { "/" } else { &check.path };
    let what = match check.kind() {
        HealthCheckKind::Tcp => "a connection".to_owned(),
        HealthCheckKind::Grpc if check.service.is_empty() => "gRPC's health service".to_owned(),
        HealthCheckKind::Grpc => format!("gRPC's health service, of {}", check.service),
        HealthCheckKind::Unspecified | HealthCheckKind::Http => format!("GET {path}"),
    };
    format!("{what} every {}", limit(check.interval_ms, 10_000))
}

fn breaker(breaker: &CircuitBreaker) -> String {
    let failures = if breaker.failure_threshold == 0 { 5 } else { breaker.failure_threshold };
    format!("opens after {failures} failures in a row, for {}", limit(breaker.open_ms, 30_000))
}

fn ejection(ejection: &OutlierEjection) -> String {
    let failures = if ejection.consecutive_failures == 0 { 5 } else { ejection.consecutive_failures };
    format!("after {failures} failures in a row, at first for {}", limit(ejection.base_ms, 30_000))
}

fn retry(retry: &Retry) -> String {
    let times = if retry.max_retries == 0 { 2 } else { retry.max_retries };
    let budget = if retry.budget_percent == 0 { 20 } else { retry.budget_percent };
    let grpc = if retry.grpc_unavailable { ", calls of gRPC too" } else { "" };
    format!("at most {times} times, within {budget} % of requests{grpc}")
}

fn standing(standing: Option<&Standing>, lines: &mut Lines) {
    let Some(s) = standing else { return };
    let live = if s.live_revision == 0 { "none".to_owned() } else { format!("revision {}", s.live_revision) };
    lines.push(("Live", vec![live]));
    if s.candidate_revision != 0 {
        let share = columns::percent(s.candidate_share_bps);
        let line = format!("revision {} at {share}, {}", s.candidate_revision, s.rollout);
        lines.push(("Candidate", vec![line]));
    }
}

fn refusals(refusals: &[ProxyRefusal], lines: &mut Lines) {
    let line = |r: &ProxyRefusal| {
        let field = if r.field.is_empty() { String::new() } else { format!("{}: ", r.field) };
        format!("{} at revision {}, {field}{} ({})", r.proxy, r.revision, r.message, r.reason)
    };
    if !refusals.is_empty() {
        lines.push(("Refused by", refusals.iter().map(line).collect()));
    }
}

#[cfg(test)]
mod tests {
    use hotswap_api::route::v1::{HeaderMatch, PathMatch, QueryMatch, path_match};

    use super::*;

    #[test]
    fn every_condition_of_a_match_is_told() {
        let subject = RouteMatch {
            path: Some(PathMatch { kind: Some(path_match::Kind::Exact("/a".into())) }),
            methods: vec!["GET".into(), "HEAD".into()],
            headers: vec![HeaderMatch {
                name: "x-a".into(),
                kind: Some(header_match::Kind::Exact("1".into())),
            }],
            query: vec![QueryMatch { name: "q".into(), kind: Some(query_match::Kind::Present(false)) }],
        };
        assert_eq!(
            match_line(&subject),
            "path /a, method GET or HEAD, header x-a = \"1\", query q is not there"
        );
    }

    #[test]
    fn spans_are_told_in_two_units_at_most() {
        assert_eq!([span(0), span(59), span(60), span(182)], ["0s", "59s", "1m", "3m 2s"]);
        assert_eq!([span(7_260), span(90_000)], ["2h 1m", "1d 1h"]);
    }

    #[test]
    fn a_limit_that_is_not_set_shows_the_default() {
        assert_eq!(limit(0, 2_000), "2000 ms (default)");
        assert_eq!(limit(5, 2_000), "5 ms");
    }
}
