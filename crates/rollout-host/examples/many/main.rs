//! Many rollouts at a time on one node, for `cargo xtask bench rollout`: a JSON object a line,
//! `{"store", "name", "unit", "value"}`.
//!
//! ```text
//!   create ─► begin ─► all due at once ─► spread ─► steady ─────────────────► rolled back
//!             all bake  as after an       over one  CPU, memory, how late     some, by command
//!                       outage            interval  looks and steps are
//! ```
//!
//! Driver, use cases and database are the real ones. The target, its counts and what it tells of its subjects cost
//! nothing, so what is seen is the engine. Between beginning and "all due at once" the database's clock is put on, so that
//! rollouts are as old as is asked for: the younger, the more often they are judged.

mod free;
mod home;
mod machine;
mod seen;
mod stages;

use std::error::Error;
use std::io::Write as _;

use home::{Home, Place};

type Failure = Box<dyn Error + Send + Sync>;

/// What is measured.
#[derive(Clone, Copy, Debug)]
struct Options {
    /// Active rollouts.
    rollouts: u32,
    /// How long is measured, in seconds.
    seconds: u32,
    /// Each is judged so often, in seconds: 1 to 30.
    every: u32,
    /// Steps that fall due while it is measured.
    steps: u32,
}

impl Options {
    /// How old a rollout must be to be judged so often, in microseconds: see `schedule.rs`.
    fn age(&self) -> i64 {
        i64::from(self.every) * 60_000_000
    }
}

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut options = Options { rollouts: 10_000, seconds: 120, every: 30, steps: 120 };
    let mut stores = "sqlite,postgres".to_owned();
    for pair in args.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} has no value", pair.concat()).into()) };
        match name.as_str() {
            "--rollouts" => options.rollouts = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            "--every" => options.every = value.parse::<u32>()?.clamp(1, 30),
            "--steps" => options.steps = value.parse()?,
            "--stores" => stores.clone_from(value),
            other => return Err(format!("there is no {other}").into()),
        }
    }
    for store in stores.split(',') {
        // Each in a process of its own: memory that one has used is not the other's.
        if std::env::var_os(CHILD).is_some() {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(on(store, options))?;
        } else {
            child(store, &args)?;
        }
    }
    Ok(())
}

/// Set in a process that measures one store.
const CHILD: &str = "HOTSWAP_MANY_CHILD";

fn child(store: &str, args: &[String]) -> Result<(), Failure> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(args).args(["--stores", store]).env(CHILD, "1");
    if command.status()?.success() { Ok(()) } else { Err(format!("{store} was not measured").into()) }
}

async fn on(store: &str, options: Options) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let place = match store {
        "sqlite" => Place::sqlite(dir.path()),
        "postgres" => match Place::postgres() {
            Ok(place) => place,
            Err(why) => return Ok(writeln!(std::io::stderr(), "PostgreSQL is not measured: {why}")?),
        },
        other => return Err(format!("no store {other}").into()),
    };
    let home = Home::open(dir.path(), &place, options).await?;
    stages::run(&home, &place, options).await
}
