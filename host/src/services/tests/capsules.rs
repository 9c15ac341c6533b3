//! Capsules: what leaves one host and comes to another that has nothing but the tenant's public keys.

use strongroom_proto::v1::{
    Capsule, CapsuleChunk, ClientCiphertext, CommitBackupRequest, ExportCapsuleRequest, ImportCapsuleResponse,
    OpenActKind, RecoverResponse, Storage,
};

use super::both::{BOTH, CLIENT, CUSTODIAN, act_in, all_rows, host_of_both, make, usual_in};
use super::calls::*;
use super::rotation::app;
use super::*;
use crate::clock::now_ms;
use crate::keys;
use crate::services::due;

mod exports;
mod rules;
mod streams;

const CHUNK_BYTES: usize = 64 * 1024;

/// The bytes of a backup's capsule.
async fn exported(host: &Host, caller: &Caller, wallet: &str, backup: &str) -> Result<Vec<u8>, Status> {
    let request = ExportCapsuleRequest { wallet: wallet.to_owned(), backup: backup.to_owned() };
    let mut backups = BackupServiceClient::new(host.api.clone());
    let mut chunks = backups.export_capsule(caller.says(request)).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.message().await? {
        assert!((1..=CHUNK_BYTES).contains(&chunk.data.len()));
        bytes.extend(chunk.data);
    }
    Ok(bytes)
}

async fn capsule(host: &Host, caller: &Caller, backup: &str) -> Capsule {
    let bytes = exported(host, caller, "w", backup).await.unwrap();
    let capsule = Capsule::decode(bytes.as_slice()).unwrap();
    assert_eq!(capsule.encode_to_vec(), bytes);
    capsule
}

async fn imported(host: &Host, bytes: &[u8]) -> Result<Response<ImportCapsuleResponse>, Status> {
    let chunks: Vec<CapsuleChunk> =
        bytes.chunks(CHUNK_BYTES).map(|data| CapsuleChunk { data: data.to_vec() }).collect();
    AdminServiceClient::new(host.admin.clone()).import_capsule(tokio_stream::iter(chunks)).await
}

/// Another host of the same enclaves where the tenant is registered.
async fn beside(host: &Host) -> (Host, Caller) {
    let other = Host::start_beside(host).await;
    let caller = other.registered(1).await;
    (other, caller)
}

fn sealed_with(secret: &str) -> Vec<ClientCiphertext> {
    let of = |pair: &str| {
        let ciphertext = [secret, pair].concat().into_bytes();
        let sha256 = strongroom_proto::id::sha256(&[&ciphertext]).to_vec();
        ClientCiphertext { pair: pair.to_owned(), ciphertext, sha256 }
    };
    ["p1", "p2"].map(of).into()
}

/// A backup in the custodian role alone, whose ciphertext host or caller keep.
async fn drive(host: &Host, caller: &Caller, backup: &str, storage: Storage) {
    let mut client_ciphertexts = sealed_with("drive");
    if storage == Storage::SelfManaged {
        for it in &mut client_ciphertexts {
            it.ciphertext.clear();
        }
    }
    let request = strongroom_proto::v1::CreateBackupRequest {
        storage: storage.into(),
        client_ciphertexts,
        ..caller.create_in(&format!("create-{backup}"), CUSTODIAN, backup)
    };
    BackupServiceClient::new(host.api.clone()).create_backup(caller.says(request)).await.unwrap();
}

async fn recovered(
    host: &Host,
    caller: &Caller,
    made: &[Role],
    backup: &str,
    id: &str,
    generation: u64,
) -> Vec<Vec<u8>> {
    let recover = Action::Recover(RecoverAction { generation, eject: false });
    let act = act_in(caller, made, made, backup, id, recover);
    let answer = send(host, caller, "Recover", id, Some(act)).await.unwrap();
    let answer = RecoverResponse::decode(answer.as_slice()).unwrap();
    vec![answer.client_release, answer.custodian_release]
}

/// A host of both roles with a backup `b`: two generations, one of which waits for its commit, and a policy change that waits.
async fn busy_host() -> (Host, Caller) {
    let (host, caller) = host_of_both().await;
    usual_in(&host, &caller, "Recover", "before").await.unwrap();
    usual_in(&host, &caller, "PutShares", "put").await.unwrap();
    for core in [&host.core, &host.custodian] {
        core.delay_ms.store(3_600_000, Ordering::Relaxed);
    }
    usual_in(&host, &caller, "ChangePolicy", "policy").await.unwrap();
    (host, caller)
}

#[tokio::test]
async fn a_backup_is_recovered_on_a_host_that_had_nothing() {
    let (host, caller) = busy_host().await;
    let bytes = exported(&host, &caller, "w", "b").await.unwrap();
    let (other, there) = beside(&host).await;
    let answer = imported(&other, &bytes).await.unwrap().into_inner();
    assert_eq!((answer.tenant, answer.wallet.as_str(), answer.backup.as_str()), (caller.tenant.clone(), "w", "b"));
    let (mut here, mut fork) = (shown(&host, &caller, "b").await, shown(&other, &there, "b").await);
    (here.created_ms, fork.created_ms) = (0, 0);
    assert_eq!(fork, here, "the same state, generations, receipts and open acts");
    let expect = recovered(&host, &caller, BOTH, "b", "here", 1).await;
    assert!(expect.iter().all(|release| release.len() == 1200));
    assert_eq!(recovered(&other, &there, BOTH, "b", "there", 1).await, expect);
    // What waited goes on: the commit of the second generation, and the policy change.
    let commit = CommitBackupRequest { wallet: "w".to_owned(), backup: "b".to_owned() };
    BackupServiceClient::new(other.api.clone()).commit_backup(there.says(commit)).await.unwrap();
    let backup = shown(&other, &there, "b").await;
    assert_eq!((backup.state(), backup.generation), (BackupState::Active, 2));
    assert_eq!(recovered(&other, &there, BOTH, "b", "second", 2).await.concat().len(), 64);
    let third = act_in(&there, BOTH, BOTH, "b", "third", put(3, &["p1"]));
    send(&other, &there, "PutShares", "third", Some(third)).await.unwrap();
    let queue = app(&other).await.store.scan(keys::dues(), None, 9).await.unwrap();
    assert_eq!(queue.len(), 2);
    for core in [&other.core, &other.custodian] {
        core.clock_ms.store(now_ms() + 3_600_000, Ordering::Relaxed);
    }
    assert_eq!(due::once(&app(&other).await, now_ms() + 3_600_001).await.unwrap(), 2);
    assert!(shown(&other, &there, "b").await.open_acts.iter().all(|open| open.kind() != OpenActKind::PolicyChange));
}

#[tokio::test]
async fn what_was_imported_is_exported_alike() {
    let (host, caller) = busy_host().await;
    drive(&host, &caller, "drive", Storage::Managed).await;
    let (other, there) = beside(&host).await;
    for backup in ["b", "drive"] {
        let bytes = exported(&host, &caller, "w", backup).await.unwrap();
        imported(&other, &bytes).await.unwrap();
        assert_eq!(exported(&other, &there, "w", backup).await.unwrap(), bytes, "{backup}");
    }
    // Records, shares, statements, ciphertexts and the lists of the epochs, by the kinds of their keys.
    let lies = |host: &Host| -> std::collections::BTreeMap<Vec<u8>, Vec<u8>> {
        all_rows(host).into_iter().filter(|(key, _)| [2, 7, 8, 13, 15, 20].contains(&key[0])).collect()
    };
    assert!(lies(&other) == lies(&host));
    let waiting = app(&other).await.store.scan(keys::uncommitted(), None, 9).await.unwrap();
    assert_eq!(waiting.len(), 1, "the host commits what waits, whoever asks");
}

#[tokio::test]
async fn what_a_device_encrypted_itself_goes_along() {
    let host = Host::start_in(BOTH).await;
    let caller = host.caller(1).await;
    for (storage, backup) in [(Storage::Managed, "here"), (Storage::SelfManaged, "there")] {
        drive(&host, &caller, backup, storage).await;
        let capsule = capsule(&host, &caller, backup).await;
        let (other, there) = beside(&host).await;
        imported(&other, &capsule.encode_to_vec()).await.unwrap();
        assert_eq!(capsule.storage(), storage);
        let kept: Vec<ClientCiphertext> = capsule.ciphertexts.into_iter().map(|it| it.ciphertext.unwrap()).collect();
        let mut expect = sealed_with("drive");
        if storage == Storage::SelfManaged {
            for it in &mut expect {
                it.ciphertext.clear();
            }
        }
        assert_eq!(kept, expect);
        let get = strongroom_proto::v1::GetClientCiphertextsRequest {
            wallet: "w".to_owned(),
            backup: backup.to_owned(),
            generation: 1,
        };
        let mut backups = BackupServiceClient::new(other.api.clone());
        let got = backups.get_client_ciphertexts(there.says(get)).await.unwrap().into_inner().client_ciphertexts;
        assert_eq!(got, expect);
        assert_eq!(recovered(&other, &there, CUSTODIAN, backup, "r", 1).await[1], vec![7; 1200]);
    }
}

#[tokio::test]
async fn shares_that_the_caller_keeps_stay_with_him_and_open_there_too() {
    let host = Host::start().await;
    let caller = host.caller(1).await;
    let request = strongroom_proto::v1::CreateBackupRequest {
        storage: Storage::SelfManaged.into(),
        ..caller.create_in("create", CLIENT, "b")
    };
    let mut backups = BackupServiceClient::new(host.api.clone());
    let kept = backups.create_backup(caller.says(request)).await.unwrap().into_inner().client_shares;
    let capsule = capsule(&host, &caller, "b").await;
    let generation = &capsule.roles[0].generations[0];
    assert_eq!((generation.shares.len(), generation.seals.len()), (0, 2));
    let (other, there) = beside(&host).await;
    imported(&other, &capsule.encode_to_vec()).await.unwrap();
    assert!(super::capsules::capsule(&other, &there, "b").await == capsule);
    let recover = strongroom_proto::v1::RecoverRequest { client_shares: kept, ..there.recover("r", "w", "b") };
    let mut recoveries = RecoveryServiceClient::new(other.api.clone());
    let answer = recoveries.recover(there.says(recover)).await.unwrap().into_inner();
    assert_eq!(answer.client_release, vec![5; 1200]);
}
