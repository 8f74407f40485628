//! Starts a release build of this program that has the load.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Error, Result};

use super::WatchArgs;
use crate::bench::tools;

/// Builds, and becomes what was built.
pub(crate) async fn run(_: WatchArgs) -> Result<()> {
    let binary = tools::build(&crate::root()?, "xtask", &["watch"]).await?;
    // It returns only where it fails.
    let failed = Command::new(&binary).args(std::env::args_os().skip(1)).exec();
    Err(Error::new(failed).context(format!("starting {}", binary.display())))
}
