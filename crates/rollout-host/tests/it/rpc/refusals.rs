//! What is refused: the stable reason, and every field under the contract's name.

use tonic::Code;

use super::*;

#[tokio::test]
async fn every_fault_bears_the_name_that_the_contract_has_for_it() {
    let plane = Plane::start().await;
    let mut ann = plane.operator().await;
    let none = ann.create_rollout(wire::CreateRolloutRequest::default()).await.expect_err("nothing");
    assert_eq!(why(&none), ("INVALID_INPUT".into(), vec!["rollout".into()]));
    let step = |share_bps| wire::CanaryStep { share_bps, bake: seconds(-1), gate: false };
    let faulty = wire::CreateRolloutRequest {
        rollout: Some(wire::Rollout {
            candidate_revision: 0,
            ..asked(Strategy::Canary(wire::Canary { steps: vec![step(9_000), step(100)] }))
        }),
        request_id: "seven".into(),
        ..Default::default()
    };
    let want = [
        "request_id",
        "rollout.candidate_revision",
        "rollout.canary.steps[0].bake",
        "rollout.canary.steps[1].bake",
        "rollout.canary.steps[1].share_bps",
    ];
    assert_eq!(why(&ann.create_rollout(faulty).await.expect_err("faulty")).1, want);
    let long = wire::Rollout { reason: "x".repeat(1_001), ..direct() };
    assert_eq!(why(&create(&mut ann, long).await.expect_err("too long")).1, ["rollout.reason"]);
    let live = wire::Rollout { candidate_revision: 1, ..direct() };
    assert_eq!(why(&create(&mut ann, live).await.expect_err("is live")).1, ["rollout.candidate_revision"]);
    let foreign = wire::Rollout { subject: "chairs/c".into(), ..direct() };
    assert_eq!(why(&create(&mut ann, foreign).await.expect_err("not ours")).1, ["rollout.subject"]);
    let negative = wire::PromoteRolloutRequest { step: -1, request_id: "x".into(), ..Default::default() };
    assert_eq!(why(&ann.promote_rollout(negative).await.expect_err("faulty")).1, ["request_id", "step"]);
    let bad = wire::ListRolloutsRequest { filter: "color = red".into(), ..Default::default() };
    assert_eq!(why(&ann.list_rollouts(bad).await.expect_err("faulty")).1, ["filter"]);
}

#[tokio::test]
async fn each_refusal_has_its_reason_and_what_a_program_needs() {
    let plane = Plane::start().await;
    let mut ann = plane.operator().await;
    let reason = |status: &Status| (status.code(), why(status).0);
    let gone = wire::GetRolloutRequest { name: format!("rollouts/{}", uuid::Uuid::nil()) };
    let status = ann.get_rollout(gone).await.expect_err("not there");
    assert_eq!(reason(&status), (Code::NotFound, "NOT_FOUND".into()));
    let seven = wire::Rollout { candidate_revision: 7, ..direct() };
    let status = create(&mut ann, seven).await.expect_err("no such revision");
    assert_eq!(reason(&status), (Code::NotFound, "REVISION_NOT_FOUND".into()));
    let moved = wire::Rollout { baseline_revision: 5, ..direct() };
    let status = create(&mut ann, moved).await.expect_err("another baseline");
    assert_eq!(reason(&status).1, "BASELINE_MOVED");

    let name = create(&mut ann, canary()).await.expect("created").name;
    let baking = until(&mut ann, &name, is_baking).await;
    let status = create(&mut ann, canary()).await.expect_err("one is under way");
    assert_eq!(reason(&status), (Code::FailedPrecondition, "ROLLOUT_ACTIVE".into()));
    let pause = wire::PauseRolloutRequest { name: name.clone(), etag: "old".into(), ..Default::default() };
    let status = ann.pause_rollout(pause).await.expect_err("stale");
    assert_eq!(reason(&status), (Code::Aborted, "STALE_ETAG".into()));
    let pause = wire::PauseRolloutRequest { name: name.clone(), etag: baking.etag, ..Default::default() };
    ann.pause_rollout(pause).await.expect("fresh");
    let uncounted = wire::ReportCountsRequest {
        name: name.clone(),
        reporter: "a".into(),
        baseline: Some(wire::ArmCounts::default()),
        candidate: Some(wire::ArmCounts::default()),
        ..Default::default()
    };
    assert_eq!(reason(&ann.report_counts(uncounted).await.expect_err("not asked")).1, "NOTHING_COUNTED");
    let back = || wire::RollbackRolloutRequest { name: name.clone(), ..Default::default() };
    ann.rollback_rollout(back()).await.expect("goes back");
    until(&mut ann, &name, |r| r.end_time.is_some()).await;
    ann.rollback_rollout(back()).await.expect("so it is already");
    let resume = wire::ResumeRolloutRequest { name: name.clone(), ..Default::default() };
    let status = ann.resume_rollout(resume).await.expect_err("is over");
    assert_eq!(reason(&status), (Code::FailedPrecondition, "COMMAND_REFUSED".into()));
}

#[tokio::test]
async fn a_call_that_is_repeated_is_done_once() {
    let plane = Plane::start().await;
    let mut ann = plane.operator().await;
    let request = |rollout| wire::CreateRolloutRequest {
        rollout: Some(rollout),
        request_id: "0198f3a4-7c1e-7d50-9b0e-5f3c2a1d4e6f".into(),
        validate_only: false,
    };
    let one = ann.create_rollout(request(canary())).await.expect("created").into_inner().rollout;
    let two = ann.create_rollout(request(canary())).await.expect("the same").into_inner().rollout;
    assert_eq!(one.map(|r| r.name), two.map(|r| r.name));
    let status = ann.create_rollout(request(direct())).await.expect_err("another one");
    assert_eq!(why(&status).0, "REQUEST_ID_REUSED");
}

#[tokio::test]
async fn what_is_only_checked_is_not_begun() {
    let plane = Plane::start().await;
    let mut ann = plane.operator().await;
    let request =
        wire::CreateRolloutRequest { rollout: Some(canary()), validate_only: true, ..Default::default() };
    let shown = ann.create_rollout(request).await.expect("valid").into_inner().rollout.expect("set");
    assert_eq!(shown.steps.len(), 5);
    let page = ann.list_rollouts(wire::ListRolloutsRequest::default()).await.expect("a page").into_inner();
    assert_eq!(page.rollouts, []);
}
