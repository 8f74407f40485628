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
    let (address, http2, tls) = (free_address()?, free_address()?, free_address()?);
    let (map, file) = (scenario.dir.join(format!("{peer}.map")), scenario.dir.join(format!("{peer}.cfg")));
    let mut lines = String::new();
    for route in scenario.table.routes() {
        writeln!(lines, "{}/ bench", route.request())?;
    }
    fs::write(&map, lines)?;
    let secure = scenario
        .tls
        .map(|dir| format!("bind {tls} ssl crt {}/both.pem alpn h2,http/1.1", dir.display()))
        .unwrap_or_default();
    let splice = peer == Peer::HaproxySplice;
    let server = format!("{}{}", scenario.upstream, if scenario.grpc { " proto h2" } else { "" });
    fs::write(&file, config([address, http2], &secure, &server, &map, splice))?;
    let mut command = Command::new(haproxy);
    command.arg("-db").arg("-f").arg(&file);
    let group = Group::spawn(&mut command, scenario.cores.proxy, scenario.dir, &peer.to_string())?;
    let contestant = ready(peer, version, address, scenario, group).await?;
    let tls = scenario.tls.map(|_| tls);
    Ok(Contestant { http2: Some(http2), tls, ..contestant })
}

fn config([address, http2]: [SocketAddr; 2], secure: &str, server: &str, map: &Path, splice: bool) -> String {
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
  timeout tunnel 60s
  option http-keep-alive
  option forwardfor
  http-reuse always
  {splice}
frontend in
  bind {address}
  bind {http2} proto h2
  {secure}
  http-request set-header X-Forwarded-Proto http
  use_backend %[path,map_beg({map},none)]
backend bench
  server a {server}
backend none
  http-request return status 404
",
        map = map.display()
    )
}
