//! Backups over both roles: what must agree, what may differ, and what they have in common.

use super::*;
use crate::prepare::Prepared;
use crate::testing::{custodian_view, record_view_of_both, role_identity_of, sign_view_as, wallet_view_of};

type Change = fn(&mut RecordView, &mut RecordView);

fn prepared(change: Change) -> Prepared {
    let (mut client, mut custodian) = (record_view_of_both(), custodian_view());
    change(&mut client, &mut custodian);
    Prepared::of_both(vec![client], vec![custodian])
}

fn generation(number: u64, state: GenerationState, put: u8) -> GenerationView {
    let first = record_view_of_both().generations[0].clone();
    GenerationView { generation: number, state: state.into(), put_intent_hash: vec![put; 32], ..first }
}

fn hold(record: &mut RecordView, generations: Vec<GenerationView>) {
    record.highest_generation = generations.last().unwrap().generation;
    record.generations = generations;
}

const FORMER: GenerationState = GenerationState::Former;
const ACTIVE: GenerationState = GenerationState::Active;
const PENDING: GenerationState = GenerationState::Pending;

#[test]
fn records_of_one_backup_are_of_one_creation() {
    let cases: [(Change, &str); 5] = [
        (|_, it| it.backup = "other".to_owned(), "backup is other, not main"),
        (|_, it| it.method = "PASSWORD".to_owned(), "method is PASSWORD, not PASSKEY"),
        (|_, it| it.rp_id = "evil.example".to_owned(), "relying party is evil.example"),
        (|_, it| it.roles = vec![2], "list of roles is custodian, not client, custodian"),
        (|_, it| it.generations[0].pairs.truncate(1), "generation 1 of the custodian's record"),
    ];
    for (change, expect) in cases {
        let error = prepared(change).backups().unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    let apart = prepared(|_, it| it.record_id = vec![11; 32]);
    let backups = apart.backups().unwrap();
    assert_eq!(backups.len(), 2, "two records are two backups");
    for backup in backups {
        assert!(matches!(backup.whole(), Err(Error::RoleNotServed { .. })));
    }
    let stray = WalletView { records: vec![record_view()], ..wallet_view_of(Role::Custodian, NONCE) };
    let asked = Asked { wallet: WALLET, nonce: NONCE, at: now() };
    let identity = role_identity_of(Role::Custodian);
    let error = VerifiedView::verify(&sign_view_as(Role::Custodian, &stray), &identity, &asked).unwrap_err();
    assert!(error.to_string().contains("was not made for the custodian role"), "{error}");
}

#[test]
fn a_view_of_one_role_is_signed_by_that_roles_key() {
    let asked = Asked { wallet: WALLET, nonce: NONCE, at: now() };
    let view = WalletView { records: vec![custodian_view()], ..wallet_view_of(Role::Custodian, NONCE) };
    let verify = |signer, judge| {
        VerifiedView::verify(&sign_view_as(signer, &view), &role_identity_of(judge), &asked).map(|_| ())
    };
    verify(Role::Custodian, Role::Custodian).unwrap();
    assert!(matches!(verify(Role::Client, Role::Custodian), Err(Error::Signature { part: "view" })));
    let error = verify(Role::Client, Role::Client).unwrap_err().to_string();
    assert!(error.contains("view's role is custodian, not client"), "{error}");
}

#[test]
fn the_common_generation_opens_in_both_roles_by_the_same_put() {
    let cases: [(&str, Change, Option<u64>); 9] = [
        ("as created", |_, _| {}, Some(1)),
        (
            "put in both",
            |one, other| {
                hold(one, vec![generation(1, ACTIVE, 13), generation(2, PENDING, 14)]);
                hold(other, vec![generation(1, ACTIVE, 13), generation(2, PENDING, 14)]);
            },
            Some(1),
        ),
        (
            "committed by the custodian",
            |one, other| {
                hold(one, vec![generation(1, ACTIVE, 13), generation(2, PENDING, 14)]);
                hold(other, vec![generation(1, FORMER, 13), generation(2, ACTIVE, 14)]);
            },
            Some(1),
        ),
        (
            "committed in both",
            |one, other| {
                hold(one, vec![generation(1, FORMER, 13), generation(2, ACTIVE, 14)]);
                hold(other, vec![generation(1, FORMER, 13), generation(2, ACTIVE, 14)]);
            },
            Some(2),
        ),
        (
            "two puts crossed",
            |one, other| {
                hold(one, vec![generation(1, FORMER, 13), generation(2, ACTIVE, 14)]);
                hold(other, vec![generation(1, FORMER, 13), generation(2, ACTIVE, 15)]);
            },
            Some(1),
        ),
        ("another put", |_, other| hold(other, vec![generation(1, ACTIVE, 99)]), None),
        ("another number", |_, other| hold(other, vec![generation(2, ACTIVE, 14)]), None),
        ("the client pending only", |one, _| hold(one, vec![generation(1, PENDING, 13)]), None),
        ("the custodian pending only", |_, other| hold(other, vec![generation(1, PENDING, 13)]), None),
    ];
    for (name, change, expect) in cases {
        let prepared = prepared(change);
        let backup = prepared.backups().unwrap()[0];
        assert_eq!(backup.common(None).map(|it| it.number), expect, "{name}");
        assert!(backup.common(Some(9)).is_none());
        if let Some(number) = expect {
            assert_eq!(backup.common(Some(number)).map(|it| it.number), expect, "{name}");
        }
    }
}

#[test]
fn what_may_differ_is_told_apart() {
    let cases: [(Change, &[Difference]); 8] = [
        (|_, _| {}, &[]),
        (|_, it| it.credentials[0].label = "x".to_owned(), &[Difference::Passkeys]),
        (|_, it| it.credentials[0].key_hash = vec![1; 32], &[Difference::Passkeys]),
        (|it, _| it.credentials[0].id = vec![1], &[Difference::Passkeys]),
        (|_, it| hold(it, vec![generation(1, FORMER, 13), generation(2, ACTIVE, 14)]), &[Difference::Generations]),
        (|it, _| it.open_acts = vec![open_recovery()], &[Difference::Waiting]),
        (
            |_, it| {
                it.open_acts = vec![OpenAct { kind: 5, generation: 0, recipient: Vec::new(), ..open_recovery() }];
            },
            &[],
        ),
        (
            |it, _| (it.generations, it.credentials, it.closed) = (Vec::new(), Vec::new(), true),
            &[Difference::Closed, Difference::Passkeys, Difference::Generations],
        ),
    ];
    for (index, (change, expect)) in cases.into_iter().enumerate() {
        let prepared = prepared(change);
        assert_eq!(prepared.backups().unwrap()[0].differences(), expect, "case {index}");
    }
    let other_key = prepared(|_, it| it.credentials[0].key_hash = vec![1; 32]);
    let backup = other_key.backups().unwrap()[0];
    assert!(backup.credentials().is_empty(), "one id with two keys signs for no act on both");
    assert_eq!(backup.only(Role::Client).unwrap().credentials().len(), 1);
    assert!(backup.check_credential(b"stranger").is_err());
}

#[test]
fn an_intent_for_both_roles_is_timed_by_the_clock_that_is_behind() {
    let prepared = prepared(|_, _| {});
    let base = prepared.base_for([Role::Client, Role::Custodian]).unwrap();
    assert_eq!(base.enclave_time, now());
    let client_only = Prepared::of(vec![record_view()]);
    assert!(client_only.base_for([Role::Client, Role::Custodian]).is_err());
}
