//! What a request asks of the balancer: a backend that it had before, the hash of its key, the group of its header.
//! It is read once; a retry asks the same.

use std::borrow::Cow;
use std::net::IpAddr;

use hotswap_matcher::{Balancing, HashSource, LoadBalancing, RequestHead};
use http::HeaderName;
use http::header::COOKIE;

use super::client::TrustedProxies;
use super::cookie::StickyIds;
use super::hash::{self, Hasher};

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The place of the backend that its cookie names.
    pub sticky: Option<usize>,
    /// The hash of its key.
    pub hash: Option<u64>,
    /// The group of header rules that its header chooses.
    pub group: usize,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The other end of the connection.
    pub peer: IpAddr,
    /// Whose word on the client's address counts.
    pub trusted: &'a TrustedProxies,
}

impl Sender<'_> {
    /// The client's address.
    pub fn client(&self, head: &impl RequestHead) -> IpAddr {
        self.trusted.client(self.peer, head)
    }
}

impl Wish {
    /// Reads a request, as far as the strategy wants it read.
    pub fn of(
        balancing: &Balancing,
        ids: Option<&StickyIds>,
        head: &impl RequestHead,
        sender: Sender<'_>,
    ) -> Self {
        let mut wish = Self::default();
        if let (Some(cookie), Some(ids)) = (&balancing.sticky, ids) {
            with_cookie(head, &cookie.name, |value| wish.sticky = wish.sticky.or_else(|| ids.place(value)));
        }
        match &balancing.strategy {
            LoadBalancing::RoundRobin
            | LoadBalancing::WeightedRoundRobin
            | LoadBalancing::LeastConnections
            | LoadBalancing::PowerOfTwo => {}
            LoadBalancing::IpHash => {
                wish.hash = Some(match sender.client(head).to_canonical() {
                    IpAddr::V4(v4) => hash::of(&v4.octets()),
                    IpAddr::V6(v6) => hash::of(&v6.octets()),
                });
            }
            LoadBalancing::Hash(key) => match &key.source {
                HashSource::Header(name) => wish.hash = hash_of_header(head, name),
                HashSource::Cookie(name) => with_cookie(head, name, |value| {
                    wish.hash = wish.hash.or_else(|| Some(hash::of(value)));
                }),
            },
            LoadBalancing::Header(rules) => {
                wish.group = joined(head, &rules.header, |value| rules.group_of(value))
                    .unwrap_or(rules.default_group());
            }
        }
        wish
    }
}

/// The hash of a header's values, as if they were joined by ",".
fn hash_of_header(head: &impl RequestHead, name: &HeaderName) -> Option<u64> {
    let mut hasher: Option<Hasher> = None;
    head.header(name, &mut |value| match &mut hasher {
        None => hasher.insert(Hasher::new()).add(value),
        Some(hasher) => {
            hasher.add(b",");
            hasher.add(value);
        }
    });
    hasher.map(Hasher::finish)
}

/// Shows a header's values, joined by ",". One value, which is nearly always all, is shown where it stands.
fn joined<T>(head: &impl RequestHead, name: &HeaderName, look: impl Fn(&[u8]) -> T) -> Option<T> {
    let mut shown: Option<T> = None;
    let mut all: Option<Cow<'_, [u8]>> = None;
    head.header(name, &mut |value| match (&shown, &mut all) {
        (None, None) => shown = Some(look(value)),
        // A second one: only now the values are put together.
        (Some(_), None) => all = Some(Cow::Owned(Vec::new())),
        (_, Some(_)) => {}
    });
    if let Some(all) = &mut all {
        let all = all.to_mut();
        head.header(name, &mut |value| {
            if !all.is_empty() {
                all.push(b',');
            }
            all.extend_from_slice(value);
        });
        shown = Some(look(all));
    }
    shown
}

/// Shows each value of a cookie.
pub(crate) fn with_cookie(head: &impl RequestHead, name: &str, mut look: impl FnMut(&[u8])) {
    head.header(&COOKIE, &mut |line| {
        for pair in line.split(|b| *b == b';') {
            let pair = pair.trim_ascii();
            if let Some(value) = pair.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
                look(value);
            }
        }
    });
}

#[cfg(test)]
#[path = "wish_tests.rs"]
pub(crate) mod tests;
