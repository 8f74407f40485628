//! What a process of HotSwap stands on: options, listeners, supervised tasks, the data folder, the admin
//! page, gRPC serving with health and reflection, and an end in good order.
//!
//! ```text
//!   options::parse                flag > HOTSWAP_* > hotswap.toml > default
//!   run(async …)                  one runtime, one TLS provider, one line for an error
//!     │ listen::bind              binds first, so that a taken port ends it at once
//!     │ tls::ServerTls            certificates, read again when they change
//!     │ Supervisor::spawn         every task has a name and a kind
//!     │ stop_on_signals           SIGINT, SIGTERM; the second one ends at once
//!     ▼
//!   Supervisor::drain             stop accepting, end streams, wait, then abort what is left
//! ```

mod accept;
pub mod admin;
mod data_dir;
mod error;
mod gather;
pub mod grpc;
pub mod listen;
pub mod options;
mod process;
mod supervisor;
pub mod tls;

pub use accept::{Connection, Listener};
pub use data_dir::DataDir;
pub use error::{StartError, chain};
pub use process::{run, stop_on_signals};
pub use supervisor::{DrainReport, Supervisor, TaskHandle, TaskKind};
pub use tokio_util::sync::CancellationToken;
