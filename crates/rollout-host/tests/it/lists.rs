//! Lists, and the watch.

use hotswap_rollout::Order;
use hotswap_rollout_host::{Error, List, Page};

use crate::harness::{Home, Place, canary, counts, create, ctx, direct, rollout_of};

async fn subjects(home: &Home, mut input: List) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let (page, next) = home.rollouts.list(&ctx("eve"), &input).await.expect("a page");
        all.extend(page.into_iter().map(|v| v.rollout.subject));
        if next.is_empty() {
            return all;
        }
        input.page.page_token = next;
    }
}

async fn with_five(place: &Place) -> Home {
    let home = Home::open(place).await;
    for i in 0..5 {
        let name = format!("tables/t{i}");
        home.table.add(&name).await;
        let plan = if i % 2 == 0 { direct() } else { canary() };
        let who = if i == 0 { "zoe" } else { "ann" };
        home.rollouts.create(&ctx(who), rollout_of(&name, plan)).await.expect("created");
    }
    home
}

#[tokio::test]
async fn pages_give_every_rollout_once_in_every_order() {
    let place = Place::new();
    let home = with_five(&place).await;
    let rising: Vec<_> = (0..5).map(|i| format!("tables/t{i}")).collect();
    let falling: Vec<_> = rising.iter().rev().cloned().collect();
    for (order_by, want) in [
        ("", &falling),
        ("create_time", &rising),
        ("create_time desc", &falling),
        ("update_time asc", &rising),
        ("update_time desc", &falling),
    ] {
        let page = Page { page_size: 2, ..Page::default() };
        let input = List { page, order_by: order_by.into(), ..List::default() };
        assert_eq!(&subjects(&home, input).await, want, "{order_by}");
    }
}

#[tokio::test]
async fn a_filter_keeps_what_it_says() {
    let place = Place::new();
    let home = with_five(&place).await;
    home.settle().await;
    for (filter, want) in [
        ("state = promoted", 3),
        ("state = STATE_PROGRESSING", 2),
        ("strategy = canary AND actor = ann", 2),
        ("actor = zoe", 1),
        ("subject : t3", 1),
        ("state != PROMOTED", 2),
    ] {
        let page = Page { page_size: 1, ..Page::default() };
        let input = List { page, filter: filter.into(), ..List::default() };
        assert_eq!(subjects(&home, input).await.len(), want, "{filter}");
    }
}

#[tokio::test]
async fn faults_of_a_list_are_named_at_once() {
    let place = Place::new();
    let home = Home::open(&place).await;
    let page = Page { page_size: -1, page_token: "!".into() };
    let input = List { page, filter: "colour = red".into(), order_by: "colour".into() };
    let Err(Error::Invalid(faults)) = home.rollouts.list(&ctx("eve"), &input).await else { panic!("faults") };
    let fields: Vec<_> = faults.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["filter", "order_by", "page_size", "page_token"]);
}

#[tokio::test]
async fn events_and_measurements_come_page_by_page() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    home.settle().await;
    home.measure(counts(100, 1), 5).await;
    let mut page = Page { page_size: 2, ..Page::default() };
    let mut seen = Vec::new();
    loop {
        let (some, next) = home.rollouts.events(&ctx("eve"), &view.name(), &page).await.expect("a page");
        seen.extend(some.iter().map(|e| e.seq));
        if next.is_empty() {
            break;
        }
        page.page_token = next;
    }
    assert_eq!(seen, (1..=home.get(&view).await.last_event).collect::<Vec<_>>());
    let mut page = Page { page_size: 2, ..Page::default() };
    let mut at = Vec::new();
    loop {
        let (some, next) =
            home.rollouts.measurements(&ctx("eve"), &view.name(), &page).await.expect("a page");
        at.extend(some.iter().map(|m| m.measurement.at));
        if next.is_empty() {
            break;
        }
        page.page_token = next;
    }
    assert_eq!(at.len(), 5);
    assert!(at.is_sorted_by(|a, b| a > b), "the newest first");
}

#[tokio::test]
async fn a_watch_gives_each_state_and_ends_with_the_rollout() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let view = home.rollouts.create(&ctx("ann"), create(canary())).await.expect("created");
    let mut watching = home.rollouts.watch(&ctx("eve"), &view.name()).await.expect("watched");
    let first = watching.next().await.expect("a state").expect("the first");
    assert_eq!((first.view.record.state.word(), first.measurement), ("running", None));
    home.settle().await;
    home.measure(counts(100, 1), 1).await;
    let next = watching.next().await.expect("a state").expect("it has moved");
    assert!(next.measurement.is_some());
    home.say("bob", &view, Order::Rollback { why: String::new(), instant: true }).await.expect("taken");
    home.settle().await;
    let last = watching.next().await.expect("a state").expect("its end");
    assert_eq!(last.view.record.state.word(), "rolled_back");
    assert!(watching.next().await.expect("no fault").is_none());
}
