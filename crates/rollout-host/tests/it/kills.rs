//! Real processes under `kill -9`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use hotswap_testkit::{TestDatabase, required};

use crate::harness::{Extras, Home};
use crate::replicas::{Dice, Kills, contest, open, replica};

/// What a process that drives is told: the database's URL, and the folder of the key.
const URL: &str = "HOTSWAP_TEST_REPLICA_OF";
const FOLDER: &str = "HOTSWAP_TEST_REPLICA_IN";

/// Not a claim: this program again, as one of the processes that drive. By itself it does nothing.
#[tokio::test]
async fn a_replica() {
    if let (Ok(url), Some(dir)) = (std::env::var(URL), std::env::var_os(FOLDER)) {
        replica(&url, &PathBuf::from(dir)).await;
    }
}

#[tokio::test]
async fn none_is_lost_or_run_twice_where_those_who_drive_are_killed() {
    let Some(database) = required(TestDatabase::create()) else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let home = Home::with(dir.path(), open(&database.url()).await, Extras::default()).await;
    let start = || -> Child {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "kills::a_replica"]).env(URL, database.url()).env(FOLDER, dir.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
    };
    // Of some 80 acts: one early, one in the midst, one late.
    let mut dice = Dice::new(7);
    let marks = [5, 25, 45].map(|mark| mark + i64::try_from(dice.below(10)).expect("small"));
    contest(&home, start, 20, &mut dice, Kills::AtActs(marks.to_vec())).await;
}
