//! The contract of HotSwap in Rust: messages, clients and servers, generated from `proto/` by
//! `cargo xtask codegen` and committed.
//!
//! One module an area, each with its version: [`route::v1`] holds routes, pools and certificates, [`gateway::v1`] the
//! configuration stream and the fleet, [`rollout::v1`] changes on their way to traffic, [`audit::v1`] the log of
//! who did what. Fields carry their units, limits and defaults as documentation.
//!
//! Messages are always there. The feature `client` adds a `…_client` module for each service, `server` a
//! `…_server` module. Maps are sorted, so that equal messages encode to equal bytes; bytes fields are
//! `bytes::Bytes` and share their buffer.

#[allow(
    clippy::disallowed_methods,
    clippy::large_enum_variant,
    clippy::doc_lazy_continuation,
    reason = "generated: the shape is the contract's, the words are its comments"
)]
#[rustfmt::skip]
#[path = "gen/mod.rs"]
mod generated;
mod secret;

pub use generated::hotswap::{audit, gateway, rollout, route};

/// The contract as a serialized `google.protobuf.FileDescriptorSet`, with everything it imports and with its
/// options, for reflection and for JSON.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptor.bin");
