//! A line for each event, for what is no terminal.

use hotswap_api::rollout::v1::{RolloutEvent, WatchRolloutResponse};

use super::super::history::all_events;
use crate::client::Api;
use crate::exit::{Failure, one_line};
use crate::output::{self, Format, Show as _, View};
use crate::words::moment;

/// What was told already.
pub(super) struct Lines {
    view: View,
    /// The last event; below 0 before the first look.
    told: i64,
}

impl Lines {
    pub(super) fn new(view: View) -> Self {
        Self { view, told: -1 }
    }

    /// Tells what happened since the last look. The log has what the watch itself may have passed over.
    pub(super) async fn tell(
        &mut self,
        api: &Api,
        name: &str,
        seen: &WatchRolloutResponse,
    ) -> Result<(), Failure> {
        if self.told < 0 {
            self.told = 0;
            self.head(seen)?;
        }
        for event in all_events(api, name, usize::MAX).await? {
            if event.sequence > self.told {
                self.told = event.sequence;
                output::told(&self.line(&event)?)?;
            }
        }
        Ok(())
    }

    fn head(&self, seen: &WatchRolloutResponse) -> Result<(), Failure> {
        let (Some(r), Format::Table | Format::Wide) = (&seen.rollout, self.view.format) else {
            return Ok(());
        };
        let (from, to) = (r.baseline_revision, r.candidate_revision);
        output::line(&format!(
            "{}: {} of {} from revision {from} to {to}",
            r.name, r.strategy_name, r.subject
        ))
    }

    fn line(&self, event: &RolloutEvent) -> Result<String, Failure> {
        Ok(match self.view.format {
            Format::Table | Format::Wide => {
                format!("{}  {}\n", moment(event.time.as_ref()), one_line(&event.message))
            }
            Format::Name => format!("{}\n", event.kind),
            Format::Json => {
                serde_json::to_string(&event.document()?).map(|text| text + "\n").map_err(Failure::other)?
            }
            Format::Yaml => format!("---\n{}", output::yaml(&event.document()?)?),
        })
    }
}
