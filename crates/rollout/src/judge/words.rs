//! Verdicts in words.

use super::counts::Counts;
use super::{Aspect, Figures, Tally, Verdict};

pub(crate) fn no_data() -> String {
    "no data: the source has counted nothing, which is not taken for healthy".into()
}

pub(crate) fn broken(why: &str) -> String {
    format!("the counts can't be read, which is not taken for a breach: {why}")
}

pub(crate) fn one_arm(candidate: u64, baseline: u64) -> String {
    match (candidate, baseline) {
        (0, 0) => "no data: neither arm had a request".into(),
        (0, _) => "no data: the candidate had no request".into(),
        _ => "no data: the baseline had no request, so there is nothing to compare with".into(),
    }
}

pub(crate) fn too_few(candidate: u64, baseline: u64, least: u64) -> String {
    format!("too few requests: candidate {candidate}, baseline {baseline}; {least} are needed of each")
}

pub(crate) fn few_clients() -> String {
    "too few clients: sticky requests come from fewer than 8 hash buckets of an arm, which may differ by chance".into()
}

pub(crate) fn untimed() -> String {
    "slow requests are not counted yet: the baseline's p95 is not known".into()
}

pub(crate) fn alone(candidate: Tally) -> String {
    format!(
        "everybody has the candidate, so nothing beside it can be compared with, and only a panic counts: {} of {} \
         requests failed",
        candidate.errors, candidate.requests
    )
}

pub(crate) fn panic(candidate: Tally, share: f64, beside: f64) -> String {
    format!(
        "panic: {} of the candidate's last {} requests failed ({}), with {} of the baseline's",
        candidate.errors,
        candidate.requests,
        percent(share),
        percent(beside)
    )
}

pub(crate) fn windowed(name: &str, verdict: Verdict, counts: &Counts) -> String {
    let said = match verdict {
        Verdict::Fail => "the candidate is worse",
        Verdict::Pass => "the candidate is not worse",
        _ => "too few windows to tell",
    };
    let (candidate, baseline) = (counts.candidate.all, counts.baseline.all);
    format!(
        "{name}: {said}; errors: candidate {} of {}, baseline {} of {}",
        candidate.errors, candidate.requests, baseline.errors, baseline.requests
    )
}

pub(crate) fn sequential(verdict: Verdict, figures: &[Figures], late: bool, timed: bool) -> String {
    let mut parts: Vec<String> = figures.iter().map(|figures| one(figures, late)).collect();
    if !timed {
        parts.push(untimed());
    }
    let head = match verdict {
        Verdict::Fail => "fail",
        Verdict::Pass => "pass",
        _ => "inconclusive",
    };
    format!("{head}: {}", parts.join("; "))
}

fn one(figures: &Figures, late: bool) -> String {
    let Figures { aspect, candidate, baseline, limit, lower, upper, worse, needed, dispersion, verdict } =
        figures;
    let what = match aspect {
        Aspect::Errors => "errors",
        Aspect::Slow => "slow requests",
    };
    let when = if late { " in the last minute" } else { "" };
    let mut text = format!(
        "{what}{when} {} beside {} of the baseline's, a difference of {} to {} (limit {})",
        percent(*candidate),
        percent(*baseline),
        points(*lower),
        points(*upper),
        points(*limit)
    );
    if *verdict == Verdict::Fail {
        // Beyond that the figure tells nobody more.
        let worse = if *worse < 1e6 { format!("{worse:.0}") } else { "over a million".to_owned() };
        text.push_str(&format!(", evidence for worse {worse} of {needed:.0}"));
    }
    if *dispersion > 1.05 {
        text.push_str(&format!(", {dispersion:.1} requests of a client counted as one"));
    }
    text
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

fn points(share: f64) -> String {
    format!("{:+.2} points", share * 100.0)
}
