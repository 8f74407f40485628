//! RolloutService on the wire: each method reads its request, calls its use case, writes the answer.
//!
//! ```text
//!   proto ──draft──► what is asked for ──► use case ──► View ──show──► proto
//!              └── faults, each under its field's name ──► status ◄── Error
//! ```

mod commands;
mod draft;
mod paths;
mod report;
mod service;
mod show;
mod status;
mod watch;

use hotswap_api::rollout::v1 as wire;
use hotswap_auth::OpContext;
use hotswap_core::Violations;
use hotswap_rpc::{WireError, op_context};
use hotswap_runtime::CancellationToken;
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{Page, Rollouts, WriteOptions};

/// RolloutService, on the use cases of a process.
#[derive(Clone, Debug)]
pub struct RolloutRpc {
    rollouts: Rollouts,
    /// Ends the watches.
    shutdown: CancellationToken,
}

impl RolloutRpc {
    /// On these use cases; watches end when `shutdown` is cancelled.
    pub fn new(rollouts: Rollouts, shutdown: CancellationToken) -> Self {
        Self { rollouts, shutdown }
    }
}

type Answer<T> = Result<Response<T>, Status>;

fn parts<T>(request: Request<T>) -> Result<(OpContext, T), Status> {
    let ctx = op_context(&request)?;
    Ok((ctx, request.into_inner()))
}

fn invalid(faults: Violations) -> Status {
    WireError::invalid(faults).into()
}

/// A request id; empty: there is none.
fn request_id(v: &mut Violations, text: &str) -> Option<Uuid> {
    if text.is_empty() { None } else { v.take("request_id", text.parse().map_err(|_| "must be a UUID")) }
}

/// The full name of what a call is aimed at, for the audit log.
fn full_name(collection: &str, name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("{collection}/{name}") }
}

fn page(page_size: i32, page_token: String) -> Page {
    Page { page_size, page_token }
}

/// The options of a creation. `message` is the whole request with its request_id taken out.
fn options(v: &mut Violations, id: &str, message: &wire::CreateRolloutRequest) -> WriteOptions {
    let hash = Sha256::digest(message.encode_to_vec());
    let fingerprint = hash.iter().map(|b| format!("{b:02x}")).collect();
    WriteOptions { validate_only: message.validate_only, request_id: request_id(v, id), fingerprint }
}
