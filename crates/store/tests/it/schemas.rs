//! The two schemas are one.

use std::collections::{BTreeMap, BTreeSet};

use hotswap_store::Db;

use crate::support::{Stores, sqlite};

/// A column's kind, and whether it must have a value.
type Columns = BTreeMap<String, (String, bool)>;

#[derive(Debug, Default, PartialEq)]
struct Table {
    columns: Columns,
    key: Vec<String>,
    /// The columns of each index.
    indexes: BTreeSet<Vec<String>>,
}

async fn of_sqlite(db: &Db) -> BTreeMap<String, Table> {
    const COLUMNS: &str = "SELECT t.name AS tbl, c.name AS col, c.type AS kind, c.\"notnull\" AS must, c.pk AS pk \
         FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' ORDER BY t.name, c.pk";
    const INDEXES: &str = "SELECT t.name AS tbl, i.name AS idx, c.name AS col \
         FROM sqlite_schema t, pragma_index_list(t.name) i, pragma_index_info(i.name) c \
         WHERE t.type = 'table' AND i.origin = 'c' ORDER BY i.name, c.seqno";
    let mut tx = db.read().await.expect("read");
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for row in tx.fetch_all(COLUMNS, &[]).await.expect("columns") {
        let table = tables.entry(row.text("tbl").expect("text")).or_default();
        let column = row.text("col").expect("text");
        if row.int("pk").expect("number") > 0 {
            table.key.push(column.clone());
        }
        let kind = row.text("kind").expect("text").to_lowercase().replace("integer", "bigint");
        table.columns.insert(column, (kind, row.int("must").expect("number") == 1));
    }
    let mut indexes: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for row in tx.fetch_all(INDEXES, &[]).await.expect("indexes") {
        let key = (row.text("tbl").expect("text"), row.text("idx").expect("text"));
        indexes.entry(key).or_default().push(row.text("col").expect("text"));
    }
    for ((table, _), columns) in indexes {
        tables.entry(table).or_default().indexes.insert(columns);
    }
    tables
}

async fn of_postgres(db: &Db) -> BTreeMap<String, Table> {
    const COLUMNS: &str = "SELECT table_name::text AS tbl, column_name::text AS col, data_type::text AS kind, \
         CASE is_nullable WHEN 'NO' THEN 1::bigint ELSE 0::bigint END AS must, \
         collation_name::text AS sorts FROM information_schema.columns WHERE table_schema = 'public'";
    const INDEXES: &str = "SELECT t.relname::text AS tbl, i.relname::text AS idx, a.attname::text AS col, \
         CASE WHEN x.indisprimary THEN 1::bigint ELSE 0::bigint END AS pk FROM pg_index x \
         JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid \
         JOIN pg_namespace n ON n.oid = t.relnamespace AND n.nspname = 'public' \
         CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k(num, place) \
         JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.num ORDER BY i.relname, k.place";
    let mut tx = db.read().await.expect("read");
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for row in tx.fetch_all(COLUMNS, &[]).await.expect("columns") {
        let (name, kind) = (row.text("tbl").expect("text"), row.text("kind").expect("text"));
        let sorts = row.opt_text("sorts").expect("text");
        if kind == "text" && name != "_sqlx_migrations" {
            assert_eq!(sorts.as_deref(), Some("C"), "{name} sorts by bytes");
        }
        let column = row.text("col").expect("text");
        let must = row.int("must").expect("number") == 1;
        tables.entry(name).or_default().columns.insert(column, (kind, must));
    }
    let mut indexes: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for row in tx.fetch_all(INDEXES, &[]).await.expect("indexes") {
        let (table, column) = (row.text("tbl").expect("text"), row.text("col").expect("text"));
        if row.int("pk").expect("number") == 1 {
            tables.entry(table).or_default().key.push(column);
        } else {
            indexes.entry((table, row.text("idx").expect("text"))).or_default().push(column);
        }
    }
    for ((table, _), columns) in indexes {
        tables.entry(table).or_default().indexes.insert(columns);
    }
    tables
}

#[tokio::test]
async fn both_databases_have_the_same_tables_columns_keys_and_indexes() {
    let Some(stores) = Stores::postgres().await else { return };
    let (_dir, db) = sqlite().await;
    let (mut ours, mut theirs) = (of_sqlite(&db).await, of_postgres(&stores.db().await).await);
    // The driver's own.
    ours.remove("_sqlx_migrations").expect("there");
    theirs.remove("_sqlx_migrations").expect("there");
    assert!(ours.len() >= 8, "{:?}", ours.keys());
    assert_eq!(ours, theirs);
}
