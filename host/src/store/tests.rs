use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use strongroom_proto::id::{TenantId, sha256};
use strongroom_proto::v1::Role;

use super::*;
use crate::keys::{self, Kind, Name};

const TENANT: TenantId = TenantId([9; 32]);

fn open() -> (tempfile::TempDir, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&dir.path().join("db")).unwrap();
    (dir, store)
}

fn key(id: &str) -> Key {
    keys::wallet(&TENANT, &Name::parse("wallet", id).unwrap())
}

fn put(id: &str, expect: Expect, value: &[u8]) -> Write {
    Write { key: key(id), expect, put: Some(value.to_vec()) }
}

fn was(value: &[u8]) -> Expect {
    Expect::Sha256(sha256(&[value]))
}

#[track_caller]
fn conflict(result: &Result<(), Error>, kind: Kind) {
    assert!(matches!(result, Err(Error::Conflict(named)) if *named == kind), "{result:?}");
}

async fn value(store: &SqliteStore, id: &str) -> Option<Vec<u8>> {
    store.get(key(id)).await.unwrap()
}

#[tokio::test]
async fn writes_meet_their_expectations_or_name_the_kind() {
    let (_dir, store) = open();
    let one = |write| store.commit(vec![write]);
    one(put("a", Expect::Nothing, b"1")).await.unwrap();
    conflict(&one(put("a", Expect::Nothing, b"2")).await, Kind::Wallet);
    conflict(&one(put("a", was(b"2"), b"2")).await, Kind::Wallet);
    conflict(&one(put("b", was(b"1"), b"2")).await, Kind::Wallet);
    conflict(&one(Write { key: keys::tenant(&TENANT), expect: was(b""), put: None }).await, Kind::Tenant);
    one(put("a", was(b"1"), b"2")).await.unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"2");
    one(Write { key: key("a"), expect: was(b"2"), put: None }).await.unwrap();
    assert_eq!(value(&store, "a").await, None);
    one(put("a", Expect::Nothing, b"")).await.unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"");
    let many = |count: usize| (0..count).map(|n| put(&format!("m{n}"), Expect::Nothing, b"")).collect::<Vec<_>>();
    assert!(store.commit(many(COMMIT_WRITES_MAX + 1)).await.is_err());
    store.commit(many(COMMIT_WRITES_MAX)).await.unwrap();
}

#[tokio::test]
async fn a_commit_takes_effect_whole_or_not_at_all() {
    let (_dir, store) = open();
    store.commit(vec![put("a", Expect::Nothing, b"1")]).await.unwrap();
    let writes = vec![
        put("b", Expect::Nothing, b"1"),
        put("a", was(b"1"), b"2"),
        Write { key: keys::kek(&TENANT, Role::Client, 1), expect: was(b"?"), put: None },
        put("c", Expect::Nothing, b"1"),
    ];
    conflict(&store.commit(writes).await, Kind::Kek);
    let keys = ["a", "b", "c"].map(key).to_vec();
    assert_eq!(store.get_all(keys).await.unwrap(), [Some(b"1".to_vec()), None, None]);
}

#[tokio::test]
async fn one_conflict_leaves_its_neighbours_in_the_group_alone() {
    let (_dir, store) = open();
    let store = Arc::new(store);
    store.commit(vec![put("taken", Expect::Nothing, b"1")]).await.unwrap();
    // All are queued before the writer's first answer can come back, so that they share groups.
    let commits = (0..100).map(|n| {
        let store = Arc::clone(&store);
        let id = if n % 3 == 0 { "taken".to_owned() } else { format!("free{n}") };
        tokio::spawn(async move { (n, store.commit(vec![put(&id, Expect::Nothing, b"2")]).await) })
    });
    for commit in commits.collect::<Vec<_>>() {
        let (n, result) = commit.await.unwrap();
        if n % 3 == 0 {
            conflict(&result, Kind::Wallet);
        } else {
            result.unwrap();
            assert!(value(&store, &format!("free{n}")).await.is_some());
        }
    }
    assert_eq!(value(&store, "taken").await.unwrap(), b"1");
}

#[tokio::test]
async fn scans_keep_to_their_prefix_order_and_limit() {
    let (_dir, store) = open();
    for id in ["b", "a", "c", "aa"] {
        store.commit(vec![put(id, Expect::Nothing, id.as_bytes())]).await.unwrap();
    }
    let stranger = keys::wallet(&TenantId([10; 32]), &Name::parse("wallet", "a").unwrap());
    store
        .commit(vec![Write::new(stranger, Vec::new()), Write::new(keys::statement(&TENANT), Vec::new())])
        .await
        .unwrap();
    let scan = async |after: Option<&str>, limit| {
        let rows = store.scan(keys::wallets(&TENANT), after.map(key), limit).await.unwrap();
        rows.into_iter().map(|(_, value)| String::from_utf8(value).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(scan(None, 9).await, ["a", "aa", "b", "c"]);
    assert_eq!(scan(None, 2).await, ["a", "aa"]);
    assert_eq!(scan(Some("aa"), 9).await, ["b", "c"]);
    assert_eq!(scan(Some("ab"), 1).await, ["b"]);
    assert!(scan(Some("c"), 9).await.is_empty());
    assert!(scan(None, 0).await.is_empty());
    // The last tenant of all has no next one to end at.
    let last = TenantId([0xff; 32]);
    store.commit(vec![Write::new(keys::tenant(&last), Vec::new())]).await.unwrap();
    assert_eq!(store.scan(keys::tenant(&last), None, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn values_and_ranges_are_of_one_moment() {
    let (_dir, store) = open();
    let store = Arc::new(store);
    for id in ["b", "a", "c"] {
        store.commit(vec![put(id, Expect::Nothing, b"0")]).await.unwrap();
    }
    let stranger = keys::wallets(&TenantId([10; 32]));
    let found = store.get_all_with(vec![key("b"), key("none")], vec![stranger, keys::wallets(&TENANT)]).await.unwrap();
    let rows: Vec<Vec<u8>> = ["a", "b", "c"].map(|id| key(id).bytes().to_vec()).into();
    assert_eq!(found.0, [Some(b"0".to_vec()), None]);
    assert!(found.1[0].is_empty());
    assert_eq!(found.1[1].iter().map(|(key, _)| key.clone()).collect::<Vec<_>>(), rows);
    assert_eq!(store.get_all_with(Vec::new(), Vec::new()).await.unwrap(), (Vec::new(), Vec::new()));
    let writing = Arc::clone(&store);
    let writer = tokio::spawn(async move {
        for n in 1..300_u16 {
            let (before, after) = ((n - 1).to_string(), n.to_string());
            let all = ["a", "b", "c"].map(|id| put(id, was(before.as_bytes()), after.as_bytes()));
            writing.commit(all.into()).await.unwrap();
        }
    });
    while !writer.is_finished() {
        let (values, ranges) = store.get_all_with(vec![key("c")], vec![keys::wallets(&TENANT)]).await.unwrap();
        assert!(ranges[0].iter().all(|(_, value)| Some(value) == values[0].as_ref()), "{values:?} {ranges:?}");
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_lasts() {
    let (dir, store) = open();
    let path = dir.path().join("db");
    store.commit(vec![put("a", Expect::Nothing, b"1")]).await.unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
    }
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(value(&store, "a").await.unwrap(), b"1");
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    connection.pragma_update(None, "user_version", sqlite::SCHEMA_VERSION + 1).unwrap();
    drop(connection);
    assert!(SqliteStore::open(&path).err().unwrap().to_string().contains("at most 1"));
    std::fs::write(&path, vec![7; 4096]).unwrap();
    let error = SqliteStore::open(&path).err().unwrap().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("not a database"), "{error}");
    assert!(SqliteStore::open(&dir.path().join("absent/db")).is_err());
}

#[tokio::test]
async fn a_full_disk_refuses_what_does_not_fit_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let store = Arc::new(SqliteStore::open_limited(&path, Some(24)).unwrap());
    store.commit(vec![put("before", Expect::Nothing, b"1")]).await.unwrap();
    // One that cannot fit, among neighbours that can.
    let commits = (0..8).map(|n| {
        let store = Arc::clone(&store);
        let len = if n == 3 { 200_000 } else { 10 };
        tokio::spawn(async move { store.commit(vec![put(&format!("w{n}"), Expect::Nothing, &vec![0; len])]).await })
    });
    for (n, commit) in commits.collect::<Vec<_>>().into_iter().enumerate() {
        let result = commit.await.unwrap();
        let there = value(&store, &format!("w{n}")).await.is_some();
        assert_eq!((result.is_ok(), there), (n != 3, n != 3), "w{n}: {result:?}");
        if let Err(error) = result {
            assert!(matches!(error, Error::StoreUnavailable(_)), "{error:?}");
        }
    }
    // Room that is freed is used again.
    store.commit(vec![put("after", Expect::Nothing, b"1")]).await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(value(&store, "before").await.unwrap(), b"1");
    assert_eq!(value(&store, "after").await.unwrap(), b"1");
    assert_eq!(value(&store, "w3").await, None);
}

#[tokio::test]
async fn a_queue_at_its_limit_sheds_before_anything_is_begun() {
    let (dir, store) = open();
    let store = Arc::new(store);
    // Another process holds the file's write lock, so that the writer waits.
    let other = rusqlite::Connection::open(dir.path().join("db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let total = sqlite::COMMIT_QUEUE_MAX + writer::GROUP_COMMITS_MAX + 2;
    let commits = (0..total).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.commit(vec![put(&format!("q{n}"), Expect::Nothing, b"")]).await })
    });
    let commits: Vec<_> = commits.collect();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    other.execute_batch("ROLLBACK").unwrap();
    let (mut made, mut shed) = (0, 0);
    for (n, commit) in commits.into_iter().enumerate() {
        let there = match commit.await.unwrap() {
            Ok(()) => true,
            Err(Error::Overloaded(_)) => false,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(value(&store, &format!("q{n}")).await.is_some(), there);
        if there { made += 1 } else { shed += 1 }
    }
    assert!(shed > 0 && made >= sqlite::COMMIT_QUEUE_MAX, "{made} made, {shed} shed");
}

/// Workers raise shared counters by compare-and-swap, several in one commit; a lost update or half a commit breaks the sums.
#[tokio::test]
async fn concurrent_commits_lose_no_update() {
    const WORKERS: u64 = 16;
    const ROUNDS: u64 = 40;
    let seed: u64 = std::env::var("STORE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_122);
    println!("STORE_TEST_SEED={seed}");
    let (dir, store) = open();
    let store = Arc::new(store);
    let workers = (0..WORKERS).map(|worker| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut random = seed ^ worker.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut added: HashMap<String, u64> = HashMap::new();
            for _ in 0..ROUNDS {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let ids = [format!("c{}", random % 5), format!("c{}", 5 + (random >> 8) % 5)];
                loop {
                    let before = store.get_all(ids.iter().map(|id| key(id)).collect()).await.unwrap();
                    let raise = |(id, before): (&String, &Option<Vec<u8>>)| {
                        let count = before.as_deref().map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
                        put(id, Expect::unchanged(before.as_deref()), &(count + 1).to_be_bytes())
                    };
                    match store.commit(ids.iter().zip(&before).map(raise).collect()).await {
                        Ok(()) => break,
                        Err(Error::Conflict(Kind::Wallet)) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                for id in ids {
                    *added.entry(id).or_default() += 1;
                }
            }
            added
        })
    });
    let mut expect: HashMap<String, u64> = HashMap::new();
    for worker in workers.collect::<Vec<_>>() {
        for (id, count) in worker.await.unwrap() {
            *expect.entry(id).or_default() += count;
        }
    }
    drop(store);
    let store = SqliteStore::open(&dir.path().join("db")).unwrap();
    for (id, count) in expect {
        assert_eq!(value(&store, &id).await.unwrap(), count.to_be_bytes(), "{id}, seed {seed}");
    }
}
