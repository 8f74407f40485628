//! What is done, one after another.

use std::io::Write as _;
use std::time::{Duration, Instant};

use hotswap_rollout::{Millis, Order};
use hotswap_rollout_host::{SendCommand, View};
use serde_json::json;

use crate::home::{Home, Place, ctx};
use crate::seen::{self, Spread};
use crate::{Failure, Options, machine};

/// Rollouts that are rolled back at the end, one after another.
const ROLLED_BACK: usize = 100;
/// Where nothing else is said a rollout bakes until the end.
const FOR_LONG: Millis = Millis::hours(24 * 7);

/// What is told of a store.
struct Told<'a> {
    store: &'a str,
}

impl Told<'_> {
    fn tell(&self, name: &str, unit: &str, value: f64) -> Result<(), Failure> {
        let line = json!({ "store": self.store, "name": name, "unit": unit, "value": value });
        Ok(writeln!(std::io::stdout().lock(), "{line}")?)
    }

    fn spread(&self, name: &str, mut seen: Vec<f64>) -> Result<(), Failure> {
        let Some(Spread { count, p50, p99, max }) = Spread::of(&mut seen) else { return Ok(()) };
        self.tell(&format!("{name}, so many"), "", count)?;
        self.tell(&format!("{name}, p50"), "ms", p50)?;
        self.tell(&format!("{name}, p99"), "ms", p99)?;
        self.tell(&format!("{name}, most"), "ms", max)
    }
}

/// All of it.
pub(crate) async fn run(home: &Home, place: &Place, options: Options) -> Result<(), Failure> {
    let told = Told { store: place.name() };
    let (empty, _) = machine::memory()?;
    told.tell("memory before", "MB", empty)?;
    let views = create(home, options, &told).await?;
    begin(home, options, &told).await?;
    steady(home, place, options, &told).await?;
    roll_back(home, &views, &told).await?;
    home.supervisor.drain(Duration::from_secs(10)).await;
    home.db.close().await;
    Ok(())
}

/// Creates them, while nobody drives.
async fn create(home: &Home, options: Options, told: &Told<'_>) -> Result<Vec<View>, Failure> {
    let Options { rollouts, seconds, every, steps, .. } = options;
    let between = rollouts.checked_div(steps).unwrap_or(u32::MAX).max(1);
    let began = Instant::now();
    let mut views = Vec::new();
    for number in 0..rollouts {
        // Of some the bake ends while it is measured, of the others never.
        let nth = number / between;
        let falls_due = number % between == 0 && nth < steps;
        let after =
            u64::from(every) * 61_000 + u64::from(nth) * u64::from(seconds) * 1_000 / u64::from(steps.max(1));
        let bake = if falls_due { Millis(after) } else { FOR_LONG };
        let view = home.rollouts.create(&ctx(), Home::canary(number, bake)).await?;
        // Those to be rolled back later.
        if !falls_due && views.len() < ROLLED_BACK {
            views.push(view);
        }
    }
    told.tell("created", "rollouts/s", f64::from(rollouts) / began.elapsed().as_secs_f64())?;
    Ok(views)
}

/// They begin, all at once; and are all due at once, as after an outage.
async fn begin(home: &Home, options: Options, told: &Told<'_>) -> Result<(), Failure> {
    let all = f64::from(options.rollouts);
    let began = Instant::now();
    home.driver.start(&home.supervisor);
    seen::until_none(home, seen::NOT_BAKING, 0).await?;
    told.tell("begun at once: staged, and 10 % exposed", "rollouts/s", all / began.elapsed().as_secs_f64())?;
    // As old as is asked for since they began to begin, so that the bakes that are to end do so while it is measured.
    let passed = i64::try_from(began.elapsed().as_micros())?;
    home.db.set_clock_offset_micros((options.age() - passed).max(0));
    let (due, began) = (seen::now(home).await?, Instant::now());
    seen::until_none(home, seen::NOT_MEASURED_SINCE, due).await?;
    told.tell("judged after an outage, when all are due", "rollouts/s", all / began.elapsed().as_secs_f64())
}

/// All bake and are judged.
async fn steady(home: &Home, place: &Place, options: Options, told: &Told<'_>) -> Result<(), Failure> {
    let spread = seen::spread(home, options.every).await?;
    tokio::time::sleep(Duration::from_secs(options.every.into())).await;
    let (from, began) = (seen::now(home).await?, Instant::now());
    let (own, database) = (machine::own_cpu()?, place.cpu()?);
    tokio::time::sleep(Duration::from_secs(options.seconds.into())).await;
    let took = began.elapsed().as_secs_f64();
    told.tell("CPU", "% of a core", (machine::own_cpu()? - own) / took * 100.0)?;
    if let (Some(before), Some(after)) = (database, place.cpu()?) {
        told.tell("CPU of the server's own processes", "% of a core", (after - before) / took * 100.0)?;
    }
    let to = seen::now(home).await?;
    let (now, most) = machine::memory()?;
    told.tell("memory with all of them", "MB", now)?;
    told.tell("memory at most", "MB", most)?;
    told.tell("rows of a rollout", "bytes", seen::number(home, seen::ROW_BYTES, from).await?)?;
    told.tell("rows of a measurement", "bytes", seen::number(home, seen::MEASUREMENT_BYTES, from).await?)?;
    let judged = seen::number(home, seen::MEASUREMENTS_SINCE, from).await?;
    told.tell("measurements", "a second", judged / took)?;
    told.spread("judged late", seen::looks(home, spread, from, to).await?)?;
    told.spread("steps late", seen::steps(home, from, to).await?)
}

/// Some are rolled back by command, one after another, while the rest goes on.
async fn roll_back(home: &Home, views: &[View], told: &Told<'_>) -> Result<(), Failure> {
    let mut answered = Vec::new();
    for view in views {
        let order = Order::Rollback { why: "enough".into(), instant: true };
        let input = SendCommand {
            name: view.name(),
            etag: String::new(),
            order,
            why: "enough".into(),
            request_id: None,
        };
        let began = Instant::now();
        home.rollouts.send(&ctx(), input).await?;
        answered.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    told.spread("rollback by command, answered after", answered)?;
    told.spread("rollback by command, candidate gone after", seen::gone(home).await?)
}
