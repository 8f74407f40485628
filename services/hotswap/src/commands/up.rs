//! `hotswap up`.

use hotswap_runtime::{StartError, Supervisor, stop_on_signals};

use crate::child::{Gateway, GatewayPlan};
use crate::cli::Up;
use crate::demo::{self, Shell, Stage};
use crate::exit::Failure;
use crate::output;
use crate::secret::Token;
use crate::suite::{Suite, SuiteOptions};

pub(super) async fn run(args: &Up) -> Result<(), Failure> {
    let traces = super::start_telemetry(&args.log(), &args.server.log.trace)?;
    let supervisor = Supervisor::new();
    stop_on_signals(&supervisor)?;
    let tls = &args.server.tls;
    if args.demo && tls.tls_cert.is_some() {
        return Err(
            StartError::Option("--demo plays on this machine alone, without --tls-cert".to_owned()).into()
        );
    }
    tls.allow(args.gateway_admin_listen, "--gateway-admin-listen")?;
    let options = SuiteOptions {
        data_dir: args.server.data_dir.clone(),
        listen: args.listen,
        admin_listen: args.admin_listen,
        database: args.server.store.options()?,
        route: args.server.route()?,
        provider: args.server.provider()?,
        traces,
        tls: tls.clone(),
        limits: args.server.limits.limits(),
        socket: tls.tls_cert.is_some(),
    };
    let suite = Suite::start(&options, &supervisor).await?;
    suite.readiness.not_ready("gateway", "starting");
    let outcome = play(args, &suite, &supervisor).await;
    if outcome.is_err() || args.exit {
        supervisor.request_stop(None);
    }
    let ended = suite.until_stopped(&supervisor).await;
    outcome.and(ended)
}

/// Starts the gateway, says where everything is, and plays the demo if it is asked for.
async fn play(args: &Up, suite: &Suite, supervisor: &Supervisor) -> Result<(), Failure> {
    let mut gateway = Gateway::start(plan(args, suite), supervisor)?;
    // None: the process stops, and says why when it has.
    let Some(addresses) = gateway.ready().await else { return Ok(()) };
    suite.readiness.ready("gateway");
    let scheme = suite.scheme();
    output::print(|out| {
        let mut line = |name: &str, what: String| output::io_result(writeln!(out, "{name:15}{what}"));
        line("control plane", format!("{scheme}://{} (gRPC)", suite.listen))?;
        line("  admin", format!("{scheme}://{}/metrics", suite.admin_listen))?;
        line("gateway", format!("http://{}", addresses.listen))?;
        line("  admin", format!("{scheme}://{}/metrics", addresses.admin_listen))?;
        line("data folder", suite.data_dir().display().to_string())?;
        line("token", suite.admin_token().display().to_string())
    })?;
    if !args.demo {
        return Ok(());
    }
    let stage = Stage {
        gateway: addresses.listen,
        token: Token::File(suite.admin_token()).read().await?,
        shell: Shell {
            program: std::env::args().next().unwrap_or_else(|| "hotswap".to_owned()),
            server: suite.listen,
            token_file: suite.admin_token(),
        },
        // They end with the control plane, after the gateway that sends to them.
        supervisor: suite.supervisor.clone(),
        stays: !args.exit,
    };
    let shutdown = supervisor.shutdown();
    tokio::select! {
        told = demo::run(&stage) => told,
        () = shutdown.cancelled() => Err(Failure::other("the demo was stopped before its end")),
    }
}

fn plan(args: &Up, suite: &Suite) -> GatewayPlan {
    let control_plane = match &suite.tls {
        None => format!("http://{}", suite.listen),
        // Certificates say nothing of how this machine calls itself, and the folder is this user's.
        Some(_) => format!("unix:{}", suite.socket().display()),
    };
    GatewayPlan {
        control_plane,
        admin_tls: suite.tls.as_ref().map(|tls| tls.files().clone()),
        allow_plaintext: args.server.tls.allow_plaintext,
        data_dir: suite.data_dir(),
        token_file: suite.gateway_token(),
        listen: args.gateway_listen,
        admin_listen: args.gateway_admin_listen,
        workers: args.gateway_workers,
        // A story that people read is not mixed with the failures that belong to it.
        access_log_file: args.demo.then(|| suite.data_dir().join("demo-access.log")),
        log: args.log(),
        trace: args.server.log.trace.clone(),
    }
}
