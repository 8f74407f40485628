//! A server in a process of its own, and calls of it.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicI32, Ordering};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hotswap_api::route::v1 as wire;
use hotswap_api::route::v1::route_service_client::RouteServiceClient;
use hotswap_rpc::BearerToken;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

use crate::serve::Setting;
use crate::{Failure, tell};

/// Gets in a turn, and how many are under way at a time; writes in a turn, one after another.
const GETS: u32 = 10_000;
const AT_ONCE: usize = 8;
const WRITES: u32 = 1_000;
const NAME: &str = "routes/shop";

/// What is called in a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    Get,
    Write,
}

impl Turn {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Write => "write",
        }
    }
}

pub(crate) struct Server {
    setting: Setting,
    child: Child,
    out: BufReader<ChildStdout>,
    client: RouteServiceClient<InterceptedService<Channel, BearerToken>>,
    priority: AtomicI32,
}

impl Server {
    /// Starts it on the first core, while this process keeps to the second, if there is one.
    pub(crate) async fn start(setting: Setting, dir: &Path, otlp: &str) -> Result<Self, Failure> {
        std::fs::create_dir_all(dir)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", setting.as_str()]).arg(dir).arg(otlp);
        // Often, so that what is sent falls into the turn that made it.
        command.env("OTEL_BSP_SCHEDULE_DELAY", "100");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut out = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        out.read_line(&mut line).await?;
        let (url, token) = line.trim().split_once(' ').ok_or("the server ended at its start")?;
        let token = BearerToken::new(token).ok_or("no token")?;
        let channel = Endpoint::from_shared(url.to_owned())?.connect().await?;
        let client = RouteServiceClient::with_interceptor(channel, token);
        let this = Self { setting, child, out, client, priority: AtomicI32::new(0) };
        this.seed().await?;
        Ok(this)
    }

    async fn seed(&self) -> Result<(), Failure> {
        let backends = vec![wire::Backend { address: "127.0.0.1:9001".into(), ..Default::default() }];
        let pool = Some(wire::Pool { backends, ..wire::Pool::default() });
        let pool = wire::CreatePoolRequest { pool_id: "shop".into(), pool, ..Default::default() };
        self.client.clone().create_pool(pool).await?;
        let route = wire::Route { name: String::new(), ..self.route() };
        let route =
            wire::CreateRouteRequest { route_id: "shop".into(), route: Some(route), ..Default::default() };
        self.client.clone().create_route(route).await?;
        Ok(())
    }

    /// The route with the next priority.
    fn route(&self) -> wire::Route {
        let kind = Some(wire::path_match::Kind::Prefix("/cart".to_owned()));
        let path = Some(wire::PathMatch { kind });
        let target = Some(wire::forward::Target::Pool("pools/shop".to_owned()));
        let forward = wire::Forward { target, ..wire::Forward::default() };
        wire::Route {
            name: NAME.into(),
            hosts: vec!["shop.example".into(), "www.shop.example".into()],
            matches: vec![wire::RouteMatch {
                path,
                methods: vec!["GET".into(), "POST".into()],
                ..Default::default()
            }],
            priority: self.priority.fetch_add(1, Ordering::Relaxed) % 1_000,
            action: Some(wire::route::Action::Forward(forward)),
            ..wire::Route::default()
        }
    }

    /// CPU of the server for a call, in µs.
    pub(crate) async fn turn(&self, turn: Turn) -> Result<f64, Failure> {
        let before = self.cpu_us()?;
        let calls = match turn {
            Turn::Get => self.gets().await?,
            Turn::Write => self.writes().await?,
        };
        Ok((self.cpu_us()? - before) / f64::from(calls))
    }

    async fn gets(&self) -> Result<u32, Failure> {
        let get = |_| async {
            let request = wire::GetRouteRequest { name: NAME.into() };
            self.client.clone().get_route(request).await.map(drop)
        };
        stream::iter(0..GETS).map(get).buffer_unordered(AT_ONCE).try_for_each(|()| async { Ok(()) }).await?;
        Ok(GETS)
    }

    async fn writes(&self) -> Result<u32, Failure> {
        for _ in 0..WRITES {
            let request = wire::UpdateRouteRequest { route: Some(self.route()), ..Default::default() };
            self.client.clone().update_route(request).await?;
        }
        Ok(WRITES)
    }

    /// CPU time of the server's process so far, user and system.
    fn cpu_us(&self) -> Result<f64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id().ok_or("it ended")?))?;
        let (_, fields) = stat.rsplit_once(')').ok_or("no name")?;
        // User and system are the 14th and the 15th; the name is the second.
        let ticks: Result<Vec<f64>, _> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect();
        let per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
        Ok(ticks?.into_iter().sum::<f64>() * 1e6 / f64::from(per_second))
    }

    /// Ends it, and tells how many of its spans the collector got.
    pub(crate) async fn end(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        let mut text = String::new();
        self.out.read_to_string(&mut text).await?;
        self.child.wait().await?;
        if self.setting == Setting::Traced {
            let count = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or(0.0)
            };
            let calls = count("calls ");
            let sent = count(r#"hotswap_trace_spans_total{outcome="sent"}"#);
            tell("spans that reached the collector, for a call traced", "spans", &[sent / calls.max(1.0)])?;
        }
        Ok(())
    }
}
