//! `hotswap audit`: the log of who did what, and its proof.

mod export;
mod hold;
mod list;
mod verify;

use std::path::Path;

use hotswap_audit::PublicKey;
use hotswap_auth::LocalKey;

use crate::cli::{Audit, AuditAction};
use crate::exit::Failure;
use crate::output;

pub(super) async fn run(args: &Audit) -> Result<(), Failure> {
    match &args.action {
        AuditAction::List(args) => list::run(args).await,
        AuditAction::Export(args) => export::run(args).await,
        AuditAction::Verify(args) => verify::run(args).await,
        AuditAction::Hold { action } => hold::run(action).await,
        AuditAction::Keys { data_dir } => keys(data_dir),
    }
}

fn keys(data_dir: &Path) -> Result<(), Failure> {
    let key = LocalKey::load(data_dir).map_err(Failure::other)?;
    let public = key.public().ok_or_else(|| Failure::other("the key has no public half"))?;
    output::line(&PublicKey::new(public).to_string())
}
