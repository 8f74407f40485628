//! The compiled table: for each host pattern a table of its own, found by hash; in it, exact paths and
//! prefixes by hash and regexes in order. A look-up costs a few hashes, whatever the number of routes.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use hashbrown::HashMap;
use hotswap_core::RouteName;

use crate::spec::{HostPattern, PathMatch, RouteMatch, RouteSpec};
use crate::{RequestHead, Routed};

/// Routes, ready to be looked up. `T` is what the caller keeps of a route.
pub struct RouteTable<T> {
    exact: HashMap<String, Arc<HostTable<T>>>,
    below: HashMap<String, Arc<HostTable<T>>>,
    any: Option<Arc<HostTable<T>>>,
}

/// The route that takes a request.
pub struct Found<'a, T> {
    /// The route.
    pub route: &'a Arc<T>,
    /// How many bytes of the path its prefix took; `None` where it matched by exact path or regex.
    pub prefix_len: Option<usize>,
}

impl<T: Routed> RouteTable<T> {
    /// Compiles a table. The order of `routes` does not count.
    pub fn build(routes: impl IntoIterator<Item = Arc<T>>) -> Self {
        let mut by_host: HashMap<Option<HostPattern>, Vec<Arc<T>>> = HashMap::new();
        for route in routes {
            if route.spec().hosts().is_empty() {
                by_host.entry(None).or_default().push(route);
                continue;
            }
            let mut hosts: Vec<_> = route.spec().hosts().to_vec();
            hosts.sort_unstable_by(|a, b| format!("{a:?}").cmp(&format!("{b:?}")));
            hosts.dedup();
            for host in hosts {
                by_host.entry(Some(host)).or_default().push(Arc::clone(&route));
            }
        }
        let mut table = Self { exact: HashMap::new(), below: HashMap::new(), any: None };
        for (host, routes) in by_host {
            let compiled = Arc::new(HostTable::build(&routes));
            match host {
                None => table.any = Some(compiled),
                Some(HostPattern::Exact(name)) => {
                    table.exact.insert(name, compiled);
                }
                Some(HostPattern::Below(name)) => {
                    table.below.insert(name, compiled);
                }
            }
        }
        table
    }

    /// The route that takes a request, by the rules of precedence; `None`: no route does.
    pub fn find(&self, head: &impl RequestHead) -> Option<Found<'_, T>> {
        let host = head.host();
        let exact = if self.exact.is_empty() { None } else { self.exact.get(host) };
        if let Some(found) = exact.and_then(|t| t.find(head)) {
            return Some(found);
        }
        if !self.below.is_empty() {
            let mut rest = host;
            while let Some((_, parent)) = rest.split_once('.') {
                if let Some(found) = self.below.get(parent).and_then(|t| t.find(head)) {
                    return Some(found);
                }
                rest = parent;
            }
        }
        self.any.as_ref().and_then(|t| t.find(head))
    }
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: HashMap::new(), any: None }
    }
}

impl<T> fmt::Debug for RouteTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.exact.len() + self.below.len() + usize::from(self.any.is_some());
        f.debug_struct("RouteTable").field("hosts", &hosts).finish_non_exhaustive()
    }
}

/// One match of one route.
struct Entry<T> {
    route: Arc<T>,
    index: usize,
}

impl<T: Routed> Entry<T> {
    fn condition(&self) -> Option<&RouteMatch> {
        self.route.spec().matches().get(self.index)
    }
}

/// The matches of one host pattern. An entry's place is its rank: a smaller one wins.
struct HostTable<T> {
    entries: Vec<Entry<T>>,
    exact: HashMap<String, Vec<u32>>,
    prefixes: HashMap<String, Vec<u32>>,
    /// Lengths that occur among the prefixes, so that only those are tried.
    prefix_lengths: Vec<usize>,
    regexes: Vec<u32>,
}

impl<T: Routed> HostTable<T> {
    fn build(routes: &[Arc<T>]) -> Self {
        let mut entries: Vec<Entry<T>> = routes
            .iter()
            .flat_map(|r| (0..r.spec().matches().len()).map(|index| Entry { route: Arc::clone(r), index }))
            .collect();
        entries.sort_by_cached_key(|e| precedence(e.route.name(), e.route.spec(), e.index));
        let mut table = Self {
            entries: Vec::new(),
            exact: HashMap::new(),
            prefixes: HashMap::new(),
            prefix_lengths: Vec::new(),
            regexes: Vec::new(),
        };
        for (rank, entry) in (0u32..).zip(&entries) {
            match entry.condition().map(RouteMatch::path) {
                Some(PathMatch::Exact(p)) => table.exact.entry_ref(p.as_str()).or_default().push(rank),
                Some(PathMatch::Prefix(p)) => table.prefixes.entry_ref(p.as_str()).or_default().push(rank),
                Some(PathMatch::Regex(_)) => table.regexes.push(rank),
                None => {}
            }
        }
        table.entries = entries;
        table.prefix_lengths = table.prefixes.keys().map(String::len).collect();
        table.prefix_lengths.sort_unstable_by_key(|l| Reverse(*l));
        table.prefix_lengths.dedup();
        table
    }

    fn find(&self, head: &impl RequestHead) -> Option<Found<'_, T>> {
        let path = head.path();
        let mut best: Option<(u32, Option<usize>)> = None;
        if let Some(ranks) = self.exact.get(path) {
            self.consider(ranks, head, None, &mut best);
        }
        for &len in &self.prefix_lengths {
            let at_boundary = match path.as_bytes().get(len) {
                Some(b) => *b == b'/',
                None => path.len() == len,
            };
            if at_boundary && let Some(ranks) = path.get(..len).and_then(|p| self.prefixes.get(p)) {
                self.consider(ranks, head, Some(len), &mut best);
            }
        }
        for &rank in &self.regexes {
            if best.is_some_and(|(b, _)| b < rank) {
                break;
            }
            let Some(condition) = self.condition(rank) else { continue };
            if let PathMatch::Regex(regex) = condition.path()
                && regex.is_match(path.as_bytes())
                && condition.rest_holds(head)
            {
                best = Some((rank, None));
                break;
            }
        }
        let (rank, prefix_len) = best?;
        let entry = self.entries.get(rank as usize)?;
        Some(Found { route: &entry.route, prefix_len })
    }

    /// Takes the first of `ranks`, in rising order, that holds and beats the best so far.
    fn consider(
        &self,
        ranks: &[u32],
        head: &impl RequestHead,
        prefix_len: Option<usize>,
        best: &mut Option<(u32, Option<usize>)>,
    ) {
        for &rank in ranks {
            if best.is_some_and(|(b, _)| b < rank) {
                return;
            }
            if self.condition(rank).is_some_and(|c| c.rest_holds(head)) {
                *best = Some((rank, prefix_len));
                return;
            }
        }
    }

    fn condition(&self, rank: u32) -> Option<&RouteMatch> {
        self.entries.get(rank as usize)?.condition()
    }
}

/// The rules of precedence within a host, as a key: smaller first.
fn precedence(name: &RouteName, spec: &RouteSpec, index: usize) -> impl Ord + use<> {
    let (kind, len) = match spec.matches().get(index).map(RouteMatch::path) {
        Some(PathMatch::Exact(p)) => (0, p.len()),
        Some(PathMatch::Regex(r)) => (1, r.as_str().len()),
        Some(PathMatch::Prefix(p)) => (2, p.len()),
        None => (3, 0),
    };
    let (methods, headers, query) = spec.matches().get(index).map_or((0, 0, 0), RouteMatch::weight);
    (
        Reverse(spec.priority()),
        kind,
        Reverse(len),
        Reverse(methods),
        Reverse(headers),
        Reverse(query),
        name.clone(),
        index,
    )
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
