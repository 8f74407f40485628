//! A database for a test, in a server that many share.

use std::env;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;

use hotswap_test_servers::{Postgres, PostgresOptions, Unavailable, sql};

/// The address of the server that tests share: the one of the run, else one of this process, started when it is
/// first asked for.
///
/// # Errors
/// Where PostgreSQL is not installed or does not start.
pub fn postgres() -> Result<String, Unavailable> {
    static OWN: OnceLock<Result<Postgres, String>> = OnceLock::new();
    if let Ok(url) = env::var("HOTSWAP_TEST_POSTGRES_URL") {
        return Ok(url);
    }
    // Asked here and not inside: what is missing is told as such, to each who asks.
    hotswap_test_servers::postgres_programs()?;
    let own = OWN.get_or_init(|| Postgres::start(PostgresOptions::default()).map_err(|e| e.to_string()));
    own.as_ref().map(|server| server.url("postgres")).map_err(|why| Unavailable::Failed(why.clone()))
}

/// An empty database with a name that no other has. Dropped, it is gone, with the connections to it.
#[derive(Debug)]
pub struct TestDatabase {
    server: String,
    name: String,
}

impl TestDatabase {
    /// Makes one that sorts text by its bytes.
    ///
    /// # Errors
    /// Where PostgreSQL is not installed or does not start.
    pub fn create() -> Result<Self, Unavailable> {
        Self::make("")
    }

    /// Makes one that sorts text as a language does, as most databases in production: `en-US`. SQL that relies on
    /// another order shows it here.
    ///
    /// # Errors
    /// Where PostgreSQL is not installed, or built without ICU.
    pub fn sorting_as(language: &str) -> Result<Self, Unavailable> {
        Self::make(&format!(" LOCALE_PROVIDER icu ICU_LOCALE '{language}'"))
    }

    fn make(options: &str) -> Result<Self, Unavailable> {
        let server = postgres()?;
        let name = random_name();
        sql(&server, &format!("CREATE DATABASE {name} TEMPLATE template0{options}"))?;
        Ok(Self { server, name })
    }

    /// Makes another one with what this one holds. Nobody may be connected to this one.
    ///
    /// # Errors
    /// Where somebody is.
    pub fn copy(&self) -> Result<Self, Unavailable> {
        let name = random_name();
        sql(&self.server, &format!("CREATE DATABASE {name} TEMPLATE {}", self.name))?;
        Ok(Self { server: self.server.clone(), name })
    }

    /// Its address.
    pub fn url(&self) -> String {
        of_database(&self.server, &self.name)
    }

    /// Runs SQL in it; the result has a line for each row, with `|` between columns.
    ///
    /// # Errors
    /// The server's message.
    pub fn sql(&self, text: &str) -> Result<String, Unavailable> {
        sql(&self.url(), text)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // The server may be gone already.
        let _ = sql(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn random_name() -> String {
    format!("t_{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// The address of another database of the same server.
fn of_database(url: &str, name: &str) -> String {
    let (address, parameters) = url.split_once('?').map_or((url, None), |(a, p)| (a, Some(p)));
    let after_scheme = address.find("://").map_or(0, |at| at + 3);
    let end = address[after_scheme..].find('/').map_or(address.len(), |at| after_scheme + at);
    let parameters = parameters.map(|p| format!("?{p}")).unwrap_or_default();
    format!("{}/{name}{parameters}", &address[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_another_database_keeps_all_else() {
        let cases = [
            ("postgres://a@localhost/postgres?host=/tmp/x", "postgres://a@localhost/t?host=/tmp/x"),
            ("postgres://a:b@db:5433", "postgres://a:b@db:5433/t"),
            ("postgresql://db/", "postgresql://db/t"),
        ];
        for (url, expected) in cases {
            assert_eq!(of_database(url, "t"), expected);
        }
    }
}
