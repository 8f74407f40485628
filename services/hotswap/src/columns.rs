//! Routes, pools and certificates in few words: the columns of tables, and the parts that `describe` shares.

use std::collections::BTreeMap;

use hotswap_api::rollout::v1::Standing;
use hotswap_api::route::v1::{
    Backend, BackendState, Certificate, Forward, LoadBalancing, PathMatch, Pool, Redirect, Route, RouteMatch,
    WeightedPool, forward, path_match, redirect, route,
};
use prost_types::Timestamp;

use crate::style::{Cell, Tone};

pub(crate) const ROUTE: &[&str] =
    &["NAME", "HOSTS", "MATCHES", "TARGET", "PRIORITY", "REVISION", "CANDIDATE", "AGE"];
pub(crate) const POOL: &[&str] = &["NAME", "STRATEGY", "BACKENDS", "REVISION", "CANDIDATE", "AGE"];
pub(crate) const CERTIFICATE: &[&str] = &["NAME", "DNS NAMES", "EXPIRES", "REVISION", "AGE"];
/// What all have behind them in a wide table.
pub(crate) const MORE: &[&str] = &["UPDATED", "REFUSED", "LABELS"];

pub(crate) fn route(route: &Route, wide: bool, now: i64) -> Vec<Cell> {
    let mut row = vec![
        route.name.clone().into(),
        some_of(route.hosts.iter().cloned(), wide, "*").into(),
        some_of(route.matches.iter().map(match_words), wide, "*").into(),
        target(route, wide).into(),
        route.priority.to_string().into(),
        route.revision.to_string().into(),
        candidate(route.standing.as_ref()),
        age(route.create_time.as_ref(), now).into(),
    ];
    if wide {
        row.push(age(route.update_time.as_ref(), now).into());
        row.push(refused(route.refusals.len()));
        row.push(labels(&route.labels).into());
    }
    row
}

pub(crate) fn pool(pool: &Pool, wide: bool, now: i64) -> Vec<Cell> {
    let mut row = vec![
        pool.name.clone().into(),
        strategy(pool.load_balancing).into(),
        some_of(pool.backends.iter().map(|b| b.address.clone()), wide, "none").into(),
        pool.revision.to_string().into(),
        candidate(pool.standing.as_ref()),
        age(pool.create_time.as_ref(), now).into(),
    ];
    if wide {
        row.push(age(pool.update_time.as_ref(), now).into());
        row.push(refused(pool.refusals.len()));
        row.push(labels(&pool.labels).into());
    }
    row
}

pub(crate) fn certificate(certificate: &Certificate, wide: bool, now: i64) -> Vec<Cell> {
    let mut row = vec![
        certificate.name.clone().into(),
        some_of(certificate.dns_names.iter().cloned(), wide, "none").into(),
        expiry(certificate.not_after.as_ref(), now),
        certificate.revision.to_string().into(),
        age(certificate.create_time.as_ref(), now).into(),
    ];
    if wide {
        row.push(age(certificate.update_time.as_ref(), now).into());
        row.push(refused(certificate.refusals.len()));
        row.push(labels(&certificate.labels).into());
    }
    row
}

/// The day on which a certificate runs out; one that has, or will within a week, stands out.
fn expiry(at: Option<&Timestamp>, now: i64) -> Cell {
    let Some(at) = at else { return "-".into() };
    let text = Timestamp { nanos: 0, ..*at }.to_string();
    let day = text.split('T').next().unwrap_or_default().to_owned();
    match at.seconds - now {
        ..=0 => Cell::toned(day, Tone::Bad),
        1..=604_800 => Cell::toned(day, Tone::Warn),
        _ => day.into(),
    }
}

/// The revision that a rollout is exposing, as "7 at 10 %".
fn candidate(standing: Option<&Standing>) -> Cell {
    match standing.filter(|s| s.candidate_revision != 0) {
        None => "-".into(),
        Some(s) => {
            let text = format!("{} at {}", s.candidate_revision, percent(s.candidate_share_bps));
            Cell::toned(text, Tone::Warn)
        }
    }
}

/// A share in basis points, in percent.
pub(crate) fn percent(bps: u32) -> String {
    let (whole, rest) = (bps / 100, bps % 100);
    match rest {
        0 => format!("{whole} %"),
        _ if rest % 10 == 0 => format!("{whole}.{} %", rest / 10),
        _ => format!("{whole}.{rest:02} %"),
    }
}

/// How many refuse something.
pub(crate) fn refused(count: usize) -> Cell {
    if count == 0 { "0".into() } else { Cell::toned(count.to_string(), Tone::Bad) }
}

/// Labels, as "team=web,tier=1".
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if pairs.is_empty() { "-".to_owned() } else { pairs.join(",") }
}

/// All of several, or the first of them and how many more there are.
fn some_of(mut items: impl ExactSizeIterator<Item = String>, all: bool, none: &str) -> String {
    if all && items.len() > 0 {
        return items.collect::<Vec<_>>().join(",");
    }
    let more = items.len().saturating_sub(1);
    match items.next() {
        None => none.to_owned(),
        Some(first) if more == 0 => first,
        Some(first) => format!("{first} +{more}"),
    }
}

/// A match in a few characters, as "GET /shop/*".
fn match_words(m: &RouteMatch) -> String {
    let mut words = Vec::new();
    if !m.methods.is_empty() {
        words.push(m.methods.join(","));
    }
    words.push(path(m.path.as_ref()));
    let conditions = m.headers.len() + m.query.len();
    if conditions > 0 {
        words.push(format!("({conditions} more)"));
    }
    words.join(" ")
}

/// A condition on the path: "/a" exact, "/a/*" prefix, "~^/a" regex, "*" any.
pub(crate) fn path(m: Option<&PathMatch>) -> String {
    match m.and_then(|p| p.kind.as_ref()) {
        None => "*".to_owned(),
        Some(path_match::Kind::Exact(path)) => path.clone(),
        Some(path_match::Kind::Prefix(path)) => format!("{}/*", path.trim_end_matches('/')),
        Some(path_match::Kind::Regex(regex)) => format!("~{regex}"),
    }
}

/// Where a route leads.
fn target(route: &Route, all: bool) -> String {
    match &route.action {
        None => "none".to_owned(),
        Some(route::Action::Forward(forward)) => forward_words(forward, all),
        Some(route::Action::Redirect(away)) => redirect(away),
    }
}

fn forward_words(forward: &Forward, all: bool) -> String {
    match &forward.target {
        None => some_of(shares(forward), all, "none"),
        Some(forward::Target::Pool(pool)) => pool.clone(),
        Some(forward::Target::Inline(inline)) => {
            some_of(inline.backends.iter().map(|b| b.address.clone()), all, "none")
        }
    }
}

/// The pools that requests are split between, each as "pools/shop 90 %".
pub(crate) fn shares(forward: &Forward) -> impl ExactSizeIterator<Item = String> {
    let weight = |p: &WeightedPool| f64::from(p.weight.unwrap_or(1));
    let total: f64 = forward.split.iter().map(weight).sum();
    let percent = move |p: &WeightedPool| if total > 0.0 { 100.0 * weight(p) / total } else { 0.0 };
    forward.split.iter().map(move |p| format!("{} {}", p.pool, share(percent(p))))
}

/// A share, as "33.33 %".
pub(crate) fn share(percent: f64) -> String {
    format!("{} %", (percent * 100.0).round() / 100.0)
}

/// A redirect, as "redirect 302 https://a.example".
pub(crate) fn redirect(r: &Redirect) -> String {
    let status = if r.status == 0 { 302 } else { r.status };
    let scheme = if r.scheme.is_empty() { String::new() } else { format!("{}://", r.scheme) };
    let port = if r.port == 0 { String::new() } else { format!(":{}", r.port) };
    let path = match &r.path {
        None => "",
        Some(redirect::Path::FullPath(path) | redirect::Path::ReplacePrefix(path)) => path,
    };
    format!("redirect {status} {scheme}{}{port}{path}", r.host).trim_end().to_owned()
}

/// The name of a strategy, as people say it.
pub(crate) fn strategy(number: i32) -> &'static str {
    match LoadBalancing::try_from(number) {
        Ok(LoadBalancing::Unspecified | LoadBalancing::RoundRobin) => "round robin",
        Ok(LoadBalancing::WeightedRoundRobin) => "weighted round robin",
        Ok(LoadBalancing::LeastConnections) => "least connections",
        Ok(LoadBalancing::IpHash) => "ip hash",
        Ok(LoadBalancing::Header) => "by header",
        Ok(LoadBalancing::PowerOfTwo) => "power of two",
        Ok(LoadBalancing::Hash) => "hash",
        Err(_) => "unknown",
    }
}

/// A backend, with what is said of it: its weight, what that comes to, its priority, its state.
pub(crate) fn backend(backend: &Backend) -> String {
    let mut said = Vec::new();
    said.extend(backend.weight.map(|weight| format!("weight {weight}")));
    if backend.share_percent > 0.0 {
        said.push(format!("{} %", backend.share_percent));
    }
    if backend.priority > 0 {
        said.push(format!("priority {}", backend.priority));
    }
    said.extend(state(backend.state).map(str::to_owned));
    if said.is_empty() {
        backend.address.clone()
    } else {
        format!("{} ({})", backend.address, said.join(", "))
    }
}

/// A state that is not the usual one.
pub(crate) fn state(number: i32) -> Option<&'static str> {
    match BackendState::try_from(number) {
        Ok(BackendState::Unspecified | BackendState::Enabled) => None,
        Ok(BackendState::Drained) => Some("drained"),
        Ok(BackendState::ForcedOpen) => Some("held open"),
        Ok(BackendState::ForcedClosed) => Some("held closed"),
        Err(_) => Some("in a state unknown here"),
    }
}

/// How long ago, in one unit: "12s", "5m", "3h", "8d". A moment ahead of this machine's clock is "0s".
pub(crate) fn age(at: Option<&Timestamp>, now: i64) -> String {
    let Some(at) = at else { return "-".to_owned() };
    let seconds = now.saturating_sub(at.seconds).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use hotswap_api::route::v1::InlineBackends;

    use super::*;

    #[test]
    fn a_route_is_told_in_a_row() {
        let prefix = PathMatch { kind: Some(path_match::Kind::Prefix("/shop".into())) };
        let one = RouteMatch {
            path: Some(prefix),
            methods: vec!["GET".into(), "PUT".into()],
            ..Default::default()
        };
        let subject = Route {
            name: "routes/shop".into(),
            hosts: vec!["a.example".into(), "b.example".into()],
            matches: vec![one],
            action: Some(route::Action::Forward(Forward {
                target: Some(forward::Target::Pool("pools/shop".into())),
                ..Forward::default()
            })),
            revision: 12,
            standing: Some(Standing {
                candidate_revision: 7,
                candidate_share_bps: 1_000,
                ..Standing::default()
            }),
            labels: [("tier".into(), "1".into()), ("team".into(), "web".into())].into(),
            create_time: Some(Timestamp { seconds: 1_000, nanos: 0 }),
            ..Route::default()
        };
        let cells = |wide| route(&subject, wide, 4_600).into_iter().map(|c| c.text).collect::<Vec<_>>();
        assert_eq!(
            cells(false),
            ["routes/shop", "a.example +1", "GET,PUT /shop/*", "pools/shop", "0", "12", "7 at 10 %", "60m"]
        );
        assert_eq!(
            cells(true),
            [
                "routes/shop",
                "a.example,b.example",
                "GET,PUT /shop/*",
                "pools/shop",
                "0",
                "12",
                "7 at 10 %",
                "60m",
                "-",
                "0",
                "team=web,tier=1"
            ]
        );
    }

    #[test]
    fn shares_are_told_in_percent() {
        assert_eq!(
            [percent(0), percent(1_000), percent(1_250), percent(1)],
            ["0 %", "10 %", "12.5 %", "0.01 %"]
        );
    }

    fn thirds() -> Forward {
        let weighted = |pool: &str, weight| WeightedPool { pool: pool.into(), weight };
        Forward { split: vec![weighted("pools/a", None), weighted("pools/b", Some(2))], ..Forward::default() }
    }

    #[test]
    fn weights_of_a_split_are_told_as_shares() {
        assert_eq!(shares(&thirds()).collect::<Vec<_>>(), ["pools/a 33.33 %", "pools/b 66.67 %"]);
        let weight = Some(0);
        let none = WeightedPool { pool: "pools/a".into(), weight };
        let forward = Forward { split: vec![none], ..Forward::default() };
        assert_eq!(shares(&forward).collect::<Vec<_>>(), ["pools/a 0 %"]);
    }

    #[test]
    fn targets_are_told_in_few_words() {
        let inline = InlineBackends {
            backends: vec![Backend { address: "10.0.0.1:80".into(), ..Backend::default() }],
            ..Default::default()
        };
        let to = Forward { target: Some(forward::Target::Inline(inline)), ..Forward::default() };
        let at = |action| target(&Route { action: Some(action), ..Route::default() }, false);
        assert_eq!(at(route::Action::Forward(to)), "10.0.0.1:80");
        assert_eq!(at(route::Action::Forward(thirds())), "pools/a 33.33 % +1");
        let away =
            Redirect { scheme: "https".into(), host: "a.example".into(), port: 8443, ..Redirect::default() };
        assert_eq!(at(route::Action::Redirect(away)), "redirect 302 https://a.example:8443");
        assert_eq!(
            at(route::Action::Redirect(Redirect { status: 308, ..Redirect::default() })),
            "redirect 308"
        );
    }

    #[test]
    fn a_backend_is_told_with_what_is_special_of_it() {
        let plain = Backend { address: "a:1".into(), ..Backend::default() };
        assert_eq!(backend(&plain), "a:1");
        let special = Backend {
            weight: Some(5),
            priority: 1,
            state: BackendState::Drained.into(),
            share_percent: 62.5,
            ..plain
        };
        assert_eq!(backend(&special), "a:1 (weight 5, 62.5 %, priority 1, drained)");
    }

    #[test]
    fn the_root_prefix_is_every_path_below_it() {
        let root = PathMatch { kind: Some(path_match::Kind::Prefix("/".into())) };
        assert_eq!(path(Some(&root)), "/*");
    }
}
