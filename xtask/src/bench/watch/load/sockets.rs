//! Bytes that a process has received from a server, as the kernel counts them.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result};

use crate::bench::process::output;
use crate::bench::tools;

/// Bytes that came to the process `pid` on its open connections to `server`.
pub(crate) async fn received(pid: u32, server: SocketAddr) -> Result<u64> {
    let ss = tools::debian("iproute2", "ss").await?;
    let mut command = Command::new(ss);
    command.args(["-tinpHO", "state", "established", "dport", "=", &format!(":{}", server.port())]);
    parse(&output(command).await?, pid)
        .with_context(|| format!("process {pid} has no connection to {server}"))
}

/// Sums over the lines of the process; `None` where there are none.
fn parse(told: &str, pid: u32) -> Option<u64> {
    let mark = format!("pid={pid},");
    let mut lines = told.lines().filter(|l| l.contains(&mark)).peekable();
    lines.peek()?;
    // A connection that has received nothing has no such word.
    let bytes = |line: &str| {
        let word = line.split_ascii_whitespace().find_map(|w| w.strip_prefix("bytes_received:"));
        word.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
    };
    Some(lines.map(bytes).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_one_process_are_summed() {
        let told = "0 0 127.0.0.1:1 127.0.0.1:9 users:((\"a\",pid=7,fd=3)) cubic bytes_received:100 segs_in:1\n\
                    0 0 127.0.0.1:2 127.0.0.1:9 users:((\"a\",pid=7,fd=4)) cubic segs_in:1\n\
                    0 0 127.0.0.1:3 127.0.0.1:9 users:((\"b\",pid=77,fd=3)) bytes_received:5\n";
        assert_eq!(parse(told, 7), Some(100));
        assert_eq!(parse(told, 77), Some(5));
        assert_eq!(parse(told, 8), None);
    }
}
