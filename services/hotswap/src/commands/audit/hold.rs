//! `hotswap audit hold`: legal holds, which keep retention from dropping events.

use hotswap_api::audit::v1::{
    CreateLegalHoldRequest, LegalHold, ListLegalHoldsRequest, ReleaseLegalHoldRequest,
};

use crate::cli::{HoldAction, HoldList, HoldPlace, HoldRelease};
use crate::exit::{Failure, one_line};
use crate::output::{self, Show};
use crate::proto_json::Document;
use crate::style::{Cell, Tone};
use crate::words;

/// Holds asked for at once.
const PAGE: i32 = 200;
const COLLECTION: &str = "legalHolds";

pub(super) async fn run(action: &HoldAction) -> Result<(), Failure> {
    match action {
        HoldAction::Place(args) => place(args).await,
        HoldAction::List(args) => list(args).await,
        HoldAction::Release(args) => release(args).await,
    }
}

async fn place(args: &HoldPlace) -> Result<(), Failure> {
    let api = args.client.connect().await?;
    let (chain, reason) = (args.chain.chain.clone(), args.reason.clone());
    let legal_hold = Some(LegalHold { chain, reason, ..LegalHold::default() });
    let answer = api.audit.clone().create_legal_hold(CreateLegalHoldRequest { legal_hold }).await?;
    let hold = of_answer(answer.into_inner().legal_hold)?;
    output::line(&format!("{} placed: no event of {} is dropped until it is released", hold.name, hold.chain))
}

async fn list(args: &HoldList) -> Result<(), Failure> {
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let api = target.connect().await?;
    let (mut holds, mut page_token) = (Vec::new(), String::new());
    loop {
        let chain = args.chain.chain.clone();
        let request = ListLegalHoldsRequest { chain, page_size: PAGE, page_token };
        let page = api.audit.clone().list_legal_holds(request).await?.into_inner();
        holds.extend(page.legal_holds);
        if page.next_page_token.is_empty() {
            break;
        }
        page_token = page.next_page_token;
    }
    if args.standing {
        holds.retain(|hold| hold.release_time.is_none());
    }
    output::many(&holds, view, 0)
}

async fn release(args: &HoldRelease) -> Result<(), Failure> {
    let api = args.client.connect().await?;
    let name =
        if args.name.contains('/') { args.name.clone() } else { format!("{COLLECTION}/{}", args.name) };
    let answer = api.audit.clone().release_legal_hold(ReleaseLegalHoldRequest { name: name.clone() }).await;
    let answer = answer.map_err(|status| Failure::from(status).about(&name))?;
    let hold = of_answer(answer.into_inner().legal_hold)?;
    output::line(&format!("{} released: it held {} for {:?}", hold.name, hold.chain, one_line(&hold.reason)))
}

fn of_answer(hold: Option<LegalHold>) -> Result<LegalHold, Failure> {
    hold.ok_or_else(|| Failure::other("the server's answer holds no legal hold"))
}

impl Show for LegalHold {
    const COLUMNS: &'static [&'static str] = &["NAME", "CHAIN", "PLACED", "BY", "REASON", "RELEASED"];
    const WIDE: &'static [&'static str] = &["RELEASED BY"];

    fn called(&self) -> String {
        self.name.clone()
    }

    fn row(&self, wide: bool, _now: i64) -> Vec<Cell> {
        let released = match &self.release_time {
            None => Cell::toned("-", Tone::Warn),
            Some(at) => words::moment(Some(at)).into(),
        };
        let mut row = vec![
            self.name.clone().into(),
            self.chain.clone().into(),
            words::moment(self.place_time.as_ref()).into(),
            self.placed_by.clone().into(),
            self.reason.clone().into(),
            released,
        ];
        if wide {
            row.push(self.released_by.clone().into());
        }
        row
    }

    fn document(&self) -> Result<impl serde::Serialize, Failure> {
        Document::of("LegalHold", "hotswap.audit.v1.LegalHold", self)
    }
}
