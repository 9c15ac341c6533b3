//! What an export refuses, and what never leaves.

use super::*;
use crate::error::Error;
use crate::keys::Name;
use crate::services::tests::rotation::set_rows;
use crate::store::{Expect, Read, Row, SqliteStore, Store, Write};

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn nothing_of_anything_else_is_in_a_capsule() {
    let (host, caller) = host_of_both().await;
    let (other_backup, other_wallet) = ("another-backup", "another-wallet");
    make(&host, &caller, BOTH, other_backup).await;
    let mut wallets = WalletServiceClient::new(host.api.clone());
    let create = CreateWalletRequest { wallet: other_wallet.to_owned() };
    wallets.create_wallet(caller.says(create)).await.unwrap();
    let request = caller.create_backup("other", other_wallet, "b");
    BackupServiceClient::new(host.api.clone()).create_backup(caller.says(request)).await.unwrap();
    let bytes = exported(&host, &caller, "w", "b").await.unwrap();
    let foreign = caller.part_in(BOTH, other_backup).record_id;
    for part in [other_backup.as_bytes(), other_wallet.as_bytes(), &foreign, caller.api_key.as_bytes()] {
        assert!(!holds(&bytes, part));
    }
    let key = hex::decode(&caller.key_id).unwrap();
    assert!(!holds(&bytes, &key), "not even the hash of an API key");
    assert!(holds(&bytes, &caller.part_in(BOTH, "b").record_id));
}

#[tokio::test]
async fn unknown_and_foreign_backups_look_alike() {
    let (host, _) = host_of_both().await;
    let stranger = host.caller(2).await;
    let mut seen = Vec::new();
    for (wallet, backup) in [("w", "b"), ("w", "unknown"), ("unknown", "b")] {
        let status = exported(&host, &stranger, wallet, backup).await.map(Response::new);
        let status = refused(status, Code::NotFound, "NOT_FOUND");
        seen.push((status.message().to_owned(), status.details().to_vec()));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    for (wallet, backup) in [("w/w", "b"), ("w", ""), ("", "b")] {
        let status = exported(&host, &stranger, wallet, backup).await.map(Response::new);
        refused(status, Code::InvalidArgument, "BAD_REQUEST");
    }
}

#[tokio::test]
async fn a_backup_that_has_lost_a_part_is_not_exported_and_the_part_is_named() {
    for (role, name) in [(Role::Client, "client"), (Role::Custodian, "custodian")] {
        for what in ["the share of pair p2", "the receipt of its put", "the record is missing"] {
            let (host, caller) = host_of_both().await;
            let app = app(&host).await;
            let mut place = super::super::rotation::place(&caller, "b");
            place.role = role;
            place.record = strongroom_proto::id::RecordId::from_slice(&caller.part_in(BOTH, "b").record_id).unwrap();
            let pair = Name::parse("pair", "p2").unwrap();
            let key = match what {
                "the share of pair p2" => keys::share(&place.tenant, &place.record, role, 1, &pair),
                "the receipt of its put" => keys::event(&place.tenant, &place.record, role, 1),
                _ => place.key(),
            };
            let stored = app.store.get(key.clone()).await.unwrap().unwrap();
            app.store.commit(vec![Write { key, expect: Expect::unchanged(Some(&stored)), put: None }]).await.unwrap();
            let status = exported(&host, &caller, "w", "b").await.map(Response::new);
            let told = refused(status, Code::NotFound, "NO_VALID_BACKUP").message().to_owned();
            assert!(told.contains(what) && told.contains(name), "{told}");
        }
    }
    // A KEK, before anybody has read it.
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    let key = keys::kek(&super::super::rotation::tenant(&caller), Role::Custodian, 1);
    let stored = app.store.get(key.clone()).await.unwrap().unwrap();
    app.store.commit(vec![Write { key, expect: Expect::unchanged(Some(&stored)), put: None }]).await.unwrap();
    let request = ExportCapsuleRequest { wallet: "w".to_owned(), backup: "b".to_owned() };
    let lost = crate::services::capsule::export::export(&app, super::super::rotation::tenant(&caller), &request).await;
    let lost = lost.map(drop).unwrap_err();
    assert_eq!(lost.to_string(), "the backup is not whole: custodian: the KEK of epoch 1 is missing");

    let host = Host::start_in(BOTH).await;
    let caller = host.caller(1).await;
    drive(&host, &caller, "drive", Storage::Managed).await;
    let app = super::app(&host).await;
    let tenant = super::super::rotation::tenant(&caller);
    let record = strongroom_proto::id::RecordId::from_slice(&caller.part_in(CUSTODIAN, "drive").record_id).unwrap();
    let key = keys::ciphertext(&tenant, &record, 1, &Name::parse("pair", "p1").unwrap());
    let stored = app.store.get(key.clone()).await.unwrap().unwrap();
    app.store.commit(vec![Write { key, expect: Expect::unchanged(Some(&stored)), put: None }]).await.unwrap();
    let status = exported(&host, &caller, "w", "drive").await.map(Response::new);
    let told = refused(status, Code::NotFound, "NO_VALID_BACKUP");
    assert!(told.message().contains("the ciphertext of pair p1"), "{told:?}");
}

#[tokio::test]
async fn a_deleted_backup_and_a_role_that_does_not_answer_are_said() {
    let (mut host, caller) = host_of_both().await;
    make(&host, &caller, BOTH, "c").await;
    let act = act_in(&caller, BOTH, CLIENT, "b", "delete", action("DeleteBackup", &[]));
    send(&host, &caller, "DeleteBackup", "delete", Some(act)).await.unwrap();
    due::once(&app(&host).await, now_ms() + 1).await.unwrap();
    while shown(&host, &caller, "b").await.generation != 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let status = exported(&host, &caller, "w", "b").await.map(Response::new);
    let told = refused(status, Code::FailedPrecondition, "STATE_INVALID");
    assert!(told.message().contains("client: the backup was deleted"), "{told:?}");
    host.custodian_enclave = None;
    host.wait(ServingStatus::NotServing).await;
    let status = exported(&host, &caller, "w", "c").await.map(Response::new);
    refused(status, Code::Unavailable, "ENCLAVE_UNAVAILABLE");
}

#[tokio::test]
async fn a_capsule_is_of_one_moment() {
    let (host, caller) = host_of_both().await;
    let acts = async {
        for generation in 2..20 {
            let act = act_in(&caller, BOTH, BOTH, "b", &format!("p{generation}"), put(generation, &["p1", "p2"]));
            send(&host, &caller, "PutShares", &format!("p{generation}"), Some(act)).await.unwrap();
            let commit = CommitBackupRequest { wallet: "w".to_owned(), backup: "b".to_owned() };
            BackupServiceClient::new(host.api.clone()).commit_backup(caller.says(commit)).await.unwrap();
        }
    };
    let exports = async {
        let mut exports = Vec::new();
        for _ in 0..20 {
            match exported(&host, &caller, "w", "b").await {
                Ok(bytes) => exports.push(bytes),
                Err(status) => assert_eq!(status.code(), Code::Aborted, "{status:?}"),
            }
        }
        exports
    };
    let ((), exports) = tokio::join!(acts, exports);
    assert!(!exports.is_empty());
    for bytes in exports {
        let (other, _) = beside(&host).await;
        imported(&other, &bytes).await.unwrap();
    }
}

/// A store under which another host writes between two readings.
struct Overtaken {
    store: SqliteStore,
    before: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[async_trait::async_trait]
impl Store for Overtaken {
    async fn get_all(&self, keys: Vec<keys::Key>) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.store.get_all(keys).await
    }

    async fn get_all_with(&self, keys: Vec<keys::Key>, prefixes: Vec<keys::Key>) -> Result<Read, Error> {
        let before = self.before.lock().unwrap().take();
        if let Some(before) = before {
            before();
        }
        self.store.get_all_with(keys, prefixes).await
    }

    async fn scan(&self, prefix: keys::Key, after: Option<keys::Key>, limit: usize) -> Result<Vec<Row>, Error> {
        self.store.scan(prefix, after, limit).await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), Error> {
        self.store.commit(writes).await
    }
}

#[tokio::test]
async fn a_record_that_moves_while_it_is_read_is_read_anew() {
    let (host, caller) = host_of_both().await;
    let path = host.dir.path().join("db");
    let before = all_rows(&host);
    usual_in(&host, &caller, "PutShares", "put").await.unwrap();
    let (after, expect) = (all_rows(&host), exported(&host, &caller, "w", "b").await.unwrap());
    set_rows(&mut rusqlite::Connection::open(&path).unwrap(), &before);
    let moved = {
        let path = path.clone();
        move || set_rows(&mut rusqlite::Connection::open(path).unwrap(), &after)
    };
    let mut app = app(&host).await;
    let store = SqliteStore::open(&path).unwrap();
    app.store = std::sync::Arc::new(Overtaken { store, before: std::sync::Mutex::new(Some(Box::new(moved))) });
    let request = ExportCapsuleRequest { wallet: "w".to_owned(), backup: "b".to_owned() };
    let tenant = super::super::rotation::tenant(&caller);
    let mut chunks = crate::services::capsule::export::export(&app, tenant, &request).await.unwrap();
    let mut bytes = Vec::new();
    while let Some(chunk) = tokio_stream::StreamExt::next(&mut chunks).await {
        bytes.extend(chunk.unwrap().data);
    }
    assert!(bytes == expect);
}
