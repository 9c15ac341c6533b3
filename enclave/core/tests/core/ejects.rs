//! Ejects: the custodian's shares to the user's device, in a window of the tenant's, always by a passkey.

use strongroom_proto::enclave::v1::{CarryOut, request::Body as Ask};
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::v1::{
    Act, ActKind, CancelAction, ChangePolicyAction, DeleteBackupAction, Intent, OpenAct, OpenActKind,
    OpenEjectWindowAction, Policy, Reason, RecoverAction, StartRecoveryAction, intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, action, back_up, own_part, recover};
use crate::both::{Both, TENANT_ONLY, place, without_passkey};
use crate::device::{Passkey, Recipient};
use crate::mpc::opened;
use crate::steps::{about, carry_out, change, consents, countersigned, moves, view_of};
use crate::tenant::{MPC, Tenant, consent};
use crate::vault::edit;
use crate::world::{Case, START, World};

const BOTH_NEEDED: Policy = Policy { passkey: true, ..TENANT_ONLY };
const NEWEST: Policy = Policy { newest_head: true, ..BOTH_NEEDED };

pub(crate) fn custodian(seed: u64, policy: Policy) -> (World, Backup) {
    let world = Both::new(seed).custodian;
    let backup =
        back_up(&world, "wallet-1", Passkey::eddsa(9), |intent| action(intent).custodian_policy = Some(policy));
    (world, backup)
}

/// The tenant's act that opens a window.
pub(crate) fn window(world: &World, backup: &Backup, duration_seconds: u32) -> Ask {
    let intent = about(world, backup, Action::OpenEjectWindow(OpenEjectWindowAction { duration_seconds }));
    Ask::Change(change(world, countersigned(world, consents(&intent, &[])), backup))
}

fn eject_intent(world: &World, backup: &Backup, to: &Recipient) -> Intent {
    let mut intent = about(world, backup, Action::Recover(RecoverAction { generation: 1, eject: true }));
    own_part(world, &mut intent).recipient = to.hash();
    intent
}

/// An eject that these have consented to.
fn eject(world: &World, backup: &Backup, to: &Recipient, by: &[&Passkey], tenant: bool) -> Ask {
    let act = consents(&eject_intent(world, backup, to), by);
    let act = if tenant { countersigned(world, act) } else { act };
    Ask::Recover(recover(world, act, backup, to))
}

#[test]
fn an_eject_takes_an_open_window_and_a_passkey_and_the_tenant_only_for_the_newest_head() {
    let device = Recipient::new(1);
    let no_window = Some((Reason::EjectNotEnabled, "no window"));
    let no_passkey = Some((Reason::PolicyDenied, "act.assertions"));
    for policy in [PASSKEY_ONLY, TENANT_ONLY, BOTH_NEEDED, NEWEST] {
        let alone = policy.newest_head.then_some((Reason::PolicyDenied, "act.tenant_signature"));
        for (open, passkey, tenant, expect) in [
            (false, true, true, no_window),
            (false, true, false, no_window),
            (false, false, true, no_window),
            (true, false, true, no_passkey),
            (true, false, false, no_passkey),
            (true, true, false, alone),
            (true, true, true, None),
        ] {
            let (world, mut backup) = custodian(0x120, policy);
            if open {
                moves(&world, "window", window(&world, &backup, 300), &mut backup);
            }
            let by: Vec<_> = passkey.then(|| Passkey::eddsa(9)).into_iter().collect();
            let ask = eject(&world, &backup, &device, &by.iter().collect::<Vec<_>>(), tenant);
            let name = format!("{policy:?} {open} {passkey} {tenant}");
            if let Some((reason, detail)) = expect {
                world.refused(&name, ask, reason, detail);
                continue;
            }
            let (moved, event) = moves(&world, &name, ask, &mut backup);
            assert_eq!((event.kind(), event.recipient), (ActKind::Eject, device.hash()));
            assert_eq!(event.tenant_key.is_empty(), !tenant);
            let release = opened(&world, &backup.receipt.record_id, &moved.release, &device).unwrap();
            assert_eq!((release.generation, release.shares.len()), (1, 2));
        }
    }
}

#[test]
fn a_window_opens_nothing_but_ejects() {
    let (world, mut backup) = custodian(0x121, BOTH_NEEDED);
    moves(&world, "window", window(&world, &backup, 300), &mut backup);
    let plain = |to: &Recipient, tenant: bool| {
        let mut intent = eject_intent(&world, &backup, to);
        intent.action = Some(Action::Recover(RecoverAction { generation: 1, eject: false }));
        let act = consents(&intent, &[&backup.passkey]);
        let act = if tenant { countersigned(&world, act) } else { act };
        Ask::Recover(recover(&world, act, &backup, to))
    };
    let (device, mpc) = (Recipient::new(1), Recipient::new(MPC[0]));
    world.refused("to the device", plain(&device, true), Reason::RecipientNotAllowed, "mpc_recipients");
    world.refused("without the tenant", plain(&mpc, false), Reason::PolicyDenied, "act.tenant_signature");
    let Ask::Recover(mut other) = eject(&world, &backup, &device, &[&backup.passkey], false) else { panic!() };
    other.recipient_key = Recipient::new(2).public_key;
    world.refused("another key", Ask::Recover(other), Reason::RecipientNotAllowed, "not the recipient");
    let stranger = Passkey::eddsa(10);
    let ask = eject(&world, &backup, &device, &[&stranger], true);
    world.refused("another's passkey", ask, Reason::ProofRejected, "assertion.credential_id");
    // It stays open: a second eject, to another device, takes a second assertion and no second window.
    for to in [&device, &Recipient::new(2), &mpc] {
        let ask = eject(&world, &backup, to, &[&Passkey::eddsa(9)], false);
        moves(&world, "eject", ask, &mut backup);
    }
}

#[test]
fn a_window_is_open_from_its_act_to_its_last_millisecond() {
    for seconds in [60, 300, 86_400] {
        let (world, mut backup) = custodian(0x122, PASSKEY_ONLY);
        let (_, event) = moves(&world, "window", window(&world, &backup, seconds), &mut backup);
        assert_eq!((event.kind(), event.not_before_ms), (ActKind::OpenEjectWindow, START));
        let expires_ms = START + u64::from(seconds) * 1000;
        let open = OpenAct {
            kind: OpenActKind::EjectWindow.into(),
            intent_hash: backup.receipt.intent_hash.clone(),
            not_before_ms: START,
            expires_ms,
            ..OpenAct::default()
        };
        assert_eq!(view_of(&world, &backup.record).open_acts, [open]);
        for (now, expect) in [(START, true), (expires_ms - 1, true), (expires_ms, false), (expires_ms + 1, false)] {
            world.fake.now.set(now);
            let ask = eject(&world, &backup, &Recipient::new(1), &[&Passkey::eddsa(9)], false);
            if expect {
                moves(&world, "eject", ask, &mut backup);
            } else {
                world.refused("closed", ask, Reason::EjectNotEnabled, "no window of the tenant's is open");
            }
        }
    }
    let (world, backup) = custodian(0x123, PASSKEY_ONLY);
    for seconds in [0, 1, 59, 86_401, u32::MAX] {
        let ask = window(&world, &backup, seconds);
        world.refused("duration", ask, Reason::BadRequest, "open_eject_window.duration_seconds");
    }
}

#[test]
fn only_the_tenant_opens_a_window_and_only_in_the_custodian_role() {
    let both = Both::new(0x124);
    let pair = both.back_up("wallet-1", PASSKEY_ONLY);
    let world = &both.custodian;
    let open = Action::OpenEjectWindow(OpenEjectWindowAction { duration_seconds: 300 });
    let passkey = &pair.custodian.passkey;
    let ask = |act: Act| Ask::Change(change(world, act, &pair.custodian));
    let intent = about(world, &pair.custodian, open.clone());
    let unsigned = || consents(&intent, &[passkey]);
    let by_expired = Act { tenant_signature: Some(consent(&Tenant::new(1).expired, &unsigned().intent)), ..unsigned() };
    world.refused("the user", ask(unsigned()), Reason::PolicyDenied, "act.tenant_signature");
    world.refused("expired key", ask(by_expired), Reason::ProofRejected, "tenant_signature.key");
    let cases: &[Case<Intent>] = &[
        ("client too", |i| i.client = i.custodian.clone(), Reason::BadRequest, "the custodian role alone"),
        ("a recipient", |i| i.custodian.as_mut().unwrap().recipient = vec![1; 32], Reason::BadRequest, "recipient"),
        ("a message", |i| i.custodian.as_mut().unwrap().message_hash = vec![1; 32], Reason::BadRequest, "message_hash"),
        ("older head", |i| i.custodian.as_mut().unwrap().head[0] ^= 1, Reason::RecordStale, "intent.head"),
    ];
    for (name, edit, reason, detail) in cases {
        let mut intent = intent.clone();
        edit(&mut intent);
        world.refused(name, ask(countersigned(world, consents(&intent, &[]))), *reason, detail);
    }
    let mut both_named = intent.clone();
    both_named.client = Some(place(&pair.client.receipt));
    for (name, intent, detail) in [
        ("custodian's", intent.clone(), "does not name the ROLE_CLIENT"),
        ("both", both_named.clone(), "the custodian role alone"),
        ("its own", Intent { custodian: None, ..both_named }, "the custodian role alone"),
    ] {
        let act = countersigned(&both.client, consents(&intent, &[passkey]));
        let ask = Ask::Change(change(&both.client, act, &pair.client));
        both.client.refused(name, ask, Reason::BadRequest, detail);
    }
    let bare = without_passkey(world, "wallet-2", TENANT_ONLY);
    let ask = self::window(world, &bare, 300);
    world.refused("nobody could use it", ask, Reason::PolicyDenied, "the record has no passkey");
}

#[test]
fn one_window_is_open_at_a_time_and_anybody_who_can_cancel_closes_it() {
    let (world, mut backup) = custodian(0x125, PASSKEY_ONLY);
    moves(&world, "window", window(&world, &backup, 60), &mut backup);
    world.refused("another", window(&world, &backup, 60), Reason::StateInvalid, "one of this kind");
    world.fake.now.set(START + 60_000);
    moves(&world, "after it", window(&world, &backup, 60), &mut backup);
    assert_eq!(view_of(&world, &backup.record).open_acts.len(), 1);
    for tenant in [false, true] {
        let kind = OpenActKind::EjectWindow.into();
        let cancel = |intent_hash| {
            let intent = about(&world, &backup, Action::Cancel(CancelAction { kind, intent_hash }));
            let act = if tenant {
                countersigned(&world, consents(&intent, &[]))
            } else {
                consents(&intent, &[&backup.passkey])
            };
            Ask::Change(change(&world, act, &backup))
        };
        let opened_by = view_of(&world, &backup.record).open_acts[0].intent_hash.clone();
        world.refused("another's", cancel(vec![7; 32]), Reason::StateInvalid, "another intent started");
        let ask = cancel(opened_by);
        moves(&world, "cancel", ask, &mut backup);
        let ask = eject(&world, &backup, &Recipient::new(1), &[&Passkey::eddsa(9)], true);
        world.refused("cancelled", ask, Reason::EjectNotEnabled, "no window");
        moves(&world, "anew", window(&world, &backup, 60), &mut backup);
    }
    for act in [None, Some(consents(&about(&world, &backup, Action::DeleteBackup(DeleteBackupAction {})), &[]))] {
        let due = CarryOut { act, ..carry_out(&world, OpenActKind::EjectWindow, &backup) };
        world.refused("carried out", Ask::CarryOut(due), Reason::BadRequest, "never carried out");
    }
}

/// Whatever else stands in the record and is due, only a window lets a passkey eject.
#[test]
fn nothing_else_that_waits_is_a_window() {
    let device = Recipient::new(1);
    let (world, mut backup) = custodian(0x129, PASSKEY_ONLY);
    let delete = about(&world, &backup, Action::DeleteBackup(DeleteBackupAction {}));
    let ask = Ask::Change(change(&world, consents(&delete, &[&backup.passkey]), &backup));
    moves(&world, "delete", ask, &mut backup);
    world.fake.now.set(START + GRACE_MS);
    let mut ask = eject(&world, &backup, &device, &[&backup.passkey], false);
    world.refused("a deletion is due", ask, Reason::EjectNotEnabled, "no window");

    let (world, mut backup) = custodian(0x12a, Policy { delay_seconds: 60, ..PASSKEY_ONLY });
    let policies = ChangePolicyAction { client_policy: None, custodian_policy: Some(PASSKEY_ONLY) };
    let policy = about(&world, &backup, Action::ChangePolicy(policies));
    let change_policy = Ask::Change(change(&world, consents(&policy, &[&backup.passkey]), &backup));
    moves(&world, "policy", change_policy, &mut backup);
    world.fake.now.set(START + 60_000);
    ask = start(&world, &backup, &device, true, false);
    world.refused("a policy is due", ask, Reason::EjectNotEnabled, "no window");
}

/// Starts an eject that waits.
fn start(world: &World, backup: &Backup, to: &Recipient, eject: bool, tenant: bool) -> Ask {
    let mut intent = about(world, backup, Action::StartRecovery(StartRecoveryAction { generation: 1, eject }));
    own_part(world, &mut intent).recipient = to.hash();
    let act = consents(&intent, &[&backup.passkey]);
    Ask::Change(change(world, if tenant { countersigned(world, act) } else { act }, backup))
}

#[test]
fn a_delayed_eject_needs_the_window_when_the_consents_are_given_and_not_when_it_is_due() {
    let (device, other) = (Recipient::new(1), Recipient::new(2));
    for policy in [PASSKEY_ONLY, BOTH_NEEDED, NEWEST] {
        let (world, mut backup) = custodian(0x126, Policy { delay_seconds: 600, ..policy });
        let tenant = policy.newest_head;
        let ask = start(&world, &backup, &device, true, true);
        world.refused("no window", ask, Reason::EjectNotEnabled, "no window");
        moves(&world, "window", window(&world, &backup, 60), &mut backup);
        let ask = eject(&world, &backup, &device, &[&Passkey::eddsa(9)], true);
        world.refused("at once", ask, Reason::RecoveryDelayed, "delay");
        let ask = start(&world, &backup, &device, false, true);
        world.refused("no eject", ask, Reason::RecipientNotAllowed, "mpc_recipients");
        if tenant {
            let ask = start(&world, &backup, &device, true, false);
            world.refused("newest head", ask, Reason::PolicyDenied, "act.tenant_signature");
        }
        let ask = start(&world, &backup, &device, true, tenant);
        let (_, event) = moves(&world, "start", ask, &mut backup);
        assert_eq!((event.kind(), event.not_before_ms), (ActKind::StartEject, START + 600_000));
        let waits = view_of(&world, &backup.record).open_acts;
        assert_eq!(
            waits.iter().map(|it| (it.kind(), it.eject)).collect::<Vec<_>>(),
            [(OpenActKind::Recovery, true), (OpenActKind::EjectWindow, false)]
        );
        let started = waits[0].intent_hash.clone();
        world.fake.now.set(START + 600_000);
        let act = tenant.then(|| {
            let kind = OpenActKind::Recovery.into();
            let second = strongroom_proto::v1::CarryOutAction { kind, intent_hash: started.clone() };
            countersigned(&world, consents(&about(&world, &backup, Action::CarryOut(second)), &[]))
        });
        let due = |key: &Recipient, act: Option<Act>| {
            let due = carry_out(&world, OpenActKind::Recovery, &backup);
            Ask::CarryOut(CarryOut { act, recipient_key: key.public_key.clone(), ..due })
        };
        let not = Reason::RecipientNotAllowed;
        world.refused("another key", due(&other, act.clone()), not, "not the recipient");
        if tenant {
            world.refused("once more", due(&device, None), Reason::PolicyDenied, "newest head");
        }
        let ask = due(&device, act);
        let (moved, event) = moves(&world, "after the window", ask, &mut backup);
        assert_eq!(event.kind(), ActKind::Eject);
        assert!(opened(&world, &backup.receipt.record_id, &moved.release, &device).is_some());
    }
}

#[test]
fn a_record_without_a_passkey_is_not_ejected() {
    let world = Both::new(0x127).custodian;
    let mut backup = without_passkey(&world, "wallet-1", TENANT_ONLY);
    let device = Recipient::new(1);
    let ask = eject(&world, &backup, &device, &[], true);
    world.refused("no window", ask, Reason::EjectNotEnabled, "no window");
    // Even in a window, which no enclave opens in it.
    edit(&world, &mut backup.record, |record| {
        let kind = OpenActKind::EjectWindow.into();
        record.open_acts = vec![OpenAct { kind, not_before_ms: 0, expires_ms: u64::MAX, ..OpenAct::default() }];
    });
    let ask = eject(&world, &backup, &device, &[], true);
    world.refused("no passkey", ask, Reason::PolicyDenied, "act.assertions");
    let ask = eject(&world, &backup, &device, &[&Passkey::eddsa(9)], true);
    world.refused("a stranger's", ask, Reason::ProofRejected, "assertion.credential_id");
}

#[test]
fn in_the_client_role_an_eject_is_a_release_like_any_other() {
    let world = World::new(0x128);
    let device = Recipient::new(1);
    for (policy, tenant) in [(PASSKEY_ONLY, false), (BOTH_NEEDED, true)] {
        let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |i| action(i).client_policy = Some(policy));
        if tenant {
            let ask = eject(&world, &backup, &device, &[&backup.passkey], false);
            world.refused("the policy's consents", ask, Reason::PolicyDenied, "act.tenant_signature");
        }
        let ask = eject(&world, &backup, &device, &[], true);
        world.refused("no passkey", ask, Reason::PolicyDenied, "act.assertions");
        let ask = eject(&world, &backup, &device, &[&backup.passkey], tenant);
        let (moved, event) = moves(&world, "eject", ask, &mut backup);
        assert_eq!(event.kind(), ActKind::Eject);
        assert!(opened(&world, &backup.receipt.record_id, &moved.release, &device).is_some());
    }
    let delayed = Policy { delay_seconds: 60, ..PASSKEY_ONLY };
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |i| action(i).client_policy = Some(delayed));
    let ask = start(&world, &backup, &device, true, false);
    assert_eq!(moves(&world, "start", ask, &mut backup).1.kind(), ActKind::StartEject);
    world.fake.now.set(START + 60_000);
    let due = carry_out(&world, OpenActKind::Recovery, &backup);
    let ask = Ask::CarryOut(CarryOut { recipient_key: device.public_key.clone(), ..due });
    assert_eq!(moves(&world, "due", ask, &mut backup).1.kind(), ActKind::Eject);
}
