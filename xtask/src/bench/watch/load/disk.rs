//! The disk that the servers write to.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::quantile::quantile_ms;

const WRITES: usize = 200;
const BLOCK: [u8; 4096] = [7; 4096];

/// What a commit costs there.
pub(crate) struct Disk {
    /// The file system.
    pub(crate) kind: String,
    /// 4 KB written over what a file holds, as into a log that was made beforehand.
    pub(crate) over: Cost,
    /// 4 KB behind a file's end.
    pub(crate) append: Cost,
}

/// A write of 4 KB and fdatasync, in ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Half of them took at most this.
    pub(crate) p50_ms: f64,
    /// 99 % took at most this.
    pub(crate) p99_ms: f64,
}

/// Measures a folder's disk. One that only pretends to be a disk is an error.
pub(crate) fn probe(dir: &Path) -> Result<Disk> {
    let kind = match rustix::fs::statfs(dir).context("asking for the file system")?.f_type {
        0x0102_1994 => {
            bail!("{} lies in memory (tmpfs): choose a folder on a disk with --dir", dir.display())
        }
        0xEF53 => "ext4".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683E => "btrfs".to_owned(),
        0x794C_7630 => "overlay".to_owned(),
        other => format!("file system {other:#x}"),
    };
    let path = dir.join("fsync");
    let mut file = File::create(&path)?;
    let append = cost(&mut file)?;
    file.sync_all()?;
    file.rewind()?;
    let over = cost(&mut file)?;
    std::fs::remove_file(&path)?;
    Ok(Disk { kind, over, append })
}

fn cost(file: &mut File) -> Result<Cost> {
    let mut times: Vec<Duration> = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let begin = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        times.push(begin.elapsed());
    }
    Ok(Cost { p50_ms: quantile_ms(&times, 0.5), p99_ms: quantile_ms(&times, 0.99) })
}
