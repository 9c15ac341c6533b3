//! Requests of every kind, with every action, as honest devices and hosts send them: the oracle looks at what they are given.

mod misses;

use prost::Message;
use ring::signature::Ed25519KeyPair;
use strongroom_proto::contents::Share;
use strongroom_proto::enclave::v1::{
    CarryOut, Change, Commit, CreateKek, GetIdentity, GetView, Recover, Rehearse, Reseal, Resealed, SealedShare,
    request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::prefix::{self, prefixed};
use strongroom_proto::v1::{
    AddPasskeyAction, CancelAction, CarryOutAction, ChangePolicyAction, DeleteBackupAction, GenerationRef, Intent,
    OpenActKind, Policy, Reason, Receipt, RecoverAction, RemovePasskeyAction, RenamePasskeyAction, Role, SignedReceipt,
    StartRecoveryAction, intent::Action,
};

use super::*;
use crate::acts::{
    Backup, PASSKEY_ONLY, creation, part, recover, recovery, rehearsal, rehearse, sealed_message, share, sign_creation,
    two_shares,
};
use crate::device::{Passkey, honest};
use crate::stage::Stage;
use crate::stage::records::custodian;
use crate::steps::{about, carry_out, change, consents, countersigned, named, put, put_shares, registration};
use crate::vault::read;
use crate::world::{encode, keep::keep, told};

const KINDS: [OpenActKind; 4] =
    [OpenActKind::Recovery, OpenActKind::PolicyChange, OpenActKind::PasskeyRemoval, OpenActKind::Delete];

/// A change by the record's own passkey, and by the tenant where it countersigns.
fn changed(stage: &Stage, backup: &Backup, action: Action, tenant: bool) -> Ask {
    let mut intent = about(&stage.world, backup, action);
    if matches!(intent.action, Some(Action::StartRecovery(_))) {
        part(&mut intent).recipient = stage.recipient.hash();
    }
    let act = consents(&intent, &[&backup.passkey]);
    let act = if tenant { countersigned(&stage.world, act) } else { act };
    Ask::Change(change(&stage.world, act, backup))
}

fn changes(stage: &Stage) -> Vec<Ask> {
    let Stage { world, backup, delayed, waiting, newcomer, .. } = stage;
    let add = about(world, backup, Action::AddPasskey(AddPasskeyAction { credential: Some(named(newcomer)) }));
    let add = change(world, consents(&add, &[&backup.passkey, newcomer]), backup);
    let credential_id = Passkey::eddsa(10).id;
    let remove = || Action::RemovePasskey(RemovePasskeyAction { credential_id: credential_id.clone() });
    let rename = RenamePasskeyAction { credential_id: backup.passkey.id.clone(), label: "Ann's old phone".into() };
    let policy = Policy { tenant_signature: true, delay_seconds: 9, ..PASSKEY_ONLY };
    let policy = || Action::ChangePolicy(ChangePolicyAction { client_policy: Some(policy), custodian_policy: None });
    let start = |eject| Action::StartRecovery(StartRecoveryAction { generation: 1, eject });
    let mut asks = vec![
        Ask::Change(Change { credential: Some(registration(newcomer)), ..add }),
        changed(stage, delayed, remove(), false),
        changed(stage, delayed, remove(), true),
        changed(stage, backup, Action::RenamePasskey(rename), false),
        changed(stage, backup, policy(), false),
        changed(stage, delayed, policy(), false),
        changed(stage, delayed, start(false), false),
        changed(stage, delayed, start(true), false),
        changed(stage, backup, Action::DeleteBackup(DeleteBackupAction {}), true),
    ];
    for open in read(world, &waiting.record).open_acts {
        let cancel = CancelAction { kind: open.kind, intent_hash: open.intent_hash };
        asks.push(changed(stage, waiting, Action::Cancel(cancel), false));
    }
    asks
}

fn carried_out(stage: &Stage) -> Vec<Ask> {
    let Stage { world, waiting, vouched, recipient, .. } = stage;
    let recipient_key = || recipient.public_key.clone();
    let due = |kind| CarryOut { recipient_key: recipient_key(), ..carry_out(world, kind, waiting) };
    let mut asks: Vec<Ask> = KINDS.into_iter().map(|kind| Ask::CarryOut(due(kind))).collect();
    for open in read(world, &vouched.record).open_acts {
        let second = CarryOutAction { kind: open.kind, intent_hash: open.intent_hash.clone() };
        let second = about(world, vouched, Action::CarryOut(second));
        let act = Some(countersigned(world, consents(&second, &[])));
        let ask = carry_out(world, open.kind(), vouched);
        asks.push(Ask::CarryOut(CarryOut { act, recipient_key: recipient_key(), ..ask }));
    }
    asks
}

fn puts(stage: &Stage) -> Vec<Ask> {
    let Stage { world, backup, pending, .. } = stage;
    let ask = |backup: &Backup, generation, shares: &[Share], edit: fn(&mut Intent)| {
        let (mut intent, message) = put(world, backup, generation, shares);
        edit(&mut intent);
        Ask::PutShares(put_shares(world, consents(&intent, &[&backup.passkey]), message, backup))
    };
    vec![
        ask(backup, 2, &[share("ed", b"second")], |_| {}),
        ask(pending, 3, &two_shares(), |intent| intent.custodian.clone_from(&intent.client)),
    ]
}

fn signed(receipt: &Receipt, key: &Ed25519KeyPair) -> SignedReceipt {
    let receipt = receipt.encode_to_vec();
    let signature = key.sign(&prefixed(prefix::RECEIPT, &receipt)).as_ref().to_vec();
    SignedReceipt { receipt, signature }
}

/// On the custodian's receipt of a generation.
fn commit(stage: &Stage, named: Option<&GenerationRef>, key: &Ed25519KeyPair) -> Ask {
    let Stage { world, pending, .. } = stage;
    let receipt = Receipt { role: Role::Custodian.into(), active: named.cloned(), ..pending.receipt.clone() };
    Ask::Commit(Commit {
        tenant: world.tenant_id(),
        statement: Some(world.statement_ref()),
        kek: Some(world.epoch.kek()),
        receipt: Some(signed(&receipt, key)),
        record: Some(pending.record.clone()),
        other_kek: None,
    })
}

fn reseal(stage: &Stage) -> Reseal {
    Reseal {
        tenant: stage.world.tenant_id(),
        statement: Some(stage.world.statement_ref()),
        kek: Some(stage.second.kek()),
        record: Some(stage.backup.record.clone()),
        shares: stage.backup.shares.clone(),
        other_kek: Some(stage.world.epoch.kek()),
    }
}

/// Steps over two epochs: a record that went ahead of its shares, beside one that did not.
fn over_two_epochs(stage: &Stage) -> Vec<Ask> {
    let Stage { world, backup, second, recipient, delayed, .. } = stage;
    let ahead = Ask::Reseal(Reseal { shares: Vec::new(), ..reseal(stage) });
    let Answer::Resealed(Resealed { record, .. }) = stage.ask(&stage.whole(ahead.clone())) else { panic!("resealed") };
    let (kek, other_kek) = (Some(second.kek()), Some(world.epoch.kek()));
    let act = consents(&recovery(world, backup, recipient), &[&backup.passkey]);
    let ask = recover(world, act, backup, recipient);
    let view = GetView {
        tenant: world.tenant_id(),
        kek: kek.clone(),
        wallet: "wallet-1".into(),
        nonce: vec![4; 32],
        records: vec![delayed.record.clone(), record.clone().unwrap()],
        other_kek: other_kek.clone(),
    };
    vec![Ask::Reseal(reseal(stage)), ahead, Ask::Recover(Recover { record, kek, other_kek, ..ask }), Ask::GetView(view)]
}

/// A record that was recovered under the second epoch, with the shares of the first that it was brought; and those that it handed back.
fn raised(stage: &Stage) -> (Backup, Vec<SealedShare>) {
    let Stage { world, backup, second, recipient, .. } = stage;
    let act = consents(&recovery(world, backup, recipient), &[&backup.passkey]);
    let (kek, other_kek) = (Some(second.kek()), Some(world.epoch.kek()));
    let ask = Ask::Recover(Recover { kek, other_kek, ..recover(world, act, backup, recipient) });
    let Answer::Moved(moved) = stage.ask(&stage.whole(ask)) else { panic!("recovered") };
    let (record, shares, passkey) = (moved.record.unwrap(), backup.shares.clone(), Passkey::eddsa(9));
    let receipt = Receipt::decode(moved.receipt.unwrap().receipt.as_slice()).unwrap();
    (Backup { record, shares, receipt, passkey }, moved.shares)
}

/// On a record that names two sealed forms of each share: whichever is brought opens.
fn of_raised(stage: &Stage) -> Vec<Ask> {
    let Stage { world, second, recipient, .. } = stage;
    let (raised, anew) = raised(stage);
    let (kek, other_kek) = (Some(second.kek()), Some(world.epoch.kek()));
    let released = consents(&recovery(world, &raised, recipient), &[&raised.passkey]);
    let released = recover(world, released, &raised, recipient);
    let released = Recover { kek: kek.clone(), other_kek: other_kek.clone(), ..released };
    let rehearsed = consents(&rehearsal(world, &raised), &[&raised.passkey]);
    let rehearsed = Rehearse { kek, other_kek, ..rehearse(world, rehearsed, &raised) };
    let one_of_each = vec![raised.shares[0].clone(), anew[1].clone()];
    let again = Reseal { record: Some(raised.record.clone()), ..reseal(stage) };
    let mut asks = vec![Ask::Reseal(Reseal { shares: Vec::new(), ..again.clone() })];
    for shares in [&raised.shares, &anew, &one_of_each] {
        asks.push(Ask::Recover(Recover { shares: shares.clone(), ..released.clone() }));
        asks.push(Ask::Rehearse(Rehearse { shares: shares.clone(), ..rehearsed.clone() }));
        asks.push(Ask::Reseal(Reseal { shares: shares.clone(), ..again.clone() }));
    }
    asks
}

fn genuine(stage: &Stage) -> Vec<Ask> {
    let Stage { world, backup, pending, recipient, .. } = stage;
    let (tenant, kek) = (world.tenant_id(), Some(world.epoch.kek()));
    let intent = creation(world, "wallet-2", &backup.passkey);
    let message = sealed_message(world, &intent, &two_shares());
    let released = consents(&recovery(world, backup, recipient), &[&backup.passkey]);
    let eject = Action::Recover(RecoverAction { generation: 1, eject: true });
    let eject = Intent { action: Some(eject), ..recovery(world, backup, recipient) };
    let ejected = consents(&eject, &[&backup.passkey]);
    let rehearsed = consents(&rehearsal(world, backup), &[&backup.passkey]);
    let mut asks = vec![
        Ask::CreateKek(CreateKek { tenant: tenant.clone(), epoch: 2 }),
        Ask::GetIdentity(GetIdentity { tenant, kek, nonce: Vec::new() }),
        Ask::CreateRecord(sign_creation(world, intent, message, &backup.passkey, &honest())),
        Ask::Recover(recover(world, released, backup, recipient)),
        Ask::Recover(recover(world, ejected, backup, recipient)),
        Ask::Rehearse(rehearse(world, rehearsed, backup)),
        commit(stage, pending.receipt.pending.as_ref(), &custodian()),
        commit(stage, pending.receipt.active.as_ref(), &custodian()),
    ];
    for more in [changes(stage), carried_out(stage), puts(stage), over_two_epochs(stage), of_raised(stage)] {
        asks.extend(more);
    }
    asks
}

/// The name of a request, and of its action where it has one.
fn kind_of(ask: &Ask) -> (String, String) {
    let name = |debugged: String| debugged.split(['(', ' ']).next().unwrap_or_default().to_owned();
    let act = match ask {
        Ask::CreateRecord(ask) => ask.act.as_ref(),
        Ask::Recover(ask) => ask.act.as_ref(),
        Ask::Rehearse(ask) => ask.act.as_ref(),
        Ask::PutShares(ask) => ask.act.as_ref(),
        Ask::Change(ask) => ask.act.as_ref(),
        Ask::CarryOut(ask) => ask.act.as_ref(),
        _ => None,
    };
    let action = act.and_then(|act| Intent::decode(act.intent.as_slice()).unwrap().action);
    (name(format!("{ask:?}")), action.map(|action| name(format!("{action:?}"))).unwrap_or_default())
}

/// So the oracle looks at answers of every kind, and not at refusals alone.
#[test]
fn genuine_requests_are_given_what_they_ask_for() {
    stage::with(|stage| {
        let (mut requests, mut actions) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for ask in genuine(stage) {
            let ask = stage.whole(ask);
            let frame = encode(ask.clone());
            keep("always", &frame);
            let answer = stage.answer(&frame).unwrap();
            let (request, action) = kind_of(&ask);
            assert!(oracle::check(stage, &ask, &answer), "{request} {action}: {}", told(&answer));
            requests.insert(request);
            actions.insert(action);
        }
        // Boot, credentials and health are the runtime's; the empty action is of requests without an act.
        assert_eq!((requests.len(), actions.len()), (11, 12 + 1), "{requests:?} {actions:?}");
    });
}

#[test]
fn the_oracle_tells_a_refusal_from_an_answer() {
    stage::with(|stage| {
        let Stage { world, backup, recipient, .. } = stage;
        let released = consents(&recovery(world, backup, recipient), &[&backup.passkey]);
        let mut ask = recover(world, released, backup, recipient);
        ask.recipient_key[0] ^= 1;
        let ask = stage.whole(Ask::Recover(ask));
        let answer = stage.ask(&ask);
        assert!(!oracle::check(stage, &ask, &answer));
        let Answer::Error(error) = answer else { panic!("refused") };
        assert_eq!(error.reason(), Reason::RecipientNotAllowed);
    });
}

/// An answer to one request is none to another, even where it is of the same kind.
#[test]
fn the_oracle_knows_what_each_answer_is_to() {
    stage::with(|stage| {
        let asks: Vec<Ask> = genuine(stage).into_iter().map(|ask| stage.whole(ask)).collect();
        let answers: Vec<Answer> = asks.iter().map(|ask| stage.ask(ask)).collect();
        for (place, ask) in asks.iter().enumerate() {
            let answer = &answers[(place + 1) % answers.len()];
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| oracle::check(stage, ask, answer)));
            assert!(checked.is_err(), "{:?}: the next one's answer is taken", kind_of(ask));
        }
    });
}
