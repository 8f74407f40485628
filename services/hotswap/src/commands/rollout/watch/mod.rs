//! `hotswap rollout watch`: follows a rollout to its end. A cut connection, a control plane that starts anew and a token
//! that was renewed are lived through.

mod lines;
mod picture;
mod screen;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use hotswap_api::rollout::v1::rollout::State;
use hotswap_api::rollout::v1::step::Kind;
use hotswap_api::rollout::v1::{Rollout, Verdict, WatchRolloutRequest, WatchRolloutResponse};
use tokio::time::{MissedTickBehavior, interval};
use tonic::Streaming;

use self::lines::Lines;
use self::screen::Screen;
use super::{is_over, resolved};
use crate::cli::RolloutWatch;
use crate::client::Api;
use crate::commands::trouble::Trouble;
use crate::commands::watch::stopped;
use crate::connection::Target;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, OutputArgs};
use crate::style;

/// How often a picture is drawn where nothing happens: what is left of the time goes down.
const REDRAW: Duration = Duration::from_millis(500);
/// Between two tries, at first.
const TRY_AGAIN: Duration = Duration::from_millis(500);

pub(super) async fn run(args: &RolloutWatch) -> Result<(), Failure> {
    let target = args.client.target()?;
    let api = target.connect().await?;
    let name = resolved(&api, &args.rollout.name).await?;
    follow(target, &name, args.output, args.plain).await
}

/// Follows a rollout until it has ended.
///
/// # Errors
/// [`Exit::NotPromoted`] where its candidate did not get to everybody.
pub(super) async fn follow(
    target: Target,
    name: &str,
    output: OutputArgs,
    plain: bool,
) -> Result<(), Failure> {
    let view = output.view(&target);
    let is_table = matches!(view.format, Format::Table | Format::Wide);
    let draws = is_table && !plain && io::stdout().is_terminal() && style::can_draw();
    let shown =
        if draws { Shown::Picture(Screen::open(view.colours)) } else { Shown::Lines(Lines::new(view)) };
    let mut watch = Watch { api: target.connect().await?, target, name, shown, seen: None };
    // A first Ctrl-C ends it well, also while nothing can be reached.
    let stop = stopped()?;
    let ended = tokio::select! {
        ended = watch.until_its_end() => Some(ended),
        () = stop => None,
    };
    let Watch { shown, .. } = watch;
    drop(shown);
    match ended {
        Some(ended) => outcome(&ended?),
        None => {
            output::remark(&format!("the rollout goes on; `hotswap rollout watch {name}` follows it again"));
            Ok(())
        }
    }
}

/// What the end of a rollout means for who waited for it.
fn outcome(rollout: &Rollout) -> Result<(), Failure> {
    // A shadow is taken away when it was compared: that is its plan.
    let compared = rollout.steps.last().is_some_and(|s| s.kind() == Kind::Withdraw && s.end_time.is_some());
    if rollout.state() == State::Promoted || compared {
        return Ok(());
    }
    let why =
        format!("{} of {} did not go through: {}", rollout.name, rollout.subject, rollout.state_message);
    let hint = match rollout.verdict() {
        Verdict::Unspecified => format!("`hotswap rollout events {}` shows what happened", rollout.name),
        _ => format!("`hotswap rollout measurements {}` shows what was counted", rollout.name),
    };
    Err(Failure::new(Exit::NotPromoted, why).hint(hint))
}

enum Shown {
    Picture(Screen),
    Lines(Lines),
}

struct Watch<'a> {
    target: Target,
    api: Api,
    name: &'a str,
    shown: Shown,
    seen: Option<WatchRolloutResponse>,
}

impl Watch<'_> {
    /// The rollout once it has ended.
    async fn until_its_end(&mut self) -> Result<Rollout, Failure> {
        let mut trouble = Trouble::default();
        loop {
            let failure = match self.read_on(&mut trouble).await {
                Ok(()) => match &self.seen {
                    Some(WatchRolloutResponse { rollout: Some(rollout), .. }) if is_over(rollout) => {
                        return Ok(rollout.clone());
                    }
                    _ => Failure::new(Exit::Unavailable, "the watch ended before the rollout"),
                },
                Err(failure) => failure,
            };
            let wait = trouble.met(&failure, TRY_AGAIN)?;
            if trouble.began() {
                self.shown.remark(&format!("trying again: {}", failure.message()));
            }
            tokio::time::sleep(wait).await;
            // The token may have been renewed, or the server be another one.
            if let Ok(api) = self.target.connect().await {
                self.api = api;
            }
        }
    }

    /// Shows what comes, until the stream ends.
    async fn read_on(&mut self, trouble: &mut Trouble) -> Result<(), Failure> {
        let request = WatchRolloutRequest { name: self.name.to_owned() };
        let opened = self.api.rollouts.clone().watch_rollout(request).await;
        let mut stream = opened.map_err(|status| Failure::from(status).about(self.name))?.into_inner();
        let mut tick = interval(REDRAW);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while let Some(seen) = self.next(&mut stream, &mut tick).await? {
            if trouble.ends() {
                self.shown.remark("");
            }
            self.seen = Some(seen);
            self.show().await?;
        }
        Ok(())
    }

    /// The next message; a picture is drawn anew meanwhile.
    async fn next(
        &mut self,
        stream: &mut Streaming<WatchRolloutResponse>,
        tick: &mut tokio::time::Interval,
    ) -> Result<Option<WatchRolloutResponse>, Failure> {
        loop {
            tokio::select! {
                message = stream.message() => return message.map_err(Failure::from),
                _ = tick.tick() => {
                    if let (Shown::Picture(screen), Some(seen)) = (&mut self.shown, &self.seen) {
                        screen.draw(seen)?;
                    }
                }
            }
        }
    }

    async fn show(&mut self) -> Result<(), Failure> {
        let Some(seen) = &self.seen else { return Ok(()) };
        match &mut self.shown {
            Shown::Picture(screen) => screen.draw(seen),
            Shown::Lines(lines) => lines.tell(&self.api, self.name, seen).await,
        }
    }
}

impl Shown {
    /// A word beside what is shown; empty: all is well again.
    fn remark(&mut self, text: &str) {
        match self {
            Self::Picture(screen) => screen.note(text),
            Self::Lines(_) if text.is_empty() => output::remark("back"),
            Self::Lines(_) => output::remark(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use hotswap_api::rollout::v1::Step;
    use prost_types::Timestamp;

    use super::*;

    #[test]
    fn only_what_went_through_ends_well() {
        let of = |state: State, steps: Vec<Step>| {
            let rollout = Rollout { state: state.into(), steps, ..Rollout::default() };
            outcome(&rollout).map_err(|failure| failure.exit())
        };
        assert_eq!(of(State::Promoted, vec![]), Ok(()));
        assert_eq!(of(State::RolledBack, vec![]), Err(Exit::NotPromoted));
        assert_eq!(of(State::Rejected, vec![]), Err(Exit::NotPromoted));
        let last = |end_time| vec![Step { kind: Kind::Withdraw.into(), end_time, ..Step::default() }];
        assert_eq!(of(State::RolledBack, last(Some(Timestamp::default()))), Ok(()));
        assert_eq!(of(State::RolledBack, last(None)), Err(Exit::NotPromoted));
    }
}
