//! What the host needs of a domain, and of those who want to be told.

use futures_util::future::BoxFuture;
use hotswap_core::{Revision, Violations};
use hotswap_rollout::{Content, Notice, Powers, Rollout};
use hotswap_store::{StoreError, Tx};

/// An answer of a port that reads or writes in the host's transaction.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// What a domain tells of its subjects. One for each domain whose rollouts a process creates.
pub trait Subjects: Send + Sync + 'static {
    /// The domain, as "route".
    fn domain(&self) -> &'static str;

    /// Whether a resource of this name is the domain's.
    fn owns(&self, subject: &str) -> bool;

    /// The scope that subjects are written in: a rollout is created under its lock, so that no write comes between.
    fn scope(&self) -> &'static str;

    /// What the target can do for this subject.
    fn powers(&self, subject: &str) -> Powers;

    /// What the domain can't do of a rollout that the engine could: each fault with its field.
    ///
    /// # Errors
    /// Every fault.
    fn check(&self, rollout: &Rollout) -> Result<(), Violations>;

    /// The revision that carries the traffic; `None`: there is none, as of a resource that has but drafts.
    fn live<'a>(&'a self, tx: &'a mut Tx, subject: &'a str) -> Answer<'a, Option<Revision>>;

    /// The live revision that a draft was made from; `None`: the revision is no draft, or it is not known.
    fn base<'a>(&'a self, _: &'a mut Tx, _: &'a str, _: Revision) -> Answer<'a, Option<Revision>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// The content of a revision and who wrote it. `None`: the resource has no such revision, or was deleted.
    fn content<'a>(
        &'a self,
        tx: &'a mut Tx,
        subject: &'a str,
        revision: Revision,
    ) -> Answer<'a, Option<Content>>;
}

/// Takes news to where people see them: it writes them in the transaction that stores the event.
pub trait Notices: Send + Sync + 'static {
    /// Notes it for sending.
    fn note<'a>(&'a self, tx: &'a mut Tx, rollout: &'a Rollout, notice: &'a Notice) -> Answer<'a, ()>;
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNotices;

impl Notices for NoNotices {
    fn note<'a>(&'a self, _: &'a mut Tx, _: &'a Rollout, _: &'a Notice) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Where a test has a driver die: each commit and each effect passes a point before and after. Production passes
/// [`NoFaults`].
pub trait Faults: Send + Sync + 'static {
    /// Reached. A future that never ends stands for a crash: whoever holds the driver drops it there.
    fn at<'a>(&'a self, point: &'static str) -> BoxFuture<'a, ()>;
}

/// All goes well.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn at<'a>(&'a self, _: &'static str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
