//! CPU time of a process and all below it, from /proc.
//!
//! Two sources: a process's `stat` counts its threads, dead ones too, by user and system, in ticks of 10 ms;
//! each living thread's `schedstat` counts nanoseconds, of both together. The total is taken from the finer
//! one and split by the shares of the coarser.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Sub;

use anyhow::{Context, Result};

/// A reading of the counters; the difference of two is what lay between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuReading {
    run_ns: u64,
    user_ticks: u64,
    system_ticks: u64,
}

/// CPU time in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CpuTime {
    /// In user mode.
    pub(crate) user_us: f64,
    /// In the kernel, on behalf of the process.
    pub(crate) system_us: f64,
}

impl Sub for CpuReading {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            run_ns: self.run_ns.saturating_sub(earlier.run_ns),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
        }
    }
}

impl CpuReading {
    /// Reads the counters of `root` and its descendants.
    pub(crate) fn of_tree(root: u32) -> Result<Self> {
        let mut sum = Self::default();
        for pid in tree(root)? {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
                .with_context(|| format!("process {pid} is gone"))?;
            let stat = parse_stat(&stat).with_context(|| format!("/proc/{pid}/stat: {stat}"))?;
            sum.user_ticks += stat.user_ticks;
            sum.system_ticks += stat.system_ticks;
            for tid in threads(pid)? {
                // A thread that ends meanwhile is no error: `stat` still has its time.
                let line =
                    fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).unwrap_or_default();
                sum.run_ns += parse_schedstat(&line).unwrap_or(0);
            }
        }
        Ok(sum)
    }

    /// As time, at so many ticks a second.
    pub(crate) fn time(self, ticks_per_second: u64) -> CpuTime {
        let tick_us = 1e6 / ticks_per_second.max(1) as f64;
        let ticks = (self.user_ticks + self.system_ticks) as f64;
        let fine = self.run_ns as f64 / 1e3;
        let coarse = ticks * tick_us;
        // Where the finer count lacks more than rounding explains, a thread has ended: the coarser is truer.
        let total = if fine + 4.0 * tick_us < coarse { coarse } else { fine };
        let user = if ticks > 0.0 { self.user_ticks as f64 / ticks } else { 0.0 };
        CpuTime { user_us: total * user, system_us: total * (1.0 - user) }
    }
}

/// Memory of a process and all below it that is theirs, in bytes: pages shared with others count in part.
pub(crate) fn memory(root: u32) -> Result<u64> {
    let mut sum = 0;
    for pid in tree(root)? {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        sum += parse_pss(&text).unwrap_or(0) * 1024;
    }
    Ok(sum)
}

fn parse_pss(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Ticks that a core has worked since the machine's start, for whomever.
pub(crate) fn core_ticks(core: usize) -> Result<u64> {
    let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
    parse_core(&text, core).with_context(|| format!("/proc/stat has no core {core}"))
}

/// `root` and all processes below it, parents first.
pub(crate) fn tree(root: u32) -> Result<Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for pid in numbers("/proc")? {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if let Some(stat) = parse_stat(&stat) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    Ok(found)
}

/// Ids of the threads of a process.
pub(crate) fn threads(pid: u32) -> Result<Vec<u32>> {
    numbers(&format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))
}

/// The words of a process's command line.
pub(crate) fn command_line(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|b| *b == 0).filter(|w| !w.is_empty());
    words.map(|w| String::from_utf8_lossy(w).into_owned()).collect()
}

fn numbers(dir: &str) -> Result<Vec<u32>> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {dir}"))?;
    Ok(entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect())
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

/// The fields of /proc/<pid>/stat that count here. The name in parentheses may hold anything, parentheses too,
/// so the fields are counted from its end.
fn parse_stat(line: &str) -> Option<Stat> {
    let (_, rest) = line.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        user_ticks: fields.get(11)?.parse().ok()?,
        system_ticks: fields.get(12)?.parse().ok()?,
    })
}

/// The columns: user, nice, system, idle, waiting, interrupts, soft interrupts, stolen by the hypervisor. The
/// rest repeats some of these.
fn parse_core(text: &str, core: usize) -> Option<u64> {
    let name = format!("cpu{core}");
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let columns = lines.find_map(|mut words| (words.next()? == name).then_some(words))?;
    let ticks: Vec<u64> = columns.map_while(|w| w.parse().ok()).collect();
    let worked = ticks.iter().take(8).enumerate().filter(|(at, _)| !(3..=4).contains(at));
    (ticks.len() >= 8).then(|| worked.map(|(_, ticks)| ticks).sum())
}

/// Nanoseconds on a core: the first of three numbers.
fn parse_schedstat(line: &str) -> Option<u64> {
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_past_a_hostile_name() {
        let line = "42 (a) R 7 (b) S 17 42 42 0 -1 4194304 104 0 0 0 31 5 2 1 20 0 1 0 449153 3133440";
        assert_eq!(parse_stat(line), Some(Stat { parent: 17, user_ticks: 31, system_ticks: 5 }));
        assert_eq!(parse_stat("42 (cut"), None);
        assert_eq!(parse_stat("42 (cut) R 1"), None);
    }

    #[test]
    fn schedstat_begins_with_the_time_on_a_core() {
        assert_eq!(parse_schedstat("359093454 514895 12\n"), Some(359_093_454));
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn a_core_works_when_it_neither_idles_nor_waits() {
        let text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 4 100 200 8 16 32 1000 0\ncpu1 1 1\nintr 5\n";
        assert_eq!(parse_core(text, 0), Some(63));
        assert_eq!(parse_core(text, 1), None);
        assert_eq!(parse_core(text, 2), None);
    }

    #[test]
    fn the_finer_count_is_split_by_the_coarser() {
        let later = CpuReading { run_ns: 5_004_000_000, user_ticks: 125, system_ticks: 375 };
        let time = (later - CpuReading { run_ns: 4_000_000, ..Default::default() }).time(100);
        assert_eq!(time, CpuTime { user_us: 1_250_000.0, system_us: 3_750_000.0 });
    }

    #[test]
    fn a_thread_that_ended_is_counted_by_ticks() {
        let time = CpuReading { run_ns: 1_000_000_000, user_ticks: 100, system_ticks: 100 }.time(100);
        assert_eq!(time, CpuTime { user_us: 1_000_000.0, system_us: 1_000_000.0 });
    }

    #[test]
    fn a_tree_begins_with_its_root_and_can_be_read() {
        let me = std::process::id();
        assert_eq!(tree(me).unwrap().first(), Some(&me));
        CpuReading::of_tree(me).unwrap();
        assert!(!command_line(me).is_empty());
    }
}
