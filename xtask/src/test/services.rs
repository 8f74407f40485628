//! What tests need besides the code: PostgreSQL, one server for the whole run, and Redis, Prometheus and a mail server, which
//! each test starts for itself. The tests find them through `hotswap_testkit`, by variables.

use std::cell::OnceCell;
use std::fs;
use std::process::Command;

use anyhow::Result;
use hotswap_test_servers::{
    Postgres, PostgresOptions, Unavailable, postgres_programs, prometheus_program, redis_program,
    smtp_program, tmux_program, varnishtest_program,
};
use tempfile::NamedTempFile;

use super::Outcome;
use super::debian::install;

/// The server that tests make their databases in.
const POSTGRES: &str = "HOTSWAP_TEST_POSTGRES_URL";
/// Set, a test that can't have what it needs fails.
pub(super) const REQUIRE_ALL: &str = "HOTSWAP_REQUIRE_ALL";
/// A file to which each test that skips itself adds a line.
const SKIP_LOG: &str = "HOTSWAP_SKIP_LOG";

/// The servers of a run. They are gone when this is dropped, and where this process is killed too.
pub(super) struct Services {
    require_all: bool,
    skips: NamedTempFile,
    postgres: OnceCell<Result<Postgres, Unavailable>>,
    redis: OnceCell<Result<(), Unavailable>>,
    prometheus: OnceCell<Result<(), Unavailable>>,
    smtp: OnceCell<Result<(), Unavailable>>,
    tmux: OnceCell<Result<(), Unavailable>>,
    varnishtest: OnceCell<Result<(), Unavailable>>,
}

impl Services {
    /// None yet: each comes when it is first asked for.
    pub(super) fn new(require_all: bool) -> Result<Self> {
        let skips = NamedTempFile::with_prefix("hotswap-skips-")?;
        let (postgres, redis, prometheus, smtp, tmux, varnishtest) = Default::default();
        Ok(Self { require_all, skips, postgres, redis, prometheus, smtp, tmux, varnishtest })
    }

    /// Starts PostgreSQL, installed where it is missing.
    pub(super) fn postgres(&self) -> Result<Outcome> {
        Ok(told(self.started()))
    }

    fn started(&self) -> &Result<Postgres, Unavailable> {
        self.postgres.get_or_init(|| {
            with_package(postgres_programs)?;
            Postgres::start(PostgresOptions::default())
        })
    }

    /// Sees to it that Redis is installed.
    pub(super) fn redis(&self) -> Result<Outcome> {
        Ok(told(self.redis.get_or_init(|| with_package(redis_program).map(drop))))
    }

    /// Sees to it that Prometheus is installed.
    pub(super) fn prometheus(&self) -> Result<Outcome> {
        Ok(told(self.prometheus.get_or_init(|| with_package(prometheus_program).map(drop))))
    }

    /// Sees to it that a mail server is installed.
    pub(super) fn smtp(&self) -> Result<Outcome> {
        Ok(told(self.smtp.get_or_init(|| with_package(smtp_program).map(drop))))
    }

    /// Sees to it that tmux is installed.
    pub(super) fn tmux(&self) -> Result<Outcome> {
        Ok(told(self.tmux.get_or_init(|| with_package(tmux_program).map(drop))))
    }

    /// Sees to it that varnishtest is installed.
    pub(super) fn varnishtest(&self) -> Result<Outcome> {
        Ok(told(self.varnishtest.get_or_init(|| with_package(varnishtest_program).map(drop))))
    }

    /// Tells a command that runs tests where everything is.
    pub(super) fn give(&self, command: &mut Command) -> Result<()> {
        self.redis()?;
        self.prometheus()?;
        self.smtp()?;
        self.tmux()?;
        self.varnishtest()?;
        if let Ok(server) = self.started() {
            command.env(POSTGRES, server.url("postgres"));
        }
        if self.require_all {
            command.env(REQUIRE_ALL, "1");
        }
        command.env(SKIP_LOG, self.skips.path());
        Ok(())
    }

    /// The tests that skipped themselves, each with the reason.
    pub(super) fn skipped_tests(&self) -> Result<Vec<String>> {
        let text = fs::read_to_string(self.skips.path())?;
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines.dedup();
        Ok(lines)
    }
}

/// Looks for something, and installs what would bring it where it is missing.
fn with_package<T>(find: impl Fn() -> Result<T, Unavailable>) -> Result<T, Unavailable> {
    match find() {
        Err(Unavailable::Missing { program, package }) => match install(package) {
            Ok(()) => find(),
            // Still missing, which is a skip and no failure.
            Err(why) => {
                let _ = crate::say(&format!("{program}: {why:#}"));
                find()
            }
        },
        found => found,
    }
}

fn told<T>(what: &Result<T, Unavailable>) -> Outcome {
    match what {
        Ok(_) => Outcome::Passed,
        Err(missing @ (Unavailable::Missing { .. } | Unavailable::NotBuilt { .. })) => {
            Outcome::Skipped(missing.to_string())
        }
        Err(failed) => Outcome::Failed(failed.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_a_skip_and_what_does_not_work_a_failure() {
        let missing = Unavailable::Missing { program: "p", package: "q" };
        let Outcome::Skipped(why) = told::<()>(&Err(missing)) else { panic!("a skip") };
        assert_eq!(why, "p is not installed (Debian package q)");
        assert!(matches!(told::<()>(&Err(Unavailable::Failed("x".into()))), Outcome::Failed(_)));
        assert!(matches!(told(&Ok(())), Outcome::Passed));
    }

    #[test]
    fn tests_that_skipped_themselves_are_named_once() {
        let services = Services::new(false).expect("makes");
        assert!(services.skipped_tests().expect("reads").is_empty());
        fs::write(services.skips.path(), "b: why\na: why\nb: why\n").expect("writes");
        assert_eq!(services.skipped_tests().expect("reads"), ["a: why", "b: why"]);
    }
}
