//! RolloutService over a real socket, on the real store and driver, with tables for what is rolled out.

mod commands;
mod policies;
mod refusals;

use std::sync::Arc;
use std::time::Duration;

use hotswap_api::rollout::v1 as wire;
use hotswap_api::rollout::v1::rollout::{State, Strategy};
use hotswap_api::rollout::v1::rollout_service_client::RolloutServiceClient;
use hotswap_api::rollout::v1::rollout_service_server::RolloutServiceServer;
use hotswap_auth::{LocalKey, Role, TokenRequest};
use hotswap_core::{Clock as _, SystemClock, SystemIds};
use hotswap_rollout_host::RolloutRpc;
use hotswap_rpc::{BearerToken, ClientError};
use hotswap_runtime::Supervisor;
use hotswap_testkit::{Authed, TestServer};
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;
use tonic::{Status, Streaming};

use crate::harness::{Home, Place};

/// The longest that is waited for anything.
const LIMIT: Duration = Duration::from_secs(30);

type Client = RolloutServiceClient<Authed>;

/// A home that is driven all the time, and served.
struct Plane {
    home: Arc<Home>,
    server: TestServer,
    place: Place,
}

impl Plane {
    async fn start() -> Self {
        let place = Place::new();
        let home = Arc::new(Home::with_table(&place).await);
        let supervisor = Supervisor::new();
        let rpc = RolloutRpc::new(home.rollouts.clone(), supervisor.shutdown());
        let routes = Routes::new(RolloutServiceServer::new(rpc));
        let server = TestServer::start(place.path(), routes, supervisor);
        let driven = Arc::clone(&home);
        tokio::spawn(async move {
            loop {
                driven.settle().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self { home, server, place }
    }

    /// Somebody who calls, with these roles.
    async fn client(&self, who: &str, roles: &[Role]) -> Client {
        let ttl = Duration::from_secs(600);
        let request = TokenRequest { subject: who.into(), roles: roles.to_vec(), tenant: None, ttl };
        let key = LocalKey::load(self.place.path()).expect("a key");
        let token = key.mint(&request, SystemClock.now(), &SystemIds).expect("a token");
        let token = BearerToken::new(&token).expect("a token");
        RolloutServiceClient::new(InterceptedService::new(self.server.channel().await, token))
    }

    async fn operator(&self) -> Client {
        self.client("ann", &[Role::Operator]).await
    }
}

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// Of "tables/t" to revision 2.
fn asked(strategy: Strategy) -> wire::Rollout {
    wire::Rollout {
        subject: "tables/t".into(),
        candidate_revision: 2,
        strategy: Some(strategy),
        judgement: Some(wire::Judgement { off: true, ..wire::Judgement::default() }),
        ..wire::Rollout::default()
    }
}

/// 10 % for an hour, then everybody.
fn canary() -> wire::Rollout {
    let step = wire::CanaryStep { share_bps: 1_000, bake: seconds(3_600), gate: false };
    asked(Strategy::Canary(wire::Canary { steps: vec![step] }))
}

fn direct() -> wire::Rollout {
    asked(Strategy::Direct(wire::Direct {}))
}

async fn create(client: &mut Client, rollout: wire::Rollout) -> Result<wire::Rollout, Status> {
    let request = wire::CreateRolloutRequest { rollout: Some(rollout), ..Default::default() };
    client.create_rollout(request).await.map(|answer| answer.into_inner().rollout.expect("set"))
}

async fn get(client: &mut Client, name: &str) -> wire::Rollout {
    let answer = client.get_rollout(wire::GetRolloutRequest { name: name.into() }).await;
    answer.expect("is there").into_inner().rollout.expect("set")
}

/// Waits until the rollout is as it should be.
async fn until(client: &mut Client, name: &str, is_so: impl Fn(&wire::Rollout) -> bool) -> wire::Rollout {
    let request = wire::WatchRolloutRequest { name: name.into() };
    let mut watch = client.watch_rollout(request).await.expect("opens").into_inner();
    let found = async {
        loop {
            let seen = next(&mut watch).await.expect("not over").rollout.expect("set");
            if is_so(&seen) {
                return seen;
            }
        }
    };
    tokio::time::timeout(LIMIT, found).await.expect("in time")
}

async fn next(watch: &mut Streaming<wire::WatchRolloutResponse>) -> Option<wire::WatchRolloutResponse> {
    tokio::time::timeout(LIMIT, watch.message()).await.expect("in time").expect("no error")
}

fn is_baking(rollout: &wire::Rollout) -> bool {
    rollout.state() == State::Progressing && rollout.step_end_time.is_some()
}

/// The stable reason, and the fields that are wrong.
fn why(status: &Status) -> (String, Vec<String>) {
    let error = ClientError::from(status);
    (error.reason, error.violations.iter().map(|v| v.field.clone()).collect())
}
