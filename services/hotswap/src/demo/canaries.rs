//! The second half of the story: four candidates for the demo's route, and what the judge makes of each.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hotswap_api::rollout::v1::{
    Canary, CanaryStep, CreateRolloutRequest, Rollout, WatchRolloutRequest, rollout,
};
use hotswap_api::route::v1::Route;
use hotswap_core::{Ids as _, SystemIds};
use hotswap_runtime::CancellationToken;

use super::backends::{self, Manner};
use super::story;
use super::traffic::Traffic;
use super::{LIMIT, Stage, demo_route, late, pool, put, tell, wait};
use crate::client::Api;
use crate::exit::Failure;
use crate::resource::{Resource as _, Write};

/// Requests that a backend has answered before it dies.
const BEFORE_DEATH: u64 = 50;
/// At least so long at each share.
const BAKE_SECONDS: i64 = 1;

/// A candidate, and what is to come of it.
struct Candidate {
    /// Its backend's name, and its pool's behind "demo-".
    name: &'static str,
    what: &'static str,
    manner: Manner,
    /// Whether it is to be promoted.
    is_good: bool,
}

fn candidates() -> [Candidate; 4] {
    [
        Candidate { name: "good", what: "a good one", manner: Manner::Well, is_good: true },
        Candidate { name: "failing", what: "one with errors", manner: Manner::Fails, is_good: false },
        Candidate { name: "slow", what: "a slow one", manner: Manner::Dawdles, is_good: false },
        Candidate {
            name: "dying",
            what: "one whose backend dies",
            manner: Manner::Dies(CancellationToken::new()),
            is_good: false,
        },
    ]
}

/// What came of a candidate.
pub(super) struct Told {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// How it ended, in the words of the engine.
    pub(super) ending: String,
    /// From the call that began it, or from the death of its backend, until everybody had what they have now.
    pub(super) took: Duration,
    /// Whether that is counted from the death.
    pub(super) died: bool,
    pub(super) is_good: bool,
    pub(super) requests: u64,
    pub(super) by_candidate: u64,
    pub(super) failed: u64,
}

/// Plays all four, one after the other.
///
/// # Errors
/// Where a step fails, and where something else comes of a candidate than what the story promises.
pub(super) async fn run(stage: &Stage, api: &Api) -> Result<(), Failure> {
    tell(story::canaries(&stage.shell))?;
    for (candidate, number) in candidates().into_iter().zip(4..) {
        let told = play(stage, api, &candidate).await?;
        tell(story::canary(number, &told))?;
        if candidate.is_good && told.failed > 0 {
            return Err(Failure::other(format!("{} requests failed under a good candidate", told.failed)));
        }
    }
    Ok(())
}

async fn play(stage: &Stage, api: &Api, candidate: &Candidate) -> Result<Told, Failure> {
    let at = backends::start(candidate.name, candidate.manner.clone(), &stage.supervisor)?;
    let draft = ready(api, candidate.name, at).await?;
    let mut traffic = Traffic::start(stage.gateway, &stage.supervisor);
    traffic.until(|seen| seen.requests() >= super::REQUESTS / 4).await;
    let began = Instant::now();
    let rollout = begin(api, draft.revision).await?;
    let mut since = began;
    if let Manner::Dies(death) = &candidate.manner {
        let alive = traffic.until(|seen| seen.by(candidate.name) >= BEFORE_DEATH);
        tokio::time::timeout(LIMIT, alive).await.map_err(|_| late("the candidate"))?;
        death.cancel();
        since = Instant::now();
    }
    let ended = tokio::time::timeout(LIMIT, end_of(api, &rollout.name)).await;
    let ended = ended.map_err(|_| late("the end of a rollout"))??;
    let took = since.elapsed();
    let seen = traffic.end().await;
    let promoted = ended.state() == rollout::State::Promoted;
    if promoted != candidate.is_good {
        let why = format!(
            "{}: {} ended otherwise than expected: {}",
            rollout.name, candidate.what, ended.state_message
        );
        return Err(Failure::other(why));
    }
    Ok(Told {
        name: candidate.name,
        what: candidate.what,
        ending: ended.state_message,
        took,
        died: since != began,
        is_good: candidate.is_good,
        requests: seen.requests(),
        by_candidate: seen.by(candidate.name),
        failed: seen.failed,
    })
}

/// Makes the pool of a candidate, and a draft of the route that sends to it.
async fn ready(api: &Api, name: &str, at: SocketAddr) -> Result<Route, Failure> {
    let to = format!("pools/demo-{name}");
    let made = put(api, pool(&to, at)).await?;
    wait(api, made.revision).await?;
    let (resource, request_id) = (demo_route(&to), SystemIds.uuid().to_string());
    let write = Write { resource, validate_only: false, draft: true, request_id };
    Ok(Route::put(api, write).await?)
}

/// A canary to a tenth, to half, and to everybody.
async fn begin(api: &Api, candidate_revision: i64) -> Result<Rollout, Failure> {
    let bake = Some(prost_types::Duration { seconds: BAKE_SECONDS, nanos: 0 });
    let step = |share_bps| CanaryStep { share_bps, bake, gate: false };
    let rollout = Rollout {
        subject: "routes/demo".into(),
        candidate_revision,
        strategy: Some(rollout::Strategy::Canary(Canary { steps: vec![step(1_000), step(5_000)] })),
        ..Rollout::default()
    };
    let request_id = SystemIds.uuid().to_string();
    let request =
        CreateRolloutRequest { rollout: Some(rollout), request_id, ..CreateRolloutRequest::default() };
    let made = api.rollouts.clone().create_rollout(request).await?.into_inner();
    made.rollout.ok_or_else(|| Failure::other("the control plane made a rollout and did not say which"))
}

/// Follows a rollout to its end.
async fn end_of(api: &Api, name: &str) -> Result<Rollout, Failure> {
    let request = WatchRolloutRequest { name: name.to_owned() };
    let mut stream = api.rollouts.clone().watch_rollout(request).await?.into_inner();
    while let Some(news) = stream.message().await? {
        if let Some(rollout) = news.rollout.filter(|rollout| rollout.end_time.is_some()) {
            return Ok(rollout);
        }
    }
    Err(Failure::other("the control plane stopped telling of a rollout before its end"))
}
