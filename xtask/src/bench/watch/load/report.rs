//! The tables, in Markdown.

use std::time::Duration;

use super::super::args::{Peer, WatchArgs};
use super::client::Read;
use super::disk::Disk;
use super::e2e::Table;
use super::fanout::{Fanout, Series, Turn};
use super::get::{self, Who};
use super::memory::Held;
use super::quantile::quantile_ms;
use crate::bench::facts::Facts;
use crate::bench::report::thousands;
use crate::bench::stats::Figure;

/// Percent of the servers' core: where others use more of it, they disturb the figures.
const BUSY: f64 = 5.0;

/// What stands above all tables.
pub(crate) fn preamble(args: &WatchArgs, facts: &Facts, disk: &Disk, versions: &[String]) -> String {
    let Disk { kind, over, append } = disk;
    let versions: String = versions.iter().map(|v| format!("- {v}\n")).collect();
    format!(
        "# The watch beside etcd\n\nMade by `{}`.\n\n{}- cores: servers (the gateway and PostgreSQL too) on core {}; \
         this process, with all watchers and clients, on core {}\n- disk: all data folders on one {kind}; a write of \
         4 KB with fdatasync takes there {:.2} ms (p99 {:.2}) over what a file holds, {:.2} ms (p99 {:.2}) at its end\n- durability: each commit is on \
         disk before it is answered, on all servers (HotSwap's SQLite in WAL mode with \
         synchronous=FULL, which syncs its log at each commit; etcd and PostgreSQL as they come, which sync theirs)\n- HotSwap checks a token with each call; etcd, as it comes, asks for none\n{versions}",
        args.command_line(),
        facts.lines(),
        args.server_core,
        args.load_core,
        over.p50_ms,
        over.p99_ms,
        append.p50_ms,
        append.p99_ms,
    )
}

/// The table of the fan-out.
pub(crate) fn fanout(args: &WatchArgs, fanout: &Fanout) -> String {
    let Fanout { size, series } = fanout;
    let (rounds, writes) = (args.rounds, args.writes);
    let mut text = format!(
        "\n## A write, and all its watchers\n\nWrites one after the other, each when the last watcher has the one \
         before, at once or on a beat; {rounds} rounds of {writes} writes, the servers in turn; one of 100 routes or keys of {size} bytes \
         (encoded). Each watcher has a stream of its own on everything, on an HTTP/2 connection of its own or with \
         others, and HotSwap's acknowledge each change. Other work on the servers' core: {}.\n\n\
         | watchers | on a connection | a write each | server | p50 ms | p99 ms | p99, of etcd's | call p50 ms | call p99 ms | CPU of the server, \
         µs/write | CPU of the load, µs/write | bytes to a watcher | bytes from it | lost | duplicate |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
        foreign(series)
    );
    for one in series {
        let etcd = series.iter().find(|s| s.peer == Peer::Etcd && s.shape() == one.shape());
        let of_etcd = match etcd.map(|e| e.visible_ms(0.99)) {
            Some(etcd) if one.peer != Peer::Etcd && etcd > 0.0 => {
                format!("{:.2}", one.visible_ms(0.99) / etcd)
            }
            _ => "–".to_owned(),
        };
        let median = |of: fn(&Turn) -> f64| Figure::of(one.turns.iter().map(of)).map_or(0.0, |f| f.median);
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {of_etcd} | {:.2} | {:.2} | {} | {} | {:.0} | {:.0} | {} | {} |\n",
            thousands(one.watchers),
            one.per_connection,
            one.pace(),
            if one.late { format!("{}, acknowledged later", one.peer) } else { one.peer.to_string() },
            spread(one, |t| &t.visible, 0.5),
            spread(one, |t| &t.visible, 0.99),
            one.pooled_ms(|t| &t.calls, 0.5),
            one.pooled_ms(|t| &t.calls, 0.99),
            thousands(format!("{:.0}", one.server_us())),
            thousands(format!("{:.0}", median(|t| t.load_us))),
            median(|t| t.received),
            median(|t| t.sent),
            wrong(one.turns.iter().map(|t| t.tally.lost).sum()),
            wrong(one.turns.iter().map(|t| t.tally.duplicate + t.tally.foreign).sum()),
        ));
    }
    text + "\nLatency is from the start of the write call until the last watcher had decoded the change, over the writes \
            of all rounds; in parentheses the smallest and the largest round. \"Call\" is the write call alone. CPU and \
            bytes are medians over the rounds; bytes are those of HTTP/2 at the watchers' sockets. Lost and duplicate \
            are computed from the revisions that each watcher saw. \"Acknowledged later\": the watchers do so when all have the change; \
            they share one core here, which proxies do not, and etcd's acknowledge nothing.\n"
}

/// The table of memory.
pub(crate) fn memory(held: &[Held]) -> String {
    let mut text = String::from(
        "\n## Memory of idle watchers\n\n| server | watchers | on a connection | RSS without, MB | RSS with, MB | RSS \
         a watcher, KB | PSS without, MB | PSS with, MB | PSS a watcher, KB |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for Held { peer, watchers, per_connection, without, with } in held {
        let mega = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        let each = |with: u64, without: u64| {
            format!("{:.1}", (with as f64 - without as f64) / (*watchers).max(1) as f64 / 1e3)
        };
        text.push_str(&format!(
            "| {peer} | {} | {per_connection} | {} | {} | {} | {} | {} | {} |\n",
            thousands(watchers),
            mega(without.rss),
            mega(with.rss),
            each(with.rss, without.rss),
            mega(without.pss),
            mega(with.pss),
            each(with.pss, without.pss),
        ));
    }
    text + "\nA fresh server with 100 routes or keys; with watchers 20 s after the last one had connected. KB and MB are \
            1,000 and 1,000,000 bytes.\n"
}

/// The table of reads.
pub(crate) fn get(args: &WatchArgs, series: &[get::Series]) -> String {
    let mut text = format!(
        "\n## Reading one by its name\n\n{} rounds, the servers in turn; a closed loop on 4 HTTP/2 connections; of \
         {} names. Warm: the same 100 names for {} s; cold: each name once, right after a start of the server (the \
         operating system's cache stays).\n\n\
         | server | names | in flight | requests/s | CPU of the server, µs | CPU of its database, µs | requests/s of a \
         core | p50 ms | p99 ms | errors |\n|---|---|---|---|---|---|---|---|---|---|\n",
        args.rounds,
        thousands(args.names),
        args.seconds,
    );
    for one in series {
        let median =
            |of: fn(&get::Turn) -> f64| Figure::of(one.turns.iter().map(of)).map_or(0.0, |f| f.median);
        let times: Vec<Duration> = one.turns.iter().flat_map(|t| t.times.iter().copied()).collect();
        let (server, database) = (median(|t| t.server_us), median(|t| t.database_us));
        let of_core = if server + database > 0.0 { 1e6 / (server + database) } else { 0.0 };
        text.push_str(&format!(
            "| {} | {} | {} | {} | {server:.1} | {} | {} | {:.2} | {:.2} | {} |\n",
            who(one.who),
            if one.cold { "cold" } else { "warm" },
            one.in_flight,
            thousands(format!("{:.0}", median(|t| t.times.len() as f64 / t.took.as_secs_f64()))),
            if database > 0.0 { format!("{database:.1}") } else { "–".to_owned() },
            thousands(format!("{of_core:.0}")),
            quantile_ms(&times, 0.5),
            quantile_ms(&times, 0.99),
            wrong(one.turns.iter().map(|t| t.errors).sum()),
        ));
    }
    text + "\n\"Requests/s of a core\" is what one core could do: a second divided by the CPU time of a request, the \
            database's included. The load itself is one core: where it is the limit, requests/s is less.\n"
}

/// The table from end to end.
pub(crate) fn e2e(args: &WatchArgs, tables: &[Table]) -> String {
    let mut text = format!(
        "\n## From a change to the first request by it\n\n{} changes of one route among so many, with a gateway that is \
         asked for that route over one connection, a request every 0.2 ms.\n\n\
         | routes | on hosts | p50 ms | p99 ms | call p50 ms | call p99 ms | CPU of the control plane, µs | CPU of the \
         gateway, µs | bytes to the gateway | filled in, s | gateway loaded in, s |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
        args.changes
    );
    for table in tables {
        let Table { served, calls, control_us, gateway_us, bytes, seeded, loaded, .. } = table;
        text.push_str(&format!(
            "| {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {} | {} | {} | {:.1} | {:.1} |\n",
            thousands(table.routes),
            thousands(table.hosts),
            quantile_ms(served, 0.5),
            quantile_ms(served, 0.99),
            quantile_ms(calls, 0.5),
            quantile_ms(calls, 0.99),
            thousands(format!("{control_us:.0}")),
            thousands(format!("{gateway_us:.0}")),
            thousands(format!("{bytes:.0}")),
            seeded.as_secs_f64(),
            loaded.as_secs_f64(),
        ));
    }
    text + "\nLatency is from the start of the write call until the first answer by the change had been read. CPU and \
            bytes are for one change, of as many changes without any request; bytes are those that the kernel counted \
            on the gateway's connection to the control plane. \"Gateway loaded\" is from its start until it served \
            the last route.\n"
}

fn who(who: Who) -> &'static str {
    match who {
        Who::Sqlite => "hotswap, SQLite",
        Who::Postgres => "hotswap, PostgreSQL",
        Who::Etcd(Read::Linearizable) => "etcd, linearizable",
        Who::Etcd(Read::Serializable) => "etcd, serializable",
    }
}

/// The quantile over the writes of all rounds, with the smallest and the largest of the rounds.
fn spread(series: &Series, of: fn(&Turn) -> &Vec<Duration>, q: f64) -> String {
    let rounds = Figure::of(series.turns.iter().map(|t| quantile_ms(of(t), q)));
    let (min, max) = rounds.map_or((0.0, 0.0), |f| (f.min, f.max));
    format!("{:.2} ({min:.2}–{max:.2})", series.pooled_ms(of, q))
}

/// How much others disturbed the turns.
fn foreign(series: &[Series]) -> String {
    let shares = series.iter().flat_map(|s| &s.turns).map(|t| t.foreign * 100.0);
    let Some(Figure { median, max, .. }) = Figure::of(shares) else { return "none".to_owned() };
    let busy = if max > BUSY { ": **the machine was busy, the figures are noisy**" } else { "" };
    format!("{median:.1} % of a turn, at most {max:.1} %{busy}")
}

/// A count that must be 0.
fn wrong(count: u64) -> String {
    if count == 0 { "0".to_owned() } else { format!("**{}**", thousands(count)) }
}

#[cfg(test)]
mod tests {
    use super::super::board::Tally;
    use super::*;

    fn series(peer: Peer, ms: &[u64], lost: u64) -> Series {
        let turn = |visible: Vec<Duration>| Turn {
            visible,
            tally: Tally { lost, ..Default::default() },
            ..Default::default()
        };
        let turns =
            ms.chunks(2).map(|c| turn(c.iter().map(|ms| Duration::from_millis(*ms)).collect())).collect();
        Series { peer, watchers: 1000, per_connection: 50, pace_ms: 0, late: false, turns }
    }

    fn args() -> WatchArgs {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Cli {
            #[command(flatten)]
            args: WatchArgs,
        }
        Cli::try_parse_from(["x"]).expect("defaults").args
    }

    #[test]
    fn the_ratio_is_that_of_the_slowest_percent_over_all_rounds() {
        let all = vec![series(Peer::Hotswap, &[1, 2, 3, 5], 0), series(Peer::Etcd, &[10, 10, 10, 20], 3)];
        let text = fanout(&args(), &Fanout { size: 400, series: all });
        assert!(
            text.contains("| 1,000 | 50 | at once | hotswap | 2.00 (1.00–3.00) | 5.00 (2.00–5.00) | 0.25 |"),
            "{text}"
        );
        assert!(text.contains("| 0 | 0 |\n") && text.contains("| **6** | 0 |\n"), "{text}");
    }

    #[test]
    fn heads_and_rows_have_the_same_columns() {
        let one = get::Series { who: Who::Sqlite, cold: true, in_flight: 16, turns: Vec::new() };
        let held = Held {
            peer: Peer::Etcd,
            watchers: 1,
            per_connection: 1,
            without: Default::default(),
            with: Default::default(),
        };
        let second = Duration::from_secs(1);
        let table = Table {
            routes: 10,
            hosts: 1,
            seeded: second,
            loaded: second,
            served: vec![second],
            calls: vec![second],
            control_us: 1.0,
            gateway_us: 1.0,
            bytes: 1.0,
        };
        let texts = [
            fanout(&args(), &Fanout { size: 1, series: vec![series(Peer::Etcd, &[1], 0)] }),
            memory(&[held]),
            get(&args(), &[one]),
            e2e(&args(), &[table]),
        ];
        for text in texts {
            let rows: Vec<_> =
                text.lines().filter(|l| l.starts_with('|')).map(|l| l.matches('|').count()).collect();
            assert!(rows.len() == 3 && rows.iter().all(|n| *n == rows[0]), "{text}");
        }
    }
}
