//! Many routes.

use std::fmt::Write as _;

use crate::harness::{Browser, Server, backend, eventually, folder_in_memory};

#[test]
fn ten_thousand_routes_are_applied_served_and_listed_page_by_page() {
    const ROUTES: usize = 10_000;
    let folder = folder_in_memory();
    let suite = Server::suite(folder.path());
    let blue = backend("blue");
    let mut text = format!("kind: Pool\nname: pools/all\nbackends: [{{ address: '{blue}' }}]\n");
    for i in 0..ROUTES {
        let host = format!("h{i}.example");
        writeln!(
            text,
            "---\nkind: Route\nname: routes/r{i:05}\nhosts: [{host}]\nforward: {{ pool: pools/all }}"
        )
        .expect("a string");
    }
    let created = suite.apply("control plane", &text, &["--parallel", "16"]).ok();
    assert_eq!(created.lines().filter(|line| line.ends_with(" created")).count(), ROUTES + 1);

    let served = |host: &str| Browser::open(suite.address("gateway")).get(host).expect("an answer").0 == 200;
    eventually("the last route", || served("h9999.example"));
    assert!(served("h0.example") && !served("h10000.example"));

    let names = suite.client("control plane", &["get", "routes", "-o", "name"]).ok();
    let names: Vec<_> = names.lines().collect();
    let want: Vec<_> = (0..ROUTES).map(|i| format!("routes/r{i:05}")).collect();
    assert_eq!(names, want);

    let last = ["get", "routes", "-o", "name", "--order-by", "name desc", "--limit", "1500"];
    let last = suite.client("control plane", &last).ok();
    assert_eq!(last.lines().count(), 1_500);
    assert_eq!(last.lines().next_back(), Some("routes/r08500"));
    let some = ["get", "routes", "-o", "name", "--filter", "hosts = \"h777.example\""];
    assert_eq!(suite.client("control plane", &some).ok(), "routes/r00777\n");

    let few: Vec<_> = text.split("---\n").take(301).collect();
    let again = suite.apply("control plane", &few.join("---\n"), &[]).ok();
    assert_eq!(again.lines().filter(|line| line.ends_with(" unchanged")).count(), 301);
}
