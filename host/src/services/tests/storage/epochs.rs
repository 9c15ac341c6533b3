//! Shares under an older epoch: sealed anew by the release that opens them, in the store or by the caller's hand.

use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::v1::{Epoch, Kek, KekState, ListKeksRequest, RoleStatement, RotateKekRequest, Statement};

use super::super::rotation::{rotate, standing, statement, store_statement};
use super::*;
use crate::services::App;
use crate::services::listing::Place;
use crate::services::load::StoredStatement;
use crate::services::reseal::sweep::{self, Swept};

/// A host of the client role, with an app beside it whose sweep nobody wakes.
async fn host_of_client() -> (Host, Caller, App) {
    let host = Host::start().await;
    host.core.checks_shares.store(true, Ordering::Relaxed);
    let caller = host.caller(1).await;
    let app = app(&host).await;
    (host, caller, app)
}

fn tenant(caller: &Caller) -> TenantId {
    TenantId::from_slice(&caller.tenant).unwrap()
}

/// Makes an epoch and has a statement name it as the only one to seal to.
async fn next_epoch(host: &Host, caller: &Caller, app: &App) -> StoredStatement {
    let epoch = rotate(host, caller).await.unwrap();
    let all: Vec<u64> = (1..=epoch).collect();
    let signed = statement(caller, epoch, &all, epoch);
    store_statement(app, caller, &signed).await;
    StoredStatement::read(Some(&signed.encode_to_vec())).unwrap()
}

fn places(of: &Made, caller: &Caller) -> Place {
    let record = RecordId::from_slice(&of.part.record_id).unwrap();
    let wallet = keys::Name::parse("wallet", "w").unwrap();
    Place { tenant: tenant(caller), wallet, role: Role::Client, record }
}

#[tokio::test]
async fn what_the_caller_keeps_is_counted_where_it_lies_and_sealed_anew_when_he_brings_it() {
    use KekState::{Current, Retired, Retiring};
    let (host, caller, app) = host_of_client().await;
    let made = reported(&host, &caller, CLIENT, "b").await;
    assert_eq!(standing(&host, &caller).await, [(Current, 1, 2)], "what lies outside counts");
    next_epoch(&host, &caller, &app).await;
    let one = Swept { moved: 1, damaged: 0, left: 0 };
    assert_eq!(sweep::turn(&app, &tenant(&caller)).await.unwrap(), one, "the record alone");
    assert_eq!(sweep::turn(&app, &tenant(&caller)).await.unwrap(), Swept::default(), "and it waits for nothing");
    assert_eq!(standing(&host, &caller).await, [(Retiring, 0, 2), (Current, 1, 0)]);
    // Half of them: what is brought is handed back sealed anew, and opens until the new form is brought.
    let old = &made.shares;
    let request = recover_request(&caller, &made, "r1", 1, old);
    let answer = recover(&host, &caller, request.clone()).await.unwrap();
    let new = answer.client_shares.clone();
    assert_eq!(new.iter().map(|it| (it.pair.as_str(), it.generation)).collect::<Vec<_>>(), [("p1", 1), ("p2", 1)]);
    assert_ne!(&new, old);
    assert_eq!(recover(&host, &caller, request).await.unwrap(), answer, "a lost answer is given again");
    assert_eq!(standing(&host, &caller).await, [(Retiring, 0, 2), (Current, 1, 2)], "both forms open");
    assert_eq!(count(&host, Kind::Share), 0);
    // One pair of each: they lie under two epochs.
    let mixed = [old[0].clone(), new[1].clone()];
    let answer = recover(&host, &caller, recover_request(&caller, &made, "r2", 1, &mixed)).await.unwrap();
    let newest = answer.client_shares;
    assert_eq!(newest.iter().map(|it| it.pair.as_str()).collect::<Vec<_>>(), ["p1"], "the older one alone");
    assert_eq!(standing(&host, &caller).await, [(Retiring, 0, 1), (Current, 1, 2)]);
    // What the new form has replaced opens no more, nor what was sealed anew and not brought.
    for stale in [[old[0].clone(), old[1].clone()], [new[0].clone(), new[1].clone()]] {
        let request = recover_request(&caller, &made, "stale", 1, &stale);
        refusal(recover(&host, &caller, request).await, Code::InvalidArgument, "CIPHERTEXT_HASH_MISMATCH");
    }
    let now = [newest[0].clone(), new[1].clone()];
    let answer = recover(&host, &caller, recover_request(&caller, &made, "r3", 1, &now)).await.unwrap();
    assert!(answer.client_shares.is_empty());
    assert_eq!(standing(&host, &caller).await, [(Retired, 0, 0), (Current, 1, 2)]);
    recover(&host, &caller, recover_request(&caller, &made, "r4", 1, &now)).await.unwrap();
}

#[tokio::test]
async fn a_record_between_its_shares_epoch_and_the_newest_is_sealed_again_first() {
    for rehearses in [false, true] {
        let (host, caller, app) = host_of_client().await;
        let made = reported(&host, &caller, CLIENT, "b").await;
        let second = next_epoch(&host, &caller, &app).await;
        app.reseal_record(&places(&made, &caller), &second).await.unwrap();
        next_epoch(&host, &caller, &app).await;
        let before = host.core.reseals.load(Ordering::Relaxed);
        if rehearses {
            let act = act_on(&caller, &made, "n", Action::Rehearse(RehearseAction { generation: 1 }));
            let rehearse = RehearseBackupRequest { act: Some(act), client_shares: made.shares.clone() };
            BackupServiceClient::new(host.api.clone()).rehearse_backup(caller.says(rehearse)).await.unwrap();
        } else {
            let answer = recover(&host, &caller, recover_request(&caller, &made, "r", 1, &made.shares)).await.unwrap();
            assert_eq!((answer.client_release.len(), answer.client_shares.len()), (1200, 2));
        }
        assert_eq!(host.core.reseals.load(Ordering::Relaxed), before + 1, "the record, once");
    }
}

#[tokio::test]
async fn shares_under_more_epochs_than_a_request_carries_are_refused_and_nothing_spins() {
    let (host, caller, app) = host_of_client().await;
    let made = reported(&host, &caller, CLIENT, "b").await;
    next_epoch(&host, &caller, &app).await;
    let answer = recover(&host, &caller, recover_request(&caller, &made, "r1", 1, &made.shares)).await.unwrap();
    next_epoch(&host, &caller, &app).await;
    let mixed = [made.shares[0].clone(), answer.client_shares[1].clone()];
    let reseals = host.core.reseals.load(Ordering::Relaxed);
    bad(recover(&host, &caller, recover_request(&caller, &made, "r2", 1, &mixed)).await, "client_shares");
    assert!(host.core.reseals.load(Ordering::Relaxed) <= reseals + 1);
    for (id, shares) in [("r3", &made.shares), ("r4", &made.shares)] {
        recover(&host, &caller, recover_request(&caller, &made, id, 1, shares)).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_host_keeps_is_replaced_in_the_same_commit_with_the_lists_of_its_epochs() {
    use KekState::{Current, Retired};
    let (host, caller, app) = host_of_client().await;
    let request = creation(&caller, CLIENT, "b", SecretKind::Share, Storage::Managed);
    create(&host, &caller, request).await.unwrap();
    let made = Made { roles: CLIENT, part: caller.part("w", "b"), backup: "b", shares: Vec::new() };
    next_epoch(&host, &caller, &app).await;
    let answer = recover(&host, &caller, recover_request(&caller, &made, "r1", 1, &[])).await.unwrap();
    assert!(answer.client_shares.is_empty(), "the caller has nothing to keep");
    assert_eq!(standing(&host, &caller).await, [(Retired, 0, 0), (Current, 1, 2)]);
    assert_eq!(sweep::turn(&app, &tenant(&caller)).await.unwrap(), Swept::default());
    let answer = recover(&host, &caller, recover_request(&caller, &made, "r2", 1, &[])).await.unwrap();
    assert_eq!(answer.client_release.len(), 1200 + 2 * 6, "sealed anew, once");
}

#[tokio::test]
async fn of_both_roles_the_clients_shares_go_to_the_caller_and_the_custodians_into_the_store() {
    use KekState::{Current, Retired, Retiring};
    let (host, caller) = host_of_both().await;
    let app = app(&host).await;
    let made = reported(&host, &caller, BOTH, "b").await;
    let mut admin = AdminServiceClient::new(host.admin.clone());
    let mut signed = Statement::decode(caller.statement(2).statement.as_slice()).unwrap();
    for role in BOTH {
        let rotate = RotateKekRequest { tenant: caller.tenant.clone(), role: i32::from(*role) };
        admin.rotate_kek(rotate).await.unwrap();
        let epochs = [1, 2].map(|epoch| Epoch { epoch, ..Epoch::default() }).into();
        let part = Some(RoleStatement { epochs, lowest_epoch: 2, ..RoleStatement::default() });
        if *role == Role::Client { signed.client = part } else { signed.custodian = part }
    }
    store_statement(&app, &caller, &caller.sign(&signed)).await;
    let mut keks = async || {
        let list = ListKeksRequest { tenant: caller.tenant.clone() };
        let all = admin.list_keks(list).await.unwrap().into_inner().keks;
        all.iter().map(|it: &Kek| (it.state(), it.records, it.shares)).collect::<Vec<_>>()
    };
    assert_eq!(keks().await, [(Retiring, 1, 2), (Current, 0, 0), (Retiring, 1, 2), (Current, 0, 0)]);
    // Where one role refuses, nothing of either moves.
    let before = all_rows(&host);
    *host.custodian.refuse.lock().unwrap() = Some(strongroom_proto::v1::Reason::PolicyDenied);
    let request = recover_request(&caller, &made, "r1", 1, &made.shares);
    refusal(recover(&host, &caller, request.clone()).await, Code::PermissionDenied, "POLICY_DENIED");
    assert_eq!(all_rows(&host), before);
    let answer = recover(&host, &caller, request).await.unwrap();
    assert_eq!((answer.client_shares.len(), count(&host, Kind::Share)), (2, 2));
    assert_eq!(keks().await, [(Retiring, 0, 2), (Current, 1, 2), (Retired, 0, 0), (Current, 1, 2)]);
    recover(&host, &caller, recover_request(&caller, &made, "r2", 1, &answer.client_shares)).await.unwrap();
    assert_eq!(keks().await, [(Retired, 0, 0), (Current, 1, 2), (Retired, 0, 0), (Current, 1, 2)]);
}
