//! Good candidates and bad ones, by each strategy.

use super::Shop;
use crate::harness::{Browser, eventually, folder};

/// The exit code of a rollout that was taken back.
const TAKEN_BACK: i32 = 7;

fn answers(shop: &Shop, headers: &str) -> String {
    Browser::open(shop.gateway).get_with("shop.example", headers).expect("an answer").1
}

/// What the candidate was found to be worse in, of all that the reason of its way back has figures of.
fn worse(shop: &Shop) -> Vec<&'static str> {
    let events = shop.events();
    let found = events.lines().find_map(|line| line.split_once("rolled back: fail: "));
    let why = found.unwrap_or_else(|| panic!("no fail: {events}")).1;
    let beyond = |aspect: &&str| {
        let mut figures = why.split("; ");
        figures.any(|f| f.starts_with(*aspect) && f.contains("evidence for worse"))
    };
    ["errors", "slow requests"].into_iter().filter(|aspect| beyond(aspect)).collect()
}

#[test]
fn a_good_canary_promotes_itself_and_no_request_fails() {
    let folder = folder();
    let shop = Shop::open(folder.path()).calm();
    let clients = shop.clients();
    shop.roll_out(&["--canary", "10,50", "--bake", "1s"]).ok();
    eventually("new has the traffic", || answers(&shop, "") == "new");
    let got = clients.end();
    assert_eq!(got.failed, 0, "{got:?}");
    assert!(got.by["old"] > 0 && got.by["new"] > 0, "{got:?}");
    assert!(shop.plane.client(shop.name, &["get", "routes/shop", "-o", "yaml"]).ok().contains("pools/new"));
    // Nothing is left of it, and the next write is live.
    shop.plane.apply(shop.name, &super::route("old"), &[]).ok();
    eventually("old again", || answers(&shop, "") == "old");
}

#[test]
fn a_canary_with_errors_takes_itself_back() {
    let folder = folder();
    let shop = Shop::open(folder.path()).calm();
    shop.new.fails(30);
    let clients = shop.clients();
    shop.roll_out(&["--canary", "10,50", "--bake", "2s"]).fails(TAKEN_BACK);
    assert_eq!(answers(&shop, ""), "old");
    let got = clients.end();
    assert!(got.failed > 0 && got.failed <= shop.new.asked(), "{got:?}");
    assert_eq!(worse(&shop), ["errors"], "{}", shop.events());
}

#[test]
fn a_slow_canary_takes_itself_back_and_no_request_fails() {
    let folder = folder();
    let shop = Shop::open(folder.path());
    shop.new.dawdles(60);
    let clients = shop.clients();
    shop.roll_out(&["--canary", "20,50", "--bake", "2s"]).fails(TAKEN_BACK);
    assert_eq!(answers(&shop, ""), "old");
    let got = clients.end();
    assert_eq!(got.failed, 0, "{got:?}");
    assert_eq!(worse(&shop), ["slow requests"], "{}", shop.events());
}

#[test]
fn a_canary_whose_backend_dies_takes_itself_back() {
    let folder = folder();
    let shop = Shop::open(folder.path());
    let clients = shop.clients();
    shop.rollout(&["create", "routes/shop", "--canary", "20,50", "--bake", "5s"]).ok();
    eventually("new has some traffic", || shop.new.asked() > 20);
    shop.new.dies();
    shop.rollout(&["watch", "routes/shop"]).fails(TAKEN_BACK);
    assert_eq!(answers(&shop, ""), "old");
    assert!(clients.end().failed > 0);
}

#[test]
fn blue_green_switches_after_its_smoke_tests_and_keeps_the_way_back() {
    let folder = folder();
    let shop = Shop::open(folder.path());
    let clients = shop.clients();
    shop.roll_out(&["--blue-green", "--smoke", "GET /healthz", "--keep", "1s"]).ok();
    assert_eq!((answers(&shop, ""), shop.new.tested()), ("new".to_owned(), 1));
    let got = clients.end();
    assert_eq!(got.failed, 0, "{got:?}");
}

#[test]
fn blue_green_whose_smoke_test_fails_reaches_nobody() {
    let folder = folder();
    let shop = Shop::open(folder.path());
    shop.new.fails(100);
    let clients = shop.clients();
    shop.roll_out(&["--blue-green", "--smoke", "GET /healthz", "--keep", "1s"]).fails(TAKEN_BACK);
    let got = clients.end();
    assert_eq!((got.failed, shop.new.asked(), shop.new.tested()), (0, 0, 1), "{got:?}");
    assert!(shop.events().contains("/healthz"), "{}", shop.events());
}

#[test]
fn the_answers_of_a_shadow_reach_nobody() {
    let folder = folder();
    let shop = Shop::open(folder.path());
    let clients = shop.clients();
    // Copies go out on connections of their own, and that takes time on a busy machine: nothing is to judge it here.
    shop.roll_out(&["--shadow", "50", "--bake", "2s", "--no-judge"]).ok();
    let got = clients.end();
    assert!(shop.new.asked() > 0, "it had copies");
    assert_eq!((got.failed, got.by.get("new")), (0, None), "{got:?}");
}

#[test]
fn an_ab_test_gives_the_candidate_to_its_cohort_until_a_person_ends_it() {
    let folder = folder();
    let shop = Shop::open(folder.path());
    shop.rollout(&["create", "routes/shop", "--ab", "header:x-beta=1,yes"]).ok();
    eventually("the cohort has it", || answers(&shop, "x-beta: yes\r\n") == "new");
    for other in ["", "x-beta: 2\r\n", "x-other: 1\r\n"] {
        assert_eq!(answers(&shop, other), "old", "{other:?}");
    }
    // The gateway has it a little before the step is over, and who promotes a step that ends meanwhile is refused.
    eventually("it waits for a person", || {
        // Its state: the list of its steps says so from the start, without a number before it.
        shop.rollout(&["describe", "routes/shop"]).ok().contains(": waiting for a person: ")
    });
    shop.rollout(&["promote", "routes/shop", "--reason", "it sells better"]).ok();
    shop.rollout(&["watch", "routes/shop"]).ok();
    assert_eq!((answers(&shop, ""), shop.old.tested()), ("new".to_owned(), 0));
}
