//! Judges beside each other on the same simulated rollouts, for `cargo xtask bench judge`: a JSON object a line.
//!
//! A rollout has a tenth of the requests for half an hour. It is measured each second in the first minute and each ten
//! seconds from then on; all judges see the same measurements. The first "fail" is a rollback. Who has not failed after
//! half an hour promotes, if it says pass; ours may also be undecided. Everything follows from the seeds.
//!
//! Arguments: by how much fewer rollouts, default 1; then of which traffic alone, as `1000 sticky`, default of all. Half an
//! hour of 1,000 sticky requests a second takes the longest to simulate: some 20 ms a rollout.

mod contest;
mod random;
mod traffic;

use std::error::Error;
use std::io::Write as _;

use contest::{Contest, Judge};
use hotswap_rollout::Millis;
use hotswap_rollout::judge::Method;
use serde_json::json;
use traffic::{Setting, Trouble};

type Failure = Box<dyn Error + Send + Sync>;

/// Rollouts without a regression, and of those the ones that peers are tuned on.
const SOUND: u64 = 2_000;
const TUNED_ON: u64 = 400;
/// Rollouts of each regression.
const SICK: u64 = 500;
/// The most rollbacks without cause that a peer may have: as many as ours, and at most this.
const MOST_FALSE: f64 = 0.01;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let scale: u64 = args.first().map_or(Ok(1), |text| text.parse())?;
    let alone = match args.get(1..) {
        Some([rate, kind]) => Some((rate.parse::<f64>()?, kind == "sticky")),
        _ => None,
    };
    for sticky in [false, true] {
        for rate in [5.0, 50.0, 1_000.0] {
            if alone.is_none_or(|alone| alone == (rate, sticky)) {
                setting(Setting { rate, sticky }, scale)?;
            }
        }
    }
    Ok(())
}

fn setting(setting: Setting, scale: u64) -> Result<(), Failure> {
    let (sound, tuned_on, sick) = (SOUND / scale, TUNED_ON / scale, SICK / scale);
    let beyond = |points: f64| Trouble::Errors(0.05 + points / 100.0);
    let mut judges = vec![("ours", Judge::ours())];
    let alone = Contest { setting, trouble: Trouble::None, judges: vec![Judge::ours()] }.run(0..sound);
    let ours = alone.first().map_or(0.0, |result| share(result.rolled_back, sound));
    let sizes = Sizes { tuned_on, sick: sick.min(200), sound };
    for (name, candidates) in [("threshold", thresholds()), ("mann-whitney", rank_tests())] {
        judges.push((name, tuned(setting, candidates, &sizes, ours.min(MOST_FALSE))));
    }
    let troubles = [
        ("none", Trouble::None, sound),
        ("limit +1", beyond(1.0), sick),
        ("limit +2", beyond(2.0), sick),
        ("limit +5", beyond(5.0), sick),
        ("limit +10", beyond(10.0), sick),
        ("limit +20", beyond(20.0), sick),
        ("latency ×1.2", Trouble::Latency(1.2), sick),
        ("latency ×2", Trouble::Latency(2.0), sick),
        ("latency ×4", Trouble::Latency(4.0), sick),
    ];
    for (trouble, kind, rollouts) in troubles {
        let contest =
            Contest { setting, trouble: kind, judges: judges.iter().map(|(_, j)| j.clone()).collect() };
        for ((name, judge), result) in judges.iter().zip(contest.run(0..rollouts)) {
            let line = json!({
                "rate": setting.rate,
                "sticky": setting.sticky,
                "trouble": trouble,
                "judge": name,
                "settings": judge.to_string(),
                "rollouts": rollouts,
                "rolled_back": result.rolled_back,
                "promoted": result.promoted,
                "median": result.median(),
            });
            writeln!(std::io::stdout(), "{line}")?;
        }
    }
    Ok(())
}

/// How many rollouts peers are tuned on.
struct Sizes {
    tuned_on: u64,
    sick: u64,
    sound: u64,
}

/// The settings that find "limit +5" soonest, among those that roll back without cause rarely enough; where none does,
/// those that do it most rarely.
fn tuned(setting: Setting, candidates: Vec<Judge>, sizes: &Sizes, most: f64) -> Judge {
    let run = |trouble, judges: Vec<Judge>, rollouts| Contest { setting, trouble, judges }.run(0..rollouts);
    let few = run(Trouble::None, candidates.clone(), sizes.tuned_on);
    let mut known: Vec<(u64, Judge)> = few.iter().map(|result| result.rolled_back).zip(candidates).collect();
    known.sort_by_key(|(rolled_back, _)| *rolled_back);
    let rarest = known.first().map(|(_, judge)| judge.clone());
    let rare = known.into_iter().filter(|(rolled_back, _)| share(*rolled_back, sizes.tuned_on) <= most);
    let rare: Vec<Judge> = rare.map(|(_, judge)| judge).collect();
    let found = run(Trouble::Errors(0.10), rare.clone(), sizes.sick);
    let medians = found.iter().map(|result| result.median().unwrap_or(f64::INFINITY));
    let mut ranked: Vec<(f64, Judge)> = medians.zip(rare).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let holds = |judge: &Judge| {
        let all = run(Trouble::None, vec![judge.clone()], sizes.sound);
        all.first().is_some_and(|result| share(result.rolled_back, sizes.sound) <= most)
    };
    let best = ranked.into_iter().map(|(_, judge)| judge).take(12).find(holds);
    best.or(rarest).unwrap_or_else(Judge::ours)
}

fn thresholds() -> Vec<Judge> {
    let windows = [1, 5, 10, 20, 30, 60, 120, 300];
    let of = |seconds: u64| {
        [1, 2, 3, 5].map(|failures| {
            Judge::of(Method::Threshold { window_ms: Millis(seconds * 1_000), failures, successes: 1_000 })
        })
    };
    windows.into_iter().flat_map(of).collect()
}

fn rank_tests() -> Vec<Judge> {
    let mut judges = Vec::new();
    for seconds in [20, 60] {
        for min_windows in [8, 15, 50].into_iter().filter(|windows| u64::from(*windows) * seconds <= 1_800) {
            for level_bp in [200, 20, 2] {
                let window_ms = Millis(seconds * 1_000);
                let method = Method::MannWhitney { window_ms, min_windows, tolerance_percent: 25, level_bp };
                judges.push(Judge::of(method));
            }
        }
    }
    judges
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand rollouts")]
fn share(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}
