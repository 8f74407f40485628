//! What the engine needs of the world. Its home implements these; the engine itself calls none of them.
//!
//! The clock is `hotswap_core::Clock`; for what is decided about rollouts it is the database's.

use std::future::Future;

use hotswap_core::Timestamp;

use crate::facts::{ActResult, Effects, Facts, Watch};
use crate::judge::Reading;
use crate::state::Record;
use crate::{Act, Event, Exposure, Millis, Powers, Rollout, RolloutId};

/// Why a port could not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Another one drives the rollout now, or it was changed meanwhile: stop, and take it up anew.
    #[error("another one drives this rollout now")]
    Fenced,
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
}

/// What an act is done under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetContext {
    /// For which rollout.
    pub rollout: RolloutId,
    /// The fence of the lease it is driven under. A target that can refuses a lower one than it has seen.
    pub fence: i64,
    /// The act's number; `None` where something is set again.
    pub ticket: Option<u64>,
    /// It must be over by then: less than what is left of the lease.
    pub timeout: Millis,
    /// Whether it is of a way back, also where it leaves some of the candidate out for a while: then nothing that
    /// somebody has against the candidate may hold it up.
    pub back: bool,
}

/// What is rolled out. Every act may come twice, or again after another one has crashed in its midst.
pub trait Target: Send + Sync + 'static {
    /// What it can do for this subject.
    fn powers(&self, subject: &str) -> Powers;

    /// Does an act. [`ActResult::Done`] means that it has taken hold everywhere.
    fn act(
        &self,
        rollout: &Rollout,
        context: &TargetContext,
        act: &Act,
    ) -> impl Future<Output = ActResult> + Send;

    /// What is out, as it finds it.
    ///
    /// # Errors
    /// It can't tell now.
    fn actual(&self, rollout: &Rollout) -> impl Future<Output = Result<Exposure, PortError>> + Send;
}

/// Where counts come from.
pub trait MetricSource: Send + Sync + 'static {
    /// Counts since an exposure took hold. What goes wrong is a reading too.
    fn measure(&self, rollout: &Rollout, watch: &Watch) -> impl Future<Output = Reading> + Send;

    /// The baseline's p95 in microseconds; `None`: not known.
    fn baseline_p95_us(&self, rollout: &Rollout) -> impl Future<Output = Option<u64>> + Send;
}

/// Something that people want to be told, once an event and channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Which rollout.
    pub rollout: RolloutId,
    /// The event's place in its log: with the id it is unique.
    pub seq: i64,
    /// What happened.
    pub event: Event,
    /// When.
    pub at: Timestamp,
}

/// Takes notices to where people see them. It is called in the transaction that stores the event (an outbox).
pub trait Notifier: Send + Sync + 'static {
    /// Notes it for sending.
    ///
    /// # Errors
    /// As the store says.
    fn notify(&self, notice: &Notice) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// Where rollouts are kept.
pub trait Store: Send + Sync + 'static {
    /// A rollout under a lease.
    type Claim: Send + Sync;

    /// Claims the rollout of a domain that waits longest for a decision; `None`: none is due.
    ///
    /// # Errors
    /// As the store says.
    fn claim(
        &self,
        domain: &str,
        lease: Millis,
    ) -> impl Future<Output = Result<Option<(Self::Claim, Rollout, Record)>, PortError>> + Send;

    /// What the store knows: commands that were not answered, the content, the global switch, and the database's time.
    ///
    /// # Errors
    /// As the store says.
    fn facts(
        &self,
        claim: &Self::Claim,
    ) -> impl Future<Output = Result<(Facts, Timestamp), PortError>> + Send;

    /// Stores a decision in one transaction: the record over the generation that was read, events, answers, the
    /// measurement and its finding, notices, and when to look again.
    ///
    /// # Errors
    /// [`PortError::Fenced`] where the lease has passed on or the generation is another one: nothing is stored.
    fn save(
        &self,
        claim: &Self::Claim,
        read: u64,
        record: &Record,
        facts: &Facts,
        effects: &Effects,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Gives the lease back.
    ///
    /// # Errors
    /// As the store says; the lease runs out by itself.
    fn release(&self, claim: Self::Claim) -> impl Future<Output = Result<(), PortError>> + Send;
}
