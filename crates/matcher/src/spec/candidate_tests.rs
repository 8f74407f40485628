use super::*;

fn draft() -> CandidateDraft {
    CandidateDraft {
        rollout: "rollouts/0198c2a4-7b1e-7000-8000-000000000001".into(),
        epoch: 3,
        exposure: Some(ExposureDraft::ShareBps(1_000)),
        sticky_key: Some(RequestKeyDraft::Cookie("user".into())),
        check: None,
    }
}

fn cohort(key: RequestKeyDraft, values: &[&str]) -> Option<ExposureDraft> {
    let values = values.iter().map(|v| (*v).to_owned()).collect();
    Some(ExposureDraft::Cohort(CohortDraft { key, values }))
}

fn faults(draft: &CandidateDraft) -> Vec<String> {
    let faults = CandidateSpec::parse(draft).expect_err("faults");
    faults.iter().map(|v| v.field.clone()).collect()
}

#[test]
fn a_sound_candidate_becomes_typed() {
    let spec = CandidateSpec::parse(&draft()).expect("valid");
    assert_eq!((spec.epoch, spec.exposure), (3, Exposure::Share(1_000)));
    assert_eq!(spec.sticky_key, Some(RequestKey::Cookie("user".into())));
    let nobody = CandidateSpec::parse(&CandidateDraft { exposure: None, ..draft() }).expect("valid");
    assert_eq!(nobody.exposure, Exposure::Nobody);
    let exposure = cohort(RequestKeyDraft::Header("X-Beta".into()), &["1", "yes"]);
    let some = CandidateSpec::parse(&CandidateDraft { exposure, ..draft() }).expect("valid");
    let Exposure::Cohort(cohort) = some.exposure else { panic!("a cohort") };
    assert_eq!(cohort.key, RequestKey::Header(HeaderName::from_static("x-beta")));
    assert!(cohort.values.contains(&b"yes"[..]) && cohort.values.len() == 2);
}

#[test]
fn every_fault_is_named_at_once() {
    let test = SmokeTestDraft {
        method: "get".into(),
        path: "health".into(),
        host: "a b".into(),
        expect_status: 99,
        timeout_ms: 60_001,
    };
    let all = CandidateDraft {
        rollout: "routes/a".into(),
        epoch: -1,
        exposure: cohort(RequestKeyDraft::Cookie("a b".into()), &["", "x"]),
        sticky_key: Some(RequestKeyDraft::Targeting),
        check: Some(CheckDraft {
            number: 1,
            smoke_tests: vec![SmokeTestDraft { path: "/".into(), ..SmokeTestDraft::default() }, test],
        }),
    };
    let at = |field: &str| format!("check.smoke_tests[1].{field}");
    let mut want = vec!["rollout", "epoch", "cohort.values[0]", "cohort.cookie", "sticky_key.targeting_key"];
    let tests = ["method", "path", "host", "expect_status", "timeout_ms"].map(at);
    want.extend(tests.iter().map(String::as_str));
    assert_eq!(faults(&all), want);
}

#[test]
fn shares_and_keys_that_mean_nothing_are_refused() {
    let with = |exposure| faults(&CandidateDraft { exposure, ..draft() });
    assert_eq!(with(Some(ExposureDraft::ShareBps(10_001))), ["share_bps"]);
    assert_eq!(with(Some(ExposureDraft::ShadowBps(10_001))), ["shadow_bps"]);
    assert_eq!(with(cohort(RequestKeyDraft::ClientAddress, &["x"])), ["cohort"]);
    assert_eq!(with(cohort(RequestKeyDraft::Missing, &["x"])), ["cohort"]);
    assert_eq!(with(cohort(RequestKeyDraft::Header("x".into()), &[])), ["cohort.values"]);
    assert_eq!(
        faults(&CandidateDraft { sticky_key: Some(RequestKeyDraft::Missing), ..draft() }),
        ["sticky_key"]
    );
}

#[test]
fn a_smoke_test_has_the_contracts_defaults() {
    let tests = vec![SmokeTestDraft { path: "/health?deep=1".into(), ..SmokeTestDraft::default() }];
    let check = Some(CheckDraft { number: 7, smoke_tests: tests });
    let spec = CandidateSpec::parse(&CandidateDraft { check, ..draft() }).expect("valid");
    let check = spec.check.expect("a check");
    let test = &check.smoke_tests[0];
    assert_eq!((check.number, test.to_string().as_str()), (7, "GET /health?deep=1"));
    assert_eq!((test.expect_status, test.timeout), (None, Duration::from_secs(5)));
}
