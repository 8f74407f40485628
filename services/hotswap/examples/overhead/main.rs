//! What each layer before a use case adds to a call, for `cargo xtask bench overhead`: a JSON object a line,
//! `{"name", "unit", "values"}`.
//!
//! ```text
//!   this process: load, collector ──► a server a setting, each a process of its own, taking turns:
//!                                     bare · authorized · logged · limited · traced at 1 % · traced
//! ```
//! Each server is the real one, on SQLite in a folder of its own, but that some have fewer layers. A figure is the CPU
//! of the server's process, user and system, for a call; what a layer adds is the difference of two that took turns.

mod collector;
mod load;
mod pieces;
mod serve;

use std::error::Error;
use std::io::Write as _;

use collector::Collector;
use load::{Server, Turn};
use serve::Setting;

type Failure = Box<dyn Error + Send + Sync>;

/// Times that everything is measured, where nothing else is said.
const ROUNDS: usize = 7;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", setting, dir, otlp] => serve::run(Setting::parse(setting)?, dir.as_ref(), otlp),
        [] => measure(ROUNDS),
        ["--rounds", rounds] => measure(rounds.parse()?),
        _ => Err("the one option is --rounds N".into()),
    }
}

fn measure(rounds: usize) -> Result<(), Failure> {
    pieces::run(rounds)?;
    let collector = Collector::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = tempfile::tempdir()?;
        let mut servers = Vec::new();
        for setting in Setting::ALL {
            let dir = folder.path().join(setting.as_str());
            servers.push(Server::start(setting, &dir, &collector.url()).await?);
        }
        for turn in [Turn::Get, Turn::Write] {
            let mut figures: Vec<Vec<f64>> = vec![Vec::new(); servers.len()];
            // The first round warms up.
            for round in 0..=rounds {
                for (server, values) in servers.iter().zip(&mut figures) {
                    let cost = server.turn(turn).await?;
                    if round > 0 {
                        values.push(cost);
                    }
                }
            }
            told(turn, &figures)?;
        }
        for server in servers {
            server.end().await?;
        }
        Ok(())
    })
}

/// The figures of a turn, by setting: the first as it is, then what each adds to the one that it is compared with.
fn told(turn: Turn, figures: &[Vec<f64>]) -> Result<(), Failure> {
    let call = turn.as_str();
    for (setting, values) in Setting::ALL.iter().zip(figures) {
        match setting.beside() {
            None => tell(&format!("{call}: {}", setting.meaning()), "µs CPU", values)?,
            Some(before) => {
                let before = figures.get(before as usize).ok_or("a setting that was not measured")?;
                let added: Vec<f64> =
                    values.iter().zip(before).map(|(with, without)| with - without).collect();
                tell(&format!("{call}: {} adds", setting.meaning()), "µs CPU", &added)?;
            }
        }
    }
    let whole = figures.get(Setting::Limited as usize).ok_or("a setting that was not measured")?;
    tell(&format!("{call}: as `hotswap up` serves it, without tracing"), "µs CPU", whole)
}

fn tell(name: &str, unit: &str, values: &[f64]) -> Result<(), Failure> {
    let line = serde_json::json!({ "name": name, "unit": unit, "values": values });
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}
