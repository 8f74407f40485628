//! Databases that tests make.

use hotswap_testkit::{TestDatabase, postgres, required, sql};

#[test]
fn each_database_is_empty_and_gone_when_it_is_dropped() {
    let Some(one) = required(TestDatabase::create()) else { return };
    let other = TestDatabase::create().expect("makes");
    one.sql("CREATE TABLE t ()").expect("makes");
    other.sql("CREATE TABLE t ()").expect("is another database");
    let names = "SELECT datname FROM pg_database";
    let name = one.sql("SELECT current_database()").expect("reads");
    let server = postgres().expect("is there");
    assert!(sql(&server, names).expect("reads").contains(&name));
    drop(one);
    assert!(!sql(&server, names).expect("reads").contains(&name));
}

#[test]
fn a_database_sorts_as_asked() {
    let Some(bytes) = required(TestDatabase::create()) else { return };
    let language = TestDatabase::sorting_as("en-US").expect("makes");
    let order = "SELECT string_agg(x, '' ORDER BY x) FROM unnest(ARRAY['a', 'B', 'c']) AS x";
    assert_eq!(bytes.sql(order).expect("reads"), "Bac");
    assert_eq!(language.sql(order).expect("reads"), "aBc");
}
