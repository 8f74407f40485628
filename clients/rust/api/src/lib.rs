//! The contract of HotSwap in Rust: messages, clients and servers, generated from `proto/` by
//! `cargo xtask codegen` and committed.
//!
//! Messages are always there; `client` and `server` add the two halves of each service.

#[allow(
    clippy::large_enum_variant,
    clippy::doc_lazy_continuation,
    reason = "generated: the shape is the contract's, the words are its comments"
)]
#[rustfmt::skip]
#[path = "gen/mod.rs"]
mod generated;

pub use generated::hotswap::{audit, gateway, rollout, route};

/// The contract as a serialized `google.protobuf.FileDescriptorSet`, with everything it imports and with its
/// options, for reflection and for JSON.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptor.bin");
