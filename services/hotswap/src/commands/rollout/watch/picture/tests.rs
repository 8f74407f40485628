//! Pictures, letter by letter.

use hotswap_api::rollout::v1::Verdict;

use super::*;

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn step(kind: Kind, message: &str, times: (i64, i64)) -> Step {
    let time = |t: i64| (t > 0).then(|| at(t)).flatten();
    Step {
        kind: kind.into(),
        message: message.into(),
        start_time: time(times.0),
        end_time: time(times.1),
        ..Step::default()
    }
}

/// A canary that bakes at half of the requests.
fn rollout() -> Rollout {
    Rollout {
        subject: "routes/shop".into(),
        baseline_revision: 3,
        candidate_revision: 5,
        strategy_name: "canary".into(),
        state: State::Progressing.into(),
        state_message: "step 6 of 9: baking for 5 min".into(),
        steps: vec![
            step(Kind::Stage, "making the candidate ready", (100, 101)),
            step(Kind::Expose, "exposing the candidate to 10 % of requests", (101, 102)),
            step(Kind::Bake, "baking for 1 min", (102, 162)),
            step(Kind::Judge, "waiting for the judge", (162, 163)),
            step(Kind::Expose, "exposing the candidate to 50 % of requests", (163, 164)),
            step(Kind::Bake, "baking for 5 min", (164, 0)),
            step(Kind::Judge, "waiting for the judge", (0, 0)),
            step(Kind::Expose, "exposing the candidate to everybody", (0, 0)),
            step(Kind::Commit, "making the candidate the new baseline", (0, 0)),
        ],
        current_step: 5,
        share_bps: 5_000,
        exposure: "50 % of requests".into(),
        create_time: at(100),
        step_end_time: at(464),
        verdict: Verdict::Inconclusive.into(),
        verdict_message:
            "inconclusive: errors 0.50 % beside 0.25 % of the baseline's, a difference of -1.00 points \
                          to +2.00 points (limit +5.00 points)"
                .into(),
        ..Rollout::default()
    }
}

fn measurement() -> Measurement {
    let arm = |total, errors, slow| Some(ArmCounts { total, errors, slow, buckets: vec![] });
    let figures = |aspect: &str| AspectFigures {
        aspect: aspect.into(),
        lower_bps: -100.0,
        upper_bps: 200.0,
        limit_bps: 500.0,
        ..AspectFigures::default()
    };
    Measurement {
        candidate: arm(400, 2, 4),
        baseline: arm(400, 1, 8),
        slow_over_us: 40_000,
        figures: vec![figures("errors"), figures("slow")],
        ..Measurement::default()
    }
}

fn drawn(
    rollout: Rollout,
    measurement: Option<Measurement>,
    note: &str,
    (width, height): (usize, usize),
) -> String {
    let seen = WatchRolloutResponse { rollout: Some(rollout), measurement };
    let frame = Frame { width, height, now: Timestamp(262_000_000) };
    let lines = picture(&seen, note, frame);
    assert!(lines.iter().all(|line| line.width() <= width));
    lines.iter().map(|line| line.painted(false).trim_end().to_owned() + "\n").collect()
}

#[test]
fn a_canary_under_way() {
    let want = "\
routes/shop  revision 3 → 5  canary, for 2m 42s
progressing: step 6 of 9: baking for 5 min

  ✓ making the candidate ready             1s
  ✓ 10 % of requests                       1m 2s
  ▶ 50 % of requests                       baking, 3m 22s left
    everybody
    making the candidate the new baseline

  share       ━━━━━━━━━━━━━━━━━━━─────────────────── 50 % (50 % of requests)
                requests  errors                  slow (over 40 ms)
  candidate          400  0.50 %                  1.00 %
  baseline           400  0.25 %                  2.00 %
  difference              -1.00 to +2.00          -1.00 to +2.00
  too much                +5.00 points            +5.00 points
  verdict     inconclusive: errors 0.50 % beside 0.25 % of the baseline's, a
              difference of -1.00 points to +2.00 points (limit +5.00 points)
";
    assert_eq!(drawn(rollout(), Some(measurement()), "", (80, 40)), want);
}

#[test]
fn one_that_was_rolled_back_says_why() {
    let rolled_back = Rollout {
        state: State::RolledBack.into(),
        state_message: "rolled back: fail: errors 9.00 %".into(),
        share_bps: 0,
        exposure: "nobody".into(),
        verdict: Verdict::Fail.into(),
        verdict_message: "fail: errors 9.00 %".into(),
        step_end_time: None,
        end_time: at(200),
        ..rollout()
    };
    let want = "\
routes/shop  revision 3 → 5  canary, took 1m 40s
rolled back

  ✓ making the candidate ready             1s
  ✓ 10 % of requests                       1m 2s
  ✗ 50 % of requests
    everybody
    making the candidate the new baseline

  share       ──────────────────────────────────────── 0 % (nobody)
  verdict     fail: errors 9.00 %
  ended       rolled back: fail: errors 9.00 %
";
    assert_eq!(drawn(rolled_back, None, "", (90, 40)), want);
}

#[test]
fn in_a_small_terminal_the_stage_under_way_is_still_there() {
    let text = drawn(rollout(), Some(measurement()), "trying again: gone", (60, 17));
    assert!(text.contains("▶ 50 % of requests") && text.contains("… 2 more"), "{text}");
    assert!(text.ends_with("trying again: gone\n") && text.lines().count() <= 18, "{text}");
    let narrow = drawn(rollout(), Some(measurement()), "", (20, 50));
    assert!(narrow.lines().all(|line| line.chars().count() <= 20));
}

#[test]
fn what_a_stage_waits_for_is_told() {
    let mut r = rollout();
    r.steps.insert(7, step(Kind::Gate, "waiting for a person: it asks", (0, 0)));
    (r.current_step, r.step_end_time) = (7, None);
    assert!(drawn(r.clone(), None, "", (90, 40)).contains("waiting for a person to promote it\n"));
    (r.current_step, r.step_end_time) = (6, at(263));
    assert!(drawn(r.clone(), None, "", (90, 40)).contains("waiting for a verdict, 1s left\n"));
    r.current_step = 4;
    r.step_end_time = None;
    assert!(drawn(r.clone(), None, "", (90, 40)).contains("under way\n"));
    r.state = State::Promoted.into();
    r.state_message = "promoted: everybody has the candidate".into();
    let text = drawn(r, None, "", (90, 40));
    assert_eq!(text.matches('✓').count(), 5, "{text}");
    assert!(text.contains("  ended       promoted: everybody"), "{text}");
}
