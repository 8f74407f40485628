use super::*;
use crate::draft::{BackendDraft, HeaderRuleDraft, PoolDraft};
use crate::spec::PoolSpec;

fn pool(strategy: LoadBalancingDraft, balancing: BalancingDraft) -> PoolDraft {
    let backend = |a: &str| BackendDraft { address: a.into(), ..BackendDraft::default() };
    PoolDraft {
        backends: ["A:1", "b:1", "c:1"].map(backend).to_vec(),
        load_balancing: strategy,
        balancing: Some(balancing),
        ..PoolDraft::default()
    }
}

fn parsed(strategy: LoadBalancingDraft, balancing: BalancingDraft) -> Result<Balancing, String> {
    let spec = PoolSpec::parse(&pool(strategy, balancing)).map_err(|v| v.to_string())?;
    Ok(spec.backends().balancing.clone())
}

fn rules(rules: &[(&str, &[&str])], default: &[&str]) -> BalancingDraft {
    let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    let rules = rules.iter().map(|(v, a)| HeaderRuleDraft { value: (*v).into(), addresses: texts(a) });
    let rules = HeaderRulesDraft {
        header: "X-Cohort".into(),
        rules: rules.collect(),
        default_addresses: texts(default),
    };
    BalancingDraft { header_rules: Some(rules), ..BalancingDraft::default() }
}

#[test]
fn rules_name_backends_and_the_rest_is_the_default() {
    let of = |default| match parsed(LoadBalancingDraft::Header, rules(&[("beta", &["a:1"])], default)) {
        Ok(Balancing { strategy: LoadBalancing::Header(rules), .. }) => {
            let group = |value: &[u8]| rules.groups[rules.group_of(value)].clone();
            (group(b"beta"), group(b"other"))
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(of(&[]), (vec![0], vec![1, 2]), "case of an address does not count");
    assert_eq!(of(&["c:1", "a:1"]), (vec![0], vec![2, 0]));
}

#[test]
fn every_fault_of_the_rules_is_named() {
    let draft = rules(&[("x", &["nobody:1"]), ("x", &[]), ("", &["b:1", "B:1"])], &["d:1"]);
    let told = parsed(LoadBalancingDraft::Header, draft).expect_err("faults");
    for field in [
        "balancing.header_rules.rules[0].addresses[0]",
        "balancing.header_rules.rules[1].value",
        "balancing.header_rules.rules[1].addresses",
        "balancing.header_rules.rules[2].value",
        "balancing.header_rules.rules[2].addresses[1]",
        "balancing.header_rules.default_addresses[0]",
    ] {
        assert!(told.contains(field), "{field}: {told}");
    }
}

#[test]
fn options_stand_with_their_strategy_alone() {
    let told = |s, b| parsed(s, b).expect_err("refused");
    assert!(told(LoadBalancingDraft::Header, BalancingDraft::default()).contains("is needed by"));
    assert!(told(LoadBalancingDraft::Hash, BalancingDraft::default()).contains("is needed by"));
    assert!(told(LoadBalancingDraft::RoundRobin, rules(&[("x", &["a:1"])], &[])).contains("alone"));
    let hash = |key| BalancingDraft { hash: Some(key), ..BalancingDraft::default() };
    let header = HashKeyDraft { header: Some("x-user".into()), ..HashKeyDraft::default() };
    assert!(told(LoadBalancingDraft::IpHash, hash(header.clone())).contains("alone"));
    let both = HashKeyDraft { cookie: Some("c".into()), ..header.clone() };
    assert!(told(LoadBalancingDraft::Hash, hash(both)).contains("exactly one"));
    let tight = HashKeyDraft { load_limit_percent: 100, ..header };
    assert!(told(LoadBalancingDraft::Hash, hash(tight)).contains("101 to 1,000"));
}

#[test]
fn a_cookie_has_safe_attributes_unless_told_otherwise() {
    let of = |cookie| {
        let draft = BalancingDraft { sticky_cookie: Some(cookie), ..BalancingDraft::default() };
        parsed(LoadBalancingDraft::RoundRobin, draft).map(|b| b.sticky.expect("a cookie"))
    };
    let plain = of(StickyCookieDraft::default()).expect("valid");
    assert_eq!(plain.name, "hotswap-backend");
    assert_eq!(plain.attributes, "; Path=/; SameSite=Lax; HttpOnly");
    let full = of(StickyCookieDraft {
        name: "b".into(),
        path: "/shop".into(),
        domain: ".example.com".into(),
        max_age_s: 60,
        secure: true,
        script_access: true,
        same_site: SameSite::None,
        salt: "s".into(),
    });
    assert_eq!(
        full.expect("valid").attributes,
        "; Path=/shop; Domain=.example.com; Max-Age=60; SameSite=None; Secure"
    );
    let bad = of(StickyCookieDraft {
        name: "a b".into(),
        path: "/;x".into(),
        domain: "a..b".into(),
        same_site: SameSite::None,
        ..StickyCookieDraft::default()
    });
    let told = bad.expect_err("faults");
    for field in ["name", "path", "domain", "same_site"] {
        assert!(told.contains(&format!("balancing.sticky_cookie.{field}")), "{told}");
    }
}

#[test]
fn a_drained_backend_and_one_without_weight_take_nothing() {
    use crate::draft::BackendState as S;
    let enabled = |state, weight| {
        let backend = BackendDraft { address: "a:1".into(), state, weight, ..BackendDraft::default() };
        let spec = PoolSpec::parse(&PoolDraft { backends: vec![backend], ..PoolDraft::default() });
        spec.expect("valid").backends().backends[0].is_enabled()
    };
    assert!(enabled(S::Enabled, None) && enabled(S::ForcedClosed, Some(2)));
    assert!(!enabled(S::Drained, None) && !enabled(S::ForcedOpen, None) && !enabled(S::Enabled, Some(0)));
    let far = BackendDraft { address: "a:1".into(), priority: 16, ..BackendDraft::default() };
    let told = PoolSpec::parse(&PoolDraft { backends: vec![far], ..PoolDraft::default() });
    assert!(told.expect_err("too far").to_string().contains("backends[0].priority"));
}
