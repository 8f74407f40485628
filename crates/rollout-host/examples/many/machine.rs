//! What a process uses, as the kernel tells it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// Clock ticks a second: what Linux tells users, whatever it counts in.
const TICKS: f64 = 100.0;

/// CPU of this process, user and system, in seconds.
pub(crate) fn own_cpu() -> Result<f64, Failure> {
    let stat = stat(Path::new("/proc/self/stat"))?;
    Ok(ticks(&stat, 11)? + ticks(&stat, 12)?)
}

/// CPU of a process and its children, those that have ended too, in seconds.
pub(crate) fn cpu_with_children(pid: &str) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(stat) = stat(&entry.path().join("stat")) else { continue };
        let is_it = entry.file_name().to_str() == Some(pid);
        if is_it || stat.get(1).is_some_and(|parent| parent == pid) {
            sum += ticks(&stat, 11)? + ticks(&stat, 12)?;
        }
        if is_it {
            sum += ticks(&stat, 13)? + ticks(&stat, 14)?;
        }
    }
    Ok(sum)
}

/// The fields behind the name, which may hold blanks: the state is the first.
fn stat(path: &Path) -> Result<Vec<String>, Failure> {
    let text = fs::read_to_string(path)?;
    let (_, behind) = text.rsplit_once(')').ok_or("no name in stat")?;
    Ok(behind.split_whitespace().map(str::to_owned).collect())
}

fn ticks(stat: &[String], at: usize) -> Result<f64, Failure> {
    Ok(stat.get(at).ok_or("a short stat")?.parse::<f64>()? / TICKS)
}

/// Memory of this process in MB: now, and the most there was.
pub(crate) fn memory() -> Result<(f64, f64), Failure> {
    let text = fs::read_to_string("/proc/self/status")?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        let kb: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok::<_, Failure>(kb / 1_000.0)
    };
    Ok((of("VmRSS:")?, of("VmHWM:")?))
}

/// The first process of a PostgreSQL server.
pub(crate) fn postmaster(data: &Path) -> Result<String, Failure> {
    let file: PathBuf = data.join("postmaster.pid");
    Ok(fs::read_to_string(file)?.lines().next().ok_or("an empty file")?.trim().to_owned())
}
