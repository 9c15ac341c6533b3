//! Recoveries as the host's books have them: one for each, true to the record, and in nobody's way.

use std::sync::atomic::AtomicU64;

use strongroom_proto::v1::{
    CompleteRecoveryRequest, GetRecoveryRequest, ListRecoveriesRequest, Recovery, RecoveryState, StartRecoveryAction,
    TenantSignature,
};

use super::both::{BOTH, CLIENT, CUSTODIAN, act_in, host_of_both};
use super::calls::*;
use super::rotation::app;
use super::*;
use crate::clock::now_ms;
use crate::services::due;

mod bounds;
mod ejects;

const HOUR_MS: u64 = 3_600_000;

/// A host of both roles with a backup `b`. What starts waits for an hour, from `ago` hours ago by the enclaves' clocks.
async fn host_that_waits(ago: u64) -> (Host, Caller) {
    let (host, caller) = host_of_both().await;
    set(&host, |core| &core.delay_ms, HOUR_MS);
    set(&host, |core| &core.clock_ms, now_ms() - ago * HOUR_MS);
    (host, caller)
}

fn set(host: &Host, field: fn(&core::Core) -> &AtomicU64, value: u64) {
    field(&host.core).store(value, Ordering::Relaxed);
    field(&host.custodian).store(value, Ordering::Relaxed);
}

/// Starts a recovery in these roles, and gives the hash of its intent.
async fn start(host: &Host, caller: &Caller, roles: &[Role]) -> Vec<u8> {
    let start = Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false });
    sent(host, caller, roles, "StartRecovery", "start", start).await
}

async fn sent(host: &Host, caller: &Caller, roles: &[Role], call: &str, id: &str, action: Action) -> Vec<u8> {
    let act = act_in(caller, BOTH, roles, "b", id, action);
    let hash = strongroom_proto::intent::hash(&act.intent).0.to_vec();
    send(host, caller, call, id, Some(act)).await.unwrap();
    hash
}

/// Cancels a recovery in these roles, by a passkey or by the tenant alone.
async fn cancel(host: &Host, caller: &Caller, recovery: &[u8], roles: &[Role], by_passkey: bool) {
    let id = format!("cancel-{roles:?}").replace(['[', ']', ' ', ','], "");
    let mut act = act_in(caller, BOTH, roles, "b", &id, action("CancelRecovery", recovery));
    act.tenant_signature = Some(TenantSignature { key: vec![1; 32], signature: vec![2; 64] });
    if !by_passkey {
        act.assertions.clear();
    }
    send(host, caller, "CancelRecovery", &id, Some(act)).await.unwrap();
}

async fn released(host: &Host, caller: &Caller, id: &str, recovery: &[u8], roles: &[Role]) -> Result<Vec<u8>, Status> {
    let key = |role: Role| vec![0; if roles.contains(&role) { 1216 } else { 0 }];
    let request = strongroom_proto::v1::ReleaseRecoveryRequest {
        client_recipient_key: key(Role::Client),
        custodian_recipient_key: key(Role::Custodian),
        ..release(id, "b", recovery, None)
    };
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    recoveries.release_recovery(caller.says(request)).await.map(|answer| answer.into_inner().encode_to_vec())
}

async fn get(host: &Host, caller: &Caller, recovery: &[u8]) -> Result<Response<Recovery>, Status> {
    let get = GetRecoveryRequest { wallet: "w".to_owned(), recovery: recovery.to_vec() };
    let answer = RecoveryServiceClient::new(host.api.clone()).get_recovery(caller.says(get)).await?;
    Ok(Response::new(answer.into_inner().recovery.unwrap()))
}

async fn state(host: &Host, caller: &Caller, recovery: &[u8]) -> (RecoveryState, Vec<i32>) {
    let shown = get(host, caller, recovery).await.unwrap().into_inner();
    let listed = list(host, caller, 0, "").await.unwrap().0;
    assert_eq!(listed, std::slice::from_ref(&shown), "the list says the same");
    (shown.state(), shown.roles)
}

async fn list(host: &Host, caller: &Caller, size: u32, token: &str) -> Result<(Vec<Recovery>, String), Status> {
    let list = ListRecoveriesRequest { wallet: "w".to_owned(), page_size: size, page_token: token.to_owned() };
    let answer = RecoveryServiceClient::new(host.api.clone()).list_recoveries(caller.says(list)).await?.into_inner();
    Ok((answer.recoveries, answer.next_page_token))
}

async fn complete(
    host: &Host,
    caller: &Caller,
    recovery: &[u8],
    success: bool,
) -> Result<Response<RecoveryState>, Status> {
    let message = CompleteRecoveryRequest { wallet: "w".to_owned(), recovery: recovery.to_vec(), success };
    let answer = RecoveryServiceClient::new(host.api.clone()).complete_recovery(caller.says(message)).await?;
    Ok(Response::new(answer.into_inner().recovery.unwrap().state()))
}

fn numbers(roles: &[Role]) -> Vec<i32> {
    roles.iter().map(|role| i32::from(*role)).collect()
}

#[tokio::test]
async fn a_release_is_one_recovery_in_every_role_however_often_it_is_answered() {
    let (host, caller) = host_of_both().await;
    let recover = Action::Recover(RecoverAction { generation: 1, eject: false });
    let hash = sent(&host, &caller, BOTH, "Recover", "r", recover.clone()).await;
    assert_eq!(sent(&host, &caller, BOTH, "Recover", "r", recover).await, hash);
    let shown = get(&host, &caller, &hash).await.unwrap().into_inner();
    assert_eq!(state(&host, &caller, &hash).await, (RecoveryState::Released, numbers(BOTH)));
    assert_eq!((shown.backup.as_str(), shown.method.as_str(), shown.generation), ("b", "PASSKEY", 1));
    assert_eq!((shown.not_before_ms, shown.expires_ms, shown.eject), (0, 0, false));
    assert!(shown.released_ms > 0 && shown.created_ms > 0 && shown.recovery == hash);
    // What an enclave refuses, and what waits but is no recovery, leaves nothing.
    *host.custodian.refuse.lock().unwrap() = Some(strongroom_proto::v1::Reason::PolicyDenied);
    let denied = act_in(&caller, BOTH, BOTH, "b", "n", action("Recover", &[]));
    send(&host, &caller, "Recover", "denied", Some(denied)).await.unwrap_err();
    set(&host, |core| &core.delay_ms, HOUR_MS);
    let deletion = sent(&host, &caller, BOTH, "DeleteBackup", "delete", action("DeleteBackup", &[])).await;
    sent(&host, &caller, BOTH, "CancelAct", "cancel", action("CancelAct", &deletion)).await;
    assert_eq!(list(&host, &caller, 0, "").await.unwrap().0, [shown]);
}

#[tokio::test]
async fn what_waits_stands_where_its_time_and_its_policy_put_it() {
    use RecoveryState::{AwaitingApproval, Delayed, Expired};
    // Hours since it was started by the enclaves' clocks, hours since then by the same clocks, and what the policy asks for.
    for (ago, passed, newest_head, expect) in [
        (0, 0, true, Delayed),
        (2, 0, true, Delayed),
        (2, 2, false, Delayed),
        (2, 2, true, AwaitingApproval),
        (74, 72, true, Expired),
        (80, 80, false, Expired),
    ] {
        let (host, caller) = host_that_waits(ago).await;
        let recovery = start(&host, &caller, BOTH).await;
        set(&host, |core| &core.clock_ms, now_ms() - (ago - passed) * HOUR_MS);
        host.custodian.newest_head.store(newest_head, Ordering::Relaxed);
        assert_eq!(state(&host, &caller, &recovery).await, (expect, numbers(BOTH)), "{ago} {passed} {newest_head}");
        let shown = get(&host, &caller, &recovery).await.unwrap().into_inner();
        assert_eq!(shown.expires_ms - shown.not_before_ms, 72 * HOUR_MS);
        let refusal = complete(&host, &caller, &recovery, true).await;
        let told = refused(refusal, Code::FailedPrecondition, "STATE_INVALID");
        assert!(told.message().contains(if expect == Expired { "EXPIRED" } else { "DELAYED" }), "{told:?}");
    }
}

#[tokio::test]
async fn a_recovery_that_is_due_is_shown_though_no_enclave_answers() {
    let (mut host, caller) = host_that_waits(2).await;
    let recovery = start(&host, &caller, BOTH).await;
    host.custodian.newest_head.store(true, Ordering::Relaxed);
    set(&host, |core| &core.clock_ms, now_ms());
    (host.enclave, host.custodian_enclave) = (None, None);
    host.wait(ServingStatus::NotServing).await;
    assert_eq!(state(&host, &caller, &recovery).await, (RecoveryState::Delayed, numbers(BOTH)));
}

#[tokio::test]
async fn what_was_cancelled_is_denied_where_the_tenant_alone_signed() {
    use RecoveryState::{Cancelled, Delayed, Denied};
    // Where each cancelling was, and by whom.
    for (cancelled, expect, roles) in [
        (&[(BOTH, true)][..], Cancelled, BOTH),
        (&[(BOTH, false)], Denied, BOTH),
        (&[(CLIENT, false)], Delayed, CUSTODIAN),
        (&[(CUSTODIAN, true)], Delayed, CLIENT),
        (&[(CLIENT, false), (CUSTODIAN, false)], Denied, BOTH),
        (&[(CLIENT, true), (CUSTODIAN, false)], Cancelled, BOTH),
    ] {
        let (host, caller) = host_that_waits(0).await;
        let recovery = start(&host, &caller, BOTH).await;
        for (of, by_passkey) in cancelled {
            cancel(&host, &caller, &recovery, of, *by_passkey).await;
        }
        assert_eq!(state(&host, &caller, &recovery).await, (expect, numbers(roles)), "{cancelled:?}");
        set(&host, |core| &core.clock_ms, now_ms() + HOUR_MS);
        let answer = released(&host, &caller, "r", &recovery, roles).await.map(Response::new);
        match expect {
            Denied => drop(refused(answer, Code::PermissionDenied, "RECOVERY_DENIED")),
            Cancelled => {
                let told = refused(answer, Code::FailedPrecondition, "STATE_INVALID");
                assert!(told.message().contains("CANCELLED"), "{told:?}");
            }
            // Where it was not cancelled it goes on, and what is released is no longer denied.
            _ => {
                answer.unwrap();
                assert_eq!(state(&host, &caller, &recovery).await, (RecoveryState::Released, numbers(roles)));
            }
        }
    }
}

#[tokio::test]
async fn a_recovery_is_released_once_and_says_so_afterwards() {
    let (host, caller) = host_that_waits(0).await;
    let recovery = start(&host, &caller, BOTH).await;
    let early = released(&host, &caller, "r", &recovery, BOTH).await.map(Response::new);
    refused(early, Code::FailedPrecondition, "RECOVERY_DELAYED");
    assert_eq!(state(&host, &caller, &recovery).await.0, RecoveryState::Delayed);
    set(&host, |core| &core.clock_ms, now_ms() + HOUR_MS);
    let answer = released(&host, &caller, "r", &recovery, BOTH).await.unwrap();
    assert_eq!(state(&host, &caller, &recovery).await, (RecoveryState::Released, numbers(BOTH)));
    let shown = get(&host, &caller, &recovery).await.unwrap().into_inner();
    assert!(shown.not_before_ms > 0 && shown.released_ms > 0, "{shown:?}");
    complete(&host, &caller, &recovery, true).await.unwrap();
    assert_eq!(released(&host, &caller, "r", &recovery, BOTH).await.unwrap(), answer, "a lost answer");
    let again = released(&host, &caller, "again", &recovery, BOTH).await.map(Response::new);
    assert!(refused(again, Code::FailedPrecondition, "STATE_INVALID").message().contains("COMPLETED"));
    // The books say it for the backup that it is of.
    super::both::make(&host, &caller, BOTH, "c").await;
    let of_c = strongroom_proto::v1::ReleaseRecoveryRequest {
        custodian_recipient_key: vec![0; 1216],
        ..release("c", "c", &recovery, None)
    };
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    refused(recoveries.release_recovery(caller.says(of_c)).await, Code::NotFound, "NOT_FOUND");
}

#[tokio::test]
async fn a_deletion_ends_what_waits() {
    let (host, caller) = host_that_waits(0).await;
    let recovery = start(&host, &caller, BOTH).await;
    sent(&host, &caller, BOTH, "DeleteBackup", "delete", action("DeleteBackup", &[])).await;
    assert_eq!(state(&host, &caller, &recovery).await.0, RecoveryState::Delayed);
    set(&host, |core| &core.clock_ms, now_ms() + HOUR_MS);
    assert_eq!(due::once(&app(&host).await, now_ms() + HOUR_MS).await.unwrap(), 2);
    assert_eq!(state(&host, &caller, &recovery).await, (RecoveryState::Cancelled, numbers(BOTH)));
}

#[tokio::test]
async fn a_caller_reports_a_released_recovery_and_does_not_change_his_word() {
    for (first, state) in [(true, RecoveryState::Completed), (false, RecoveryState::Failed)] {
        let (host, caller) = host_of_both().await;
        let recover = Action::Recover(RecoverAction { generation: 1, eject: false });
        let hash = sent(&host, &caller, BOTH, "Recover", "r", recover).await;
        for _ in 0..2 {
            assert_eq!(complete(&host, &caller, &hash, first).await.unwrap().into_inner(), state);
        }
        let flipped = complete(&host, &caller, &hash, !first).await;
        let told = refused(flipped, Code::FailedPrecondition, "STATE_INVALID");
        assert!(told.message().contains(state.as_str_name().trim_start_matches("RECOVERY_STATE_")), "{told:?}");
        assert_eq!(self::state(&host, &caller, &hash).await, (state, numbers(BOTH)));
    }
    let (host, caller) = host_that_waits(0).await;
    let recovery = start(&host, &caller, BOTH).await;
    cancel(&host, &caller, &recovery, BOTH, false).await;
    for success in [true, false] {
        let told = complete(&host, &caller, &recovery, success).await;
        assert!(refused(told, Code::FailedPrecondition, "STATE_INVALID").message().contains("DENIED"));
    }
}

#[tokio::test]
async fn unknown_and_foreign_recoveries_look_alike() {
    let (host, owner) = host_of_both().await;
    let stranger = host.caller(2).await;
    let hash = sent(&host, &owner, BOTH, "Recover", "r", action("Recover", &[])).await;
    let mut seen = Vec::new();
    for recovery in [hash.as_slice(), &[9; 32]] {
        let got = get(&host, &stranger, recovery).await;
        let got = refused(got, Code::NotFound, "NOT_FOUND");
        let completed = complete(&host, &stranger, recovery, true).await;
        let completed = refused(completed, Code::NotFound, "NOT_FOUND");
        seen.push([got, completed].map(|status| (status.message().to_owned(), status.details().to_vec())));
    }
    assert_eq!(seen[0], seen[1]);
    assert!(list(&host, &stranger, 0, "").await.unwrap().0.is_empty());
    for short in [&hash[1..], &[]] {
        refused(get(&host, &owner, short).await, Code::InvalidArgument, "BAD_REQUEST");
        refused(complete(&host, &owner, short, true).await, Code::InvalidArgument, "BAD_REQUEST");
    }
    assert_eq!(state(&host, &owner, &hash).await.0, RecoveryState::Released, "nobody else's word counts");
}

#[tokio::test]
async fn recoveries_are_listed_by_page_the_newest_first() {
    let (host, caller) = host_of_both().await;
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(sent(&host, &caller, BOTH, "Recover", &format!("r{number}"), action("Recover", &[])).await);
    }
    made.reverse();
    for size in [0, 1, 2, 5, 200] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let (page, next) = list(&host, &caller, size, &token).await.unwrap();
            assert!(size == 0 || page.len() <= size as usize);
            seen.extend(page.into_iter().map(|it| it.recovery));
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, made, "{size}");
    }
    for (size, token) in [(201, ""), (0, "x"), (0, "-1"), (0, "1.5"), (0, "18446744073709551616"), (0, " 1")] {
        refused(list(&host, &caller, size, token).await.map(Response::new), Code::InvalidArgument, "BAD_REQUEST");
    }
    let unknown = ListRecoveriesRequest { wallet: "unknown".to_owned(), ..ListRecoveriesRequest::default() };
    let mut recoveries = RecoveryServiceClient::new(host.api.clone());
    refused(recoveries.list_recoveries(caller.says(unknown)).await, Code::NotFound, "NOT_FOUND");
}
