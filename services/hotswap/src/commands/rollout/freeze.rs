//! `hotswap rollout freeze`.

use hotswap_api::rollout::v1::{Freeze, GetFreezeRequest, SetFreezeRequest};

use crate::cli::{FreezeAction, FreezeTurn};
use crate::exit::Failure;
use crate::output::{self, Show};
use crate::proto_json::Document;
use crate::style::{Cell, Tone};
use crate::words::moment;

pub(super) async fn run(action: &FreezeAction) -> Result<(), Failure> {
    match action {
        FreezeAction::On(args) => turn(args, true).await,
        FreezeAction::Off(args) => turn(args, false).await,
        FreezeAction::Status { output, client } => {
            let target = client.target()?;
            let api = target.connect().await?;
            let answer = api.rollouts.clone().get_freeze(GetFreezeRequest {}).await?.into_inner();
            output::one(&whole(answer.freeze)?, output.view(&target), 0)
        }
    }
}

async fn turn(args: &FreezeTurn, on: bool) -> Result<(), Failure> {
    let api = args.client.connect().await?;
    let request = SetFreezeRequest { on, reason: args.reason.clone() };
    let freeze = whole(api.rollouts.clone().set_freeze(request).await?.into_inner().freeze)?;
    output::line(if freeze.on {
        "rollouts are frozen: none begins or grows, and no write is live at once; the way back stays open"
    } else {
        "rollouts are not frozen any more"
    })
}

fn whole(freeze: Option<Freeze>) -> Result<Freeze, Failure> {
    freeze.ok_or_else(|| Failure::other("the server's answer holds no switch"))
}

impl Show for Freeze {
    const COLUMNS: &'static [&'static str] = &["FROZEN", "SINCE", "BY", "REASON"];
    const WIDE: &'static [&'static str] = &[];

    fn called(&self) -> String {
        if self.on { "on" } else { "off" }.to_owned()
    }

    fn row(&self, _wide: bool, _now: i64) -> Vec<Cell> {
        let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
        let frozen = if self.on { Cell::toned("on", Tone::Warn) } else { "off".into() };
        vec![
            frozen,
            moment(self.update_time.as_ref()).into(),
            or_none(&self.actor).into(),
            or_none(&self.reason).into(),
        ]
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of("Freeze", "hotswap.rollout.v1.Freeze", self)
    }
}
