//! Between the contract and the domain.

use hotswap_api::rollout::v1::{Landing, Standing};
use hotswap_api::route::v1 as wire;
use hotswap_certificate::{CertificateDraft, Chain};
use hotswap_core::{Timestamp, Violations};
use hotswap_matcher::{PoolDraft, RouteDraft};
use hotswap_route_wire::{
    certificate_from_wire, certificate_to_wire, pool_from_wire, pool_to_wire, route_from_wire, route_to_wire,
};
use hotswap_rpc::WireError;
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use super::candidate::candidate;
use super::shown;
use super::status::unfit;
use crate::app::{self, WriteOptions};
use crate::domain::{AnyContent, AnyResource, Content, Difference, Refusal, Resource, RevisionRecord};

/// How a kind of content stands in the contract.
pub(super) trait Wire: Content {
    /// The resource's message.
    type Message: Message + Default + Clone;
    /// The message of one of its revisions.
    type Revision;

    fn from_message(message: &Self::Message) -> Result<Self, Violations>;
    fn to_message(resource: &Resource<Self>) -> Self::Message;
    fn to_revision(record: &RevisionRecord<Self>) -> Self::Revision;
    fn set_refusals(message: &mut Self::Message, refusals: Vec<wire::ProxyRefusal>);
}

/// What a proxy refuses of a resource.
pub(super) fn proxy_refusal((proxy, r): (String, Refusal)) -> wire::ProxyRefusal {
    wire::ProxyRefusal {
        proxy: format!("proxies/{proxy}"),
        revision: r.version,
        field: r.field,
        reason: r.reason,
        message: r.message,
    }
}

impl Wire for RouteDraft {
    type Message = wire::Route;
    type Revision = wire::RouteRevision;

    fn from_message(message: &wire::Route) -> Result<Self, Violations> {
        route_from_wire(message)
    }

    fn to_message(r: &Resource<Self>) -> wire::Route {
        let mut route = wire::Route {
            etag: r.etag().as_str().to_owned(),
            revision: r.revision.0,
            uid: r.uid.to_string(),
            create_time: Some(time(r.created_at)),
            update_time: Some(time(r.updated_at)),
            standing: Some(standing(r)),
            ..route_to_wire(r.full_name(), &r.content)
        };
        if let Some(wire::route::Action::Forward(forward)) = &mut route.action
            && let Some(wire::forward::Target::Inline(inline)) = &mut forward.target
        {
            shown::backends(&mut inline.backends, inline.load_balancing);
        }
        if let Some(mirror) = route.traffic.as_mut().and_then(|traffic| traffic.mirror.as_mut())
            && let Some(wire::mirror::Target::Inline(inline)) = &mut mirror.target
        {
            shown::backends(&mut inline.backends, inline.load_balancing);
        }
        route
    }

    fn to_revision(record: &RevisionRecord<Self>) -> wire::RouteRevision {
        wire::RouteRevision {
            revision: record.revision.0,
            route: record.resource.as_ref().map(Self::to_message),
            create_time: Some(time(record.written_at)),
            actor: record.actor.clone(),
        }
    }

    fn set_refusals(message: &mut wire::Route, refusals: Vec<wire::ProxyRefusal>) {
        message.refusals = refusals;
    }
}

impl Wire for PoolDraft {
    type Message = wire::Pool;
    type Revision = wire::PoolRevision;

    fn from_message(message: &wire::Pool) -> Result<Self, Violations> {
        pool_from_wire(message)
    }

    fn to_message(r: &Resource<Self>) -> wire::Pool {
        let mut pool = wire::Pool {
            etag: r.etag().as_str().to_owned(),
            revision: r.revision.0,
            uid: r.uid.to_string(),
            create_time: Some(time(r.created_at)),
            update_time: Some(time(r.updated_at)),
            standing: Some(standing(r)),
            ..pool_to_wire(r.full_name(), &r.content)
        };
        shown::backends(&mut pool.backends, pool.load_balancing);
        pool
    }

    fn to_revision(record: &RevisionRecord<Self>) -> wire::PoolRevision {
        wire::PoolRevision {
            revision: record.revision.0,
            pool: record.resource.as_ref().map(Self::to_message),
            create_time: Some(time(record.written_at)),
            actor: record.actor.clone(),
        }
    }

    fn set_refusals(message: &mut wire::Pool, refusals: Vec<wire::ProxyRefusal>) {
        message.refusals = refusals;
    }
}

impl Wire for CertificateDraft {
    type Message = wire::Certificate;
    type Revision = wire::CertificateRevision;

    fn from_message(message: &wire::Certificate) -> Result<Self, Violations> {
        Ok(certificate_from_wire(message))
    }

    fn to_message(r: &Resource<Self>) -> wire::Certificate {
        let mut certificate = wire::Certificate {
            etag: r.etag().as_str().to_owned(),
            revision: r.revision.0,
            uid: r.uid.to_string(),
            create_time: Some(time(r.created_at)),
            update_time: Some(time(r.updated_at)),
            ..certificate_to_wire(r.full_name(), &r.content)
        };
        // It was read before it was written.
        if let Ok(chain) = Chain::parse(r.content.chain_pem.as_bytes()) {
            let facts = chain.facts();
            certificate.dns_names.clone_from(&facts.dns_names);
            certificate.not_before = Some(whole_seconds(facts.not_before));
            certificate.not_after = Some(whole_seconds(facts.not_after));
            certificate.serial.clone_from(&facts.serial);
            certificate.fingerprint.clone_from(&facts.fingerprint);
        }
        certificate
    }

    fn to_revision(record: &RevisionRecord<Self>) -> wire::CertificateRevision {
        wire::CertificateRevision {
            revision: record.revision.0,
            certificate: record.resource.as_ref().map(Self::to_message),
            create_time: Some(time(record.written_at)),
            actor: record.actor.clone(),
        }
    }

    fn set_refusals(message: &mut wire::Certificate, refusals: Vec<wire::ProxyRefusal>) {
        message.refusals = refusals;
    }
}

fn whole_seconds(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

/// Which revisions carry traffic.
fn standing<C: Content>(r: &Resource<C>) -> Standing {
    let live_revision = r.live.0;
    let Some(candidate) = &r.candidate else { return Standing { live_revision, ..Standing::default() } };
    Standing {
        live_revision,
        candidate_revision: candidate.revision.0,
        candidate_share_bps: candidate.exposure.share().map_or(0, |share| share.bp().into()),
        rollout: candidate.rollout.to_string(),
    }
}

pub(super) fn time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.seconds(), nanos: at.subsec_nanos() }
}

/// The content of a request, which must be there.
pub(super) fn content<C: Wire>(message: Option<&C::Message>) -> Result<C, Status> {
    let missing = || WireError::invalid(Violations::one(C::FIELD, "must be set"));
    C::from_message(message.ok_or_else(missing)?).map_err(|e| unfit(C::FIELD, e))
}

/// The options of a write. `request` is the whole request with its request_id taken out.
pub(super) fn options(
    landing: i32,
    validate_only: bool,
    request_id: &str,
    request: &impl Message,
) -> Result<WriteOptions, Status> {
    let landing = match Landing::try_from(landing) {
        Ok(Landing::Unspecified | Landing::Live) => app::Landing::Live,
        Ok(Landing::Draft) => app::Landing::Draft,
        Err(_) => return Err(invalid("landing", "is not a value of Landing")),
    };
    let id = match request_id {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid("request_id", "must be a UUID"))?),
    };
    let hash = Sha256::digest(request.encode_to_vec());
    let fingerprint = hash.iter().map(|b| format!("{b:02x}")).collect();
    Ok(WriteOptions { landing, validate_only, request_id: id, fingerprint })
}

fn invalid(field: &str, message: &str) -> Status {
    WireError::invalid(Violations::one(field, message)).into()
}

pub(super) fn difference(d: Difference) -> wire::FieldDifference {
    wire::FieldDifference {
        path: d.path,
        old_json: d.old.unwrap_or_default(),
        new_json: d.new.unwrap_or_default(),
    }
}

/// A resource as the watch sends it: its content, without what only people read.
pub(super) fn distributed(r: &AnyResource) -> hotswap_api::gateway::v1::Resource {
    use hotswap_api::gateway::v1::resource::Spec;
    let spec = match &r.content {
        AnyContent::Route(draft) => Spec::Route(route_to_wire(&r.name, draft)),
        AnyContent::Pool(draft) => Spec::Pool(pool_to_wire(&r.name, draft)),
        AnyContent::Certificate(draft) => {
            let key = draft.private_key.as_ref().map(|key| key.expose().to_owned());
            let private_key_pem = key.unwrap_or_default();
            Spec::Certificate(wire::Certificate { private_key_pem, ..certificate_to_wire(&r.name, draft) })
        }
    };
    hotswap_api::gateway::v1::Resource {
        name: r.name.clone(),
        version: r.version.0,
        spec: Some(spec),
        candidate: r.candidate.as_ref().map(|c| candidate(&r.name, c)),
    }
}
