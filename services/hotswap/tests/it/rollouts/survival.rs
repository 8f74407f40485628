//! Too little traffic, or that of one client: a person is asked, and nobody's request fails.

use super::Shop;
use crate::harness::{eventually, folder};

/// Half of the traffic, judged with little patience.
const IMPATIENT: &str = "\
kind: Rollout
subject: routes/shop
canary: { steps: [{ share_bps: 5000, bake: 0.2s }] }
judgement: { patience: 2s }
";

/// Begins it, and waits until it asks for a person.
fn asks(shop: &Shop, more: &str) {
    std::fs::write(shop.plane.folder.join("impatient.yaml"), format!("{IMPATIENT}{more}")).expect("written");
    shop.rollout(&["create", "-f", "impatient.yaml"]).ok();
    eventually("it waits for a person", || {
        shop.rollout(&["describe", "routes/shop"]).ok().contains("the judge could not decide in time")
    });
}

/// A person takes it back.
fn goes_back(shop: &Shop) {
    shop.rollout(&["rollback", "routes/shop", "--reason", "nobody came"]).ok();
    shop.rollout(&["watch", "routes/shop"]).fails(7);
}

#[test]
fn without_any_traffic_nothing_is_promoted_and_a_person_is_asked() {
    let folder = folder();
    let shop = Shop::open(folder.path());
    asks(&shop, "");
    assert!(shop.events().contains("no data"), "{}", shop.events());
    assert_eq!(shop.new.asked(), 0);
    goes_back(&shop);
}

#[test]
fn one_client_address_alone_promotes_nothing_and_fails_nothing() {
    let folder = folder();
    let shop = Shop::open(folder.path());
    let clients = shop.clients();
    asks(&shop, "sticky_key: { client_address: true }\n");
    let had = (shop.old.asked(), shop.new.asked());
    eventually("some more requests", || shop.old.asked() + shop.new.asked() > had.0 + had.1 + 50);
    let (old, new) = (shop.old.asked() - had.0, shop.new.asked() - had.1);
    assert!(old == 0 || new == 0, "one address is on one arm: {old} and {new}");
    let events = shop.events();
    assert!(events.contains("no data") || events.contains("too few clients"), "{events}");
    goes_back(&shop);
    let got = clients.end();
    assert_eq!(got.failed, 0, "{got:?}");
}
