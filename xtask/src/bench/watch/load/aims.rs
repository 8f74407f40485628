//! The figures beside what is aimed at.

use super::super::args::Peer;
use super::Figures;
use super::e2e::Table;
use super::fanout::{Fanout, Series};
use super::quantile::quantile_ms;
use crate::bench::report::thousands;

/// The slowest write of a hundred, of etcd's, with the most watchers.
const OF_ETCD: f64 = 0.5;
/// The best of the field takes 10 to 30 ms from a change to the first request by it.
const FIELD_MS: f64 = 30.0;

/// The table; nothing where there is nothing to compare.
pub(super) fn table(figures: &Figures) -> String {
    let mut rows = String::new();
    if let Some(fanout) = &figures.fanout {
        rows.push_str(&ratios(fanout));
        rows.push_str(&exactly_once(fanout));
    }
    for table in figures.e2e.iter().flatten() {
        rows.push_str(&served(table));
    }
    match rows.is_empty() {
        true => rows,
        false => format!(
            "\n## Beside the aims\n\n| aim | measured | |\n|---|---|---|\n{rows}{}",
            figures.fanout.as_ref().map_or(String::new(), where_time_goes)
        ),
    }
}

/// What the most watchers cost, for each way in which they were connected: one core does all of a server's work here, so
/// its CPU time for a write is nearly the time until the last watcher has it.
fn where_time_goes(Fanout { series, .. }: &Fanout) -> String {
    let most = series.iter().map(|s| s.watchers).max().unwrap_or(0);
    let mut text = String::new();
    for ours in series.iter().filter(|s| s.peer == Peer::Hotswap && s.watchers == most && !s.late) {
        let same = |s: &&Series| s.shape() == ours.shape();
        let Some(etcd) = series.iter().filter(same).find(|s| s.peer == Peer::Etcd) else { continue };
        let each = |s: &Series| s.server_us() / most.max(1) as f64;
        text.push_str(&format!(
            "- {} on a connection, {}: a watcher costs HotSwap's core {:.1} µs a write, with its acknowledgement, and \
             etcd's {:.1} µs, which has none",
            ours.per_connection,
            ours.pace(),
            each(ours),
            each(etcd)
        ));
        if let Some(late) = series.iter().filter(same).find(|s| s.late) {
            text.push_str(&format!(
                "; where they acknowledge later, p50 is {:.1} and not {:.1} ms, p99 {:.1} and not {:.1} ms (etcd: {:.1} and \
                 {:.1} ms)",
                late.visible_ms(0.5),
                ours.visible_ms(0.5),
                late.visible_ms(0.99),
                ours.visible_ms(0.99),
                etcd.visible_ms(0.5),
                etcd.visible_ms(0.99)
            ));
        }
        text.push_str(".\n");
    }
    if text.is_empty() {
        text
    } else {
        format!("\nWhere the time goes, with {} watchers:\n\n{text}", thousands(most))
    }
}

/// One row for each way in which the most watchers were connected and written to.
fn ratios(Fanout { series, .. }: &Fanout) -> String {
    let most = series.iter().map(|s| s.watchers).max().unwrap_or(0);
    let p99 = |s: &Series| s.visible_ms(0.99);
    let mut rows = String::new();
    for ours in series.iter().filter(|s| s.peer == Peer::Hotswap && s.watchers == most && !s.late) {
        let Some(etcd) = series.iter().find(|s| s.peer == Peer::Etcd && s.shape() == ours.shape()) else {
            continue;
        };
        let ratio = if p99(etcd) > 0.0 { p99(ours) / p99(etcd) } else { f64::INFINITY };
        rows.push_str(&row(
            &format!(
                "p99 to the last of {} watchers at most {OF_ETCD} of etcd's ({} on a connection, {})",
                thousands(most),
                ours.per_connection,
                ours.pace()
            ),
            &format!("{ratio:.2} ({:.1} of {:.1} ms)", p99(ours), p99(etcd)),
            ratio <= OF_ETCD,
        ));
    }
    rows
}

fn exactly_once(Fanout { series, .. }: &Fanout) -> String {
    let ours = || series.iter().filter(|s| s.peer == Peer::Hotswap);
    let tallies = || ours().flat_map(|s| &s.turns).map(|t| t.tally);
    let (lost, twice): (u64, u64) =
        (tallies().map(|t| t.lost).sum(), tallies().map(|t| t.duplicate + t.foreign).sum());
    let due: usize = ours().map(|s| s.watchers * s.turns.iter().map(|t| t.calls.len()).sum::<usize>()).sum();
    let measured = format!("{lost} lost, {twice} twice, of {}", thousands(due));
    row("every watcher gets every change exactly once", &measured, (lost, twice) == (0, 0))
}

fn served(table: &Table) -> String {
    let (p50, p99) = (quantile_ms(&table.served, 0.5), quantile_ms(&table.served, 0.99));
    let aim = format!(
        "a change serves its first request within {FIELD_MS:.0} ms, at {} routes on {} hosts",
        thousands(table.routes),
        thousands(table.hosts)
    );
    row(&aim, &format!("p50 {p50:.1} ms, p99 {p99:.1} ms"), p99 <= FIELD_MS)
}

fn row(aim: &str, measured: &str, met: bool) -> String {
    format!("| {aim} | {measured} | {} |\n", if met { "met" } else { "**missed**" })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fanout::Turn;
    use super::*;

    fn series(peer: Peer, ms: u64, lost: u64) -> Series {
        let mut turn = Turn { visible: vec![Duration::from_millis(ms)], ..Default::default() };
        turn.calls = turn.visible.clone();
        turn.tally.lost = lost;
        Series { peer, watchers: 1000, per_connection: 1, pace_ms: 0, late: false, turns: vec![turn] }
    }

    fn told(ours: u64, lost: u64) -> String {
        let series = vec![series(Peer::Hotswap, ours, lost), series(Peer::Etcd, 20, 0)];
        table(&Figures { fanout: Some(Fanout { size: 400, series }), ..Default::default() })
    }

    #[test]
    fn half_of_etcds_is_met_and_more_is_missed() {
        assert!(told(10, 0).contains("| 0.50 (10.0 of 20.0 ms) | met |"), "{}", told(10, 0));
        assert!(told(11, 0).contains("| 0.55 (11.0 of 20.0 ms) | **missed** |"), "{}", told(11, 0));
    }

    #[test]
    fn one_lost_event_is_a_miss() {
        assert!(told(1, 0).contains("| 0 lost, 0 twice, of 1,000 | met |"), "{}", told(1, 0));
        assert!(told(1, 1).contains("| 1 lost, 0 twice, of 1,000 | **missed** |"), "{}", told(1, 1));
    }

    #[test]
    fn the_cost_of_a_watcher_and_of_its_acknowledgements_is_told() {
        let late = Series { late: true, ..series(Peer::Hotswap, 7, 0) };
        let mut ours = series(Peer::Hotswap, 30, 0);
        ours.turns.iter_mut().for_each(|t| t.server_us = 32_000.0);
        let series = vec![ours, series(Peer::Etcd, 20, 0), late];
        let text = table(&Figures { fanout: Some(Fanout { size: 400, series }), ..Default::default() });
        assert!(text.contains("HotSwap's core 32.0 µs a write"), "{text}");
        assert!(text.contains("p50 is 7.0 and not 30.0 ms"), "{text}");
    }

    #[test]
    fn a_run_that_compares_nothing_has_no_table() {
        assert_eq!(table(&Figures::default()), "");
    }
}
