//! A watched rollout as a stream.

use std::pin::Pin;

use futures_util::Stream;
use futures_util::stream::unfold;
use hotswap_api::rollout::v1 as wire;
use hotswap_core::Reason;
use hotswap_rpc::WireError;
use hotswap_runtime::CancellationToken;
use tonic::Status;

use super::show;
use super::status::status;
use crate::{Watched, Watching};

/// What a watch says.
pub(super) type Said = Pin<Box<dyn Stream<Item = Result<wire::WatchRolloutResponse, Status>> + Send>>;

/// Each state that the rollout is seen in, until it ends, or the process does.
pub(super) fn stream(watching: Watching, shutdown: CancellationToken) -> Said {
    // `None` behind an error: a stream that failed has ended.
    Box::pin(unfold(Some((watching, shutdown)), |open| async {
        let (mut watching, shutdown) = open?;
        let next = tokio::select! {
            next = watching.next() => next.map_err(status),
            () = shutdown.cancelled() => Err(ends()),
        };
        match next {
            Ok(Some(seen)) => Some((Ok(shown(&seen)), Some((watching, shutdown)))),
            Ok(None) => None,
            Err(status) => Some((Err(status), None)),
        }
    }))
}

fn shown(seen: &Watched) -> wire::WatchRolloutResponse {
    wire::WatchRolloutResponse {
        rollout: Some(show::rollout(&seen.view)),
        measurement: seen.measurement.as_ref().map(show::measurement),
    }
}

fn ends() -> Status {
    WireError::new(Reason::ShuttingDown, "the control plane ends; watch the rollout again").into()
}
