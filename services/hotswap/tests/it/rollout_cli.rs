//! The command line of rollouts, with a gateway and traffic.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::harness::{Browser, Said, Server, backend, eventually, folder, shop};

const PLANE: &str = "control plane";

/// Somebody who asks for the shop all the time, on one connection after another.
struct Traffic {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    fn to(gateway: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut browser = Browser::open(gateway);
                for _ in 0..20 {
                    // A candidate that is not there is answered with an error: that is what is counted.
                    if browser.get("shop.example").is_err() {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The pool of the shop.
fn pool(backend: SocketAddr) -> String {
    format!("kind: Pool\nname: pools/shop\nbackends: [{{ address: '{backend}' }}]\n")
}

/// A judge that a few seconds of traffic suffice for.
const QUICK: &str = "\
kind: Rollout
subject: pools/shop
canary: { steps: [{ share_bps: 5000, bake: 0.2s }] }
judgement: { max_error_rise: { bps: 2000 }, ignore_latency: true }
";

fn create(suite: &Server, more: &[&str]) -> Said {
    std::fs::write(suite.folder.join("quick.yaml"), QUICK).expect("written");
    suite.client(PLANE, &[&["rollout", "create", "-f", "quick.yaml", "--wait"], more].concat())
}

#[test]
fn a_good_canary_promotes_itself_and_a_bad_one_rolls_itself_back() {
    let folder = folder();
    let (blue, green) = (backend("blue"), backend("green"));
    let suite = Server::suite(folder.path());
    let gateway = suite.address("gateway");
    suite.apply(PLANE, &shop(blue), &[]).ok();
    eventually("blue", || Browser::open(gateway).get("shop.example").is_ok_and(|a| a.1 == "blue"));
    let _traffic = Traffic::to(gateway);

    let drafted = suite.apply(PLANE, &pool(green), &["--draft"]).ok();
    assert_eq!(drafted, "pools/shop drafted as revision 3\n");
    assert_eq!(Browser::open(gateway).get("shop.example").expect("an answer").1, "blue");
    let said = create(&suite, &[]).ok();
    assert!(said.ends_with("promoted: everybody has the candidate\n"), "{said}");
    assert_eq!(Browser::open(gateway).get("shop.example").expect("an answer").1, "green");

    let nobody = "127.0.0.1:9".parse().expect("an address");
    suite.apply(PLANE, &pool(nobody), &["--draft"]).ok();
    let said = create(&suite, &[]);
    assert!(said.out.contains("panic: "), "{}", said.out);
    let told = said.fails(7);
    assert!(told.contains("did not go through: rolled back: panic: "), "{told}");
    assert_eq!(Browser::open(gateway).get("shop.example").expect("an answer").1, "green");
    let measured = suite.client(PLANE, &["rollout", "measurements", "pools/shop", "-o", "json"]).ok();
    assert!(measured.contains("\"verdict\": \"VERDICT_PANIC\""), "{measured}");
}

#[test]
fn standing_is_shown_while_a_person_holds_it() {
    let folder = folder();
    let (blue, green) = (backend("blue"), backend("green"));
    let suite = Server::suite(folder.path());
    suite.apply(PLANE, &shop(blue), &[]).ok();
    suite.apply(PLANE, &pool(green), &["--draft"]).ok();
    let client = |args: &[&str]| suite.client(PLANE, args).ok();
    let made = client(&["rollout", "create", "pools/shop", "--canary", "12.5", "--bake", "1h", "-o", "name"]);
    let name = made.trim();
    eventually("its share", || client(&["get", "pools"]).contains("3 at 12.5 %"));
    let told = client(&["describe", "pools/shop"]);
    assert!(told.contains(&format!("Candidate:     revision 3 at 12.5 %, {name}\n")), "{told}");
    let paused = client(&["rollout", "pause", name, "--reason", "lunch"]);
    assert!(paused.starts_with(&format!("{name} paused by admin: lunch; ")), "{paused}");
    assert!(client(&["rollout", "resume", "pools/shop"]).contains("progressing: "));
    let refused = suite.client(PLANE, &["delete", "pools/shop"]).fails(3);
    assert!(refused.contains("reason: "), "{refused}");
    client(&["rollout", "promote", "pools/shop", "--full"]);
    let said = client(&["rollout", "watch", name, "-o", "name"]);
    assert!(said.ends_with("\nended\n"), "{said}");
    assert!(client(&["history", "pools/shop"]).contains("3         updated"), "it is no draft any more");
}
