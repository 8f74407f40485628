//! Events as the contract has them.

use hotswap_api::rollout::v1 as wire;

use super::time;
use crate::Happened;

/// An event of a rollout's log.
pub(in crate::rpc) fn event(logged: &Happened) -> wire::RolloutEvent {
    wire::RolloutEvent {
        sequence: logged.seq,
        time: Some(time(logged.at)),
        kind: logged.kind.clone(),
        message: logged.event.to_string(),
    }
}
