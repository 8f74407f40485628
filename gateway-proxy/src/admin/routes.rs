//! `/routes`: the routes in force.

use hotswap_core::ResourceName as _;
use hotswap_matcher::{
    Action, Destination, HostPattern, PathMatch, RouteSpec, Routed as _, Split, Target, WeightedPool,
};
use hotswap_runtime::admin::Asked;
use serde::Serialize;

use super::Part;
use super::text::table;
use crate::config::Compiled;

/// A route.
#[derive(Debug, Serialize)]
pub(super) struct Route {
    name: String,
    priority: i32,
    /// None: any.
    hosts: Vec<String>,
    /// The paths of its matches, as "/shop/…" for a prefix; none: any.
    paths: Vec<String>,
    /// "pools/{pool}", "pools/{pool} 90 %, pools/{pool} 10 %", "backends of its own" or "redirect".
    to: String,
}

/// The routes that are asked for: of a `name`, or a part of one, and for a `host`.
pub(super) fn page(config: &Compiled, asked: &Asked) -> Result<Part<Route>, String> {
    let (name, host) = (asked.get("name").unwrap_or_default(), asked.get("host"));
    let host = host.map(str::to_ascii_lowercase);
    let wanted = config.routes().filter(|route| {
        let spec = route.spec();
        route.name().as_str().contains(name) && host.as_deref().is_none_or(|host| takes(spec, host))
    });
    let all = wanted.map(|route| (route.name().as_str(), route.spec())).collect();
    Part::of(asked, all, |name, spec| Route {
        name: name.to_owned(),
        priority: spec.priority(),
        hosts: spec.hosts().iter().map(host_text).collect(),
        paths: spec.matches().iter().map(|m| path_text(m.path())).collect(),
        to: match spec.action() {
            Action::Redirect(_) => "redirect".to_owned(),
            Action::Forward(forward) => match &forward.to {
                Destination::One(Target::Pool(pool)) => pool.to_string(),
                Destination::One(Target::Inline(_)) => "backends of its own".to_owned(),
                Destination::Split(split) => shares(split),
            },
        },
    })
}

/// Whether a request for this host could be the route's.
fn takes(spec: &RouteSpec, host: &str) -> bool {
    let fits = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => name == host,
        HostPattern::Below(name) => host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.')),
    };
    spec.hosts().is_empty() || spec.hosts().iter().any(fits)
}

fn host_text(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Below(name) => format!("*.{name}"),
    }
}

fn shares(split: &Split) -> String {
    let share =
        |p: &WeightedPool| format!("{} {} %", p.pool, (split.percent(p.weight) * 100.0).round() / 100.0);
    split.pools().iter().map(share).collect::<Vec<_>>().join(", ")
}

fn path_text(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => path.to_string(),
        PathMatch::Prefix(path) => format!("{path}/…"),
        PathMatch::Regex(regex) => format!("~{}", regex.as_str()),
    }
}

pub(super) fn text(page: &Part<Route>) -> String {
    let or_any = |all: &[String]| if all.is_empty() { "any".to_owned() } else { all.join(", ") };
    let row = |r: &Route| {
        vec![r.name.clone(), or_any(&r.hosts), or_any(&r.paths), r.priority.to_string(), r.to.clone()]
    };
    let rows: Vec<_> = page.entries.iter().map(row).collect();
    table(&["ROUTE", "HOSTS", "PATHS", "PRIORITY", "TO"], &rows) + &page.rest("/routes")
}
