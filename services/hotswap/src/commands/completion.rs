//! `hotswap completion`: what a shell needs to ask this program for what comes next.

use std::path::PathBuf;

use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::cli::{Completion, Shell};
use crate::completer;
use crate::exit::Failure;
use crate::output;

pub(super) fn run(args: &Completion) -> Result<(), Failure> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut text = Vec::new();
    shell
        .write_registration(completer::VAR, "hotswap", "hotswap", &myself(), &mut text)
        .map_err(Failure::other)?;
    output::told(&String::from_utf8_lossy(&text)).map(drop)
}

/// How the shell is to call this program: as it was called now, from whatever folder.
fn myself() -> String {
    let called = std::env::args_os().next().map_or_else(|| "hotswap".into(), PathBuf::from);
    let path =
        if called.components().count() > 1 { std::path::absolute(&called).unwrap_or(called) } else { called };
    path.to_string_lossy().into_owned()
}
