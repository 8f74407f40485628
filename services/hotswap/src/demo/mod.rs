//! `hotswap up --demo`: the product in one story, on the real parts, through the public interfaces only. A
//! route moves from one backend to another while clients keep asking, and every request is counted. Then four
//! candidates for it are rolled out: a good one promotes itself, and three bad ones take themselves back.

mod backends;
mod canaries;
mod story;
mod traffic;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hotswap_api::gateway::v1::{WaitForRevisionRequest, WaitForRevisionResponse};
use hotswap_api::route::v1::{
    Backend, Forward, PathMatch, Pool, Route, RouteMatch, forward, path_match, route,
};
use hotswap_core::{Ids as _, SystemIds};
use hotswap_runtime::Supervisor;

use self::backends::Manner;
use self::story::Facts;
pub(crate) use self::story::Shell;
use self::traffic::{Seen, Traffic};
use crate::client::{Api, Tls};
use crate::exit::Failure;
use crate::output;
use crate::resource::{Resource, Write};
use crate::secret::Secret;

/// Requests on each side of the move, at least.
const REQUESTS: u64 = 2_000;
/// A limit for each thing that the story waits for.
const LIMIT: Duration = Duration::from_secs(60);

/// Where the story takes place.
pub(crate) struct Stage {
    pub(crate) gateway: SocketAddr,
    pub(crate) token: Secret,
    pub(crate) shell: Shell,
    pub(crate) supervisor: Supervisor,
    /// Whether the suite goes on afterwards.
    pub(crate) stays: bool,
}

/// Plays the story and tells it.
///
/// # Errors
/// Where a step fails, and where any request of the clients failed.
pub(crate) async fn run(stage: &Stage) -> Result<(), Failure> {
    tell(story::opening())?;
    let blue = backends::start("blue", Manner::Well, &stage.supervisor)?;
    let green = backends::start("green", Manner::Well, &stage.supervisor)?;
    let server = format!("http://{}", stage.shell.server);
    let api = Api::connect(&server, Some(&stage.token), &Tls::default(), LIMIT).await?;
    put(&api, pool("pools/demo-blue", blue)).await?;
    put(&api, pool("pools/demo-green", green)).await?;
    let first = put(&api, demo_route("pools/demo-blue")).await?;
    wait(&api, first.revision).await?;
    tell(story::created(&stage.shell, blue, green, first.revision))?;

    let mut traffic = Traffic::start(stage.gateway, &stage.supervisor);
    let before = until(&mut traffic, |seen| seen.blue >= REQUESTS).await?;
    tell(story::flowing(stage.gateway, &before))?;

    let facts = swap(&api, traffic).await?;
    tell(story::moved(&stage.shell, &facts))?;
    tell(story::closing(&facts))?;
    if facts.seen.failed > 0 {
        return Err(failed(&facts.seen));
    }
    canaries::run(stage, &api).await?;
    if stage.stays { tell(story::staying(stage.gateway)) } else { Ok(()) }
}

/// Moves the route under traffic, and measures from the beginning of the call.
async fn swap(api: &Api, mut traffic: Traffic) -> Result<Facts, Failure> {
    let began = Instant::now();
    let route = put(api, demo_route("pools/demo-green")).await?;
    let confirmed = async {
        let answer = wait(api, route.revision).await?;
        Ok((answer.serving, began.elapsed()))
    };
    let seen = until(&mut traffic, |seen| seen.green >= REQUESTS);
    let ((proxies, confirmed), _) = tokio::try_join!(confirmed, seen)?;
    let seen = traffic.end().await;
    let since = |at: Option<Instant>| at.map_or(Duration::ZERO, |at| at.saturating_duration_since(began));
    let (live, last_blue) = (since(seen.first_green), since(seen.last_blue));
    Ok(Facts { seen, live, last_blue, confirmed, proxies, revision: route.revision })
}

/// Waits for what the clients see. A failed request ends the wait: the story is over then.
async fn until(traffic: &mut Traffic, fits: impl Fn(&Seen) -> bool) -> Result<Seen, Failure> {
    let seen = tokio::time::timeout(LIMIT, traffic.until(|seen| seen.failed > 0 || fits(seen))).await;
    let seen = seen.map_err(|_| late("the clients"))?;
    if seen.failed > 0 { Err(failed(&seen)) } else { Ok(seen) }
}

/// Waits until every connected proxy serves a revision.
async fn wait(api: &Api, revision: i64) -> Result<WaitForRevisionResponse, Failure> {
    let request = WaitForRevisionRequest { revision, ..WaitForRevisionRequest::default() };
    let answer = api.fleet.clone().wait_for_revision(request).await?.into_inner();
    if answer.reached { Ok(answer) } else { Err(late("the gateway")) }
}

async fn put<R: Resource>(api: &Api, resource: R) -> Result<R, Failure> {
    let name = resource.name().to_owned();
    let write =
        Write { resource, validate_only: false, draft: false, request_id: SystemIds.uuid().to_string() };
    R::put(api, write).await.map_err(|status| Failure::from(status).about(name))
}

fn late(who: &str) -> Failure {
    Failure::other(format!("the demo waited too long for {who}"))
}

fn failed(seen: &Seen) -> Failure {
    let why = seen.failure.as_deref().unwrap_or("unknown");
    Failure::other(format!("{} of {} requests failed; the first: {why}", seen.failed, seen.requests()))
}

fn tell(lines: Vec<String>) -> Result<(), Failure> {
    lines.iter().try_for_each(|line| output::line(line))
}

fn pool(name: &str, backend: SocketAddr) -> Pool {
    let backend = Backend { address: backend.to_string(), weight: None, ..Backend::default() };
    Pool { name: name.to_owned(), backends: vec![backend], ..Pool::default() }
}

fn demo_route(pool: &str) -> Route {
    let every = PathMatch { kind: Some(path_match::Kind::Prefix("/".into())) };
    let to = Forward { target: Some(forward::Target::Pool(pool.to_owned())), ..Forward::default() };
    Route {
        name: "routes/demo".into(),
        matches: vec![RouteMatch { path: Some(every), ..RouteMatch::default() }],
        action: Some(route::Action::Forward(to)),
        ..Route::default()
    }
}
