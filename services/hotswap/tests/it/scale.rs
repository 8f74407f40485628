//! Many routes.

use std::fmt::Write as _;

use crate::harness::{Server, folder_in_memory};

#[test]
fn ten_thousand_routes_are_applied_and_listed_page_by_page() {
    const ROUTES: usize = 10_000;
    let folder = folder_in_memory();
    let args =
        ["serve", "route", "--data-dir", "data", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let plane = Server::start(folder.path(), &[&args[..], &["--log", "warn"]].concat(), "token");
    let mut text = "kind: Pool\nname: pools/all\n".to_owned();
    for i in 0..ROUTES {
        let host = format!("h{i}.example");
        writeln!(
            text,
            "---\nkind: Route\nname: routes/r{i:05}\nhosts: [{host}]\nforward: {{ pool: pools/all }}"
        )
        .expect("a string");
    }
    let created = plane.apply("listening", &text, &["--parallel", "16"]).ok();
    assert_eq!(created.lines().filter(|line| line.ends_with(" created")).count(), ROUTES + 1);

    let names = plane.client("listening", &["get", "routes", "-o", "name"]).ok();
    let names: Vec<_> = names.lines().collect();
    let want: Vec<_> = (0..ROUTES).map(|i| format!("routes/r{i:05}")).collect();
    assert_eq!(names, want);

    let last = ["get", "routes", "-o", "name", "--order-by", "name desc", "--limit", "1500"];
    let last = plane.client("listening", &last).ok();
    assert_eq!(last.lines().count(), 1_500);
    assert_eq!(last.lines().next_back(), Some("routes/r08500"));
    let some = ["get", "routes", "-o", "name", "--filter", "hosts = \"h777.example\""];
    assert_eq!(plane.client("listening", &some).ok(), "routes/r00777\n");

    let few: Vec<_> = text.split("---\n").take(301).collect();
    let again = plane.apply("listening", &few.join("---\n"), &[]).ok();
    assert_eq!(again.lines().filter(|line| line.ends_with(" unchanged")).count(), 301);
}
