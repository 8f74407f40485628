//! What a process of HotSwap stands on: options, listeners, supervised tasks, the data folder, the admin
//! page, gRPC serving with health and reflection, and an end in good order.
//!
//! ```text
//!   run(name, async |…|)          one runtime, one TLS provider, one line for an error
//!     │ options::parse            flag > HOTSWAP_* > hotswap.toml > default
//!     │ listen::bind              binds first, and says what it listens on
//!     │ Supervisor::spawn         every task has a name and a kind
//!     │ signals                   SIGINT, SIGTERM; the second one ends at once
//!     ▼
//!   Supervisor::drain             stop accepting, end streams, wait, then abort what is left
//! ```

pub mod admin;
mod data_dir;
mod error;
pub mod grpc;
pub mod listen;
pub mod options;
mod process;
mod supervisor;

pub use data_dir::DataDir;
pub use error::StartError;
pub use process::{block_on_signals, run, stop_on_signals};
pub use supervisor::{DrainReport, Supervisor, TaskKind};
pub use tokio_util::sync::CancellationToken;
