use hotswap_core::Timestamp;
use hotswap_rollout::Millis;
use hotswap_rollout::judge::{
    Arm, Aspect, Counts, Evidence, Finding, JudgeConfig, JudgeDraft, Limit, Measurement, Method, Reading,
    Tally, Verdict,
};

fn config(draft: &JudgeDraft) -> JudgeConfig {
    JudgeConfig::parse(draft, 1, 1).expect("a judge")
}

fn tally(requests: u64, errors: u64, slow: u64) -> Tally {
    Tally { requests, errors, slow }
}

fn counts(candidate: Tally, baseline: Tally) -> Counts {
    let arm = |all| Arm { all, buckets: vec![] };
    Counts { candidate: arm(candidate), baseline: arm(baseline), share: None, timed: true }
}

/// Each tally in a bucket of its own.
fn sticky(candidate: &[Tally], baseline: &[Tally]) -> Counts {
    let arm = |buckets: &[Tally]| {
        let add = |a: Tally, b: &Tally| tally(a.requests + b.requests, a.errors + b.errors, a.slow + b.slow);
        Arm { all: buckets.iter().fold(Tally::default(), add), buckets: buckets.to_vec() }
    };
    Counts { candidate: arm(candidate), baseline: arm(baseline), share: None, timed: true }
}

fn judged(draft: &JudgeDraft, readings: &[Reading]) -> Vec<Finding> {
    let config = config(draft);
    let mut evidence = Evidence::begin(1, Timestamp(0));
    let take = |(i, reading): (usize, &Reading)| {
        let at = Timestamp(i64::try_from(i + 1).unwrap() * 1_000_000);
        evidence.take(&config, &Measurement { at, epoch: 1, reading: reading.clone() }).expect("taken")
    };
    readings.iter().enumerate().map(take).collect()
}

fn one(draft: &JudgeDraft, counts: Counts) -> Finding {
    judged(draft, &[Reading::Counts(counts)]).remove(0)
}

fn usual() -> JudgeDraft {
    JudgeDraft::default()
}

#[test]
fn no_data_is_never_healthy_and_a_broken_source_is_no_breach() {
    let findings = judged(&usual(), &[Reading::NoData, Reading::Broken("connection refused".into())]);
    assert_eq!((findings[0].verdict, findings[1].verdict), (Verdict::NoData, Verdict::Broken));
    assert!(findings[1].words.ends_with("connection refused"));
    for (candidate, baseline) in [(0, 0), (0, 10_000), (10_000, 0)] {
        let finding = one(&usual(), counts(tally(candidate, 0, 0), tally(baseline, 0, 0)));
        assert_eq!(finding.verdict, Verdict::NoData, "{candidate} {baseline}");
    }
}

#[test]
fn too_few_requests_are_inconclusive_whatever_they_say() {
    let finding = one(&usual(), counts(tally(9, 9, 9), tally(1_000, 0, 0)));
    assert_eq!(finding.verdict, Verdict::Inconclusive);
    assert_eq!(finding.words, "too few requests: candidate 9, baseline 1000; 20 are needed of each");
}

#[test]
fn a_candidate_beyond_the_limit_fails_and_one_within_it_passes() {
    let bad = one(&usual(), counts(tally(100, 12, 0), tally(900, 9, 0)));
    assert_eq!(bad.verdict, Verdict::Fail, "{}", bad.words);
    let good = one(&usual(), counts(tally(2_000, 22, 3), tally(18_000, 180, 30)));
    assert_eq!(good.verdict, Verdict::Pass, "{}", good.words);
    let worse_within = one(&usual(), counts(tally(20_000, 600, 0), tally(180_000, 1_800, 0)));
    assert_eq!(worse_within.verdict, Verdict::Pass, "{}", worse_within.words);
}

#[test]
fn a_slow_candidate_fails_too() {
    let slow = one(&usual(), counts(tally(200, 2, 60), tally(1_800, 18, 6)));
    assert_eq!(slow.verdict, Verdict::Fail, "{}", slow.words);
    let figures = slow.figures.iter().find(|f| f.aspect == Aspect::Slow).expect("figures of slow requests");
    assert!(figures.lower < 0.3 && 0.3 < figures.upper && figures.worse > figures.needed);
}

#[test]
fn where_slow_is_not_known_yet_nothing_passes_and_errors_still_fail() {
    let untimed = |candidate, baseline| Counts { timed: false, ..counts(candidate, baseline) };
    let good = one(&usual(), untimed(tally(2_000, 22, 0), tally(18_000, 180, 0)));
    assert_eq!(good.verdict, Verdict::Inconclusive);
    assert!(good.words.contains("p95 is not known"), "{}", good.words);
    let bad = one(&usual(), untimed(tally(100, 12, 0), tally(900, 9, 0)));
    assert_eq!(bad.verdict, Verdict::Fail);
}

#[test]
fn a_relative_limit_is_one() {
    let draft = JudgeDraft { errors: Limit::Relative(50), slow: None, panic: None, ..usual() };
    let verdict = |candidate| one(&draft, counts(candidate, tally(900_000, 9_000, 0))).verdict;
    assert_eq!(verdict(tally(100_000, 2_000, 0)), Verdict::Fail);
    assert_eq!(verdict(tally(100_000, 1_050, 0)), Verdict::Pass);
    let from_nothing = one(&draft, counts(tally(1_000, 40, 0), tally(9_000, 0, 0)));
    assert_eq!(from_nothing.verdict, Verdict::Fail, "{}", from_nothing.words);
}

#[test]
fn one_client_with_many_errors_is_not_many_clients() {
    let baseline = vec![tally(1_000, 10, 0); 64];
    let mut candidate = vec![tally(100, 1, 0); 64];
    candidate[7] = tally(1_000, 800, 0);
    let finding = one(&usual(), sticky(&candidate, &baseline));
    assert_eq!(finding.verdict, Verdict::Inconclusive, "{}", finding.words);
    assert!(finding.words.contains("requests of a client counted as one"), "{}", finding.words);

    let everywhere = vec![tally(115, 14, 0); 64];
    assert_eq!(one(&usual(), sticky(&everywhere, &baseline)).verdict, Verdict::Fail);
}

#[test]
fn one_client_address_alone_gives_no_verdict() {
    let mut candidate = vec![Tally::default(); 64];
    candidate[3] = tally(5_000, 500, 0);
    let finding = one(&usual(), sticky(&candidate, &[tally(1_000, 10, 0); 64]));
    assert_eq!(finding.verdict, Verdict::Inconclusive);
    assert!(finding.words.starts_with("too few clients"), "{}", finding.words);
}

#[test]
fn a_panic_needs_no_statistics() {
    let finding = one(&usual(), counts(tally(20, 15, 0), tally(180, 2, 0)));
    assert_eq!(finding.verdict, Verdict::Panic, "{}", finding.words);
    let mut draft = usual();
    draft.panic = None;
    assert_eq!(one(&draft, counts(tally(20, 15, 0), tally(180, 2, 0))).verdict, Verdict::Fail);
}

#[test]
fn a_measurement_counts_once_and_only_for_its_own_exposure() {
    let config = config(&usual());
    let mut evidence = Evidence::begin(4, Timestamp(0));
    let measurement = |at, epoch| Measurement { at: Timestamp(at), epoch, reading: Reading::NoData };
    assert!(evidence.take(&config, &measurement(5, 4)).is_some());
    for (at, epoch) in [(5, 4), (4, 4), (9, 1)] {
        assert_eq!(evidence.take(&config, &measurement(at, epoch)), None);
    }
}

fn growing(seconds: u64, errors_percent: u64) -> Vec<Reading> {
    let at = |s: u64| {
        // Errors come unevenly, so that windows differ.
        let errors =
            |requests: u64, percent: u64| requests * percent / 100 + (s * 7 % 3).min(requests * percent);
        let (candidate, baseline) = (s * 50, s * 450);
        counts(
            tally(candidate, errors(candidate, errors_percent), 0),
            tally(baseline, errors(baseline, 1), 0),
        )
    };
    (1..=seconds).map(at).map(Reading::Counts).collect()
}

#[test]
fn stored_measurements_judged_again_give_the_same() {
    let methods = [
        Method::Sequential,
        Method::Threshold { window_ms: Millis(5_000), failures: 2, successes: 5 },
        Method::MannWhitney {
            window_ms: Millis(5_000),
            min_windows: 10,
            tolerance_percent: 25,
            level_bp: 200,
        },
    ];
    for method in methods {
        let draft = JudgeDraft { method, panic: None, ..usual() };
        let readings = growing(120, 8);
        let stored = serde_json::to_string(&(&draft, &readings)).expect("serializes");
        let (draft_again, again): (JudgeDraft, Vec<Reading>) = serde_json::from_str(&stored).expect("parses");
        let (first, second) = (judged(&draft, &readings), judged(&draft_again, &again));
        assert_eq!(first, second);
        assert!(first.iter().any(|finding| finding.verdict == Verdict::Fail), "{method:?}");
        let healthy = judged(&draft, &growing(120, 1));
        assert_eq!(healthy.last().map(|f| f.verdict), Some(Verdict::Pass), "{method:?}");
    }
}

#[test]
fn evidence_survives_its_stored_form_in_the_midst() {
    let config = config(&usual());
    let readings = growing(100, 4);
    let mut whole = Evidence::begin(1, Timestamp(0));
    let mut stored = whole.clone();
    for (i, reading) in readings.into_iter().enumerate() {
        let at = Timestamp(i64::try_from(i + 1).unwrap() * 1_000_000);
        let measurement = Measurement { at, epoch: 1, reading };
        let finding = whole.take(&config, &measurement);
        stored = serde_json::from_str(&serde_json::to_string(&stored).unwrap()).unwrap();
        assert_eq!(stored.take(&config, &measurement), finding);
    }
}

#[test]
fn faults_of_a_method_are_named() {
    let method =
        Method::MannWhitney { window_ms: Millis(1), min_windows: 2, tolerance_percent: 25, level_bp: 0 };
    let faults = JudgeConfig::parse(&JudgeDraft { method, ..usual() }, 1, 1).expect_err("faults");
    let fields: Vec<_> = faults.iter().map(|v| v.field.as_str()).collect();
    let names = ["window_ms", "min_windows", "level_bp"];
    assert_eq!(fields, names.map(|name| format!("method.mann_whitney.{name}")));
}
