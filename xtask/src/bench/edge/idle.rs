//! Memory of an idle connection: each has asked once, and is kept.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::peers::Contestant;
use super::super::process::say;
use super::super::{backend, procfs};
use super::Bench;

/// The table.
pub(super) async fn run(bench: &Bench<'_>) -> Result<String> {
    let dir = bench.folder("idle")?;
    let backend = backend::start(bench.tools, &dir, bench.plan.cores).await?;
    let (contestants, _) =
        super::super::start_all(&bench.args.peers, &bench.scenario(&dir, &backend)).await?;
    let mut text = format!(
        "## Memory of an idle connection\n\n{} connections that asked once and are kept; what the proxy's process has more \
         than before (PSS), without what the kernel keeps for a socket.\n\n\
         | proxy | before, MB | with them, MB | KB each |\n|---|---|---|---|\n",
        bench.args.idle
    );
    for contestant in &contestants {
        let warm = open(contestant, 1).await?;
        let before = procfs::memory(contestant.pid)?;
        let held = open(contestant, bench.args.idle).await?;
        let after = procfs::memory(contestant.pid)?;
        let each = after.saturating_sub(before) as f64 / held.len().max(1) as f64 / 1024.0;
        say(&format!("{}: {each:.2} KB an idle connection", contestant.label));
        let mb = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        writeln!(text, "| {} | {:.1} | {:.1} | {each:.2} |", contestant.label, mb(before), mb(after))?;
        drop((warm, held));
    }
    Ok(text)
}

async fn open(contestant: &Contestant, count: usize) -> Result<Vec<TcpStream>> {
    let path = format!("{}/1k", contestant.prefixes.first().map_or("", String::as_str));
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(contestant.address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while answer.len() < backend::SMALL {
            let n = stream.read_buf(&mut answer).await?;
            (n > 0).then_some(()).with_context(|| format!("{} ended a connection", contestant.label))?;
        }
        held.push(stream);
    }
    Ok(held)
}
