//! `hotswap serve`.

use hotswap_runtime::{Supervisor, stop_on_signals};

use crate::cli::Serve;
use crate::exit::Failure;
use crate::output;
use crate::suite::{Suite, SuiteOptions};

/// Runs services without a gateway. There is one service so far, so all are the suite.
pub(super) async fn run(args: &Serve) -> Result<(), Failure> {
    let traces = super::start_telemetry(&args.server.log.options("info"), &args.server.log.trace)?;
    let supervisor = Supervisor::new();
    stop_on_signals(&supervisor)?;
    let options = SuiteOptions {
        data_dir: args.server.data_dir.clone(),
        listen: args.listen,
        admin_listen: args.admin_listen,
        database: args.server.store.options()?,
        route: args.server.route()?,
        provider: args.server.provider()?,
        traces,
        tls: args.server.tls.clone(),
        limits: args.server.limits.limits(),
        socket: false,
    };
    let suite = Suite::start(&options, &supervisor).await?;
    let scheme = suite.scheme();
    output::print(|out| {
        let mut line = |name: &str, what: String| output::io_result(writeln!(out, "{name:15}{what}"));
        line("services", args.services.join(", "))?;
        line("listening", format!("{scheme}://{} (gRPC)", suite.listen))?;
        line("  admin", format!("{scheme}://{}/metrics", suite.admin_listen))?;
        line("data folder", suite.data_dir().display().to_string())?;
        line("token", suite.admin_token().display().to_string())
    })?;
    suite.until_stopped(&supervisor).await
}
