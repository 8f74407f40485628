//! Rollout policies, and what creation refuses.

use hotswap_core::Revision;
use hotswap_rollout::{Millis, RolloutPolicy, Share};
use hotswap_rollout_host::{Create, Error, Page, PutPolicy};

use crate::harness::{Home, Place, canary, create, ctx, direct};

fn policy(id: &str, subject: &str, policy: RolloutPolicy) -> PutPolicy {
    let etag = String::new();
    PutPolicy { name: id.into(), subject: subject.into(), policy, etag, validate_only: false }
}

fn gradual() -> RolloutPolicy {
    RolloutPolicy { gradual: true, ..RolloutPolicy::default() }
}

async fn refused(home: &Home, input: Create) -> Error {
    home.rollouts.create(&ctx("ann"), input).await.expect_err("refused")
}

fn fields(error: &Error) -> Vec<String> {
    let Error::Invalid(faults) = error else { panic!("{error}") };
    faults.iter().map(|v| v.field.clone()).collect()
}

#[tokio::test]
async fn the_most_specific_policy_counts_alone() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let bob = ctx("bob");
    let put = |p| home.rollouts.put_policy(&bob, p);
    put(policy("all", "*", gradual())).await.expect("put");
    assert_eq!(fields(&refused(&home, create(direct())).await), ["strategy"]);
    let strict = RolloutPolicy { min_bake_ms: Millis::hours(1), ..gradual() };
    put(policy("tables", "tables/*", strict)).await.expect("put");
    let error = refused(&home, create(canary())).await;
    assert!(error.to_string().contains("at least 1 h"), "{error}");
    put(policy("one", "tables/t", RolloutPolicy::default())).await.expect("put");
    home.rollouts.create(&ctx("ann"), create(direct())).await.expect("its own policy asks nothing");
}

#[tokio::test]
async fn what_is_checked_only_leaves_nothing() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let mut input = create(canary());
    input.options.validate_only = true;
    let view = home.rollouts.create(&ctx("ann"), input).await.expect("valid");
    assert_eq!(view.rollout.plan.steps().len(), 7);
    let gone = home.rollouts.get(&ctx("ann"), &view.name()).await.expect_err("not written");
    assert!(matches!(gone, Error::NotFound { .. }));
    let put = PutPolicy { validate_only: true, ..policy("a", "*", gradual()) };
    home.rollouts.put_policy(&ctx("bob"), put).await.expect("valid");
    assert!(home.rollouts.policies(&ctx("eve"), &Page::default()).await.expect("list").0.is_empty());
}

#[tokio::test]
async fn creation_names_what_is_wrong() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let with = |change: &dyn Fn(&mut Create)| {
        let mut input = create(direct());
        change(&mut input);
        input
    };
    let error = refused(&home, with(&|c| c.to = Revision(9))).await;
    assert!(matches!(error, Error::RevisionNotFound { revision: 9, .. }), "{error}");
    let error = refused(&home, with(&|c| c.from = Some(Revision(2)))).await;
    assert!(matches!(error, Error::BaselineMoved { live: 1, .. }), "{error}");
    let error = refused(&home, with(&|c| c.subject = "tables/none".into())).await;
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert_eq!(fields(&refused(&home, with(&|c| c.to = Revision(1))).await), ["candidate_revision"]);
    assert_eq!(fields(&refused(&home, with(&|c| c.subject = "cars/x".into())).await), ["subject"]);
    let error = refused(
        &home,
        with(&|c| {
            c.reason = "x".repeat(1_001);
            c.plan.act_deadline_ms = Millis(1);
            c.sticky = Some(hotswap_rollout::StickyKey::Header("a b".into()));
        }),
    );
    assert_eq!(fields(&error.await), ["reason", "act_deadline_ms", "sticky.header"]);
    home.table.write("tables/new", 1, "h").await;
    let error = refused(&home, with(&|c| (c.subject, c.to) = ("tables/new".into(), Revision(1)))).await;
    assert!(matches!(error, Error::NothingLive { .. }), "{error}");
}

#[tokio::test]
async fn policies_are_kept_by_etag_and_one_for_a_subject() {
    let place = Place::new();
    let home = Home::with_table(&place).await;
    let (bob, eve) = (ctx("bob"), ctx("eve"));
    let made = home.rollouts.put_policy(&bob, policy("a", "tables/*", gradual())).await.expect("put");
    let share = Share::from_bp(500).ok();
    let changed = RolloutPolicy { max_first_share: share, ..gradual() };
    let input = PutPolicy { etag: made.etag().as_str().into(), ..policy("a", "tables/*", changed) };
    let now = home.rollouts.put_policy(&bob, input.clone()).await.expect("put");
    assert_eq!((now.policy.max_first_share, now.created_at), (share, made.created_at));
    let stale = home.rollouts.put_policy(&bob, input).await.expect_err("stale");
    assert!(matches!(stale, Error::StaleEtag { .. }), "{stale}");
    let twice = home.rollouts.put_policy(&bob, policy("b", "tables/*", gradual())).await;
    assert!(matches!(twice, Err(Error::PolicyExists { policy }) if policy == "rolloutPolicies/a"));
    let bad = policy("B", "tables", RolloutPolicy { min_bake_ms: Millis::hours(9_000), ..gradual() });
    let bad = home.rollouts.put_policy(&bob, bad).await.expect_err("faults");
    assert_eq!(fields(&bad), ["name", "subject", "min_bake_ms"]);
    home.rollouts.put_policy(&bob, policy("b", "*", gradual())).await.expect("put");
    let page = Page { page_size: 1, ..Page::default() };
    let (first, next) = home.rollouts.policies(&eve, &page).await.expect("a page");
    let (second, end) =
        home.rollouts.policies(&eve, &Page { page_token: next, ..page }).await.expect("a page");
    assert_eq!((first[0].id.as_str(), second[0].id.as_str(), end.as_str()), ("a", "b", ""));
    home.rollouts.delete_policy(&bob, "rolloutPolicies/a", "").await.expect("deleted");
    let gone = home.rollouts.policy(&eve, "a").await.expect_err("gone");
    assert!(matches!(gone, Error::NotFound { .. }), "{gone}");
}
