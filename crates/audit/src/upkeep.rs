//! What runs beside the calls: attempts are written, checkpoints made and anchored, old events dropped.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::checkpoints::{EVERY, Which};
use crate::{AuditError, AuditLog};

/// How long attempts are gathered before they are written.
const GATHER: Duration = Duration::from_millis(200);
/// How often old events are looked for.
const RETAIN_EVERY: Duration = Duration::from_secs(3_600);

impl AuditLog {
    /// Looks after the log until `shutdown`; to be run as a task of the process.
    pub async fn keep(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        // At once: a process that was killed may have left events without a checkpoint.
        let (mut round, mut retain) = (Instant::now(), Instant::now());
        loop {
            let attempts_alone = tokio::select! {
                () = &mut shutdown => return,
                () = self.inner.attempts.noted() => true,
                () = self.inner.due.notified() => false,
                () = sleep_until(round) => false,
            };
            if attempts_alone {
                tokio::select! {
                    () = &mut shutdown => return,
                    () = sleep(GATHER) => {}
                }
            }
            told("attempts could not be written", self.write_attempts(false).await.map_err(AuditError::from));
            if attempts_alone && Instant::now() < round {
                continue;
            }
            round = Instant::now() + EVERY;
            let retains = Instant::now() >= retain;
            if retains {
                retain = Instant::now() + RETAIN_EVERY;
            }
            told("its upkeep failed", self.round(Which::Due, retains).await);
        }
    }

    /// Writes what waits, and makes a last checkpoint. Called last, when no call is under way.
    pub async fn close(&self) {
        told("attempts could not be written", self.write_attempts(true).await.map_err(AuditError::from));
        told("its upkeep failed", self.round(Which::Grown, false).await);
    }
}

/// What fails for a passing reason is tried again in the next round; a log that is damaged is for people.
fn told(what: &str, outcome: Result<(), AuditError>) {
    match outcome {
        Ok(()) => {}
        Err(error @ AuditError::Damaged { .. }) => tracing::error!(%error, "audit log: {what}"),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%error, cause, "audit log: {what}; it is tried again");
        }
    }
}
