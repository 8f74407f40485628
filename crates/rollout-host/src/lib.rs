//! The engine of rollouts at home.

mod app;
mod driver;
mod error;
mod metrics;
mod ports;
mod schedule;
mod sources;
mod store;
mod view;

pub use error::Error;
pub use ports::{Answer, Faults, NoFaults, NoNotices, Notices, Subjects};
pub use store::{Claim, Claimed, SqlStore};
pub use view::{Freeze, Happened, Measured, PolicyView, StepTimes, View};
pub use app::{
    Counting, Create, List, Live, Page, Parts, Pending, PendingApproval, PutPolicy, Report, Rollouts, SendCommand,
    Watched, Watching, WriteOptions,
};
pub use driver::{Driver, DriverOptions};
pub use metrics::{METRICS, RolloutMetrics};
pub use sources::{Queries, Sources};
