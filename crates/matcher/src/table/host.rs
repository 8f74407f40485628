//! The matches of one host pattern: exact paths and prefixes by hash, regexes in order.

use std::hash::BuildHasher as _;
use std::slice;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::Found;
use super::shared::SharedTable;
use crate::spec::{PathMatch, RouteMatch, RouteSpec};
use crate::{RequestHead, Routed};

/// The table of a host. A clone shares everything with it; a change of a route touches the nodes of its paths.
pub(super) struct HostTable<T> {
    exact: SharedTable<Bucket<T>>,
    prefixes: SharedTable<Bucket<T>>,
    /// Lengths that occur among the prefixes, the longest first: only those are tried.
    prefix_lengths: Vec<PrefixLength>,
    /// The best first.
    regexes: Arc<[Candidate<T>]>,
    matches: usize,
}

#[derive(Clone, Copy)]
struct PrefixLength {
    len: usize,
    /// Paths of this length.
    paths: usize,
}

/// One match of one route.
pub(super) struct Candidate<T> {
    rank: u64,
    index: u32,
    /// There are no conditions besides the path, so that the route need not be looked at.
    path_alone: bool,
    /// Not every request sees it.
    of_rollout: bool,
    route: Arc<T>,
}

/// The matches on one path.
struct Bucket<T> {
    /// The text of one of its matches, which it shares.
    path: Arc<str>,
    candidates: Candidates<T>,
}

/// The best first; nearly always there is one.
enum Candidates<T> {
    One(Candidate<T>),
    Many(Arc<[Candidate<T>]>),
}

// === impl HostTable ===

impl<T: Routed> HostTable<T> {
    pub(super) fn new() -> Self {
        Self {
            exact: SharedTable::new(),
            prefixes: SharedTable::new(),
            prefix_lengths: Vec::new(),
            regexes: Arc::default(),
            matches: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.matches == 0
    }

    /// Puts a route in. The caller sees to it that none of its name and arm is there.
    pub(super) fn insert(&mut self, hasher: &DefaultHashBuilder, route: &Arc<T>) {
        self.matches += route.spec().matches().len();
        for (index, condition) in (0..).zip(route.spec().matches()) {
            let candidate = Candidate {
                rank: rank(route.spec(), condition),
                index,
                path_alone: condition.is_path_alone(),
                of_rollout: route.arm().is_some(),
                route: Arc::clone(route),
            };
            match condition.path() {
                PathMatch::Exact(path) => {
                    put(&mut self.exact, hasher.hash_one(&**path), path, candidate);
                }
                PathMatch::Prefix(path) => {
                    if put(&mut self.prefixes, hasher.hash_one(&**path), path, candidate) {
                        self.count_prefix(path.len());
                    }
                }
                PathMatch::Regex(_) => self.regexes = with(&self.regexes, candidate),
            }
        }
    }

    /// Takes a route out. The caller sees to it that it is there.
    pub(super) fn remove(&mut self, hasher: &DefaultHashBuilder, route: &T) {
        self.matches -= route.spec().matches().len();
        for (index, condition) in (0..).zip(route.spec().matches()) {
            match condition.path() {
                PathMatch::Exact(path) => {
                    take(&mut self.exact, hasher.hash_one(&**path), path, route, index);
                }
                PathMatch::Prefix(path) => {
                    if take(&mut self.prefixes, hasher.hash_one(&**path), path, route, index) {
                        self.discount_prefix(path.len());
                    }
                }
                PathMatch::Regex(_) => self.regexes = without(&self.regexes, route, index),
            }
        }
    }

    fn count_prefix(&mut self, len: usize) {
        match self.prefix_lengths.binary_search_by(|l| len.cmp(&l.len)) {
            Ok(at) => self.prefix_lengths[at].paths += 1,
            Err(at) => self.prefix_lengths.insert(at, PrefixLength { len, paths: 1 }),
        }
    }

    fn discount_prefix(&mut self, len: usize) {
        if let Ok(at) = self.prefix_lengths.binary_search_by(|l| len.cmp(&l.len)) {
            self.prefix_lengths[at].paths -= 1;
            if self.prefix_lengths[at].paths == 0 {
                self.prefix_lengths.remove(at);
            }
        }
    }

    pub(super) fn find(
        &self,
        hasher: &DefaultHashBuilder,
        head: &impl RequestHead,
        admits: &mut impl FnMut(&T) -> bool,
    ) -> Option<Found<'_, T>> {
        let path = head.path();
        let mut best: Option<(&Candidate<T>, Option<usize>)> = None;
        if !self.exact.is_empty()
            && let Some(bucket) = self.exact.get(hasher.hash_one(path), |b| *b.path == *path)
        {
            consider(bucket.candidates.all(), head, None, admits, &mut best);
        }
        for &PrefixLength { len, .. } in &self.prefix_lengths {
            let at_boundary = match path.as_bytes().get(len) {
                Some(b) => *b == b'/',
                None => path.len() == len,
            };
            if at_boundary
                && let Some(prefix) = path.get(..len)
                && let Some(bucket) = self.prefixes.get(hasher.hash_one(prefix), |b| *b.path == *prefix)
            {
                consider(bucket.candidates.all(), head, Some(len), admits, &mut best);
            }
        }
        for candidate in &*self.regexes {
            if best.is_some_and(|(b, _)| b.beats(candidate)) {
                break;
            }
            let Some(condition) = candidate.condition() else { continue };
            if let PathMatch::Regex(regex) = condition.path()
                && regex.is_match(path.as_bytes())
                && condition.rest_holds(head)
                && candidate.is_seen(admits)
            {
                best = Some((candidate, None));
                break;
            }
        }
        let (candidate, prefix_len) = best?;
        Some(Found { route: &candidate.route, prefix_len })
    }

    /// Calls `visit` for each match in memory that is not `former`'s too.
    pub(super) fn unshared(&self, former: &Self, visit: &mut impl FnMut()) {
        let mut each = |bucket: &Bucket<T>| bucket.candidates.all().iter().for_each(|_| visit());
        self.exact.unshared(&former.exact, &mut |_, bucket| each(bucket));
        self.prefixes.unshared(&former.prefixes, &mut |_, bucket| each(bucket));
        if !Arc::ptr_eq(&self.regexes, &former.regexes) {
            self.regexes.iter().for_each(|_| visit());
        }
    }
}

/// Takes the first of `candidates`, the best first, that holds and beats the best so far.
fn consider<'a, T: Routed>(
    candidates: &'a [Candidate<T>],
    head: &impl RequestHead,
    prefix_len: Option<usize>,
    admits: &mut impl FnMut(&T) -> bool,
    best: &mut Option<(&'a Candidate<T>, Option<usize>)>,
) {
    for candidate in candidates {
        if best.is_some_and(|(b, _)| b.beats(candidate)) {
            return;
        }
        if (candidate.path_alone || candidate.condition().is_some_and(|c| c.rest_holds(head)))
            && candidate.is_seen(admits)
        {
            *best = Some((candidate, prefix_len));
            return;
        }
    }
}

/// Puts a match in; true: the path is new.
fn put<T: Routed>(
    table: &mut SharedTable<Bucket<T>>,
    hash: u64,
    path: &Arc<str>,
    candidate: Candidate<T>,
) -> bool {
    match table.get_mut(hash, |b| *b.path == **path) {
        Some(bucket) => {
            bucket.candidates = Candidates::Many(with(bucket.candidates.all(), candidate));
            false
        }
        None => {
            table.insert(hash, Bucket { path: Arc::clone(path), candidates: Candidates::One(candidate) });
            true
        }
    }
}

/// Takes a match out; true: the path is gone.
fn take<T: Routed>(table: &mut SharedTable<Bucket<T>>, hash: u64, path: &str, route: &T, index: u32) -> bool {
    let Some(bucket) = table.get(hash, |b| *b.path == *path) else { return false };
    let left = without(bucket.candidates.all(), route, index);
    if left.is_empty() {
        return table.remove(hash, |b| *b.path == *path).is_some();
    }
    if let Some(bucket) = table.get_mut(hash, |b| *b.path == *path) {
        bucket.candidates = match &*left {
            [one] => Candidates::One(one.clone()),
            _ => Candidates::Many(left),
        };
    }
    false
}

fn with<T: Routed>(candidates: &[Candidate<T>], candidate: Candidate<T>) -> Arc<[Candidate<T>]> {
    let at = candidates.partition_point(|c| c.beats(&candidate));
    let (before, after) = candidates.split_at(at);
    before.iter().cloned().chain([candidate]).chain(after.iter().cloned()).collect()
}

fn without<T: Routed>(candidates: &[Candidate<T>], route: &T, index: u32) -> Arc<[Candidate<T>]> {
    let is_it =
        |c: &Candidate<T>| c.index == index && c.route.name() == route.name() && c.route.arm() == route.arm();
    candidates.iter().filter(|c| !is_it(c)).cloned().collect()
}

// === impl Candidates ===

impl<T> Candidates<T> {
    fn all(&self) -> &[Candidate<T>] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

// === impl Candidate ===

impl<T: Routed> Candidate<T> {
    fn condition(&self) -> Option<&RouteMatch> {
        self.route.spec().matches().get(self.index as usize)
    }

    /// Whether the request sees it.
    fn is_seen(&self, admits: &mut impl FnMut(&T) -> bool) -> bool {
        !self.of_rollout || admits(&self.route)
    }

    /// Whether it comes before another one.
    fn beats(&self, other: &Self) -> bool {
        let by_name = || (self.route.name(), self.index) < (other.route.name(), other.index);
        self.rank < other.rank || (self.rank == other.rank && by_name())
    }
}

/// The rules of precedence within a host, but for the name, as one number; a smaller one wins. From the top:
/// priority, kind of path, length of path, methods named, header conditions, query conditions.
fn rank(spec: &RouteSpec, condition: &RouteMatch) -> u64 {
    let (kind, len) = match condition.path() {
        PathMatch::Exact(p) => (0, p.len()),
        PathMatch::Regex(r) => (1, r.as_str().len()),
        PathMatch::Prefix(p) => (2, p.len()),
    };
    let (methods, headers, query) = condition.weight();
    let priority = u64::try_from(i64::from(i32::MAX) - i64::from(spec.priority())).unwrap_or_default();
    let more_first = |n: usize, most: u64| most - most.min(n as u64);
    [
        (kind, 2),
        (more_first(len, MOST_LEN), 12),
        (more_first(methods, 1), 1),
        (more_first(headers, MOST_CONDITIONS), 8),
        (more_first(query, MOST_CONDITIONS), 8),
    ]
    .into_iter()
    .fold(priority, |rank, (part, bits)| (rank << bits) | part)
}

/// More than any path or pattern of a valid route has.
const MOST_LEN: u64 = 4_095;
/// More than the conditions of a valid match.
const MOST_CONDITIONS: u64 = 255;

// Not derived: that would ask for `T: Clone`, and an Arc does not.
impl<T> Clone for HostTable<T> {
    fn clone(&self) -> Self {
        Self {
            exact: self.exact.clone(),
            prefixes: self.prefixes.clone(),
            prefix_lengths: self.prefix_lengths.clone(),
            regexes: Arc::clone(&self.regexes),
            matches: self.matches,
        }
    }
}

impl<T> Clone for Candidate<T> {
    fn clone(&self) -> Self {
        let Self { rank, index, path_alone, of_rollout, ref route } = *self;
        Self { rank, index, path_alone, of_rollout, route: Arc::clone(route) }
    }
}

impl<T> Clone for Bucket<T> {
    fn clone(&self) -> Self {
        Self { path: Arc::clone(&self.path), candidates: self.candidates.clone() }
    }
}

impl<T> Clone for Candidates<T> {
    fn clone(&self) -> Self {
        match self {
            Self::One(one) => Self::One(one.clone()),
            Self::Many(many) => Self::Many(Arc::clone(many)),
        }
    }
}
