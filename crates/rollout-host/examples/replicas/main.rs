//! Three processes on one PostgreSQL drive 200 rollouts while they are killed with `kill -9` at random and started again.
//! At the end none is lost, none was run twice, and the audit log is whole; it prints what it saw, and fails where that is
//! not so. The test `kills` runs the same with fewer.
//!
//! ```text
//! cargo run -p hotswap-rollout-host --example replicas [-- ROLLOUTS SEED]
//! ```
#![expect(clippy::expect_used, clippy::disallowed_methods, reason = "it ends where anything fails")]
#![expect(clippy::print_stdout, reason = "it tells what it saw")]

#[path = "../../tests/it/harness.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod harness;
#[path = "../../tests/it/replicas/mod.rs"]
#[expect(dead_code, reason = "a test uses the rest")]
mod replicas;
#[path = "../../tests/it/table.rs"]
#[expect(dead_code, reason = "tests use the rest")]
mod table;

use std::path::Path;
use std::process::{Command, Stdio};

use harness::{Extras, Home};
use hotswap_testkit::TestDatabase;
use replicas::{Dice, Kills, contest, open, replica};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let [word, url, dir] = args.as_slice()
        && word == "replica"
    {
        return replica(url, Path::new(dir)).await;
    }
    let number = |at: usize, usual: u64| args.get(at).map_or(usual, |text| text.parse().expect("a number"));
    let (rollouts, seed) = (number(0, 200), number(1, 7));
    let database = TestDatabase::create().expect("PostgreSQL");
    let dir = tempfile::tempdir().expect("a folder");
    let home = Home::with(dir.path(), open(&database.url()).await, Extras::default()).await;
    let start = || {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg("replica").arg(database.url()).arg(dir.path());
        command.stdout(Stdio::null()).spawn().expect("starts")
    };
    println!("seed {seed}: {}", contest(&home, start, rollouts, &mut Dice::new(seed), Kills::ByTime).await);
}
