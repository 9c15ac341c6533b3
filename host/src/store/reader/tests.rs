use rusqlite::StatementStatus;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::Role;

use super::*;
use crate::keys;

const PAGE: usize = 10;
const PAGES: u64 = 1000;

/// What a page cost, in instructions of SQLite's machine and rows that it stepped over without an index.
fn cost(connection: &Connection, sql: &str) -> (i32, i32) {
    let statement = connection.prepare_cached(sql).unwrap();
    (statement.reset_status(StatementStatus::VmStep), statement.reset_status(StatementStatus::FullscanStep))
}

#[test]
fn a_page_deep_in_a_long_list_costs_what_the_first_one_costs() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch("CREATE TABLE rows (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL)").unwrap();
    let tenant = TenantId([9; 32]);
    let key = |epoch| keys::kek(&tenant, Role::Client, epoch);
    run_sql(&connection, "BEGIN").unwrap();
    for number in 0..PAGES * PAGE as u64 {
        let insert = "INSERT INTO rows (key, value) VALUES (?1, x'01')";
        connection.prepare_cached(insert).unwrap().execute(params![key(number).bytes()]).unwrap();
    }
    run_sql(&connection, "COMMIT").unwrap();
    let prefix = keys::keks(&tenant, Role::Client);
    let page = |after: Option<&Key>| scan(&connection, prefix.bytes(), after.map(Key::bytes), PAGE).unwrap();

    assert_eq!(page(None)[0].0, key(0).bytes());
    let first = cost(&connection, SCAN);
    let mut costs = Vec::new();
    for number in 1..PAGES {
        let before = number * PAGE as u64 - 1;
        let rows = page(Some(&key(before)));
        assert_eq!((rows.len(), rows[0].0.as_slice()), (PAGE, key(before + 1).bytes()));
        costs.push(cost(&connection, SCAN_AFTER));
    }
    assert!(first.0 > 0, "SQLite counts");
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{:?} and {:?}", costs[0], costs.last());
    assert!(costs[0].0 <= first.0 && first.1 == 0 && costs[0].1 == 0, "{first:?} and {:?}", costs[0]);
}
