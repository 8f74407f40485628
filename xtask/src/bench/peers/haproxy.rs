//! HAProxy: one thread, server connections shared and reused, the routes in a map, which it searches as a tree.
//! Splicing is off by default and not for everybody (it wants cleartext on both sides), so there are two contestants:
//! one without it, and one with.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::super::process::{Group, free_address};
use super::super::tools;
use super::{Contestant, Peer, Scenario, ready, version};

/// Starts it.
pub(super) async fn start(scenario: &Scenario<'_>, peer: Peer) -> Result<Contestant> {
    let haproxy = tools::debian("haproxy", "haproxy").await.context("it can't be installed")?;
    let version = version(&haproxy, "-v", "HAProxy version ").await?;
    let (address, http2) = (free_address()?, free_address()?);
    let (map, file) = (scenario.dir.join(format!("{peer}.map")), scenario.dir.join(format!("{peer}.cfg")));
    let mut lines = String::new();
    for route in scenario.table.routes() {
        writeln!(lines, "{}/ bench", route.request())?;
    }
    fs::write(&map, lines)?;
    fs::write(&file, config([address, http2], scenario.upstream, &map, peer == Peer::HaproxySplice))?;
    let mut command = Command::new(haproxy);
    command.arg("-db").arg("-f").arg(&file);
    let group = Group::spawn(&mut command, scenario.cores.proxy, scenario.dir, &peer.to_string())?;
    let contestant = ready(peer, version, address, scenario, group).await?;
    Ok(Contestant { http2: Some(http2), ..contestant })
}

fn config([address, http2]: [SocketAddr; 2], upstream: SocketAddr, map: &Path, splice: bool) -> String {
    let splice = if splice { "option splice-request\n  option splice-response" } else { "" };
    format!(
        "global
  nbthread 1
  maxconn 4096
defaults
  mode http
  no log
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
  option forwardfor
  http-reuse always
  {splice}
frontend in
  bind {address}
  bind {http2} proto h2
  http-request set-header X-Forwarded-Proto http
  use_backend %[path,map_beg({map},none)]
backend bench
  server a {upstream}
backend none
  http-request return status 404
",
        map = map.display()
    )
}
