//! The database has no room for a while: what can't be stored is not begun, what is begun is stored, and all goes on where
//! it stood when there is room again.
//!
//! SQLite is told to take no page more, and what is left of its pages is filled. A PostgreSQL whose disk is full fails
//! whichever statement needs a page; here each table in turn refuses with that code.

use hotswap_rollout::PortError;
use hotswap_rollout_host::{Error, Page, SendCommand, View};
use hotswap_store::StoreError;
use uuid::Uuid;

use crate::crashes::{End, Script, script};
use crate::harness::{Home, Place, command, ctx, rollout_of};

/// For how many ticks there is no room, and how many there are at most.
const LASTS: usize = 3;
const MOST: usize = 60;
/// From which ticks on.
const FROM: [usize; 3] = [0, 2, 4];
/// Longer than a lease, in microseconds: what a failed turn left is free again.
const TICK: i64 = 16_000_000;

/// The tables that a decision writes, and a creation, and a command.
const TABLES: [&str; 5] =
    ["rollouts", "rollout_events", "rollout_commands", "rollout_measurements", "audit_events"];

const TRIGGERS: &str = "CREATE TABLE test_full (name TEXT PRIMARY KEY); \
    CREATE FUNCTION test_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    IF EXISTS (SELECT 1 FROM test_full WHERE name = TG_TABLE_NAME) THEN \
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END IF; \
    RETURN NEW; END $$;";

/// What has no room.
#[derive(Clone, Copy, Debug)]
enum Full {
    /// The file.
    Pages,
    /// A table.
    Table(&'static str),
}

impl Full {
    /// Prepares it; gives what there is to run out of.
    async fn of(place: &Place, home: &Home) -> Vec<Self> {
        let trigger = |table: &&str| {
            format!(
                "CREATE TRIGGER test_full BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW \
                 EXECUTE FUNCTION test_full();"
            )
        };
        if place.on_postgres(&format!("{TRIGGERS}{}", TABLES.iter().map(trigger).collect::<String>())) {
            return TABLES.map(Self::Table).to_vec();
        }
        let mut tx = home.db.write_unscoped().await.expect("a transaction");
        tx.execute("CREATE TABLE test_filler (text TEXT NOT NULL)", &[]).await.expect("a table");
        tx.commit().await.expect("commits");
        vec![Self::Pages]
    }

    async fn begins(self, place: &Place, home: &Home) {
        match self {
            Self::Table(table) => {
                place
                    .on_postgres(&format!("INSERT INTO test_full VALUES ('{table}') ON CONFLICT DO NOTHING"));
            }
            Self::Pages => {
                // As many pages as there are already; and those are filled, with less and less. A connection on which a
                // write found no room is replaced, and the next one knows of no limit.
                for size in [3_000, 300, 30] {
                    pages(home, NO_MORE).await;
                    while fill(home, size).await {}
                }
                pages(home, NO_MORE).await;
            }
        }
    }

    async fn ends(self, place: &Place, home: &Home) {
        match self {
            Self::Table(_) => {
                place.on_postgres("DELETE FROM test_full");
            }
            Self::Pages => pages(home, "PRAGMA max_page_count = 1000000").await,
        }
    }
}

const NO_MORE: &str = "PRAGMA max_page_count = 1";

async fn pages(home: &Home, sql: &'static str) {
    let mut tx = home.db.write_unscoped().await.expect("a transaction");
    tx.fetch_opt(sql, &[]).await.expect("set");
}

async fn fill(home: &Home, size: usize) -> bool {
    let filled = async {
        let mut tx = home.db.write_unscoped().await?;
        tx.execute("INSERT INTO test_filler (text) VALUES ($1)", &["x".repeat(size).into()]).await?;
        tx.commit().await
    };
    filled.await.is_ok()
}

/// Turns until nothing is due, or one fails for want of room; whether one did.
async fn driven(home: &Home) -> bool {
    for _ in 0..1_000 {
        match home.driver.turn().await {
            Ok(true) => {}
            Ok(false) => return false,
            Err(PortError::Unavailable(_)) => return true,
            Err(PortError::Fenced) => panic!("nobody else drives"),
        }
    }
    panic!("it never settles");
}

/// Whether it is the want of room.
fn no_room(error: &Error) -> bool {
    matches!(error, Error::Store(error) if matches!(**error, StoreError::Unavailable(_)))
}

/// A rollout by a script, with no room from a tick on, for some.
struct Run<'a> {
    place: &'a Place,
    home: &'a Home,
    script: &'a Script,
    subject: String,
    hard: Option<(Full, usize)>,
}

impl Run<'_> {
    /// How it ended, and how often something failed for want of room.
    async fn to_the_end(&self) -> (End, usize) {
        self.home.table.add(&self.subject).await;
        *self.home.gauge.0.lock().expect("not poisoned") = self.script.reading.clone();
        let (mut view, mut failed) = (None, 0);
        for tick in 0..MOST {
            match self.hard {
                Some((full, from)) if (from..from + LASTS).contains(&tick) => {
                    full.begins(self.place, self.home).await
                }
                Some((full, from)) if from + LASTS == tick => full.ends(self.place, self.home).await,
                _ => {}
            }
            failed += self.tick(tick, &mut view).await;
            if let Some(view) = &view {
                self.nothing_is_half_done(view).await;
                if self.home.get(view).await.record.state.is_ended() {
                    break;
                }
            }
            let passed = i64::try_from(tick + 1).expect("small") * TICK;
            self.home.db.set_clock_offset_micros(passed);
        }
        if let Some((full, _)) = self.hard {
            full.ends(self.place, self.home).await;
        }
        (End::of(self.home, &self.subject, &view.expect("created")).await, failed)
    }

    async fn tick(&self, tick: usize, view: &mut Option<View>) -> usize {
        let mut input = rollout_of(&self.subject, self.script.plan.clone());
        input.options.request_id = Some(Uuid::from_u128(1));
        let who = format!("ann of {}", self.subject);
        let made = match self.home.rollouts.create(&ctx(&who), input).await {
            Ok(made) => made,
            Err(error) if no_room(&error) => return 1,
            Err(error) => panic!("{error}"),
        };
        *view = Some(made.clone());
        let Some(order) = self.script.order.clone().filter(|_| tick >= 2) else {
            return usize::from(driven(self.home).await);
        };
        let said = SendCommand { request_id: Some(Uuid::from_u128(0xff)), ..command(&made, order) };
        let (rollouts, ctx) = (self.home.rollouts.clone(), ctx(&format!("bob of {}", self.subject)));
        let mut sent = tokio::task::JoinSet::new();
        sent.spawn(async move { rollouts.send(&ctx, said).await });
        loop {
            if driven(self.home).await {
                return 1;
            }
            match sent.try_join_next().map(|said| said.expect("no panic")) {
                None => tokio::task::yield_now().await,
                Some(Err(error)) if no_room(&error) => return 1,
                Some(Err(error)) => panic!("{error}"),
                Some(Ok(_)) => return usize::from(driven(self.home).await),
            }
        }
    }

    /// What is stored is whole, and nothing was done that was not stored before.
    async fn nothing_is_half_done(&self, view: &View) {
        let now = self.home.get(view).await;
        let page = Page { page_size: 1_000, ..Page::default() };
        let (events, _) = self.home.rollouts.events(&ctx("eve"), &view.name(), &page).await.expect("events");
        let places: Vec<_> = events.iter().map(|e| e.seq).collect();
        assert_eq!(places, (1..=now.last_event).collect::<Vec<_>>(), "{}", self.subject);
        let sql = "SELECT COALESCE(MAX(ticket), 0) AS n FROM table_acts WHERE rollout = $1";
        let mut tx = self.home.db.read().await.expect("a transaction");
        let row = tx.fetch_opt(sql, &[view.name().into()]).await.expect("a row").expect("a row");
        let done = row.int("n").expect("a number").cast_unsigned();
        assert!(done <= now.record.tickets, "{}: act {done} was never intended", self.subject);
    }
}

async fn goes_on(name: &str) {
    let place = Place::new();
    let home = Home::open(&place).await;
    let script = script(name);
    let run = async |subject: String, hard| {
        home.db.set_clock_offset_micros(0);
        let run = Run { place: &place, home: &home, script: &script, subject, hard };
        let (mut end, failed) = run.to_the_end().await;
        // What the target could not do was tried again; and an order that found no room comes some steps later.
        end.kinds.retain(|kind| kind != "retried" && (script.order.is_none() || !kind.starts_with("step_")));
        (end, failed)
    };
    let (golden, _) = run(format!("tables/{name}"), None).await;
    assert_eq!(golden.word, script.end, "{golden:#?}");
    for (n, full) in Full::of(&place, &home).await.into_iter().enumerate() {
        let mut failures = 0;
        // A rollout that is created late meets an order at once, which is another story.
        for from in FROM.into_iter().filter(|from| script.order.is_none() || *from >= 2) {
            let (end, failed) = run(format!("tables/{name}-{n}-{from}"), Some((full, from))).await;
            assert_eq!(end, golden, "{name}: no room in {full:?} from tick {from}");
            failures += failed;
        }
        // A rollout without an order writes no command, and one that is called back at once may have measured nothing.
        let rare = match full {
            Full::Table("rollout_commands") => script.order.is_none(),
            Full::Table("rollout_measurements") => script.order.is_some(),
            Full::Table(_) | Full::Pages => false,
        };
        assert!(failures > 0 || rare, "{name}: {full:?} hit nothing");
    }
    let reports = home.audit.verify(None).await.expect("verified");
    assert!(reports.iter().all(hotswap_audit::ChainReport::is_intact), "{reports:?}");
}

#[tokio::test]
async fn a_full_database_delays_a_good_canary_and_changes_nothing_else() {
    goes_on("good").await;
}

#[tokio::test]
async fn a_full_database_delays_the_way_back_of_a_bad_canary_and_changes_nothing_else() {
    goes_on("bad").await;
}

#[tokio::test]
async fn a_full_database_delays_a_rollback_that_a_person_asked_for_and_loses_it_not() {
    goes_on("back").await;
}
