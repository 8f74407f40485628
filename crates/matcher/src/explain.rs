//! Why a request meets the route that it meets, and why no other. It looks at every route, one by one, by the rules
//! that the table is made of; a test holds the two against each other.

use std::cmp::Reverse;

use hotswap_core::ResourceName as _;

use crate::spec::{HostPattern, PathMatch, RouteMatch};
use crate::{RequestHead, Routed};

/// What a request meets.
#[derive(Debug)]
pub struct Explanation<'a, T> {
    /// The route that takes it; `None`: none does.
    pub taken: Option<Taken<'a, T>>,
    /// Routes that did not, those that came nearest first.
    pub near_misses: Vec<NearMiss<'a, T>>,
}

/// The route that takes a request.
#[derive(Debug)]
pub struct Taken<'a, T> {
    /// The route.
    pub route: &'a T,
    /// Which of its matches.
    pub match_index: usize,
    /// The rule that put it before the next one, in words.
    pub decided_by: String,
}

/// A route that did not take a request.
#[derive(Debug)]
pub struct NearMiss<'a, T> {
    /// The route.
    pub route: &'a T,
    /// The field of the first condition that failed, as "matches[0].headers[1]"; empty: it matched, and precedence
    /// decided.
    pub field: String,
    /// That condition in words; empty where it matched.
    pub failed: String,
}

/// Explains a request. It costs a look at every route.
pub fn explain<'a, T: Routed>(
    routes: impl IntoIterator<Item = &'a T>,
    head: &impl RequestHead,
    most_misses: usize,
) -> Explanation<'a, T> {
    let (mut matched, mut missed) = (Vec::new(), Vec::new());
    for route in routes {
        match judge(route, head) {
            Judged::Matched(index, rank) => matched.push((rank, index, route)),
            Judged::Missed(miss) => missed.push((miss, route)),
        }
    }
    matched.sort_by(|a, b| a.0.cmp(&b.0));
    missed.sort_by(|a, b| (a.0.order(), a.1.name()).cmp(&(b.0.order(), b.1.name())));
    let taken = matched.first().map(|(rank, index, route)| Taken {
        route: *route,
        match_index: *index,
        decided_by: matched.get(1).map_or_else(
            || "it is the only route that matches".to_owned(),
            |(next, _, other)| rank.decides(next, other.name().as_str()),
        ),
    });
    let beaten =
        matched.iter().skip(1).map(|m| NearMiss { route: m.2, field: String::new(), failed: String::new() });
    let near = missed.into_iter().filter(|(miss, _)| miss.is_near());
    let failed = near.map(|(miss, route)| NearMiss { route, field: miss.field, failed: miss.failed });
    let near_misses = beaten.chain(failed).take(most_misses).collect();
    Explanation { taken, near_misses }
}

enum Judged<'a> {
    /// By this match, of this rank.
    Matched(usize, Rank<'a>),
    Missed(Miss),
}

/// How a route failed, by the match of it that came farthest.
struct Miss {
    /// Conditions that hold: host, path, method, headers, query.
    held: [bool; 5],
    field: String,
    failed: String,
}

impl Miss {
    /// Fewer failures first; among as many, those whose host and path hold.
    fn order(&self) -> (usize, [bool; 5]) {
        (self.held.iter().filter(|held| !**held).count(), self.held.map(|held| !held))
    }

    /// A route for another host and another path has nothing to do with the request.
    fn is_near(&self) -> bool {
        let [host, path, ..] = self.held;
        host || path
    }
}

fn judge<'a, T: Routed>(route: &'a T, head: &impl RequestHead) -> Judged<'a> {
    let spec = route.spec();
    let host = host_rank(spec.hosts(), head.host());
    let mut best: Option<(usize, Rank<'a>)> = None;
    let mut nearest: Option<Miss> = None;
    for (index, condition) in spec.matches().iter().enumerate() {
        let miss = miss(spec.hosts(), host.is_some(), condition, index, head);
        match (host, miss) {
            (Some(host), None) => {
                let rank = Rank::new(host, spec.priority(), condition, route.name().as_str(), index);
                if best.as_ref().is_none_or(|(_, other)| rank < *other) {
                    best = Some((index, rank));
                }
            }
            (_, Some(miss)) if nearest.as_ref().is_none_or(|other| miss.order() < other.order()) => {
                nearest = Some(miss);
            }
            _ => {}
        }
    }
    match (best, nearest) {
        (Some((index, rank)), _) => Judged::Matched(index, rank),
        (None, Some(miss)) => Judged::Missed(miss),
        // A route has at least one match.
        (None, None) => {
            Judged::Missed(Miss { held: [false; 5], field: String::new(), failed: String::new() })
        }
    }
}

/// The first condition that fails; `None`: all hold.
fn miss(
    hosts: &[HostPattern],
    host: bool,
    condition: &RouteMatch,
    index: usize,
    head: &impl RequestHead,
) -> Option<Miss> {
    let at = |field: &str| format!("matches[{index}].{field}");
    let path =
        (!path_holds(condition.path(), head.path())).then(|| path_words(condition.path(), head.path()));
    let method = (!condition.method_holds(head.method()))
        .then(|| format!("the method is {}, not {}", head.method(), condition.methods().join(" or ")));
    let header = condition.headers().iter().position(|h| !h.holds(head));
    let query = condition.query().iter().position(|q| !q.holds(head.query()));
    let held = [host, path.is_none(), method.is_none(), header.is_none(), query.is_none()];
    let (field, failed) = if !host {
        ("hosts".to_owned(), host_words(hosts, head.host()))
    } else if let Some((field, words)) = path {
        (at(field), words)
    } else if let Some(words) = method {
        (at("methods"), words)
    } else if let Some((i, failed)) = header.and_then(|i| Some((i, condition.headers().get(i)?))) {
        (at(&format!("headers[{i}]")), format!("the header {}", failed.words()))
    } else if let Some((i, failed)) = query.and_then(|i| Some((i, condition.query().get(i)?))) {
        (at(&format!("query[{i}]")), format!("the query parameter {}", failed.words()))
    } else {
        return None;
    };
    Some(Miss { held, field, failed })
}

/// How specific the host pattern is that takes a host, the most specific first: exact, the longest wildcard, any.
type HostRank = (u8, Reverse<usize>);

fn host_rank(patterns: &[HostPattern], host: &str) -> Option<HostRank> {
    if patterns.is_empty() {
        return Some((2, Reverse(0)));
    }
    let of = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => (*name == host).then_some((0, Reverse(0))),
        HostPattern::Below(name) => {
            let below = host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
            below.then_some((1, Reverse(name.len())))
        }
    };
    patterns.iter().filter_map(of).min()
}

fn host_words(patterns: &[HostPattern], host: &str) -> String {
    let shown = patterns.iter().take(4).map(|pattern| match pattern {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Below(name) => format!("*.{name}"),
    });
    let mut shown: Vec<_> = shown.collect();
    if patterns.len() > shown.len() {
        shown.push(format!("{} more", patterns.len() - shown.len()));
    }
    let asked = if host.is_empty() { "no host is given".to_owned() } else { format!("the host is {host}") };
    format!("{asked}, not {}", shown.join(" or "))
}

fn path_holds(condition: &PathMatch, path: &str) -> bool {
    match condition {
        PathMatch::Exact(p) => **p == *path,
        PathMatch::Prefix(p) => {
            path.strip_prefix(&**p).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        PathMatch::Regex(r) => r.is_match(path.as_bytes()),
    }
}

fn path_words(condition: &PathMatch, path: &str) -> (&'static str, String) {
    match condition {
        PathMatch::Exact(p) => ("path.exact", format!("the path is {path}, not {p}")),
        PathMatch::Prefix(p) => ("path.prefix", format!("the path {path} does not lie at or below {p}")),
        PathMatch::Regex(r) => ("path.regex", format!("the path {path} does not match {}", r.as_str())),
    }
}

/// A match's place by the rules of precedence, part by part: smaller wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank<'a> {
    host: HostRank,
    priority: Reverse<i32>,
    path_kind: u8,
    path_len: Reverse<usize>,
    methods: Reverse<usize>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    name: &'a str,
    index: usize,
}

impl<'a> Rank<'a> {
    fn new(host: HostRank, priority: i32, condition: &RouteMatch, name: &'a str, index: usize) -> Self {
        let (path_kind, len) = match condition.path() {
            PathMatch::Exact(p) => (0, p.len()),
            PathMatch::Regex(r) => (1, r.as_str().len()),
            PathMatch::Prefix(p) => (2, p.len()),
        };
        let (methods, headers, query) = condition.weight();
        Self {
            host,
            priority: Reverse(priority),
            path_kind,
            path_len: Reverse(len),
            methods: Reverse(methods),
            headers: Reverse(headers),
            query: Reverse(query),
            name,
            index,
        }
    }

    /// The first difference to the next one, in words.
    fn decides(&self, next: &Self, other: &str) -> String {
        const HOSTS: [&str; 3] = ["an exact host", "a wildcard host", "any host"];
        const PATHS: [&str; 3] = ["an exact path", "a regex", "a prefix"];
        let name = |names: [&'static str; 3], kind: u8| names.get(usize::from(kind)).copied().unwrap_or("");
        let (mine, theirs) = (self, next);
        if mine.host.0 != theirs.host.0 {
            return format!(
                "host: {} comes before {other}'s {}",
                name(HOSTS, mine.host.0),
                name(HOSTS, theirs.host.0)
            );
        }
        if mine.host != theirs.host {
            return format!("host: its wildcard is longer than {other}'s");
        }
        if mine.priority != theirs.priority {
            return format!("priority: {} comes before {other}'s {}", mine.priority.0, theirs.priority.0);
        }
        if mine.path_kind != theirs.path_kind {
            let (mine, theirs) = (name(PATHS, mine.path_kind), name(PATHS, theirs.path_kind));
            return format!("path: {mine} comes before {other}'s {theirs}");
        }
        if mine.path_len != theirs.path_len {
            return format!(
                "path: its {} is longer than {other}'s",
                name(PATHS, mine.path_kind).trim_start_matches("a ")
            );
        }
        if mine.methods != theirs.methods {
            return format!("methods: it names methods, and {other} does not");
        }
        if mine.headers != theirs.headers {
            return format!(
                "headers: its {} conditions are more than {other}'s {}",
                mine.headers.0, theirs.headers.0
            );
        }
        if mine.query != theirs.query {
            return format!(
                "query: its {} conditions are more than {other}'s {}",
                mine.query.0, theirs.query.0
            );
        }
        format!("name: it comes before {other}, all else being equal")
    }
}
