//! What a device encrypted itself: stored with its generation, given back, and gone with it.

use strongroom_proto::limits::CIPHERTEXT_BYTES_MAX;
use strongroom_proto::v1::{DeleteBackupAction, GetClientCiphertextsResponse};

use super::*;
use crate::services::due;

async fn get(
    host: &Host,
    caller: &Caller,
    backup: &str,
    generation: u64,
) -> Result<GetClientCiphertextsResponse, Status> {
    let request = GetClientCiphertextsRequest { wallet: "w".to_owned(), backup: backup.to_owned(), generation };
    let mut backups = BackupServiceClient::new(host.api.clone());
    Ok(backups.get_client_ciphertexts(caller.says(request)).await?.into_inner())
}

/// A backup for whose client share no enclave knows the key.
async fn made(host: &Host, caller: &Caller, roles: &'static [Role], storage: Storage) -> (Made, Backup) {
    let request = creation(caller, roles, "b", SecretKind::Key, storage);
    let intent = Intent::decode(request.act.as_ref().unwrap().intent.as_slice()).unwrap();
    let record_id = strongroom_proto::intent::record_id(&intent).0.to_vec();
    let created = create(host, caller, request).await.unwrap();
    let part = RolePart { record_id, ..RolePart::default() };
    (Made { roles, part, backup: "b", shares: created.client_shares }, created.backup.unwrap())
}

fn put_with(caller: &Caller, made: &Made, generation: u64, given: Vec<ClientCiphertext>) -> PutSharesRequest {
    PutSharesRequest { client_ciphertexts: given, ..put_request(caller, made, generation) }
}

#[tokio::test]
async fn the_host_keeps_it_with_every_generation_and_drops_it_with_the_deletion() {
    use BackupPart::{ClientStored, CustodianStored, KeyStored};
    for (roles, parts) in [
        (CUSTODIAN, vec![ClientStored, CustodianStored]),
        (CLIENT, vec![ClientStored, KeyStored]),
        (BOTH, vec![ClientStored, CustodianStored, KeyStored]),
    ] {
        let (host, caller) = host_of_both().await;
        let app = app(&host).await;
        let (made, backup) = made(&host, &caller, roles, Storage::Managed).await;
        let kinds: Vec<BackupPart> = backup.parts().collect();
        assert_eq!((backup.state(), kinds), (BackupState::Active, parts.clone()), "{roles:?}");
        assert_eq!(stored(&backup, 1).len(), 2 * parts.len());
        assert!(made.shares.is_empty());
        let found = get(&host, &caller, "b", 0).await.unwrap();
        assert_eq!((found.generation, found.client_ciphertexts), (1, ciphertexts(&["p1", "p2"])));
        let mut backups = BackupServiceClient::new(host.api.clone());
        let given = ciphertexts(&["p1", "p3"]);
        backups.put_shares(caller.says(put_with(&caller, &made, 2, given.clone()))).await.unwrap();
        if roles == BOTH {
            assert_eq!(get(&host, &caller, "b", 0).await.unwrap().generation, 1, "the one in force");
            commit(&host, &caller, "b").await.unwrap();
        }
        let found = get(&host, &caller, "b", 0).await.unwrap();
        assert_eq!((found.generation, found.client_ciphertexts), (2, given.clone()));
        assert_eq!(get(&host, &caller, "b", 1).await.unwrap().generation, 1);
        for unknown in [3, u64::MAX] {
            refusal(get(&host, &caller, "b", unknown).await, Code::NotFound, "NOT_FOUND");
        }
        // The generation that goes takes its own along.
        backups.put_shares(caller.says(put_with(&caller, &made, 3, given))).await.unwrap();
        if roles == BOTH {
            commit(&host, &caller, "b").await.unwrap();
        }
        refusal(get(&host, &caller, "b", 1).await, Code::NotFound, "NOT_FOUND");
        assert_eq!(count(&host, Kind::ClientCiphertext), 4);
        let delete = act_on(&caller, &made, "d", Action::DeleteBackup(DeleteBackupAction {}));
        calls::send(&host, &caller, "DeleteBackup", "d", Some(delete)).await.unwrap();
        // The host's own queue may be as fast.
        drop(due::once(&app, now_ms() + 1000).await);
        let closed = async {
            while shown(&host, &caller, "b").await.state() != BackupState::Closed {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), closed).await.unwrap();
        assert_eq!(shown(&host, &caller, "b").await.reason(), BackupReason::Deleted);
        assert_eq!((count(&host, Kind::ClientCiphertext), count(&host, Kind::Share)), (0, 0), "{roles:?}");
        refusal(get(&host, &caller, "b", 0).await, Code::NotFound, "NOT_FOUND");
        refusal(get(&host, &caller, "b", 3).await, Code::NotFound, "NOT_FOUND");
    }
}

#[tokio::test]
async fn the_caller_keeps_it_and_the_host_its_hash() {
    for roles in [CUSTODIAN, CLIENT, BOTH] {
        let (host, caller) = host_of_both().await;
        let (made, backup) = made(&host, &caller, roles, Storage::SelfManaged).await;
        assert_eq!(backup.state(), BackupState::Pending);
        assert!(made.shares.is_empty(), "a key in escrow stays with the host");
        assert!(!stored(&backup, 1).iter().any(|(_, part)| *part == BackupPart::ClientStored));
        refusal(get(&host, &caller, "b", 0).await, Code::NotFound, "NOT_FOUND");
        assert_eq!(get(&host, &caller, "b", 1).await.unwrap().client_ciphertexts, hashes(&["p1", "p2"]));
        let backup = report(&host, &caller, &of(&made, 1)).await.unwrap();
        assert_eq!((backup.state(), backup.parts.len()), (BackupState::Active, roles.len() + 1));
        let recovered = recover(&host, &caller, recover_request(&caller, &made, "r", 1, &[])).await.unwrap();
        assert!(recovered.client_shares.is_empty());
    }
}

#[tokio::test]
async fn ciphertexts_that_do_not_fit_are_named_and_nothing_is_stored() {
    let (host, caller) = host_of_both().await;
    let managed = creation(&caller, BOTH, "b", SecretKind::Key, Storage::Managed);
    let kept = creation(&caller, BOTH, "b", SecretKind::Key, Storage::SelfManaged);
    let of_share = creation(&caller, BOTH, "b", SecretKind::Share, Storage::Managed);
    let custodian = creation(&caller, CUSTODIAN, "b", SecretKind::Share, Storage::Managed);
    let good = ciphertexts(&["p1", "p2"]);
    let changed = |change: fn(&mut ClientCiphertext)| {
        let mut all = good.clone();
        change(&mut all[1]);
        all
    };
    let before = all_rows(&host);
    for (request, given, field) in [
        (&managed, vec![], "client_ciphertexts"),
        (&custodian, vec![], "client_ciphertexts"),
        (&kept, vec![], "client_ciphertexts"),
        (&of_share, good.clone(), "client_ciphertexts"),
        (&of_share, hashes(&["p1", "p2"]), "client_ciphertexts"),
        (&managed, hashes(&["p1", "p2"]), "client_ciphertexts.ciphertext"),
        (&kept, good.clone(), "client_ciphertexts.ciphertext"),
        (&managed, changed(|it| it.ciphertext.clear()), "client_ciphertexts.ciphertext"),
        (&managed, changed(|it| it.sha256.clear()), "client_ciphertexts.sha256"),
        (&managed, changed(|it| it.sha256.push(0)), "client_ciphertexts.sha256"),
        (&managed, changed(|it| it.pair = "p1".to_owned()), "client_ciphertexts.pair"),
        (&managed, changed(|it| it.pair = "p3".to_owned()), "client_ciphertexts.pair"),
        (&managed, good[..1].to_vec(), "client_ciphertexts.pair"),
        (&managed, ciphertexts(&["p1", "p2", "p3"]), "client_ciphertexts.pair"),
        (&managed, ciphertexts(&["p2", "p1"]), "client_ciphertexts.pair"),
        (&managed, vec![good[0].clone(); 1000], "client_ciphertexts.pair"),
    ] {
        bad(create(&host, &caller, CreateBackupRequest { client_ciphertexts: given, ..request.clone() }).await, field);
    }
    let with = |given| CreateBackupRequest { client_ciphertexts: given, ..managed.clone() };
    let other = create(&host, &caller, with(changed(|it| it.ciphertext.push(0)))).await;
    refusal(other, Code::InvalidArgument, "CIPHERTEXT_HASH_MISMATCH");
    let of_length = |length: usize| {
        let ciphertext = vec![7; length];
        let sha256 = strongroom_proto::id::sha256(&[&ciphertext]).to_vec();
        vec![good[0].clone(), ClientCiphertext { pair: "p2".to_owned(), ciphertext, sha256 }]
    };
    let long = create(&host, &caller, with(of_length(CIPHERTEXT_BYTES_MAX + 1))).await;
    refusal(long, Code::ResourceExhausted, "SHARE_TOO_LARGE");
    bad(create(&host, &caller, with(of_length(10 * 1024 * 1024))).await, "message");
    bad(create(&host, &caller, CreateBackupRequest { storage: 3, ..managed.clone() }).await, "storage");
    assert_eq!(all_rows(&host), before);
    create(&host, &caller, with(of_length(CIPHERTEXT_BYTES_MAX))).await.unwrap();
    assert_eq!(get(&host, &caller, "b", 0).await.unwrap().client_ciphertexts[1].ciphertext.len(), CIPHERTEXT_BYTES_MAX);
}

#[tokio::test]
async fn a_put_brings_what_the_backup_asks_for_whatever_it_says_itself() {
    let (host, caller) = host_of_both().await;
    let (keyed, _) = made(&host, &caller, BOTH, Storage::Managed).await;
    let share = reported(&host, &caller, BOTH, "share").await;
    let mut backups = BackupServiceClient::new(host.api.clone());
    let before = all_rows(&host);
    let asked = host.core.acts.load(Ordering::Relaxed);
    for (made, given, field) in [
        (&keyed, vec![], "client_ciphertexts"),
        (&keyed, hashes(&["p1", "p3"]), "client_ciphertexts.ciphertext"),
        (&keyed, ciphertexts(&["p1", "p2"]), "client_ciphertexts.pair"),
        (&share, ciphertexts(&["p1", "p3"]), "client_ciphertexts"),
        (&share, hashes(&["p1", "p3"]), "client_ciphertexts"),
    ] {
        bad(backups.put_shares(caller.says(put_with(&caller, made, 2, given))).await, field);
    }
    assert_eq!((all_rows(&host), host.core.acts.load(Ordering::Relaxed)), (before, asked), "nobody was asked");
    let stranger = host.caller(2).await;
    let mut told = Vec::new();
    for backup in ["b", "never"] {
        let status = refusal(get(&host, &stranger, backup, 0).await, Code::NotFound, "NOT_FOUND");
        told.push((status.message().to_owned(), status.details().to_vec()));
    }
    assert_eq!(told[0], told[1]);
    for (wallet, backup, field) in [("", "b", "wallet"), ("w", "a/b", "backup")] {
        let request =
            GetClientCiphertextsRequest { wallet: wallet.to_owned(), backup: backup.to_owned(), generation: 0 };
        bad(backups.get_client_ciphertexts(caller.says(request)).await, field);
    }
    refusal(get(&host, &caller, "share", 0).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn what_is_not_as_it_was_stored_is_not_given_out() {
    let (host, caller) = host_of_both().await;
    made(&host, &caller, CUSTODIAN, Storage::Managed).await;
    let other = rusqlite::Connection::open(host.dir.path().join("db")).unwrap();
    let row = crate::rows::CiphertextRow { ciphertext: vec![1], sha256: vec![2; 32] }.encode_to_vec();
    let changed = other.execute("UPDATE rows SET value = ?1 WHERE substr(key, 1, 1) = x'0f'", [row]).unwrap();
    assert_eq!(changed, 2);
    refusal(get(&host, &caller, "b", 0).await, Code::Internal, "INTERNAL_ERROR");
}
