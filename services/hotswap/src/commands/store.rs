//! `hotswap store`.

use std::sync::Arc;

use hotswap_core::{Clock, Ids, SystemClock, SystemIds};
use hotswap_runtime::{DataDir, chain};
use hotswap_store::{StoreError, backup, restore};

use crate::cli::{Store, StoreAction};
use crate::exit::Failure;
use crate::output;
use crate::suite::DATABASE;

pub(super) async fn run(args: &Store) -> Result<(), Failure> {
    match &args.action {
        StoreAction::Backup { to, data_dir } => {
            let path = data_dir.join(DATABASE);
            if !path.exists() {
                return Err(Failure::other(format!("there is no store in {}", data_dir.display()))
                    .hint("--data-dir says where; a PostgreSQL store is copied with pg_dump"));
            }
            backup(&path, to).await.map_err(failure)?;
            output::line(&format!("written to {}", to.display()))
        }
        StoreAction::Restore { from, data_dir } => {
            let dir = DataDir::open(data_dir).map_err(Failure::from)?;
            let (clock, ids): (Arc<dyn Clock>, Arc<dyn Ids>) = (Arc::new(SystemClock), Arc::new(SystemIds));
            let id = restore(from, &dir.path().join(DATABASE), &clock, &ids).await.map_err(failure)?;
            output::line(&format!("restored; the store is {id} now, so gateways take everything anew"))
        }
    }
}

/// With what it stems from: "disk full" is what the caller must know.
fn failure(error: StoreError) -> Failure {
    let there = matches!(&error, StoreError::Copy { source, .. } if source
        .downcast_ref::<std::io::Error>()
        .is_some_and(|e| e.kind() == std::io::ErrorKind::AlreadyExists));
    let failure = Failure::other(chain(&error));
    if there { failure.hint("a backup is written to a new file; choose another name") } else { failure }
}
