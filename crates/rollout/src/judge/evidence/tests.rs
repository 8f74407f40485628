use super::*;
use crate::judge::{Arm, JudgeDraft, Tally};

fn counts(requests: u64, errors: u64) -> Counts {
    let arm = |requests, errors| Arm { all: Tally { requests, errors, slow: 0 }, buckets: vec![] };
    Counts {
        candidate: arm(requests, errors),
        baseline: arm(requests * 9, requests / 10),
        share: None,
        timed: true,
    }
}

#[test]
fn a_panic_is_looked_for_in_what_is_new() {
    let config = JudgeConfig::parse(&JudgeDraft::default(), 1, 1).expect("a judge");
    let mut evidence = Evidence::begin(1, Timestamp(0));
    assert_eq!(evidence.panics(&config, &counts(100_000, 1_000)), None);
    // Nothing among all, everything among the last twenty.
    assert!(evidence.panics(&config, &counts(100_020, 1_020)).is_some());
    assert_eq!(evidence.panics(&config, &counts(100_025, 1_025)), None, "five more are too few to tell");
}

#[test]
fn a_counter_that_was_set_back_is_no_news() {
    let config = JudgeConfig::parse(&JudgeDraft::default(), 1, 1).expect("a judge");
    let mut evidence = Evidence::begin(1, Timestamp(0));
    assert_eq!(evidence.panics(&config, &counts(1_000, 10)), None);
    assert_eq!(evidence.panics(&config, &counts(50, 50)), None);
}
