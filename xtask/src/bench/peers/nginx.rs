//! nginx, set up as one would for an API: kept connections on both sides, buffers that hold a response.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result};

use super::super::process::{Group, free_address};
use super::super::tools;
use super::{Contestant, Peer, Scenario, ready, version};

/// Starts it.
pub(super) async fn start(scenario: &Scenario<'_>) -> Result<Contestant> {
    let nginx = tools::debian("nginx", "nginx").await.context("it can't be installed")?;
    let version = version(&nginx, "-v", "nginx/").await?;
    let (address, http2, tls) = (free_address()?, free_address()?, free_address()?);
    let prefix = scenario.dir.join("nginx");
    fs::create_dir_all(&prefix)?;
    fs::write(prefix.join("nginx.conf"), config([address, http2, tls], scenario)?)?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(&prefix).args(["-c", "nginx.conf", "-e", "stderr"]);
    let group = Group::spawn(&mut command, scenario.cores.proxy, scenario.dir, "nginx")?;
    let contestant = ready(Peer::Nginx, version, address, scenario, group).await?;
    let tls = scenario.tls.map(|_| tls);
    Ok(Contestant { http2: Some(http2), tls, ..contestant })
}

/// As its manual has it for WebSockets.
const UPGRADES: &str = "map $http_upgrade $passed { default upgrade; '' ''; }
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $passed;";

/// The limit of bodies holds for all messages of a stream together.
const GRPC: &str = "client_max_body_size 0; grpc_pass grpc://bench; grpc_set_header X-Forwarded-Proto $scheme; \
                    grpc_set_header X-Forwarded-For $proxy_add_x_forwarded_for";

/// `keepalive_requests` is lifted on both sides, since no other contestant closes a connection after 1,000. The
/// buffers hold a whole response of 100 KB, so that nothing goes to disk.
fn config([address, http2, tls]: [SocketAddr; 3], scenario: &Scenario<'_>) -> Result<String> {
    // Root's workers would else drop to a user that can't write into the run's folder.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let (mut upgrades, mut secure) = ("proxy_set_header Connection \"\";", String::new());
    if let Some(dir) = scenario.tls {
        upgrades = UPGRADES;
        let dir = dir.display();
        secure = format!(
            "listen {tls} ssl http2;
    ssl_certificate {dir}/cert.pem;
    ssl_certificate_key {dir}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;"
        );
    }
    let pass = if scenario.grpc { GRPC } else { "proxy_pass http://bench" };
    let mut locations = String::new();
    for route in scenario.table.routes() {
        writeln!(locations, "    location {}/ {{ {pass}; }}", route.request())?;
    }
    Ok(format!(
        "{user}
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  tcp_nodelay on;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  proxy_http_version 1.1;
  {upgrades}
  proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;
  proxy_buffer_size 32k;
  proxy_buffers 8 32k;
  proxy_max_temp_file_size 0;
  upstream bench {{
    server {upstream};
    keepalive 128;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {address};
    listen {http2} http2;
    {secure}
{locations}    location / {{ return 404; }}
  }}
}}
",
        upstream = scenario.upstream
    ))
}
