//! `hotswap approvals`.

use hotswap_api::rollout::v1::{ListPendingApprovalsRequest, PendingApproval};

use crate::cli::Approvals;
use crate::client::Api;
use crate::exit::Failure;
use crate::output::{self, Show};
use crate::proto_json::Document;
use crate::style::Cell;
use crate::words::moment;

/// Approvals asked for at once.
const PAGE: i32 = 200;

pub(in crate::commands) async fn run(args: &Approvals) -> Result<(), Failure> {
    let target = args.client.target()?;
    let view = args.output.view(&target);
    output::many(&all(&target.connect().await?, args.mine).await?, view, 0)
}

async fn all(api: &Api, mine: bool) -> Result<Vec<PendingApproval>, Failure> {
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListPendingApprovalsRequest { page_size: PAGE, page_token, mine };
        let page = api.rollouts.clone().list_pending_approvals(request).await?.into_inner();
        found.extend(page.approvals);
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
}

impl Show for PendingApproval {
    const COLUMNS: &'static [&'static str] =
        &["SUBJECT", "FROM", "TO", "ASKED BY", "LEVEL", "APPROVED", "EXPIRES", "NAME"];
    const WIDE: &'static [&'static str] = &["APPROVED BY", "REASON", "CONTENT HASH"];

    fn called(&self) -> String {
        self.rollout.as_ref().map(|r| r.name.clone()).unwrap_or_default()
    }

    fn row(&self, wide: bool, _now: i64) -> Vec<Cell> {
        let rollout = self.rollout.clone().unwrap_or_default();
        let levels = rollout.approval_levels.len().max(1);
        let mut row: Vec<Cell> = vec![
            rollout.subject.into(),
            rollout.baseline_revision.to_string().into(),
            rollout.candidate_revision.to_string().into(),
            rollout.actor.into(),
            format!("{} of {levels}", self.level + 1).into(),
            format!("{} of {}", self.approved_by.len(), self.quorum).into(),
            moment(self.expire_time.as_ref()).into(),
            rollout.name.into(),
        ];
        if wide {
            row.push(self.approved_by.join(", ").into());
            row.push(rollout.reason.into());
            row.push(self.content_hash.as_str().into());
        }
        row
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of("PendingApproval", "hotswap.rollout.v1.PendingApproval", self)
    }
}
