//! PostgreSQL: ends of every kind, and copies.

use hotswap_test_servers::{Postgres, PostgresOptions};

use crate::there;

const MAKE: &str = "CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2)";
const SUM: &str = "SELECT sum(n) FROM t";

#[test]
fn a_server_that_was_stopped_or_killed_comes_back_at_its_address_with_its_data() {
    let Some(mut server) = there(Postgres::start(PostgresOptions::default())) else { return };
    let url = server.url("postgres");
    server.sql("postgres", MAKE).expect("makes");
    server.stop().expect("stops");
    assert!(server.sql("postgres", SUM).is_err(), "it is down");
    server.start_again().expect("starts");
    server.kill().expect("kills");
    assert!(server.sql("postgres", SUM).is_err(), "it is down");
    server.start_again().expect("recovers");
    assert_eq!(server.url("postgres"), url);
    assert_eq!(server.sql("postgres", SUM).expect("reads"), "3");
}

#[test]
fn a_copy_has_the_data_of_its_origin_running_or_killed_and_goes_its_own_way() {
    let options = PostgresOptions { durable: true, ..PostgresOptions::default() };
    let Some(mut server) = there(Postgres::start(options)) else { return };
    server.sql("postgres", MAKE).expect("makes");
    let of_running = server.copy().expect("copies");
    server.sql("postgres", "INSERT INTO t VALUES (10)").expect("writes");
    server.kill().expect("kills");
    let of_killed = server.copy().expect("copies");
    assert_eq!(of_running.sql("postgres", SUM).expect("reads"), "3");
    assert_eq!(of_killed.sql("postgres", SUM).expect("reads"), "13");
    assert_eq!(of_killed.sql("postgres", "SHOW fsync").expect("reads"), "on");
}

#[test]
fn a_standby_follows_and_takes_over() {
    let Some(mut server) = there(Postgres::start(PostgresOptions::default())) else { return };
    let standby = server.standby().expect("follows");
    server.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'").expect("sets");
    server.sql("postgres", "SELECT pg_reload_conf()").expect("sets");
    // A commit waits until the standby shows it, from when the setting is read on.
    let commit = "SET synchronous_commit = remote_apply; ";
    server.sql("postgres", &format!("{commit} {MAKE}")).expect("makes");
    while standby.sql("postgres", SUM).is_err() {
        std::thread::yield_now();
    }
    assert!(standby.sql("postgres", "INSERT INTO t VALUES (1)").is_err(), "it only reads");
    server.kill().expect("kills");
    standby.promote().expect("takes over");
    standby.sql("postgres", "INSERT INTO t VALUES (4)").expect("writes");
    assert_eq!(standby.sql("postgres", SUM).expect("reads"), "7");
}

#[test]
fn settings_and_a_port_are_as_asked() {
    let settings = vec![("work_mem".to_owned(), "9MB".to_owned())];
    let options = PostgresOptions { tcp: true, settings, ..PostgresOptions::default() };
    let Some(server) = there(Postgres::start(options)) else { return };
    assert_eq!(server.sql("postgres", "SHOW work_mem").expect("reads"), "9MB");
    let address = server.tcp().expect("has a port");
    std::net::TcpStream::connect(address).expect("listens");
}

#[test]
fn a_frozen_server_answers_when_it_is_let_go() {
    let Some(server) = there(Postgres::start(PostgresOptions::default())) else { return };
    let frozen = server.freeze().expect("freezes");
    let url = server.url("postgres");
    let asked = std::thread::spawn(move || hotswap_test_servers::sql(&url, "SELECT 1"));
    frozen.thaw();
    assert_eq!(asked.join().expect("joins").expect("answers"), "1");
}
