//! What a change costs, and the limits that a rank must hold.

use super::*;

/// Ten thousand routes: `hosts` hosts, each with as many prefixes as it takes.
fn ten_thousand(hosts: usize) -> (RouteTable<Named>, Routes) {
    let (mut table, mut routes) = (RouteTable::default(), Routes::new());
    for n in 0..10_000 {
        let draft = draft(&[&format!("h{}.example", n % hosts)], vec![prefix(&format!("/p{n}"))]);
        let name = RouteName::from_id(&format!("r{n}")).expect("id");
        let route = Arc::new(Named(name, RouteSpec::parse(&draft).expect("valid"), None));
        table.insert(&route);
        routes.insert(format!("r{n}"), route);
    }
    (table, routes)
}

#[test]
fn one_route_of_ten_thousand_changes_one_host_and_some_dozens_of_entries() {
    for hosts in [1, 100, 10_000] {
        let (before, routes) = ten_thousand(hosts);
        let old = &routes["r4711"];
        let host = format!("h{}.example", 4_711 % hosts);
        let mut after = before.clone();
        after.remove(old);
        let draft = draft(&[&host], vec![prefix("/moved")]);
        after.insert(&Arc::new(Named(old.0.clone(), RouteSpec::parse(&draft).expect("valid"), None)));

        let work = after.unshared(&before);
        // The one leaf that it left and the one that it went to, of at most 64 each, and as much among hosts.
        assert!((1..=2).contains(&work.hosts), "{hosts} hosts: {work:?}");
        assert!((1..=128).contains(&work.entries), "{hosts} hosts: {work:?}");
        assert!(work.slots <= 128, "{hosts} hosts: {work:?}");
        assert_eq!(after.unshared(&after.clone()), Unshared::default());

        assert_eq!(taken(&before, &get(&host, "/p4711/x")), Some("r4711"));
        assert_eq!(taken(&before, &get(&host, "/moved")), None);
        assert_eq!(taken(&after, &get(&host, "/moved")), Some("r4711"));
        assert_eq!(taken(&after, &get(&host, "/p4711")), None);
    }
}

#[test]
fn a_host_whose_last_route_goes_is_gone() {
    let (mut table, routes) = ten_thousand(10);
    routes.values().for_each(|r| table.remove(r));
    assert_eq!(table.unshared(&RouteTable::default()), Unshared::default());
    assert_eq!(format!("{table:?}"), "RouteTable { hosts: 0, .. }");
}

#[test]
fn limits_of_a_route_fit_its_rank() {
    let headers = |n: usize| {
        let name = |i| HeaderMatchDraft { name: format!("x{i}"), kind: Some(ValueMatchDraft::Present(true)) };
        (0..n).map(name).collect::<Vec<_>>()
    };
    let mut low = draft(&[], vec![exact(&format!("/{}", "a".repeat(1_023)))]);
    low.priority = -1_000_000;
    let mut high = draft(&[], vec![regex(&format!("/{}", "a".repeat(1_023)))]);
    high.priority = 1_000_000;
    let longest = format!("/{}", "a".repeat(1_023));
    let with = |n: usize, path: &str| MatchDraft { headers: headers(n), ..prefix(path) };
    let fifteen = draft(&[], vec![with(15, &longest)]);
    let sixteen = draft(&[], vec![with(16, &longest)]);
    let t = table(vec![("fifteen", fifteen.clone()), ("low", low.clone())]);
    let names: Vec<String> = (0..16).map(|i| format!("x{i}")).collect();
    let mut head = get("", &longest);
    head.headers = names.iter().map(|n| (&*n.clone().leak(), "1")).collect();
    assert_eq!(taken(&t, &head), Some("fifteen"));
    let t = table(vec![("fifteen", fifteen), ("sixteen", sixteen.clone())]);
    assert_eq!(taken(&t, &head), Some("sixteen"));
    let t = table(vec![("sixteen", sixteen), ("high", high), ("low", low)]);
    assert_eq!(taken(&t, &head), Some("high"));
}
