//! The control plane dies in the midst of a rollout.

use super::Shop;
use crate::harness::{Server, eventually, folder};
use crate::replicas::gateway;

#[test]
fn a_rollout_goes_on_where_the_control_plane_was_killed() {
    let folder = folder();
    let start = |listen: &str| {
        let args =
            ["serve", "route", "--data-dir", "data", "--listen", listen, "--admin-listen", "127.0.0.1:0"];
        Server::start(folder.path(), &[&args[..], &["--log", "warn"]].concat(), "token")
    };
    let plane = start("127.0.0.1:0");
    let (gateway, at) = gateway(folder.path(), &[&plane]);
    let mut shop = Shop::on(plane, "listening", at).calm();
    let clients = shop.clients();
    shop.rollout(&["create", "routes/shop", "--canary", "20,50", "--bake", "3s"]).ok();
    eventually("new has some traffic", || shop.new.asked() > 20);
    let listen = shop.plane.address("listening").to_string();
    shop.plane.kill();
    let asked = shop.new.asked();
    eventually("the gateway goes on as it was told", || shop.new.asked() > asked + 100);
    shop.plane = start(&listen);
    shop.rollout(&["watch", "routes/shop"]).ok();
    let got = clients.end();
    assert_eq!(got.failed, 0, "{got:?}");
    assert!(got.by["new"] > got.by["old"] / 10, "{got:?}");
    drop(gateway);
}
