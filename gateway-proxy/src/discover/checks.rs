//! The checks of candidates that are under way or done: each number once, told once to each stream.

use std::collections::HashMap;

use hotswap_api::gateway::v1::CheckResult;
use tokio::task::{AbortHandle, JoinSet};

use crate::config::Live;
use crate::rollout::check;

/// The checks of this process.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// By rollout: the last one.
    known: HashMap<String, Known>,
    /// Ended by what they are about, or with the watch.
    running: JoinSet<CheckResult>,
}

#[derive(Debug)]
struct Known {
    number: i64,
    task: AbortHandle,
    result: Option<CheckResult>,
    said: bool,
}

impl Checks {
    /// Begins those that the configuration in force asks for, and forgets those that it does not ask for any more.
    pub(super) fn agree_with(&mut self, config: &Live) {
        let current = config.now();
        let asked: HashMap<_, _> =
            current.rollouts().filter_map(|r| Some((r.name(), (r, r.check()?)))).collect();
        self.known.retain(|rollout, known| {
            let stays = asked.get(rollout.as_str()).is_some_and(|(_, check)| check.number == known.number);
            if !stays {
                known.task.abort();
            }
            stays
        });
        for (name, (rollout, check)) in asked {
            if !self.known.contains_key(name) {
                let (number, rollout) = (check.number, rollout.clone());
                let task = self.running.spawn(check::run(config.clone(), rollout, check.clone()));
                self.known.insert(name.to_owned(), Known { number, task, result: None, said: false });
            }
        }
    }

    /// Waits until one has ended; where none is under way, for ever.
    pub(super) async fn wait(&mut self) {
        match self.running.join_next().await {
            Some(Ok(result)) => {
                if let Some(known) = self.known.get_mut(&result.rollout)
                    && known.number == result.number
                {
                    known.result = Some(result);
                }
            }
            // It was about what is gone.
            Some(Err(_)) => {}
            None => std::future::pending().await,
        }
    }

    /// What the stream has not been told.
    pub(super) fn unsaid(&mut self) -> Vec<CheckResult> {
        let unsaid = self.known.values_mut().filter(|known| !known.said && known.result.is_some());
        unsaid
            .filter_map(|known| {
                known.said = true;
                known.result.clone()
            })
            .collect()
    }

    /// Another stream begins: it is told all.
    pub(super) fn forget_what_was_said(&mut self) {
        self.known.values_mut().for_each(|known| known.said = false);
    }
}
