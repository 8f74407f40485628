//! Clients that ask again and again, and count what they get.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::harness::Browser;

const CLIENTS: usize = 4;
const PACE: Duration = Duration::from_millis(2);

/// What they got: by the name in the answer, and what failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Got {
    pub(super) by: BTreeMap<String, u64>,
    pub(super) failed: u64,
    pub(super) first_failure: Option<String>,
}

/// Clients at work.
pub(super) struct Clients {
    got: Arc<Mutex<Got>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub(super) fn start(gateway: SocketAddr) -> Self {
        let (got, stop) = (Arc::new(Mutex::new(Got::default())), Arc::new(AtomicBool::new(false)));
        let client = |_| {
            let (got, stop) = (Arc::clone(&got), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut browser = Browser::open(gateway);
                while !stop.load(Ordering::SeqCst) {
                    let answer = browser.get("shop.example");
                    if answer.is_err() {
                        browser = Browser::open(gateway);
                    }
                    let mut got = got.lock().expect("not poisoned");
                    match answer {
                        Ok((200, name)) => *got.by.entry(name).or_default() += 1,
                        other => {
                            got.failed += 1;
                            got.first_failure.get_or_insert(format!("{other:?}"));
                        }
                    }
                    drop(got);
                    std::thread::sleep(PACE);
                }
            })
        };
        let threads = (0..CLIENTS).map(client).collect();
        Self { got, stop, threads }
    }

    /// Stops them, each after its answer.
    pub(super) fn end(self) -> Got {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a client");
        }
        self.got.lock().expect("not poisoned").clone()
    }
}
