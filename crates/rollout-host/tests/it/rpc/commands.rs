//! The way of a rollout: created, watched, held, moved on, taken back, approved.

use hotswap_auth::Role;

use super::*;

#[tokio::test]
async fn a_rollout_is_created_watched_and_promoted() {
    let plane = Plane::start().await;
    let mut ann = plane.operator().await;
    let made = create(&mut ann, canary()).await.expect("created");
    assert_eq!((made.subject.as_str(), made.actor.as_str()), ("tables/t", "ann"));
    assert_eq!((made.baseline_revision, made.candidate_revision, made.steps.len()), (1, 2, 5));
    let name = made.name.clone();
    let baking = until(&mut ann, &name, is_baking).await;
    assert_eq!(
        (baking.share_bps, baking.exposure.as_str(), baking.current_step),
        (1_000, "10 % of requests", 2)
    );
    assert!(baking.steps[1].end_time.is_some() && baking.steps[2].start_time.is_some());
    assert!(baking.steps[2].end_time.is_none() && baking.etag != made.etag);

    let request = wire::WatchRolloutRequest { name: name.clone() };
    let mut watch = ann.watch_rollout(request).await.expect("opens").into_inner();
    assert_eq!(next(&mut watch).await.and_then(|seen| seen.rollout), Some(baking));
    let promote = wire::PromoteRolloutRequest { name: name.clone(), full: true, ..Default::default() };
    ann.promote_rollout(promote).await.expect("promoted");
    let mut last = None;
    while let Some(seen) = next(&mut watch).await {
        last = seen.rollout;
    }
    let last = last.expect("its end is told");
    assert_eq!(
        (last.state(), last.state_message.as_str()),
        (State::Promoted, "promoted: everybody has the candidate")
    );
    assert!(last.end_time.is_some() && last.steps.iter().all(|step| step.end_time.is_some()));
    // The id alone is a name, too.
    let id = name.trim_start_matches("rollouts/");
    assert_eq!(get(&mut ann, id).await, last);
}

#[tokio::test]
async fn what_happened_is_listed_page_by_page_and_rollouts_by_filter() {
    let plane = Plane::start().await;
    plane.home.table.add("tables/u").await;
    let mut ann = plane.operator().await;
    let first = create(&mut ann, direct()).await.expect("created");
    until(&mut ann, &first.name, |r| r.state() == State::Promoted).await;
    let other = wire::Rollout { subject: "tables/u".into(), ..canary() };
    let second = create(&mut ann, other).await.expect("created");
    let (mut kinds, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = wire::ListRolloutEventsRequest { name: first.name.clone(), page_size: 2, page_token };
        let page = ann.list_rollout_events(request).await.expect("a page").into_inner();
        assert!(page.events.len() <= 2);
        kinds.extend(page.events.into_iter().map(|e| e.kind));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!((kinds[0].as_str(), kinds[kinds.len() - 1].as_str(), kinds.len()), ("started", "ended", 8));
    let mut found = async |filter: &str, order_by: &str| {
        let request = wire::ListRolloutsRequest {
            filter: filter.into(),
            order_by: order_by.into(),
            ..Default::default()
        };
        let page = ann.list_rollouts(request).await.expect("a page").into_inner();
        page.rollouts.into_iter().map(|r| r.name).collect::<Vec<_>>()
    };
    let (a, b) = (first.name.clone(), second.name.clone());
    assert_eq!(found("", "").await, [b.clone(), a.clone()]);
    assert_eq!(found("", "create_time").await, [a.clone(), b.clone()]);
    assert_eq!(found("subject = tables/u", "").await, [b]);
    assert_eq!(found("strategy = direct AND actor = ann", "").await, [a]);
    let request = wire::ListMeasurementsRequest { name: first.name, ..Default::default() };
    let measured = ann.list_measurements(request).await.expect("a page").into_inner();
    assert_eq!(measured, wire::ListMeasurementsResponse::default());
}

#[tokio::test]
async fn a_person_holds_one_lets_it_go_on_and_takes_it_back() {
    let plane = Plane::start().await;
    let mut ann = plane.operator().await;
    let name = create(&mut ann, canary()).await.expect("created").name;
    until(&mut ann, &name, is_baking).await;
    let pause =
        wire::PauseRolloutRequest { name: name.clone(), reason: "lunch".into(), ..Default::default() };
    let held = ann.pause_rollout(pause).await.expect("paused").into_inner().rollout.expect("set");
    assert_eq!(
        (held.state(), held.state_message.as_str()),
        (State::Paused, "paused by ann: lunch; step 3 of 5: baking for 1 h")
    );
    let resume = wire::ResumeRolloutRequest { name: name.clone(), ..Default::default() };
    let on = ann.resume_rollout(resume).await.expect("resumed").into_inner().rollout.expect("set");
    assert_eq!(on.state(), State::Progressing);
    let back = wire::RollbackRolloutRequest {
        name: name.clone(),
        etag: on.etag,
        reason: "no".into(),
        instant: true,
        ..Default::default()
    };
    ann.rollback_rollout(back).await.expect("goes back");
    let ended = until(&mut ann, &name, |r| r.end_time.is_some()).await;
    assert_eq!(
        (ended.state(), ended.state_message.as_str()),
        (State::RolledBack, "rolled back: ann rolled it back: no")
    );
    assert_eq!(plane.home.table.standing("tables/t").await.0, 1);
}

#[tokio::test]
async fn an_approval_counts_for_what_was_seen_and_never_for_ones_own() {
    let plane = Plane::start().await;
    let (mut bob, mut eve) =
        (plane.client("bob", &[Role::Operator]).await, plane.client("eve", &[Role::Viewer]).await);
    let level = wire::ApprovalLevel { role: "viewer".into(), ..Default::default() };
    let name = create(&mut bob, wire::Rollout { approval_levels: vec![level], ..direct() }).await;
    let name = name.expect("created").name;
    let pending = async |client: &mut Client, mine| {
        let request = wire::ListPendingApprovalsRequest { mine, ..Default::default() };
        client.list_pending_approvals(request).await.expect("a page").into_inner().approvals
    };
    let waits = pending(&mut bob, false).await;
    assert_eq!((waits.len(), waits[0].quorum, waits[0].level), (1, 1, 0));
    assert_eq!(pending(&mut bob, true).await.len(), 0);
    assert_eq!(pending(&mut eve, true).await.len(), 1);
    let approve = |hash: &str| wire::ApproveRolloutRequest {
        name: name.clone(),
        content_hash: hash.into(),
        ..Default::default()
    };
    let seen = waits[0].content_hash.clone();
    let refused = bob.approve_rollout(approve(&seen)).await.expect_err("his own");
    assert_eq!(why(&refused).0, "COMMAND_REFUSED");
    assert_eq!(why(&eve.approve_rollout(approve("other")).await.expect_err("not seen")).0, "CONTENT_CHANGED");
    assert_eq!(why(&eve.approve_rollout(approve("")).await.expect_err("nothing")).1, ["content_hash"]);
    eve.approve_rollout(approve(&seen)).await.expect("approved");
    until(&mut eve, &name, |r| r.state() == State::Promoted).await;

    plane.home.table.write("tables/t", 3, "h3").await;
    let level = wire::ApprovalLevel { principals: vec!["eve".into()], ..Default::default() };
    let third = wire::Rollout { candidate_revision: 3, approval_levels: vec![level], ..direct() };
    let name = create(&mut bob, third).await.expect("created").name;
    let reject = wire::RejectRolloutRequest { name: name.clone(), reason: "no".into(), ..Default::default() };
    eve.reject_rollout(reject).await.expect("rejected");
    let ended = until(&mut eve, &name, |r| r.end_time.is_some()).await;
    assert_eq!(
        (ended.state(), ended.state_message.as_str()),
        (State::Rejected, "not started: eve rejected it: no")
    );
}

#[tokio::test]
async fn clients_report_counts_that_a_judge_reads() {
    let plane = Plane::start().await;
    let mut ann = plane.operator().await;
    let source = Some(wire::MetricSource { kind: Some(wire::metric_source::Kind::Reported(true)) });
    let judgement = wire::Judgement { ignore_latency: true, source, ..Default::default() };
    let name = create(&mut ann, wire::Rollout { judgement: Some(judgement), ..canary() }).await;
    let name = name.expect("created").name;
    until(&mut ann, &name, is_baking).await;
    let arm = |total, errors| Some(wire::ArmCounts { total, errors, ..Default::default() });
    let report = wire::ReportCountsRequest {
        name: name.clone(),
        reporter: "host-1/7".into(),
        step: 1,
        baseline: arm(900, 0),
        candidate: arm(100, 90),
        ..wire::ReportCountsRequest::default()
    };
    let told = ann.report_counts(report).await.expect("taken").into_inner();
    assert_eq!(told, wire::ReportCountsResponse { step: 1, counting: true, slow_over_us: 0 });
    plane.home.pass(hotswap_rollout::Millis(2_000));
    let ended = until(&mut ann, &name, |r| r.end_time.is_some()).await;
    assert_eq!((ended.state(), ended.verdict()), (State::RolledBack, wire::Verdict::Panic));
    let request = wire::ListMeasurementsRequest { name, ..Default::default() };
    let measured = ann.list_measurements(request).await.expect("a page").into_inner().measurements;
    let newest = &measured[0];
    assert_eq!((newest.step, newest.verdict()), (1, wire::Verdict::Panic));
    assert_eq!(newest.candidate.as_ref().map(|arm| (arm.total, arm.errors)), Some((100, 90)));
}

#[tokio::test]
async fn a_watch_ends_with_the_process_and_says_so() {
    let plane = Plane::start().await;
    let mut ann = plane.operator().await;
    let name = create(&mut ann, canary()).await.expect("created").name;
    until(&mut ann, &name, is_baking).await;
    let mut watch = ann.watch_rollout(wire::WatchRolloutRequest { name }).await.expect("opens").into_inner();
    next(&mut watch).await.expect("its state");
    let Plane { server, .. } = plane;
    let (stopped, said) = tokio::join!(server.stop(), tokio::time::timeout(LIMIT, watch.message()));
    assert_eq!(
        ((), why(&said.expect("in time").expect_err("ends")).0),
        (stopped, "SHUTTING_DOWN".to_owned())
    );
}
