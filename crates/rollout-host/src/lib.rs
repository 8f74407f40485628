//! The engine of rollouts at home: its store, the driver that has decisions done, the use cases, and where counts come
//! from. The folder's README has the tables and states; `docs/adr/0021-the-home-of-rollouts.md` says why it is so.
//!
//! ```text
//!   rpc, a domain's service ──► Rollouts       create, send a command, read, watch, policies, the switch
//!                                  │ rows, in one transaction with what they tell
//!                                  ▼
//!   rollouts · events · commands · measurements · policies · freeze · counts        SQLite | PostgreSQL
//!                                  ▲
//!                                  │ claim (fence + 1), facts, save over fence and generation
//!   Driver ────────────────────────┘
//!      │ looks at: Sources  ──► the target's counts | Prometheus | what clients report
//!      │ decides:  hotswap_rollout::decide, pure
//!      └ has done: Target   ──► the domain, under the fence and a time-out shorter than the lease
//! ```
//!
//! What holds, whoever crashes where: a decision is stored whole or not at all, and before anything of it is done; what is
//! done is done under a fence that only rises; a command is answered once; and nothing slow stands between a command and
//! its turn.

mod app;
mod driver;
mod error;
mod metrics;
mod ports;
mod prometheus;
mod rpc;
mod schedule;
mod servers;
mod sources;
mod store;
mod view;

pub use app::{
    Counting, Create, List, Live, Page, Parts, Pending, PendingApproval, PutPolicy, Report, Rollouts,
    SendCommand, Watched, Watching, WriteOptions,
};
pub use driver::{Driver, DriverOptions};
pub use error::Error;
pub use metrics::{METRICS, RolloutMetrics};
pub use ports::{Answer, Faults, NoFaults, NoNotices, Notices, Subjects};
pub use prometheus::{Ask, NoNumber, PrometheusCounts};
pub use rpc::RolloutRpc;
pub use servers::{PrometheusServers, ServerOptions};
pub use sources::{Queries, Sources};
pub use store::{Claim, Claimed, SqlStore};
pub use view::{Freeze, Happened, Measured, PolicyView, StepTimes, View};
