//! Policies and the global switch.

use hotswap_auth::Role;

use super::*;

#[tokio::test]
async fn a_policy_is_put_read_heeded_and_deleted() {
    let plane = Plane::start().await;
    let (mut root, mut ann) = (plane.client("root", &[Role::Admin]).await, plane.operator().await);
    let policy = wire::RolloutPolicy {
        name: "rolloutPolicies/tables".into(),
        subject: "tables/*".into(),
        gradual: true,
        min_bake: seconds(60),
        max_first_share_bps: 500,
        ..Default::default()
    };
    let put = async |client: &mut Client, policy: &wire::RolloutPolicy, validate_only| {
        let request = wire::PutRolloutPolicyRequest { policy: Some(policy.clone()), validate_only };
        client.put_rollout_policy(request).await.map(|answer| answer.into_inner().policy.expect("set"))
    };
    assert_eq!(why(&put(&mut ann, &policy, false).await.expect_err("not hers")).0, "ROLE_MISSING");
    put(&mut root, &policy, true).await.expect("valid");
    let list = wire::ListRolloutPoliciesRequest::default;
    let found = root.list_rollout_policies(list()).await.expect("a page").into_inner();
    assert_eq!(found.policies, [], "it was only checked");
    let written = put(&mut root, &policy, false).await.expect("written");
    let found = ann.list_rollout_policies(list()).await.expect("a page").into_inner();
    assert_eq!(found.policies, std::slice::from_ref(&written));
    let request = wire::GetRolloutPolicyRequest { name: "tables".into() };
    let read = ann.get_rollout_policy(request).await.expect("is there").into_inner().policy;
    assert_eq!(read, Some(written.clone()));
    assert_eq!((written.min_bake, written.max_first_share_bps), (seconds(60), 500));

    let status = create(&mut ann, canary()).await.expect_err("too much at first");
    assert_eq!(why(&status).1, ["rollout.canary"]);
    let status = create(&mut ann, direct()).await.expect_err("at once");
    assert_eq!(why(&status).1, ["rollout.direct", "rollout.direct", "rollout.direct"]);

    let stale = wire::RolloutPolicy { etag: "old".into(), ..policy.clone() };
    assert_eq!(why(&put(&mut root, &stale, false).await.expect_err("stale")).0, "STALE_ETAG");
    let faulty = wire::RolloutPolicy {
        name: "Tables".into(),
        subject: "tables".into(),
        approval_levels: vec![wire::ApprovalLevel {
            role: "admin".into(),
            quorum: 101,
            ..Default::default()
        }],
        min_bake: seconds(3_000_000),
        ..Default::default()
    };
    let fields = why(&put(&mut root, &faulty, false).await.expect_err("faulty")).1;
    let want = ["policy.name", "policy.subject", "policy.approval_levels[0].quorum", "policy.min_bake"];
    assert_eq!(fields, want);
    let delete = wire::DeleteRolloutPolicyRequest { name: policy.name.clone(), etag: written.etag };
    root.delete_rollout_policy(delete.clone()).await.expect("deleted");
    assert_eq!(why(&root.delete_rollout_policy(delete).await.expect_err("gone")).0, "NOT_FOUND");
}

#[tokio::test]
async fn while_the_switch_is_on_nothing_begins() {
    let plane = Plane::start().await;
    let mut ann = plane.operator().await;
    let off = ann.get_freeze(wire::GetFreezeRequest {}).await.expect("read").into_inner().freeze;
    assert_eq!(off, Some(wire::Freeze::default()));
    let turn = |on, reason: &str| wire::SetFreezeRequest { on, reason: reason.into() };
    let on = ann.set_freeze(turn(true, "sale")).await.expect("turned").into_inner().freeze.expect("set");
    assert_eq!((on.on, on.reason.as_str(), on.actor.as_str()), (true, "sale", "ann"));
    assert!(on.update_time.is_some());
    assert_eq!(why(&create(&mut ann, canary()).await.expect_err("frozen")).0, "ROLLOUTS_FROZEN");
    ann.set_freeze(turn(false, "")).await.expect("turned");
    create(&mut ann, canary()).await.expect("created");
}
