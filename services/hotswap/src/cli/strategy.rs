//! Strategies as the command line has them, for what needs no file.

use std::time::Duration;

use clap::Args;

/// One of them, or none where a file says it.
#[derive(Args, Clone, Debug)]
#[group(id = "strategy", multiple = false)]
pub(crate) struct StrategyArgs {
    /// By growing shares of requests, in percent, judged at each: 10,50,100
    #[arg(long, value_name = "PERCENT,…", value_delimiter = ',', value_parser = parse_percent)]
    pub(crate) canary: Vec<u32>,
    /// Tested with nobody on it, then switched at once
    #[arg(long)]
    pub(crate) blue_green: bool,
    /// In so many batches, with a look at the health between
    #[arg(long, value_name = "BATCHES")]
    pub(crate) rolling: Option<u32>,
    /// To those whose header or cookie has one of some values, until somebody ends it: header:NAME=VALUE,… or
    /// cookie:NAME=VALUE,…
    #[arg(long, value_name = "COHORT")]
    pub(crate) ab: Option<String>,
    /// To copies of so many percent of requests, whose answers are dropped and compared
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub(crate) shadow: Option<u32>,
    /// At once
    #[arg(long)]
    pub(crate) direct: bool,
}

/// What blue-green has beside its name.
#[derive(Args, Clone, Debug)]
pub(crate) struct BlueGreenArgs {
    /// A request that the candidate must answer well before the switch, as 'GET /healthz', or with the status it must
    /// have: 'GET /healthz 204'. May be given several times
    #[arg(long, value_name = "REQUEST", requires = "blue_green")]
    pub(crate) smoke: Vec<String>,
    /// How long the baseline is kept for an instant way back: 10m
    #[arg(long, value_name = "TIME", value_parser = parse_span, requires = "blue_green")]
    pub(crate) keep: Option<Duration>,
}

/// Times at shares: one for all, or one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bake(pub(crate) Vec<Duration>);

/// A percentage with at most two digits behind the point, as basis points.
pub(crate) fn parse_percent(text: &str) -> Result<u32, String> {
    let form = || "give percent, as 10 or 0.5; the smallest part is 0.01".to_owned();
    let (whole, part) =
        text.trim_end_matches('%').split_once('.').unwrap_or((text.trim_end_matches('%'), ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || part.len() > 2 || !digits(whole) || !digits(part) {
        return Err(form());
    }
    let bps = format!("{whole}{part:0<2}").parse::<u32>().map_err(|_| form())?;
    if bps <= 10_000 { Ok(bps) } else { Err("must be at most 100".to_owned()) }
}

/// A span as "200ms", "30s", "5m", "2h" or "1d"; 0 has no unit.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let form = || "give a number and a unit: 500ms, 30s, 5m, 2h or 1d".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
    let number: u64 = text[..digits].parse().map_err(|_| form())?;
    let factor = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(form()),
    };
    let most = Duration::from_secs(30 * 86_400);
    let span = number.checked_mul(factor).map(Duration::from_millis).filter(|span| *span <= most);
    span.ok_or_else(|| "must be at most 30 days".to_owned())
}

/// Spans with commas between.
pub(crate) fn parse_bake(text: &str) -> Result<Bake, String> {
    text.split(',').map(parse_span).collect::<Result<_, _>>().map(Bake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_become_basis_points() {
        for (text, bps) in [("10", 1_000), ("0.5", 50), ("0.01", 1), ("12.34%", 1_234), ("100", 10_000)] {
            assert_eq!(parse_percent(text), Ok(bps), "{text}");
        }
        for text in ["", ".5", "1.234", "-1", "101", "100.01", "x", "1e2", "99999999999"] {
            assert!(parse_percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_bake_is_one_span_or_several() {
        assert_eq!(parse_bake("5m"), Ok(Bake(vec![Duration::from_secs(300)])));
        let several = vec![Duration::from_millis(200), Duration::ZERO, Duration::from_secs(86_400)];
        assert_eq!(parse_bake("200ms,0,1d"), Ok(Bake(several)));
        for text in ["", "5", "m", "5w", "31d", "1m,"] {
            assert!(parse_bake(text).is_err(), "{text}");
        }
    }
}
