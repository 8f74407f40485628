//! The byte relay of this crate: what forwarding costs when nothing is looked at.

use std::process::Command;

use anyhow::Result;

use super::super::process::{Group, free_address};
use super::{Contestant, Peer, Scenario, ready};

/// Starts it.
pub(super) async fn start(scenario: &Scenario<'_>) -> Result<Contestant> {
    let address = free_address()?;
    let mut command = Command::new(&scenario.tools.xtask);
    command.args(["bench", "relay", "--listen", &address.to_string()]);
    command.args(["--upstream", &scenario.upstream.to_string()]);
    let group = Group::spawn(&mut command, scenario.cores.proxy, scenario.dir, "bytecopy")?;
    ready(Peer::Bytecopy, "a plain tokio relay, no parsing".to_owned(), address, scenario, group).await
}
