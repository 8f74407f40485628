//! The wire: tonic services, conversions, the status map, and the watch.

mod candidate;
mod convert;
mod explain;
mod fleet_service;
mod live;
mod route_service;
mod shown;
mod status;
mod watch;

pub(crate) use fleet_service::FleetRpc;
pub(crate) use route_service::RouteRpc;
pub(crate) use watch::{Feed, Questions, WatchRpc, WatchServer, relay};
