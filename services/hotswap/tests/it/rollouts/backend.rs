//! Backends that can be broken in the midst of things.

use std::io::{BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::read_head;

/// How it answers.
#[derive(Debug, Default)]
struct Manner {
    /// So many of a hundred requests get 500.
    failing: AtomicU64,
    /// In milliseconds.
    delay: AtomicU64,
    dead: AtomicBool,
    /// Requests that it had, and those for "/healthz" alone.
    asked: AtomicU64,
    tested: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

/// An HTTP server that answers with its name, or as badly as it is told to.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    manner: Arc<Manner>,
}

impl Backend {
    pub(super) fn new(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("an address");
        let manner = Arc::new(Manner::default());
        let shared = Arc::clone(&manner);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.dead.load(Ordering::SeqCst) {
                    // The listener goes with this, and the port refuses from now on.
                    return;
                }
                shared.open.lock().expect("not poisoned").push(stream.try_clone().expect("cloned"));
                let manner = Arc::clone(&shared);
                std::thread::spawn(move || serve(name, &manner, stream));
            }
        });
        Self { address, manner }
    }

    /// So many of a hundred requests get 500 from now on.
    pub(super) fn fails(&self, percent: u64) {
        self.manner.failing.store(percent, Ordering::SeqCst);
    }

    /// Each answer takes so long from now on.
    pub(super) fn dawdles(&self, ms: u64) {
        self.manner.delay.store(ms, Ordering::SeqCst);
    }

    /// Closes everything, as if its process had ended.
    pub(super) fn dies(&self) {
        self.manner.dead.store(true, Ordering::SeqCst);
        // Wakes the one who accepts.
        let _ = TcpStream::connect(self.address);
        for stream in self.manner.open.lock().expect("not poisoned").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Requests that it had from clients.
    pub(super) fn asked(&self) -> u64 {
        self.manner.asked.load(Ordering::SeqCst)
    }

    /// Requests for "/healthz" that it had.
    pub(super) fn tested(&self) -> u64 {
        self.manner.tested.load(Ordering::SeqCst)
    }
}

fn serve(name: &str, manner: &Manner, mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
    while let Some(head) = read_head(&mut reader) {
        let test = head[0].contains(" /healthz ");
        let counter = if test { &manner.tested } else { &manner.asked };
        let number = counter.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(manner.delay.load(Ordering::SeqCst)));
        // Spread evenly: the first of them all failed would be a panic.
        let share = manner.failing.load(Ordering::SeqCst);
        let fails = number * share % 100 < share;
        let status = if fails { "500 Internal Server Error" } else { "200 OK" };
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{name}", name.len());
        if stream.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}
