//! The load of `cargo xtask bench edge` for what wrk and h2load can't ask for: handshakes of TLS, whole and taken up again,
//! bulk over TLS, messages of a WebSocket, calls and streams of gRPC and the server that they go to, and connections that
//! are idle. One thread, on the caller's core.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod grpc;
mod hold;
mod line;
mod run;

use std::error::Error;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::Parser;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Parser)]
enum Cli {
    /// Writes cert.pem, key.pem, and both.pem with both, for the name "bench".
    Certificates {
        /// The folder.
        dir: PathBuf,
    },
    /// Does one thing again and again on each connection, and prints how often.
    Run {
        #[command(flatten)]
        to: To,
        /// What is done.
        #[arg(long, value_enum)]
        kind: run::Kind,
        /// Connections at a time.
        #[arg(long)]
        connections: usize,
        /// How long.
        #[arg(long)]
        seconds: u64,
    },
    /// Serves calls of gRPC: sends back what comes.
    Serve {
        /// Where.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Opens connections that each ask once, says "ready", and keeps them until standard input ends.
    Hold {
        #[command(flatten)]
        to: To,
        /// What is spoken in them.
        #[arg(long, value_enum)]
        kind: hold::Kind,
        /// How many.
        #[arg(long)]
        count: usize,
    },
}

/// Where to.
#[derive(clap::Args, Clone)]
struct To {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    path: String,
    /// The certificate to trust; without it there is no TLS.
    #[arg(long)]
    cert: Option<PathBuf>,
}

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match Cli::parse() {
            Cli::Certificates { dir } => certificates(&dir),
            Cli::Run { to, kind, connections, seconds } => {
                let counted = run::run(&to, kind, connections, seconds).await?;
                println!("{counted}");
                Ok(())
            }
            Cli::Serve { listen } => grpc::serve(listen).await,
            Cli::Hold { to, kind, count } => hold::hold(&to, kind, count).await,
        }
    })
}

fn certificates(dir: &Path) -> Outcome<()> {
    let made = rcgen::generate_simple_self_signed(["bench".to_owned()])?;
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    for (name, text) in [("cert.pem", cert.clone()), ("key.pem", key.clone()), ("both.pem", cert + &key)] {
        let file = dir.join(name);
        fs::write(&file, text)?;
        fs::set_permissions(&file, Permissions::from_mode(0o600))?;
    }
    Ok(())
}
