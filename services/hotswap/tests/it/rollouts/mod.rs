//! Rollouts from end to end: the command line, the control plane, a gateway, backends, and clients that keep asking.

mod backend;
mod clients;
mod killed;
mod strategies;
mod survival;

use std::net::SocketAddr;
use std::path::Path;

use backend::Backend;
use clients::Clients;

use crate::harness::{Said, Server, eventually};

/// How routes/shop and its two pools look; the route sends to one of them.
fn shop(old: SocketAddr, new: SocketAddr) -> String {
    let pool = |name: &str, at: SocketAddr| {
        format!("kind: Pool\nname: pools/{name}\nbackends: [{{ address: '{at}' }}]\n")
    };
    format!("{}---\n{}---\n{}", pool("old", old), pool("new", new), route("old"))
}

fn route(pool: &str) -> String {
    format!(
        "kind: Route\nname: routes/shop\nmatches: [{{ path: {{ prefix: / }} }}]\nforward: {{ pool: pools/{pool} }}\n"
    )
}

/// A shop whose route goes to "old", with a draft of it that goes to "new".
struct Shop {
    plane: Server,
    /// What the control plane told its address under.
    name: &'static str,
    gateway: SocketAddr,
    old: Backend,
    new: Backend,
}

impl Shop {
    /// In a process.
    fn open(folder: &Path) -> Self {
        let plane = Server::suite(folder);
        let gateway = plane.address("gateway");
        Self::on(plane, "control plane", gateway)
    }

    fn on(plane: Server, name: &'static str, gateway: SocketAddr) -> Self {
        let (old, new) = (Backend::new("old"), Backend::new("new"));
        plane.apply(name, &shop(old.address, new.address), &[]).ok();
        eventually("the shop is served", || {
            crate::harness::Browser::open(gateway).get("shop.example").is_ok_and(|(status, _)| status == 200)
        });
        plane.apply(name, &route("new"), &["--draft"]).ok();
        Self { plane, name, gateway, old, new }
    }

    /// Has both answer after 10 ms. Beside that what a busy machine does of its own is little; where an answer takes
    /// less than 1 ms, it is all that makes one slow.
    fn calm(self) -> Self {
        for backend in [&self.old, &self.new] {
            backend.dawdles(10);
        }
        self
    }

    fn clients(&self) -> Clients {
        Clients::start(self.gateway)
    }

    /// `hotswap rollout …`.
    fn rollout(&self, args: &[&str]) -> Said {
        self.plane.client(self.name, &[&["rollout"], args].concat())
    }

    /// Begins one of routes/shop, and waits for its end.
    fn roll_out(&self, how: &[&str]) -> Said {
        self.rollout(&[&["create", "routes/shop", "--wait"], how].concat())
    }

    /// What happened, for people.
    fn events(&self) -> String {
        self.rollout(&["events", "routes/shop"]).ok()
    }
}
