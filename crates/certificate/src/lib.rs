//! Certificates that gateways show to clients: read, checked, and their keys sealed. The control plane and the gateway
//! share it, so that both take the same.
//!
//! ```text
//!   CertificateDraft ── parse ──► CertificateSpec    the chain with what it says of itself, and its key, which fits
//!   PrivateKey                                       a text that nothing shows and serde leaves out
//!   SealingKeys ── seal, open                        AES-256-GCM, for what lies in a database or on a disk
//! ```

mod chain;
mod draft;
mod key;
mod seal;
mod spec;

pub use chain::{Chain, ChainError, Facts};
pub use draft::CertificateDraft;
pub use key::{KeyError, PrivateKey};
pub use seal::{KeyFileError, OpenError, SealError, SealingKeys};
pub use spec::CertificateSpec;
