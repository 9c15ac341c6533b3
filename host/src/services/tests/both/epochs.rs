//! KEKs, views, lists and exports of both roles.

use strongroom_proto::v1::{
    Epoch, Kek, KekState, ListKeksRequest, ListPasskeysRequest, RoleStatement, RotateKekRequest, Statement,
};

use super::super::rotation::{store_statement, tenant};
use super::*;
use crate::keys::Name;
use crate::services::listing::Place;
use crate::services::load::StoredStatement;

/// What a statement says of a role with these epochs.
fn part(epochs: &[u64], lowest_epoch: u64) -> RoleStatement {
    let epochs = epochs.iter().map(|epoch| Epoch { epoch: *epoch, ..Default::default() }).collect();
    RoleStatement { epochs, lowest_epoch, ..Default::default() }
}

async fn put_statement(host: &Host, caller: &Caller, serial: u64, client: &[u64], custodian: &[u64]) {
    let mut statement = Statement::decode(caller.statement(serial).statement.as_slice()).unwrap();
    statement.client = Some(part(client, *client.last().unwrap()));
    statement.custodian = Some(part(custodian, *custodian.last().unwrap()));
    let put = PutStatementRequest { statement: Some(caller.sign(&statement)) };
    TenantServiceClient::new(host.api.clone()).put_statement(caller.says(put)).await.unwrap();
}

async fn keks(host: &Host, caller: &Caller) -> Vec<Kek> {
    let mut admin = AdminServiceClient::new(host.admin.clone());
    admin.list_keks(ListKeksRequest { tenant: caller.tenant.clone() }).await.unwrap().into_inner().keks
}

/// Role, epoch, state, records and shares of each KEK.
async fn standing(host: &Host, caller: &Caller) -> Vec<(Role, u64, KekState, u64, u64)> {
    keks(host, caller).await.iter().map(|it| (it.role(), it.epoch, it.state(), it.records, it.shares)).collect()
}

#[tokio::test]
async fn each_role_rotates_by_itself_and_every_call_goes_through() {
    use KekState::{Current, Retired, Waiting};
    use Role::{Client, Custodian};
    let (host, caller) = host_of_both().await;
    assert_eq!(standing(&host, &caller).await, [(Client, 1, Current, 1, 2), (Custodian, 1, Current, 1, 2)]);
    let mut admin = AdminServiceClient::new(host.admin.clone());
    let rotate = RotateKekRequest { tenant: caller.tenant.clone(), role: Custodian.into() };
    assert_eq!(admin.rotate_kek(rotate).await.unwrap().into_inner().epoch, 2);
    let expect = [(Client, 1, Current, 1, 2), (Custodian, 1, Current, 1, 2), (Custodian, 2, Waiting, 0, 0)];
    assert_eq!(standing(&host, &caller).await, expect);
    put_statement(&host, &caller, 2, &[1], &[1, 2]).await;
    let swept = async {
        while standing(&host, &caller).await[2].3 == 0 || standing(&host, &caller).await[1].2 != Retired {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), swept).await.unwrap();
    let expect = [(Client, 1, Current, 1, 2), (Custodian, 1, Retired, 0, 0), (Custodian, 2, Current, 1, 2)];
    assert_eq!(standing(&host, &caller).await, expect);
    assert_eq!(host.core.reseals.load(Ordering::Relaxed), 0, "the client's records stay where they are");
    let answer = usual_in(&host, &caller, "Recover", "r").await.unwrap();
    let released = RecoverResponse::decode(answer.as_slice()).unwrap();
    let epochs: Vec<u64> =
        released.receipts.iter().map(|it| Receipt::decode(it.receipt.as_slice()).unwrap().epoch).collect();
    assert_eq!(epochs, [1, 2]);
    assert_eq!((released.client_release.len(), released.custodian_release.len()), (1200, 1202), "sealed again");
    usual_in(&host, &caller, "PutShares", "put").await.unwrap();
    // An epoch of one role is none of the other.
    let mut backups = BackupServiceClient::new(host.api.clone());
    for (client_epoch, custodian_epoch, role) in [(2, 2, "client"), (1, 1, "custodian"), (0, 3, "custodian")] {
        let epochs = caller.create_in("e", BOTH, "e");
        let epochs = strongroom_proto::v1::CreateBackupRequest { client_epoch, custodian_epoch, ..epochs };
        let status = backups.create_backup(caller.says(epochs)).await;
        let status = refused(status, Code::FailedPrecondition, "EPOCH_NOT_IN_STATEMENT");
        assert_eq!(told(&status).1.as_deref(), Some(role));
    }
    let epochs = caller.create_in("e", BOTH, "e");
    let epochs = strongroom_proto::v1::CreateBackupRequest { client_epoch: 1, custodian_epoch: 2, ..epochs };
    backups.create_backup(caller.says(epochs)).await.unwrap();
}

#[tokio::test]
async fn a_record_that_came_late_to_the_other_roles_old_epoch_is_swept_too() {
    let (host, caller) = host_of_both().await;
    let mut admin = AdminServiceClient::new(host.admin.clone());
    let rotate = RotateKekRequest { tenant: caller.tenant.clone(), role: Role::Custodian.into() };
    admin.rotate_kek(rotate).await.unwrap();
    let mut statement = Statement::decode(caller.statement(2).statement.as_slice()).unwrap();
    statement.custodian = Some(part(&[1, 2], 1));
    let put = PutStatementRequest { statement: Some(caller.sign(&statement)) };
    TenantServiceClient::new(host.api.clone()).put_statement(caller.says(put)).await.unwrap();
    let retired = async || {
        let swept = async {
            while standing(&host, &caller).await[1].2 != KekState::Retired {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), swept).await.unwrap();
    };
    retired().await;
    let late = strongroom_proto::v1::CreateBackupRequest { custodian_epoch: 1, ..caller.create_in("l", BOTH, "late") };
    BackupServiceClient::new(host.api.clone()).create_backup(caller.says(late)).await.unwrap();
    retired().await;
    assert_eq!(standing(&host, &caller).await[2], (Role::Custodian, 2, KekState::Current, 2, 4));
}

#[tokio::test]
async fn views_lists_and_exports_tell_of_both_roles_in_order() {
    // In the other order: answers have an order of their own.
    let host = Host::start_in(&[Role::Custodian, Role::Client]).await;
    let caller = host.caller(1).await;
    for (roles, backup) in [(BOTH, "b"), (CUSTODIAN, "c")] {
        make(&host, &caller, roles, backup).await;
    }
    usual_in(&host, &caller, "RenamePasskey", "r").await.unwrap();
    let mut passkeys = PasskeyServiceClient::new(host.api.clone());
    let prepare = PrepareRequest { wallet: "w".to_owned(), nonce: vec![7; 32] };
    let prepared = passkeys.prepare(caller.says(prepare)).await.unwrap().into_inner();
    let of_roles: Vec<_> = prepared
        .roles
        .iter()
        .map(|it| (it.role(), it.attestation.as_ref().unwrap().role(), it.view.as_ref().unwrap().signature.len()))
        .collect();
    let expect = [(Role::Client, Role::Client, 1), (Role::Custodian, Role::Custodian, 2)];
    assert_eq!(of_roles, expect, "with as many records as there are in the role");
    let list = ListPasskeysRequest { wallet: "w".to_owned() };
    let listed = passkeys.list_passkeys(caller.says(list)).await.unwrap().into_inner().passkeys;
    let listed: Vec<(&str, Role)> = listed.iter().map(|it| (it.backup.as_str(), it.role())).collect();
    assert_eq!(listed, [("b", Role::Client), ("b", Role::Custodian), ("c", Role::Custodian)]);

    let mut backups = BackupServiceClient::new(host.api.clone());
    let (mut receipts, mut token) = (Vec::new(), String::new());
    loop {
        let answer = backups.export_audit(caller.says(export::page("b", 3, &token))).await.unwrap().into_inner();
        let page = answer.page.unwrap();
        let attested: Vec<Role> = page.attestations.iter().map(strongroom_proto::v1::RoleAttestation::role).collect();
        let mut signed = roles_of(&page.receipts);
        signed.dedup();
        assert_eq!(attested, signed, "whoever signed on the page");
        receipts.extend(page.receipts);
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let found: Vec<(Role, u64)> = roles_of(&receipts).into_iter().zip(receipts.iter().map(version)).collect();
    assert_eq!(found, [(Role::Client, 1), (Role::Client, 2), (Role::Custodian, 1), (Role::Custodian, 2)]);
}

#[tokio::test]
async fn an_act_of_both_roles_is_begun_anew_where_one_role_must_seal_again_first() {
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    let mut admin = AdminServiceClient::new(host.admin.clone());
    let statement = |serial: u64, epochs: &[u64], lowest: u64| {
        let mut statement = Statement::decode(caller.statement(serial).statement.as_slice()).unwrap();
        statement.custodian = Some(part(epochs, lowest));
        caller.sign(&statement)
    };
    let record = strongroom_proto::id::RecordId::from_slice(&caller.part_in(BOTH, "b").record_id).unwrap();
    let wallet = Name::parse("wallet", "w").unwrap();
    let place = Place { tenant: tenant(&caller), wallet, role: Role::Custodian, record };
    // The custodian's record under the second epoch, its shares under the first, and both to be sealed under the third.
    for (epoch, epochs, lowest) in [(2, &[1, 2][..], 1), (3, &[1, 2, 3], 3)] {
        let rotate = RotateKekRequest { tenant: caller.tenant.clone(), role: Role::Custodian.into() };
        assert_eq!(admin.rotate_kek(rotate).await.unwrap().into_inner().epoch, epoch);
        let signed = statement(epoch, epochs, lowest);
        store_statement(&app, &caller, &signed).await;
        if epoch == 2 {
            let stored = StoredStatement::read(Some(&signed.encode_to_vec())).unwrap();
            app.reseal_record(&place, &stored).await.unwrap();
        }
    }
    let before = host.custodian.reseals.load(Ordering::Relaxed);
    let rehearse = act_in(&caller, BOTH, BOTH, "b", "n", Action::Rehearse(RehearseAction { generation: 1 }));
    let mut backups = BackupServiceClient::new(host.api.clone());
    let rehearse = caller.says(RehearseBackupRequest { act: Some(rehearse), ..Default::default() });
    assert_eq!(backups.rehearse_backup(rehearse).await.unwrap().into_inner().rehearsals.len(), 2);
    assert!(host.custodian.reseals.load(Ordering::Relaxed) > before);
    usual_in(&host, &caller, "Recover", "r").await.unwrap();
    let versions: Vec<u64> = shown(&host, &caller, "b").await.receipts.iter().map(version).collect();
    assert_eq!(versions, [2, 2], "once in each role");
}
