//! Sealed shares that the caller keeps: handed out once, and brought to be opened.

use strongroom_proto::v1::StartRecoveryAction;

use super::super::calls::release;
use super::*;

#[tokio::test]
async fn shares_that_the_caller_keeps_are_not_in_the_store_and_open_when_he_brings_them() {
    for roles in [CLIENT, BOTH] {
        let (host, caller) = host_of_both().await;
        let made = self_managed(&host, &caller, roles, "b").await;
        let pairs: Vec<_> = made.shares.iter().map(|it| (it.pair.as_str(), it.generation, it.sealed.len())).collect();
        assert_eq!(pairs, [("p1", 1, 600), ("p2", 1, 600)]);
        assert_eq!(count(&host, Kind::Share), 2 * (roles.len() - 1), "the custodian's alone");
        let backup = shown(&host, &caller, "b").await;
        assert_eq!((backup.storage(), backup.state()), (Storage::SelfManaged, BackupState::Pending));
        assert_eq!(backup.parts.len(), roles.len() - 1);
        // Reported or not, what he brings opens.
        for id in ["before", "after"] {
            let request = recover_request(&caller, &made, id, 1, &made.shares);
            let recovered = recover(&host, &caller, request.clone()).await.unwrap();
            assert_eq!((recovered.client_release.clone(), recovered.client_shares.len()), (vec![5; 1200], 0));
            assert_eq!(recovered.custodian_release.len(), 1200 * (roles.len() - 1));
            assert_eq!(recover(&host, &caller, request).await.unwrap(), recovered, "the same answer");
            report(&host, &caller, &of(&made, 1)).await.unwrap();
        }
        let backup = shown(&host, &caller, "b").await;
        assert_eq!((backup.state(), backup.generation), (BackupState::Active, 1));
        assert_eq!(backup.parts.len(), roles.len());
        assert_eq!(count(&host, Kind::Books), 0, "nothing is left to say");
        // The answer to the creation is stored, and nothing else of the shares.
        let request = creation(&caller, roles, "b", SecretKind::Share, Storage::SelfManaged);
        assert_eq!(create(&host, &caller, request).await.unwrap().client_shares, made.shares);
    }
}

#[tokio::test]
async fn shares_are_brought_exactly_where_the_caller_keeps_them() {
    let (host, caller) = host_of_both().await;
    let kept = reported(&host, &caller, BOTH, "kept").await;
    let managed = creation(&caller, BOTH, "managed", SecretKind::Share, Storage::Managed);
    let created = create(&host, &caller, managed).await.unwrap();
    assert_eq!(created.client_shares, []);
    let managed =
        Made { roles: BOTH, part: caller.part_in(BOTH, "managed"), backup: "managed", shares: kept.shares.clone() };
    let before = all_rows(&host);
    let [one, two] = kept.shares.clone().try_into().unwrap();
    let changed = |change: fn(&mut StoredShare)| {
        let mut share = two.clone();
        change(&mut share);
        vec![one.clone(), share]
    };
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let mut backups = BackupServiceClient::new(host.api.clone());
    for (made, shares, field) in [
        (&kept, vec![], "client_shares"),
        (&kept, vec![one.clone()], "client_shares"),
        (&kept, vec![one.clone(), one.clone()], "client_shares"),
        (&kept, vec![one.clone(), two.clone(), one.clone()], "client_shares"),
        (&kept, vec![one.clone(); 5], "client_shares"),
        (&kept, vec![one.clone(); 1000], "client_shares"),
        (&kept, changed(|it| it.pair = "p3".to_owned()), "client_shares"),
        (&kept, changed(|it| it.pair = "p/2".to_owned()), "client_shares.pair"),
        (&kept, changed(|it| it.generation = 2), "client_shares.generation"),
        (&kept, changed(|it| it.sealed.clear()), "client_shares.sealed"),
        (&kept, changed(|it| it.sealed = vec![0; 256 * 1024 + 50]), "client_shares.sealed"),
        (&managed, kept.shares.clone(), "client_shares"),
    ] {
        bad(recoveries.recover(caller.says(recover_request(&caller, made, "r", 1, &shares))).await, field);
        let act = act_on(&caller, made, "n", Action::Rehearse(RehearseAction { generation: 1 }));
        let rehearse = RehearseBackupRequest { act: Some(act), client_shares: shares };
        bad(backups.rehearse_backup(caller.says(rehearse)).await, field);
    }
    // Who does not name the client brings nothing of it.
    let custodian = Made { roles: CUSTODIAN, part: kept.part.clone(), backup: "kept", shares: Vec::new() };
    let request = recover_request(&caller, &custodian, "c", 1, &kept.shares);
    bad(recover(&host, &caller, request).await, "client_shares");
    assert_eq!(all_rows(&host), before);
    recover(&host, &caller, recover_request(&caller, &custodian, "c", 1, &[])).await.unwrap();
    let longest = vec![0; 256 * 1024 + 49];
    let request = recover_request(&caller, &kept, "l", 1, &[one, StoredShare { sealed: longest, ..two }]);
    refusal(recover(&host, &caller, request).await, Code::InvalidArgument, "CIPHERTEXT_HASH_MISMATCH");
}

#[tokio::test]
async fn another_backups_generations_or_pairs_shares_are_the_enclaves_to_refuse() {
    let (host, caller) = host_of_both().await;
    let one = reported(&host, &caller, BOTH, "one").await;
    let request = creation(&caller, BOTH, "other", SecretKind::Share, Storage::SelfManaged);
    let other = create(&host, &caller, CreateBackupRequest { client_message: vec![9; 1200], ..request }).await.unwrap();
    let second = put(&host, &caller, &one, 2).await.client_shares;
    let before = all_rows(&host);
    let mut swapped = one.shares.clone();
    swapped[0].sealed = vec![1; 600];
    let mut crossed = put(&host, &caller, &one, 2).await.client_shares;
    crossed.iter_mut().zip(&one.shares).for_each(|(new, old)| (new.generation, new.pair) = (1, old.pair.clone()));
    for shares in [other.client_shares, swapped, crossed] {
        let request = recover_request(&caller, &one, "r", 1, &shares);
        refusal(recover(&host, &caller, request).await, Code::InvalidArgument, "CIPHERTEXT_HASH_MISMATCH");
        let act = act_on(&caller, &one, "n", Action::Rehearse(RehearseAction { generation: 1 }));
        let rehearse = RehearseBackupRequest { act: Some(act), client_shares: shares };
        let report = BackupServiceClient::new(host.api.clone()).rehearse_backup(caller.says(rehearse)).await.unwrap();
        let report = Rehearsal::decode(report.into_inner().rehearsals[0].rehearsal.as_slice()).unwrap();
        assert_eq!(report.result(), RehearsalResult::Damaged);
    }
    assert_eq!(all_rows(&host), before);
    recover(&host, &caller, recover_request(&caller, &one, "r", 1, &one.shares)).await.unwrap();
    assert_eq!(second.len(), 2);
}

#[tokio::test]
async fn a_recovery_that_waited_takes_the_shares_when_it_is_released() {
    let (host, caller) = host_of_both().await;
    let made = reported(&host, &caller, BOTH, "b").await;
    let start = act_on(&caller, &made, "s", Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }));
    let recovery = strongroom_proto::intent::hash(&start.intent).0;
    calls::send(&host, &caller, "StartRecovery", "s", Some(start)).await.unwrap();
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    let with = |shares: &[StoredShare]| strongroom_proto::v1::ReleaseRecoveryRequest {
        custodian_recipient_key: vec![0; 1216],
        client_shares: shares.to_vec(),
        ..release("r", "b", &recovery, None)
    };
    let before = all_rows(&host);
    bad(recoveries.release_recovery(caller.says(with(&[]))).await, "client_shares");
    bad(recoveries.release_recovery(caller.says(with(&made.shares[..1]))).await, "client_shares");
    assert_eq!(all_rows(&host), before);
    let released = recoveries.release_recovery(caller.says(with(&made.shares))).await.unwrap().into_inner();
    assert_eq!((released.client_release.len(), released.custodian_release.len()), (1200, 1200));
}

#[tokio::test]
async fn what_one_role_refuses_of_a_self_managed_creation_or_put_is_stored_of_neither() {
    let (host, caller) = host_of_both().await;
    let made = reported(&host, &caller, BOTH, "b").await;
    let before = all_rows(&host);
    for core in [&host.core, &host.custodian] {
        let refuse = || *core.refuse.lock().unwrap() = Some(strongroom_proto::v1::Reason::PolicyDenied);
        refuse();
        let request = creation(&caller, BOTH, "new", SecretKind::Key, Storage::SelfManaged);
        refusal(create(&host, &caller, request).await, Code::PermissionDenied, "POLICY_DENIED");
        refuse();
        let mut backups = BackupServiceClient::new(host.api.clone());
        let refused = backups.put_shares(caller.says(put_request(&caller, &made, 2))).await;
        refusal(refused, Code::PermissionDenied, "POLICY_DENIED");
        assert_eq!(all_rows(&host), before);
    }
    put(&host, &caller, &made, 2).await;
}
