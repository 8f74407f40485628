//! The command line in a real terminal: colours, width, tab and Ctrl-C.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hotswap_testkit::{required, tmux_program};

use crate::harness::{Server, eventually, folder, shop};

/// A terminal of 60 columns and 30 lines with bash in it, of a tmux server of its own.
struct Terminal {
    tmux: PathBuf,
    socket: PathBuf,
}

impl Terminal {
    fn open(tmux: PathBuf, folder: &Path) -> Self {
        let this = Self { tmux, socket: folder.join("tmux.sock") };
        let shell = "env -i PATH=$PATH HOME=$PWD TERM=screen-256color PS1='$ ' bash --norc --noprofile";
        let new = ["-f", "/dev/null", "new-session", "-d", "-x", "60", "-y", "30", shell];
        let mut command = this.command(&new);
        let made = command.current_dir(folder).output().expect("runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        this
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.tmux);
        command.arg("-S").arg(&self.socket).args(args);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("runs")
    }

    /// Types a text, and presses a key.
    fn type_in(&self, text: &str, key: &str) {
        self.run(&["send-keys", "-l", text]);
        self.run(&["send-keys", key]);
    }

    /// What stands on the screen; with `-e`, its colours too.
    fn screen(&self, more: &[&str]) -> String {
        let shown = self.run(&[&["capture-pane", "-p"], more].concat());
        String::from_utf8_lossy(&shown.stdout).into_owned()
    }

    fn shows(&self, text: &str) {
        eventually(&format!("{text:?} on the screen"), || self.screen(&["-J"]).contains(text));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[test]
fn in_a_terminal_there_are_colours_a_width_tabs_and_ctrl_c() {
    let Some(tmux) = required(tmux_program()) else { return };
    let folder = folder();
    let suite = Server::suite(folder.path());
    suite.apply("control plane", &shop("127.0.0.1:9".parse().expect("an address")), &[]).ok();
    let url = format!("http://{}", suite.address("control plane"));
    let terminal = Terminal::open(tmux, folder.path());
    let program = env!("CARGO_BIN_EXE_hotswap");
    terminal.type_in(&format!("ln -s {program} hotswap; PATH=$PWD:$PATH; clear"), "Enter");
    terminal.type_in("source <(hotswap completion bash)", "Enter");
    let context = format!("hotswap context set local --server {url} --token-file data/admin.token --use");
    terminal.type_in(&context, "Enter");
    terminal.shows("local created, and is current");

    terminal.type_in("clear", "Enter");
    terminal.type_in("hotswap get routes", "Enter");
    terminal.shows("routes/shop");
    let screen = terminal.screen(&["-e"]);
    assert!(screen.contains("\u{1b}[1mNAME"), "heads are bold: {screen:?}");
    assert!(!terminal.screen(&[]).contains("AGE"), "what does not fit is left out");

    terminal.type_in("clear", "Enter");
    terminal.type_in("hotswap describe routes/sh", "Tab");
    terminal.shows("hotswap describe routes/shop");
    terminal.run(&["send-keys", "Enter"]);
    terminal.shows("Matches:");

    terminal.type_in("clear", "Enter");
    terminal.type_in("hotswap watch routes; echo ended with $?", "Enter");
    terminal.shows("Ctrl-C ends it");
    terminal.run(&["send-keys", "C-c"]);
    terminal.shows("goes on from there");
    terminal.shows("ended with 0");

    terminal.type_in("clear; NO_COLOR=1 hotswap get routes", "Enter");
    terminal.shows("routes/shop");
    assert!(!terminal.screen(&["-e"]).contains("\u{1b}[1m"), "somebody wants no colours");
}

/// A suite with a draft of pools/shop, and a terminal that leads to it.
fn with_a_draft(tmux: PathBuf, folder: &Path) -> (Server, Terminal) {
    let suite = Server::suite(folder);
    suite.apply("control plane", &shop("127.0.0.1:9".parse().expect("an address")), &[]).ok();
    let draft = "kind: Pool\nname: pools/shop\nbackends: [{ address: '127.0.0.1:10' }]\n";
    suite.apply("control plane", draft, &["--draft"]).ok();
    let url = format!("http://{}", suite.address("control plane"));
    let terminal = Terminal::open(tmux, folder);
    let program = env!("CARGO_BIN_EXE_hotswap");
    terminal.type_in(&format!("ln -s {program} hotswap; PATH=$PWD:$PATH"), "Enter");
    terminal.type_in(&format!("export HOTSWAP_SERVER={url} HOTSWAP_DATA_DIR=data; clear"), "Enter");
    (suite, terminal)
}

#[test]
fn in_a_terminal_a_rollout_is_a_picture_that_is_drawn_in_its_place() {
    let Some(tmux) = required(tmux_program()) else { return };
    let folder = folder();
    let (suite, terminal) = with_a_draft(tmux, folder.path());
    let client = |args: &[&str]| suite.client("control plane", args).ok();
    terminal.type_in("hotswap rollout create pools/shop --canary 50 --bake 1h --no-judge", "Enter");
    terminal.shows("started: canary of pools/shop");
    terminal.type_in("clear; hotswap rollout watch pools/shop; echo ended with $?", "Enter");
    terminal.shows("▶ 50 % of requests");
    terminal.shows("50 % (50 % of requests)");
    terminal.shows("baking, 59m");
    client(&["rollout", "pause", "pools/shop", "--reason", "lunch"]);
    terminal.shows("paused by admin: lunch");
    let screen = terminal.screen(&["-e"]);
    assert!(screen.contains("\u{1b}[32m━") && screen.contains("\u{1b}[33m"), "in colours: {screen:?}");
    assert_eq!(terminal.screen(&[]).matches("making the candidate ready").count(), 1, "in its place");

    // A terminal that becomes narrower breaks lines that stand there already.
    terminal.run(&["resize-window", "-x", "40", "-y", "24"]);
    client(&["rollout", "resume", "pools/shop"]);
    terminal.shows("progressing");
    eventually("one picture", || terminal.screen(&[]).matches("▶").count() == 1);

    terminal.run(&["send-keys", "C-c"]);
    terminal.shows("the rollout goes on");
    terminal.shows("ended with 0");
}

#[test]
fn completion_knows_rollouts_by_what_they_carry() {
    let Some(tmux) = required(tmux_program()) else { return };
    let folder = folder();
    let (_suite, terminal) = with_a_draft(tmux, folder.path());
    terminal.type_in("source <(hotswap completion bash); clear", "Enter");
    terminal.type_in("hotswap rollout describe poo", "Tab");
    terminal.shows("hotswap rollout describe pools/shop");
    terminal.run(&["send-keys", "Enter"]);
    terminal.shows("Strategy:   live");
}
