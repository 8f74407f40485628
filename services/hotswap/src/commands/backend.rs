//! `hotswap backend`: what a backend of a pool may do.

use hotswap_api::route::v1::{BackendState, SetBackendStateRequest};
use hotswap_core::{Ids as _, SystemIds};

use crate::cli::{Backend, BackendAction};
use crate::exit::Failure;
use crate::output;

pub(super) async fn run(args: &Backend) -> Result<(), Failure> {
    let (place, state, done) = match &args.action {
        BackendAction::Drain(place) => (place, BackendState::Drained, "drained"),
        BackendAction::Enable(place) => (place, BackendState::Enabled, "enabled"),
        BackendAction::HoldOpen(place) => (place, BackendState::ForcedOpen, "held open"),
        BackendAction::HoldClosed(place) => (place, BackendState::ForcedClosed, "held closed"),
    };
    let pool = match place.pool.strip_prefix("pool/") {
        Some(id) => format!("pools/{id}"),
        None => format!("pools/{}", place.pool.trim_start_matches("pools/")),
    };
    let request = SetBackendStateRequest {
        pool: pool.clone(),
        address: place.address.clone(),
        state: state.into(),
        request_id: SystemIds.uuid().to_string(),
    };
    let api = place.client.connect().await?;
    let answer = api.routes.clone().set_backend_state(request).await;
    let revision = answer.map_err(|status| Failure::from(status).about(&pool))?.into_inner().revision;
    output::line(&format!("{} of {pool} {done}, as of revision {revision}", place.address))
}
