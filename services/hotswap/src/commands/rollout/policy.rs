//! `hotswap rollout policy`.

use hotswap_api::rollout::v1::{
    DeleteRolloutPolicyRequest, GetRolloutPolicyRequest, ListRolloutPoliciesRequest, PutRolloutPolicyRequest,
    RolloutPolicy,
};
use hotswap_core::{Clock as _, SystemClock};

use crate::cli::{PolicyAction, PolicyPut};
use crate::client::Api;
use crate::columns::{age, percent};
use crate::exit::Failure;
use crate::manifest;
use crate::output::{self, Show};
use crate::proto_json::Document;
use crate::style::Cell;
use crate::words::span;

/// Policies asked for at once.
const PAGE: i32 = 200;
const COLLECTION: &str = "rolloutPolicies";

pub(super) async fn run(action: &PolicyAction) -> Result<(), Failure> {
    let now = SystemClock.now().seconds();
    match action {
        PolicyAction::List { output, client } => {
            let target = client.target()?;
            output::many(&all(&target.connect().await?).await?, output.view(&target), now)
        }
        PolicyAction::Get { name, output, client } => {
            let target = client.target()?;
            let (api, name) = (target.connect().await?, full_name(name));
            let request = GetRolloutPolicyRequest { name: name.clone() };
            let answer = api.rollouts.clone().get_rollout_policy(request).await;
            let answer = answer.map_err(|status| Failure::from(status).about(&name))?;
            output::one(&whole(answer.into_inner().policy)?, output.view(&target), now)
        }
        PolicyAction::Put(args) => put(args).await,
        PolicyAction::Delete { name, etag, client } => {
            let (api, name) = (client.connect().await?, full_name(name));
            let request = DeleteRolloutPolicyRequest { name: name.clone(), etag: etag.clone() };
            let answer = api.rollouts.clone().delete_rollout_policy(request).await;
            answer.map_err(|status| Failure::from(status).about(&name))?;
            output::line(&format!("{name} deleted"))
        }
    }
}

/// All policies, by name.
pub(super) async fn all(api: &Api) -> Result<Vec<RolloutPolicy>, Failure> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListRolloutPoliciesRequest { page_size: PAGE, page_token };
        let page = api.rollouts.clone().list_rollout_policies(request).await?.into_inner();
        found.extend(page.policies);
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
}

async fn put(args: &PolicyPut) -> Result<(), Failure> {
    let policies =
        manifest::messages::<RolloutPolicy>(&args.file, "RolloutPolicy", "hotswap.rollout.v1.RolloutPolicy")?;
    if policies.is_empty() {
        return Err(Failure::usage(format!("{} holds no document", args.file.display())));
    }
    let api = args.client.connect().await?;
    for policy in policies {
        let name = policy.name.clone();
        let request = PutRolloutPolicyRequest { policy: Some(policy), validate_only: args.dry_run };
        let answer = api.rollouts.clone().put_rollout_policy(request).await;
        let written =
            whole(answer.map_err(|status| Failure::from(status).about(&name))?.into_inner().policy)?;
        let dry = if args.dry_run { " (dry run)" } else { "" };
        output::line(&format!("{} put: {}{dry}", written.name, asks(&written)))?;
    }
    Ok(())
}

fn full_name(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("{COLLECTION}/{name}") }
}

fn whole(policy: Option<RolloutPolicy>) -> Result<RolloutPolicy, Failure> {
    policy.ok_or_else(|| Failure::other("the server's answer holds no policy"))
}

/// What it asks for, in words.
fn asks(p: &RolloutPolicy) -> String {
    let mut parts = Vec::new();
    match p.approval_levels.len() {
        0 => {}
        1 => parts.push("approval".to_owned()),
        n => parts.push(format!("approval at {n} levels")),
    }
    for (asked, word) in [(p.gradual, "steps"), (p.judged, "a judge"), (p.smoke_tested, "smoke tests")] {
        if asked {
            parts.push(word.to_owned());
        }
    }
    if let Some(bake) = &p.min_bake {
        parts.push(format!("bakes of at least {}", span(u64::try_from(bake.seconds).unwrap_or_default())));
    }
    if p.max_first_share_bps > 0 {
        parts.push(format!("at most {} at first", percent(p.max_first_share_bps)));
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

impl Show for RolloutPolicy {
    const COLUMNS: &'static [&'static str] = &["NAME", "SUBJECT", "ASKS FOR", "AGE"];
    const WIDE: &'static [&'static str] = &["UPDATED"];

    fn called(&self) -> String {
        self.name.clone()
    }

    fn row(&self, wide: bool, now: i64) -> Vec<Cell> {
        let mut row = vec![
            self.name.as_str().into(),
            self.subject.as_str().into(),
            asks(self).into(),
            age(self.create_time.as_ref(), now).into(),
        ];
        if wide {
            row.push(age(self.update_time.as_ref(), now).into());
        }
        row
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of("RolloutPolicy", "hotswap.rollout.v1.RolloutPolicy", self)
    }
}
