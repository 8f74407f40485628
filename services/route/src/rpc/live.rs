//! Explanations by a proxy, of what it would do: on its own stream where this process holds it, else through the store
//! by the replica that does.

use std::time::Duration;

use hotswap_api::route::v1 as wire;
use hotswap_core::{ProxyName, Reason, ResourceName as _, Violations};
use hotswap_rpc::WireError;
use tonic::Status;

use super::status::status;
use super::watch::{Questions, packed, unpacked};
use crate::app::{App, Fleet};
use crate::domain::Unanswered;

/// What the way to another replica and back may take, beside the proxy's own time.
const THERE_AND_BACK: Duration = Duration::from_secs(3);

/// Asks the proxy that the request names.
pub(super) async fn explain(
    app: &App,
    fleet: &Fleet,
    questions: &Questions,
    request: wire::ExplainRequestRequest,
) -> Result<wire::ExplainRequestResponse, Status> {
    let name = ProxyName::parse(&request.proxy)
        .map_err(|e| WireError::invalid(Violations::one("proxy", e.to_string())))?;
    let known = fleet.get(name.id()).ok_or_else(|| {
        WireError::new(Reason::NotFound, format!("{name} has never connected")).with("name", name.as_str())
    })?;
    let told = if !known.connected {
        Err(Unanswered::not_connected(name.id()))
    } else if known.replica == fleet.replica() {
        questions.ask(name.id(), request).await
    } else {
        let within = questions.within() + THERE_AND_BACK;
        let answer = app.ask_through(&known.replica, name.id(), packed(&request), within).await;
        answer.map_err(status)?.and_then(|text| {
            unpacked(&text).ok_or_else(|| Unanswered::refused(name.id(), "the answer can't be read"))
        })
    };
    told.map_err(|Unanswered { reason, message }| {
        let error = WireError::new(reason, message).with("name", name.as_str());
        error.with("replica", known.replica).into()
    })
}
