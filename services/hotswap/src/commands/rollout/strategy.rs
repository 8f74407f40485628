//! From the options of the command line to the strategy of the contract.

use std::time::Duration;

use hotswap_api::rollout::v1::rollout::Strategy;
use hotswap_api::rollout::v1::{
    AbTest, BlueGreen, Canary, CanaryStep, Cohort, Direct, Rolling, Shadow, SmokeTest, StickyKey, cohort,
    sticky_key,
};

use crate::cli::{Bake, RolloutCreate};
use crate::exit::Failure;

/// The strategy that is asked for; `None`: none is, on the command line.
pub(super) fn strategy(args: &RolloutCreate) -> Result<Option<Strategy>, Failure> {
    let how = &args.strategy;
    if !how.blue_green && (!args.blue_green.smoke.is_empty() || args.blue_green.keep.is_some()) {
        return Err(Failure::usage("--smoke and --keep go with --blue-green"));
    }
    let strategy = if !how.canary.is_empty() {
        Strategy::Canary(canary(&how.canary, args.bake.as_ref(), args.gate)?)
    } else if how.blue_green {
        if args.bake.is_some() {
            return Err(Failure::usage(
                "--bake is not for --blue-green; --keep says how long the baseline is kept",
            ));
        }
        Strategy::BlueGreen(BlueGreen {
            smoke_tests: args
                .blue_green
                .smoke
                .iter()
                .map(|text| smoke_test(text))
                .collect::<Result<_, _>>()?,
            keep: args.blue_green.keep.map(span),
            gate: args.gate,
        })
    } else if let Some(batches) = how.rolling {
        let bake = bake(args.bake.as_ref())?;
        Strategy::Rolling(Rolling { batches, bake })
    } else if let Some(text) = &how.ab {
        Strategy::AbTest(AbTest { cohort: Some(cohort(text)?), bake: bake(args.bake.as_ref())? })
    } else if let Some(share_bps) = how.shadow {
        Strategy::Shadow(Shadow { share_bps, bake: bake(args.bake.as_ref())?, gate: args.gate })
    } else if how.direct {
        Strategy::Direct(Direct {})
    } else {
        if args.bake.is_some() || args.gate {
            return Err(Failure::usage("--bake and --gate go with a strategy, as --canary 10,50,100"));
        }
        return Ok(None);
    };
    let takes_gate = matches!(strategy, Strategy::Canary(_) | Strategy::BlueGreen(_) | Strategy::Shadow(_));
    if args.gate && !takes_gate {
        return Err(Failure::usage("--gate is for --canary, --blue-green and --shadow"));
    }
    if args.bake.is_some() && how.direct {
        return Err(Failure::usage("--bake is not for --direct, which waits for nothing"));
    }
    Ok(Some(strategy))
}

fn canary(shares: &[u32], bake: Option<&Bake>, gate: bool) -> Result<Canary, Failure> {
    let spans = bake.map(|bake| bake.0.as_slice()).unwrap_or_default();
    if spans.len() > 1 && spans.len() != shares.len() {
        let why = format!(
            "--bake has {} times for {} shares; give one for all, or one each",
            spans.len(),
            shares.len()
        );
        return Err(Failure::usage(why));
    }
    let step = |(i, share_bps): (usize, &u32)| CanaryStep {
        share_bps: *share_bps,
        bake: spans.get(i).or(spans.first()).copied().map(span),
        // Behind the last share there is nothing that a person could let it go on to.
        gate: gate && i + 1 < shares.len(),
    };
    Ok(Canary { steps: shares.iter().enumerate().map(step).collect() })
}

fn bake(bake: Option<&Bake>) -> Result<Option<prost_types::Duration>, Failure> {
    match bake.map(|bake| bake.0.as_slice()) {
        None => Ok(None),
        Some([one]) => Ok(Some(span(*one))),
        Some(_) => Err(Failure::usage("--bake takes one time here; only --canary has several")),
    }
}

fn span(span: Duration) -> prost_types::Duration {
    let seconds = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: i32::try_from(span.subsec_nanos()).unwrap_or_default() }
}

/// As "/healthz", "GET /healthz" or "GET /healthz 204".
fn smoke_test(text: &str) -> Result<SmokeTest, Failure> {
    let form = || Failure::usage(format!("--smoke {text:?} must be METHOD PATH or METHOD PATH STATUS"));
    let words: Vec<_> = text.split_whitespace().collect();
    let (method, path, status) = match words.as_slice() {
        [path] => ("GET", *path, "0"),
        [method, path] => (*method, *path, "0"),
        [method, path, status] => (*method, *path, *status),
        _ => return Err(form()),
    };
    let expect_status = status.parse().map_err(|_| form())?;
    Ok(SmokeTest { method: method.to_owned(), path: path.to_owned(), expect_status, ..SmokeTest::default() })
}

/// As "header:x-beta=1" or "cookie:beta=1,2".
fn cohort(text: &str) -> Result<Cohort, Failure> {
    let form = || Failure::usage(format!("--ab {text:?} must be header:NAME=VALUE,… or cookie:NAME=VALUE,…"));
    let (key, values) = text.split_once('=').ok_or_else(form)?;
    let key = match key.split_once(':') {
        Some(("header", name)) => cohort::Key::Header(name.to_owned()),
        Some(("cookie", name)) => cohort::Key::Cookie(name.to_owned()),
        _ => return Err(form()),
    };
    Ok(Cohort { key: Some(key), values: values.split(',').map(str::to_owned).collect() })
}

/// As "cookie:sid", "header:x-user" or "client-address".
pub(super) fn sticky(text: &str) -> Result<StickyKey, Failure> {
    let kind = match text.split_once(':') {
        Some(("header", name)) => sticky_key::Kind::Header(name.to_owned()),
        Some(("cookie", name)) => sticky_key::Kind::Cookie(name.to_owned()),
        None if text == "client-address" => sticky_key::Kind::ClientAddress(true),
        _ => {
            let why = format!("--sticky {text:?} must be cookie:NAME, header:NAME or client-address");
            return Err(Failure::usage(why));
        }
    };
    Ok(StickyKey { kind: Some(kind) })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, RolloutAction};

    fn read(line: &str) -> Result<Option<Strategy>, Failure> {
        let words = ["hotswap", "rollout", "create", "routes/a"].into_iter().chain(line.split(' '));
        let cli = Cli::try_parse_from(words).map_err(|e| Failure::usage(e.to_string()))?;
        let Command::Rollout(args) = cli.command else { panic!("another command") };
        let RolloutAction::Create(args) = args.action else { panic!("another action") };
        strategy(&args)
    }

    fn s(seconds: i64) -> Option<prost_types::Duration> {
        Some(prost_types::Duration { seconds, nanos: 0 })
    }

    #[test]
    fn a_canary_has_shares_times_and_gates() {
        let step = |share_bps, bake, gate| CanaryStep { share_bps, bake, gate };
        let canary = |steps| Some(Strategy::Canary(Canary { steps }));
        let read = |line| read(line).expect("valid");
        assert_eq!(read("--canary 0.5,100"), canary(vec![step(50, None, false), step(10_000, None, false)]));
        let want = canary(vec![step(1_000, s(60), true), step(10_000, s(60), false)]);
        assert_eq!(read("--canary 10,100 --bake 1m --gate"), want);
        let want = canary(vec![step(1_000, s(1), false), step(10_000, s(0), false)]);
        assert_eq!(read("--canary 10,100 --bake 1s,0"), want);
    }

    #[test]
    fn the_other_strategies_are_read() {
        let smoke = |method: &str, path: &str, expect_status| SmokeTest {
            method: method.into(),
            path: path.into(),
            expect_status,
            ..SmokeTest::default()
        };
        assert_eq!(smoke_test("/a").expect("valid"), smoke("GET", "/a", 0));
        assert_eq!(smoke_test("HEAD /a 204").expect("valid"), smoke("HEAD", "/a", 204));
        let read = |line| read(line).expect("valid");
        let smoke_tests = vec![smoke("GET", "/a", 0), smoke("GET", "/b", 0)];
        let want = Strategy::BlueGreen(BlueGreen { smoke_tests, keep: s(60), gate: true });
        assert_eq!(read("--blue-green --smoke /a --smoke /b --keep 1m --gate"), Some(want));
        let want = Strategy::Rolling(Rolling { batches: 4, bake: s(2) });
        assert_eq!(read("--rolling 4 --bake 2s"), Some(want));
        let cohort =
            Cohort { key: Some(cohort::Key::Header("x-beta".into())), values: vec!["1".into(), "2".into()] };
        let want = Strategy::AbTest(AbTest { cohort: Some(cohort), bake: None });
        assert_eq!(read("--ab header:x-beta=1,2"), Some(want));
        let want = Strategy::Shadow(Shadow { share_bps: 1_000, bake: None, gate: false });
        assert_eq!(read("--shadow 10"), Some(want));
        assert_eq!(read("--direct"), Some(Strategy::Direct(Direct {})));
        assert_eq!(read("--reason why"), None);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for line in [
            "--canary 10 --direct",
            "--canary 10,50 --bake 1s,2s,3s",
            "--blue-green --bake 1s",
            "--rolling 2 --bake 1s,2s",
            "--rolling 2 --gate",
            "--direct --bake 1s",
            "--bake 1s",
            "--gate",
            "--smoke /a --canary 10",
            "--ab x-beta=1",
            "--ab header:x-beta",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
        for text in ["sid", "cookie", "address:1"] {
            assert!(sticky(text).is_err(), "{text}");
        }
        assert!(smoke_test("GET / 200 ok").is_err());
    }
}
