use std::cmp::Reverse;
use std::collections::BTreeMap;

use hotswap_core::{ResourceName, RouteName};
use http::HeaderName;
use proptest::prelude::*;

use super::*;
use crate::draft::*;
use crate::spec::{PathMatch, RouteMatch, RouteSpec};

struct Named(RouteName, RouteSpec, Option<Arm>);

impl Routed for Named {
    fn name(&self) -> &RouteName {
        &self.0
    }
    fn spec(&self) -> &RouteSpec {
        &self.1
    }
    fn arm(&self) -> Option<Arm> {
        self.2
    }
}

#[derive(Debug, Default)]
struct Head {
    method: &'static str,
    host: String,
    path: String,
    query: Option<String>,
    headers: Vec<(&'static str, &'static str)>,
}

impl RequestHead for Head {
    fn method(&self) -> &str {
        self.method
    }
    fn host(&self) -> &str {
        &self.host
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn header(&self, name: &HeaderName, visit: &mut dyn FnMut(&[u8])) {
        self.headers.iter().filter(|(n, _)| name == n).for_each(|(_, v)| visit(v.as_bytes()));
    }
}

fn get(host: &str, path: &str) -> Head {
    Head { method: "GET", host: host.into(), path: path.into(), ..Head::default() }
}

fn draft(hosts: &[&str], matches: Vec<MatchDraft>) -> RouteDraft {
    RouteDraft {
        hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
        matches,
        forward: Some(ForwardDraft { pool: Some("pools/p".into()), ..ForwardDraft::default() }),
        ..RouteDraft::default()
    }
}

fn on(path: PathMatchDraft) -> MatchDraft {
    MatchDraft { path: Some(path), ..MatchDraft::default() }
}

fn exact(p: &str) -> MatchDraft {
    on(PathMatchDraft::Exact(p.into()))
}

fn prefix(p: &str) -> MatchDraft {
    on(PathMatchDraft::Prefix(p.into()))
}

fn regex(p: &str) -> MatchDraft {
    on(PathMatchDraft::Regex(p.into()))
}

fn table(routes: Vec<(&str, RouteDraft)>) -> RouteTable<Named> {
    RouteTable::build(routes.into_iter().map(|(id, d)| {
        let name = RouteName::from_id(id).expect("id");
        Arc::new(Named(name, RouteSpec::parse(&d).expect("valid"), None))
    }))
}

fn taken<'a>(table: &'a RouteTable<Named>, head: &Head) -> Option<&'a str> {
    table.find(head).map(|f| f.route.0.id())
}

#[test]
fn the_more_specific_host_wins_and_the_less_specific_is_tried_after_it() {
    let t = table(vec![
        ("any", draft(&[], vec![])),
        ("wide", draft(&["*.example.com"], vec![prefix("/")])),
        ("narrow", draft(&["*.eu.example.com"], vec![prefix("/")])),
        ("one", draft(&["Shop.eu.example.com"], vec![prefix("/cart")])),
    ]);
    assert_eq!(taken(&t, &get("shop.eu.example.com", "/cart/1")), Some("one"));
    assert_eq!(taken(&t, &get("shop.eu.example.com", "/")), Some("narrow"));
    assert_eq!(taken(&t, &get("a.b.example.com", "/")), Some("wide"));
    assert_eq!(taken(&t, &get("example.com", "/")), Some("any"));
    assert_eq!(taken(&t, &get("", "/")), Some("any"));
}

#[test]
fn exact_beats_regex_beats_prefix_and_longer_beats_shorter() {
    let t = table(vec![
        ("p-short", draft(&[], vec![prefix("/a")])),
        ("p-long", draft(&[], vec![prefix("/a/b")])),
        ("r-short", draft(&[], vec![regex("/a/b/c/.*")])),
        ("r-long", draft(&[], vec![regex("/a/b/c/[0-9]+")])),
        ("e", draft(&[], vec![exact("/a/b/c/1")])),
    ]);
    assert_eq!(taken(&t, &get("", "/a/b/c/1")), Some("e"));
    assert_eq!(taken(&t, &get("", "/a/b/c/2")), Some("r-long"));
    assert_eq!(taken(&t, &get("", "/a/b/c/x")), Some("r-short"));
    assert_eq!(taken(&t, &get("", "/a/b/c")), Some("p-long"));
    assert_eq!(taken(&t, &get("", "/a/x")), Some("p-short"));
    assert_eq!(taken(&t, &get("", "/x")), None);
}

#[test]
fn priority_stands_before_the_path() {
    let mut high = draft(&[], vec![prefix("/")]);
    high.priority = 1;
    let t = table(vec![("high", high), ("e", draft(&[], vec![exact("/a")]))]);
    assert_eq!(taken(&t, &get("", "/a")), Some("high"));
}

#[test]
fn a_prefix_takes_whole_segments() {
    let t = table(vec![("shop", draft(&[], vec![prefix("/shop/")]))]);
    for (path, want) in
        [("/shop", true), ("/shop/", true), ("/shop/cart", true), ("/shopping", false), ("/", false)]
    {
        assert_eq!(taken(&t, &get("", path)).is_some(), want, "{path}");
    }
    let found = t.find(&get("", "/shop/cart")).and_then(|f| f.prefix_len);
    assert_eq!(found, Some("/shop".len()));
}

#[test]
fn conditions_beside_the_path_decide_and_more_of_them_win() {
    let header = |kind| HeaderMatchDraft { name: "X-Beta".into(), kind: Some(kind) };
    let with = |headers: Vec<HeaderMatchDraft>, query: Vec<QueryMatchDraft>, methods: &[&str]| MatchDraft {
        headers,
        query,
        methods: methods.iter().map(|m| (*m).to_owned()).collect(),
        ..MatchDraft::default()
    };
    let q = QueryMatchDraft { name: "v".into(), kind: Some(ValueMatchDraft::Exact("a b".into())) };
    let t = table(vec![
        ("plain", draft(&[], vec![])),
        ("post", draft(&[], vec![with(vec![], vec![], &["POST"])])),
        ("beta", draft(&[], vec![with(vec![header(ValueMatchDraft::Present(true))], vec![], &[])])),
        ("both", draft(&[], vec![with(vec![header(ValueMatchDraft::Prefix("y".into()))], vec![q], &[])])),
    ]);
    let mut head = get("", "/");
    assert_eq!(taken(&t, &head), Some("plain"));
    head.headers = vec![("x-beta", "yes")];
    assert_eq!(taken(&t, &head), Some("beta"));
    head.query = Some("u=1&v=a+b&v=c".into());
    assert_eq!(taken(&t, &head), Some("both"));
    head.method = "POST";
    assert_eq!(taken(&t, &head), Some("post"), "a match that names methods comes before header conditions");
}

#[test]
fn values_of_a_repeated_header_are_joined() {
    let kind = Some(ValueMatchDraft::Exact("a,b".into()));
    let header = HeaderMatchDraft { name: "x".into(), kind };
    let m = MatchDraft { headers: vec![header], ..MatchDraft::default() };
    let t = table(vec![("r", draft(&[], vec![m]))]);
    let mut head = get("", "/");
    head.headers = vec![("x", "a"), ("x", "b")];
    assert_eq!(taken(&t, &head), Some("r"));
}

#[test]
fn of_equals_the_first_name_wins() {
    let t = table(vec![("b", draft(&[], vec![])), ("a", draft(&[], vec![]))]);
    assert_eq!(taken(&t, &get("", "/")), Some("a"));
}

/// The rules of precedence within a host, word for word: smaller first.
fn precedence(name: &RouteName, spec: &RouteSpec, index: usize) -> impl Ord + use<> {
    let condition = &spec.matches()[index];
    let (kind, len) = match condition.path() {
        PathMatch::Exact(p) => (0, p.len()),
        PathMatch::Regex(r) => (1, r.as_str().len()),
        PathMatch::Prefix(p) => (2, p.len()),
    };
    let (methods, headers, query) = condition.weight();
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

/// What is said of a request: the route, the rule, and for each near miss its id, field and words.
fn said(routes: &[(&str, RouteDraft)], head: &Head) -> (Option<String>, String, Vec<[String; 3]>) {
    let named = routes.iter().map(|(id, draft)| {
        Named(RouteName::from_id(id).expect("id"), RouteSpec::parse(draft).expect("valid"), None)
    });
    let named: Vec<_> = named.collect();
    let explained = crate::explain(&named, head, 20);
    let misses = explained.near_misses.into_iter();
    let misses = misses.map(|m| [m.route.0.id().to_owned(), m.field, m.failed]).collect();
    let (route, rule) = match explained.taken {
        Some(t) => (Some(t.route.0.id().to_owned()), t.decided_by),
        None => (None, String::new()),
    };
    (route, rule, misses)
}

#[test]
fn an_explanation_names_the_rule_that_decided() {
    let with = |priority, matches| RouteDraft { priority, ..draft(&[], matches) };
    let cases = [
        (
            draft(&["a.b"], vec![]),
            draft(&["*.b"], vec![]),
            "host: an exact host comes before routes/y's a wildcard host",
        ),
        (
            draft(&["*.b"], vec![]),
            draft(&[], vec![]),
            "host: a wildcard host comes before routes/y's any host",
        ),
        (with(5, vec![]), with(3, vec![exact("/p")]), "priority: 5 comes before routes/y's 3"),
        (
            with(0, vec![exact("/p")]),
            with(0, vec![prefix("/p")]),
            "path: an exact path comes before routes/y's a prefix",
        ),
        (
            with(0, vec![prefix("/p")]),
            with(0, vec![prefix("/")]),
            "path: its prefix is longer than routes/y's",
        ),
        (with(0, vec![]), with(0, vec![]), "name: it comes before routes/y, all else being equal"),
    ];
    for (winner, loser, rule) in cases {
        let (route, told, misses) = said(&[("x", winner), ("y", loser)], &get("a.b", "/p"));
        assert_eq!((route.as_deref(), told.as_str()), (Some("x"), rule));
        assert_eq!(misses, [["y", "", ""].map(str::to_owned)]);
    }
    let (route, told, misses) = said(&[("x", draft(&[], vec![]))], &get("a.b", "/p"));
    assert_eq!((route.as_deref(), told.as_str()), (Some("x"), "it is the only route that matches"));
    assert!(misses.is_empty());
}

#[test]
fn a_near_miss_names_the_first_condition_that_failed_and_the_nearest_comes_first() {
    let header = HeaderMatchDraft { name: "x-env".into(), kind: Some(ValueMatchDraft::Exact("beta".into())) };
    let beta = MatchDraft { headers: vec![header], ..prefix("/shop") };
    let post = MatchDraft { methods: vec!["POST".into(), "PUT".into()], ..prefix("/shop") };
    let routes = [
        ("elsewhere", draft(&["other.example"], vec![prefix("/elsewhere")])),
        ("host", draft(&["other.example", "*.more.example"], vec![prefix("/shop")])),
        ("path", draft(&[], vec![prefix("/shopping")])),
        ("method", draft(&[], vec![post])),
        ("header", draft(&[], vec![prefix("/none"), beta])),
    ];
    let (route, _, misses) = said(&routes, &get("shop.example", "/shop/1"));
    assert_eq!(route, None);
    let want = [
        ["header", "matches[1].headers[0]", "the header x-env must be \"beta\""],
        ["method", "matches[0].methods", "the method is GET, not POST or PUT"],
        ["path", "matches[0].path.prefix", "the path /shop/1 does not lie at or below /shopping"],
        ["host", "hosts", "the host is shop.example, not other.example or *.more.example"],
    ];
    assert_eq!(misses, want.map(|row| row.map(str::to_owned)));
}

/// The definition, word for word: of all matches that hold, the first by the rules of precedence.
fn slow<'a>(routes: &'a [(RouteName, RouteSpec)], head: &Head) -> Option<&'a str> {
    let host_rank = |p: &HostPattern| match p {
        HostPattern::Exact(h) => (*h == head.host).then_some((0, Reverse(0))),
        HostPattern::Below(h) => head
            .host
            .strip_suffix(h.as_str())
            .is_some_and(|r| r.ends_with('.'))
            .then_some((1, Reverse(h.len()))),
    };
    let path_holds = |m: &RouteMatch| match m.path() {
        PathMatch::Exact(p) => **p == head.path,
        PathMatch::Prefix(p) => head.path == **p || head.path.starts_with(&format!("{p}/")),
        PathMatch::Regex(r) => r.is_match(head.path.as_bytes()),
    };
    routes
        .iter()
        .flat_map(|(name, spec)| (0..spec.matches().len()).map(move |i| (name, spec, i)))
        .filter(|(_, s, i)| path_holds(&s.matches()[*i]) && s.matches()[*i].rest_holds(head))
        .filter_map(|(n, s, i)| {
            let any = s.hosts().is_empty().then_some((2, Reverse(0)));
            let host = s.hosts().iter().filter_map(host_rank).min().or(any)?;
            Some(((host, precedence(n, s, i)), n.id()))
        })
        .min_by(|a, b| a.0.cmp(&b.0))
        .map(|(_, id)| id)
}

fn path_strategy() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", ""]), 0..4)
        .prop_map(|s| format!("/{}", s.join("/")))
}

fn match_strategy() -> impl Strategy<Value = MatchDraft> {
    let header = |name: &str| HeaderMatchDraft {
        name: name.to_owned(),
        kind: Some(ValueMatchDraft::Exact("1".into())),
    };
    let query = QueryMatchDraft { name: "q".into(), kind: Some(ValueMatchDraft::Present(true)) };
    let path = prop_oneof![
        path_strategy().prop_map(|p| exact(&p)),
        path_strategy().prop_map(|p| prefix(&p)),
        prop::sample::select(vec!["/a.*", "/[ab]+", ".*b", "/a/b"]).prop_map(regex),
        Just(MatchDraft::default()),
    ];
    let beside = (any::<bool>(), 0usize..3, any::<bool>());
    (path, beside).prop_map(move |(mut draft, (post, headers, with_query))| {
        draft.methods = if post { vec!["POST".into()] } else { vec![] };
        draft.headers = ["x", "y"][..headers].iter().map(|name| header(name)).collect();
        draft.query = if with_query { vec![query.clone()] } else { vec![] };
        draft
    })
}

fn route_strategy() -> impl Strategy<Value = RouteDraft> {
    let host = prop::sample::select(vec!["x.y.z", "*.y.z", "*.z", "z"]);
    let hosts = prop::collection::vec(host, 0..3);
    (hosts, prop::collection::vec(match_strategy(), 0..3), -1i32..2).prop_map(|(h, m, priority)| {
        let mut d = draft(&h, m);
        d.priority = priority;
        d
    })
}

/// A request that any of the matches above may take.
fn head_strategy() -> impl Strategy<Value = Head> {
    let host = prop::sample::select(vec!["x.y.z", "a.y.z", "z", "b.z", "other", ""]);
    let method = prop::sample::select(vec!["GET", "POST"]);
    (host, path_strategy(), method, any::<(bool, bool, bool)>()).prop_map(
        |(host, path, method, (x, y, q))| {
            let headers =
                [(x, ("x", "1")), (y, ("y", "1"))].into_iter().filter(|h| h.0).map(|h| h.1).collect();
            Head { method, host: host.into(), path, query: q.then(|| "q=1".into()), headers }
        },
    )
}

/// Routes by name, as a table that is changed step by step holds them.
type Routes = BTreeMap<String, Arc<Named>>;

fn step(table: &mut RouteTable<Named>, routes: &mut Routes, id: u8, to: Option<&RouteDraft>) {
    let id = format!("r{id}");
    if let Some(old) = routes.remove(&id) {
        table.remove(&old);
    }
    if let Some(draft) = to {
        let name = RouteName::from_id(&id).expect("id");
        let route = Arc::new(Named(name, RouteSpec::parse(draft).expect("valid"), None));
        table.insert(&route);
        routes.insert(id, route);
    }
}

fn definition(routes: &Routes) -> Vec<(RouteName, RouteSpec)> {
    routes.values().map(|r| (r.0.clone(), r.1.clone())).collect()
}

proptest! {
    #[test]
    fn the_table_finds_what_the_definition_finds(
        drafts in prop::collection::vec(route_strategy(), 0..12),
        heads in prop::collection::vec(head_strategy(), 1..8),
    ) {
        let routes: Vec<_> = drafts.iter().enumerate().map(|(i, d)| {
            (RouteName::from_id(&format!("r{i}")).expect("id"), RouteSpec::parse(d).expect("valid"))
        }).collect();
        let t = RouteTable::build(routes.iter().map(|(n, s)| Arc::new(Named(n.clone(), s.clone(), None))));
        let named: Vec<_> = routes.iter().map(|(n, s)| Named(n.clone(), s.clone(), None)).collect();
        for head in &heads {
            prop_assert_eq!(taken(&t, head), slow(&routes, head));
            let explained = crate::explain(&named, head, 100);
            prop_assert_eq!(explained.taken.map(|t| t.route.0.id()), slow(&routes, head));
            for miss in explained.near_misses {
                let alone = [(miss.route.0.clone(), miss.route.1.clone())];
                prop_assert_eq!(miss.failed.is_empty(), slow(&alone, head).is_some());
            }
        }
    }

    #[test]
    fn a_table_changed_step_by_step_is_the_table_built_at_once_and_its_clones_stay(
        steps in prop::collection::vec((0u8..10, prop::option::weighted(0.7, route_strategy())), 1..40),
        heads in prop::collection::vec(head_strategy(), 1..8),
    ) {
        let (mut table, mut routes) = (RouteTable::default(), Routes::new());
        let mut former = Vec::new();
        for (i, (id, to)) in steps.iter().enumerate() {
            step(&mut table, &mut routes, *id, to.as_ref());
            if i % 8 == 0 {
                former.push((table.clone(), routes.clone()));
            }
        }
        former.push((table, routes));
        for (table, routes) in &former {
            let (built, defined) = (RouteTable::build(routes.values().cloned()), definition(routes));
            for head in &heads {
                prop_assert_eq!(taken(table, head), slow(&defined, head));
                prop_assert_eq!(taken(&built, head), slow(&defined, head));
            }
        }
    }
}

mod arms;
mod cost;
