use hotswap_matcher::{
    BackendDraft, BalancingDraft, HashKeyDraft, HeaderRuleDraft, HeaderRulesDraft, LoadBalancingDraft,
    PoolDraft, PoolSpec, StickyCookieDraft,
};

use super::*;

/// A request of headers alone.
pub(crate) struct Head(pub(crate) Vec<(&'static str, &'static str)>);

impl RequestHead for Head {
    fn method(&self) -> &str {
        "GET"
    }
    fn host(&self) -> &str {
        ""
    }
    fn path(&self) -> &str {
        "/"
    }
    fn query(&self) -> Option<&str> {
        None
    }
    fn header(&self, name: &HeaderName, visit: &mut dyn FnMut(&[u8])) {
        self.0.iter().filter(|(n, _)| name == *n).for_each(|(_, value)| visit(value.as_bytes()));
    }
}

fn wish(
    strategy: LoadBalancingDraft,
    balancing: BalancingDraft,
    headers: &[(&'static str, &'static str)],
) -> (Wish, Option<StickyIds>) {
    let backend = |a: &str| BackendDraft { address: a.into(), ..BackendDraft::default() };
    let draft = PoolDraft {
        backends: vec![backend("a:1"), backend("b:1")],
        load_balancing: strategy,
        balancing: Some(balancing),
        ..PoolDraft::default()
    };
    let spec = PoolSpec::parse(&draft).expect("valid");
    let backends = spec.backends();
    let ids = backends.balancing.sticky.as_ref().map(|c| StickyIds::new(c, "pools/p", &backends.backends));
    let trusted = TrustedProxies::default();
    let sender = Sender { peer: [192, 0, 2, 1].into(), trusted: &trusted };
    (Wish::of(&backends.balancing, ids.as_ref(), &Head(headers.to_vec()), sender), ids)
}

#[test]
fn the_hash_is_of_the_header_or_cookie_and_is_none_without_it() {
    let by = |header: Option<&str>, cookie: Option<&str>, headers: &[(&'static str, &'static str)]| {
        let (header, cookie) = (header.map(str::to_owned), cookie.map(str::to_owned));
        let hash = Some(HashKeyDraft { header, cookie, load_limit_percent: 0 });
        wish(LoadBalancingDraft::Hash, BalancingDraft { hash, ..BalancingDraft::default() }, headers).0.hash
    };
    let header = |headers: &[_]| by(Some("x-user"), None, headers);
    assert_eq!(header(&[]), None);
    assert_eq!(header(&[("x-user", "anna")]), Some(hash::of(b"anna")));
    assert_eq!(header(&[("x-user", "a"), ("x-user", "b")]), Some(hash::of(b"a,b")));
    let cookie = |line| by(None, Some("sid"), &[("cookie", line)]);
    assert_eq!(cookie("a=1; sid=7f; b=2"), Some(hash::of(b"7f")));
    assert_eq!(cookie("xsid=7f; sidx=1; sid"), None);
}

#[test]
fn the_address_is_hashed_however_it_is_written() {
    let of = |peer: &str| {
        let trusted = TrustedProxies::default();
        let sender = Sender { peer: peer.parse().expect("an address"), trusted: &trusted };
        let draft = PoolDraft { load_balancing: LoadBalancingDraft::IpHash, ..PoolDraft::default() };
        let spec = PoolSpec::parse(&draft).expect("valid");
        Wish::of(&spec.backends().balancing, None, &Head(Vec::new()), sender).hash
    };
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
}

#[test]
fn a_header_chooses_its_group_by_its_whole_value() {
    let rules = HeaderRulesDraft {
        header: "x-cohort".into(),
        rules: vec![
            HeaderRuleDraft { value: "beta".into(), addresses: vec!["b:1".into()] },
            HeaderRuleDraft { value: "a,b".into(), addresses: vec!["b:1".into()] },
        ],
        default_addresses: Vec::new(),
    };
    let group = |headers: &[(&'static str, &'static str)]| {
        let balancing = BalancingDraft { header_rules: Some(rules.clone()), ..BalancingDraft::default() };
        wish(LoadBalancingDraft::Header, balancing, headers).0.group
    };
    assert_eq!(group(&[("x-cohort", "beta")]), 0);
    assert_eq!(group(&[("x-cohort", "a"), ("x-cohort", "b")]), 1);
    for other in ["Beta", "beta1", ""] {
        assert_eq!(group(&[("x-cohort", other)]), 2);
    }
    assert_eq!(group(&[]), 2);
}

#[test]
fn a_cookie_names_a_backend_and_one_of_yesterday_names_none() {
    let sticky =
        || BalancingDraft { sticky_cookie: Some(StickyCookieDraft::default()), ..BalancingDraft::default() };
    let rr = LoadBalancingDraft::RoundRobin;
    let (none, ids) = wish(rr, sticky(), &[("cookie", "hotswap-backend=gone; other=1")]);
    assert_eq!(none, Wish::default());
    let text = ids.and_then(|ids| Some(ids.cookie(1)?.to_str().ok()?.to_owned())).expect("a cookie");
    let pair: &'static str = text.split(';').next().expect("a pair").to_owned().leak();
    assert_eq!(wish(rr, sticky(), &[("cookie", pair)]).0.sticky, Some(1));
}
