//! The tables: Markdown, with the machine's facts and the command that made them.

use std::fmt::Display;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Error, Result};

use super::facts::Facts;
use super::measure::{Plan, Sample, Series, Workload};
use super::peers::{Contestant, Peer};
use super::process::say;
use super::routes::Size;
use super::stats::Figure;

/// What the columns mean.
const LEGEND: &str = "CPU µs is the time that the proxy's process, and all below it, spent on a core, divided by \
the requests that were answered; user and system apart. A figure is the median over the rounds, with the \
smallest and the largest value in parentheses. Latencies are those that the load generator saw with the proxy's \
one core, or its own, at the limit.";

/// Percent of the proxy's core: where others use more of it, they disturb the figures.
const BUSY: f64 = 5.0;

/// What every table begins with.
pub(crate) struct Preamble<'a> {
    /// The command that makes the table again.
    pub(crate) command: &'a str,
    /// The machine.
    pub(crate) facts: &'a Facts,
    /// What was done.
    pub(crate) plan: &'a Plan,
    /// The load generator's version.
    pub(crate) load: &'a str,
}

impl Preamble<'_> {
    fn text(&self, title: &str, series: &[Series]) -> String {
        let Plan { rounds, seconds, connections, cores, .. } = self.plan;
        let (proxy, load) = (cores.proxy, cores.load);
        format!(
            "# {title}\n\nMade by `{}`.\n\n{}- proxy: one worker, pinned to core {proxy}; load and backend on core \
             {load}\n- rounds: {rounds}, with turns of {seconds} s, interleaved; HTTP/1.1, {connections} connections kept \
             open; one backend\n- load generator: {}\n{}",
            self.command,
            self.facts.lines(),
            self.load,
            foreign(series)
        )
    }
}

/// The table of `bench gateway`.
pub(crate) fn gateway(
    preamble: &Preamble<'_>,
    contestants: &[Contestant],
    absent: &[(Peer, Error)],
    series: &[Series],
) -> String {
    let mut text = preamble.text("The gateway beside its peers", series);
    for contestant in contestants {
        text.push_str(&format!("- {}: {}\n", contestant.label, contestant.version));
    }
    for (peer, why) in absent {
        // The causes below may name folders of the machine; they were told at the terminal.
        text.push_str(&format!("- **{peer} IS NOT MEASURED: {why}**\n"));
    }
    for &workload in &preamble.plan.workloads {
        text.push_str(&format!("\n## {workload}: {}\n\n", workload.title()));
        text.push_str(&head("proxy", &["of HAProxy", "of nginx"]));
        let of = |label: &str| cpu_of(label, workload, contestants, series);
        let (haproxy, nginx) = (of(&Peer::Haproxy.to_string()), of(&Peer::Nginx.to_string()));
        for one in series.iter().filter(|s| s.workload == workload) {
            let label = contestants.get(one.contestant).map_or("", |c| c.label.as_str());
            let cpu = one.figure(Sample::cpu_us).median;
            text.push_str(&row(one, label, &[ratio(cpu, haproxy), ratio(cpu, nginx)]));
        }
        for (peer, _) in absent {
            text.push_str(&format!("| {peer} | **NOT MEASURED** |{}\n", " – |".repeat(8)));
        }
    }
    text + &format!(
        "\n{LEGEND} \"Of HAProxy\" and \"of nginx\" are ratios of CPU µs: below 1 is cheaper. `bytecopy` relays bytes \
         without parsing them: the limit. `haproxy-splice` moves bodies inside the kernel, an option that is off by \
         default.\n"
    )
}

/// The table of `bench routes`.
pub(crate) fn routes(
    preamble: &Preamble<'_>,
    contestants: &[Contestant],
    sizes: &[Size],
    series: &[Series],
) -> String {
    let mut text = preamble.text("The gateway with growing route tables", series);
    let version = contestants.first().map_or("", |c| c.version.as_str());
    text.push_str(&format!("- hotswap: {version}\n- {}, spread over the table\n\n", Workload::W1.title()));
    text.push_str(&head("routes", &["of the smallest", "live after", "memory, MB"]));
    for one in series {
        let Some(size) = sizes.get(one.contestant) else { continue };
        let smallest = series.iter().find(|s| sizes.get(s.contestant).is_some_and(|z| z.kind == size.kind));
        let smallest = smallest.map(|s| s.figure(Sample::cpu_us).median);
        let label = format!("{} {}", thousands(size.table.len()), size.kind);
        let growth = ratio(one.figure(Sample::cpu_us).median, smallest);
        let memory = format!("{:.1}", size.memory as f64 / 1024.0 / 1024.0);
        text.push_str(&row(one, &label, &[growth, format!("{:.1} s", size.seeded_s), memory]));
    }
    text + &format!(
        "\n{LEGEND} \"Mixed\" is half exact paths, half prefixes. \"Of the smallest\" is the ratio of CPU µs to the \
         first row of the same kind. \"Live after\" is the time from the first write, through the CLI, until the \
         gateway served the last route. \"Memory\" is that of the gateway's process after the measurement (PSS).\n"
    )
}

/// Prints the table and writes it to `out`.
pub(crate) fn publish(text: &str, out: &Path) -> Result<()> {
    if let Some(parent) = out.parent() {
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    }
    fs::write(out, text).with_context(|| format!("writing {}", out.display()))?;
    std::io::stdout().lock().write_all(text.as_bytes())?;
    say(&format!("written to {}", out.display()));
    Ok(())
}

fn cpu_of(label: &str, workload: Workload, contestants: &[Contestant], series: &[Series]) -> Option<f64> {
    let index = contestants.iter().position(|c| c.label == label)?;
    let one = series.iter().find(|s| s.contestant == index && s.workload == workload)?;
    Some(one.figure(Sample::cpu_us).median)
}

/// How much others disturbed the run.
fn foreign(series: &[Series]) -> String {
    let shares = series.iter().flat_map(|s| &s.samples).map(|s| s.foreign * 100.0);
    let Some(share) = Figure::of(shares) else { return String::new() };
    let busy = if share.max > BUSY { ": **the machine was busy, the figures are noisy**" } else { "" };
    let Figure { median, max, .. } = share;
    format!("- other work on the proxy's core: {median:.1} % of a turn, at most {max:.1} %{busy}\n")
}

/// `first`: the first column; `between`: those that differ between tables.
fn head(first: &str, between: &[&str]) -> String {
    let rule = "|---".repeat(8 + between.len());
    let between = between.join(" | ");
    format!(
        "| {first} | CPU µs/request | user | system | {between} | requests/s | p50 µs | p99 µs | errors |\n{rule}|\n"
    )
}

fn row(series: &Series, label: &str, between: &[String]) -> String {
    let between = between.join(" | ");
    let spread = |of: fn(&Sample) -> f64, digits| figure(series.figure(of), digits);
    let errors = match series.errors() {
        0 => "0".to_owned(),
        some => format!("**{}**", thousands(some)),
    };
    format!(
        "| {label} | {} | {:.1} | {:.1} | {between} | {} | {} | {} | {errors} |\n",
        spread(Sample::cpu_us, 1),
        series.figure(|s| s.cpu.user_us).median,
        series.figure(|s| s.cpu.system_us).median,
        spread(|s| s.rate, 0),
        spread(|s| s.p50_us, 0),
        spread(|s| s.p99_us, 0),
    )
}

/// "17.4 (16.9–18.2)"; whole numbers have their thousands apart.
fn figure(figure: Figure, digits: usize) -> String {
    let show = |value: f64| match digits {
        0 => thousands(format!("{value:.0}")),
        _ => format!("{value:.digits$}"),
    };
    format!("{} ({}–{})", show(figure.median), show(figure.min), show(figure.max))
}

fn ratio(value: f64, base: Option<f64>) -> String {
    base.filter(|b| *b > 0.0).map_or("–".to_owned(), |b| format!("{:.2}", value / b))
}

/// "100,000".
pub(crate) fn thousands(number: impl Display) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::procfs::CpuTime;
    use super::*;

    fn sample(user_us: f64, errors: u64) -> Sample {
        let cpu = CpuTime { user_us, system_us: 10.0 };
        Sample { cpu, rate: 61_234.4, p50_us: 980.0, p99_us: 1890.0, errors, foreign: 0.01 }
    }

    #[test]
    fn a_row_shows_median_spread_and_ratios() {
        let samples = vec![sample(4.0, 0), sample(6.0, 0), sample(5.0, 0)];
        let series = Series { contestant: 0, workload: Workload::W1, samples };
        assert_eq!(
            row(&series, "nginx", &[ratio(15.0, Some(10.0)), ratio(15.0, None)]),
            "| nginx | 15.0 (14.0–16.0) | 5.0 | 10.0 | 1.50 | – | 61,234 (61,234–61,234) | 980 (980–980) \
             | 1,890 (1,890–1,890) | 0 |\n"
        );
    }

    #[test]
    fn head_and_rows_have_the_same_columns() {
        let series = Series { contestant: 0, workload: Workload::W1, samples: vec![sample(4.0, 1200)] };
        let row = row(&series, "a", &["b".into(), "c".into()]);
        for line in head("a", &["b", "c"]).lines() {
            assert_eq!(line.matches('|').count(), row.matches('|').count());
        }
        assert!(row.contains("**1,200**"), "{row}");
    }

    #[test]
    fn a_disturbed_run_is_called_so() {
        let samples = vec![sample(4.0, 0), Sample { foreign: 0.2, ..sample(4.0, 0) }, sample(4.0, 0)];
        let series = |samples| [Series { contestant: 0, workload: Workload::W1, samples }];
        let text = foreign(&series(samples.clone()));
        assert!(text.contains("1.0 % of a turn, at most 20.0 %: **"), "{text}");
        assert!(!foreign(&series(samples[..1].to_vec())).contains("**"));
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(100_000), "100,000");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
