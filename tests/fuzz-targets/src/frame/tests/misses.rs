//! Requests that are one change away from being given something. They are refused, and they stand in the corpus: whichever check is
//! dropped from the core, the oracle then looks at an answer to one of these.

use strongroom_proto::enclave::v1::{PutShares, ResealedPart, SealedRecord};
use strongroom_proto::v1::{OpenAct, RecoverAction};

use super::*;
use crate::device::Recipient;
use crate::tenant::key;
use crate::vault::edit;
use crate::world::{START, reference};

fn commits(stage: &Stage) -> Vec<(&'static str, Ask)> {
    let pending = stage.pending.receipt.pending.clone().unwrap();
    let another = GenerationRef { put_intent_hash: vec![7; 32], ..pending.clone() };
    let mut own = commit(stage, Some(&pending), &custodian());
    if let Ask::Commit(ask) = &mut own {
        let receipt = Receipt { active: Some(pending.clone()), ..stage.pending.receipt.clone() };
        ask.receipt = Some(signed(&receipt, &custodian()));
    }
    vec![
        ("a commit of another put", commit(stage, Some(&another), &custodian())),
        ("a commit on a stranger's receipt", commit(stage, Some(&pending), &key(203))),
        ("a commit on this role's receipt", own),
    ]
}

fn reseals(stage: &Stage) -> Vec<(&'static str, Ask)> {
    let up = Ask::Reseal(reseal(stage));
    let Answer::Resealed(done) = stage.ask(&stage.whole(up)) else { panic!("resealed") };
    let good = reseal(stage);
    let down = Reseal { record: done.record, kek: good.other_kek.clone(), other_kek: good.kek.clone(), ..good.clone() };
    let world = &stage.world;
    let mut statement = world.tenant.statement(&[&world.epoch.identity, &stage.second.identity]);
    statement.serial = 4;
    vec![
        ("a re-seal downwards", Ask::Reseal(Reseal { shares: done.shares, ..down.clone() })),
        ("a record alone downwards", Ask::Reseal(Reseal { shares: Vec::new(), ..down })),
        ("a re-seal under an old statement", under(stage, Ask::Reseal(good), &statement)),
    ]
}

/// The request under another statement.
fn under(stage: &Stage, mut ask: Ask, statement: &strongroom_proto::v1::Statement) -> Ask {
    let signed = stage.world.tenant.sign(statement);
    if let (Some(named), ..) = crate::world::references(&mut ask) {
        *named = reference(&signed);
        named.signed = Some(signed);
    }
    ask
}

/// Bytes that the record names no more: the former ones once the newer ones were brought, and the newer ones once others took their place.
fn dropped(stage: &Stage) -> Vec<(&'static str, Ask)> {
    let Stage { world, second, recipient, .. } = stage;
    let (raised, anew) = raised(stage);
    let recovers = |record: &SealedRecord, receipt: &Receipt, shares: &[SealedShare]| {
        let (record, receipt, shares) = (record.clone(), receipt.clone(), shares.to_vec());
        let backup = Backup { record, shares, receipt, passkey: Passkey::eddsa(9) };
        let act = consents(&recovery(world, &backup, recipient), &[&backup.passkey]);
        let (kek, other_kek) = (Some(second.kek()), Some(world.epoch.kek()));
        Ask::Recover(Recover { kek, other_kek, ..recover(world, act, &backup, recipient) })
    };
    let after = |shares: &[SealedShare], then: &[SealedShare]| {
        let ask = stage.whole(recovers(&raised.record, &raised.receipt, shares));
        let Answer::Moved(moved) = stage.ask(&ask) else { panic!("recovered") };
        let receipt = Receipt::decode(moved.receipt.unwrap().receipt.as_slice()).unwrap();
        recovers(&moved.record.unwrap(), &receipt, then)
    };
    vec![
        ("the former after the newer", after(&anew, &raised.shares)),
        ("the newer after the former", after(&raised.shares, &anew)),
    ]
}

/// Records that no enclave writes: what was sealed again has no hash of its own, or lies no higher.
fn unsound(stage: &Stage) -> Vec<(&'static str, Ask)> {
    let Stage { world, backup, recipient, .. } = stage;
    let act = consents(&recovery(world, backup, recipient), &[&backup.passkey]);
    let edited = |sealed_hash: Option<Vec<u8>>, epoch| {
        let mut ask = recover(world, act.clone(), backup, recipient);
        edit(world, ask.record.as_mut().unwrap(), |record| {
            let part = &mut record.generations[0].parts[1];
            let sealed_hash = sealed_hash.unwrap_or_else(|| part.sealed_hash.clone());
            part.resealed = Some(ResealedPart { sealed_hash, epoch });
        });
        Ask::Recover(ask)
    };
    vec![
        ("sealed again under the same epoch", edited(Some(vec![7; 32]), 1)),
        ("sealed again under none", edited(Some(vec![7; 32]), 0)),
        ("sealed again with a short hash", edited(Some(vec![7; 31]), 2)),
        ("sealed again with the same hash", edited(None, 2)),
    ]
}

fn due(stage: &Stage) -> Vec<(&'static str, Ask)> {
    let Stage { world, recipient, waiting, vouched, .. } = stage;
    let due = |backup| CarryOut {
        recipient_key: recipient.public_key.clone(),
        ..carry_out(world, OpenActKind::Recovery, backup)
    };
    let edited = |change: fn(&mut OpenAct)| {
        let mut ask = due(waiting);
        edit(world, ask.record.as_mut().unwrap(), |record| change(&mut record.open_acts[0]));
        Ask::CarryOut(ask)
    };
    let second = CarryOutAction { kind: OpenActKind::Recovery.into(), intent_hash: vec![7; 32] };
    let second = about(world, vouched, Action::CarryOut(second));
    let act = Some(countersigned(world, consents(&second, &[])));
    vec![
        ("carried out too early", edited(|open| open.not_before_ms = START + 1)),
        ("carried out too late", edited(|open| open.expires_ms = START)),
        ("carried out without the second signature", Ask::CarryOut(due(vouched))),
        ("carried out with a second signature for another", Ask::CarryOut(CarryOut { act, ..due(vouched) })),
    ]
}

fn others(stage: &Stage) -> Vec<(&'static str, Ask)> {
    let Stage { world, backup, delayed, waiting, recipient, .. } = stage;
    let (intent, message) = put(world, backup, 2, &[share("ed", b"second")]);
    let (_, another) = put(world, backup, 2, &[share("ed", b"other")]);
    let brought = put_shares(world, consents(&intent, &[&backup.passkey]), message, backup);
    let mut alias = Passkey::eddsa(9);
    alias.id = b"alias".to_vec();
    let add = about(world, backup, Action::AddPasskey(AddPasskeyAction { credential: Some(named(&alias)) }));
    let add = change(world, consents(&add, &[&backup.passkey, &alias]), backup);
    let cancel = CancelAction { kind: OpenActKind::Recovery.into(), intent_hash: vec![7; 32] };
    let at_once = recovery(world, backup, recipient);
    let mut forged = countersigned(world, consents(&at_once, &[&backup.passkey]));
    forged.tenant_signature.as_mut().unwrap().signature[0] ^= 1;
    let mut statement = world.tenant.statement(&[&world.epoch.identity, &stage.second.identity]);
    statement.client.as_mut().unwrap().lowest_epoch = 2;
    let released = recover(world, consents(&at_once, &[&backup.passkey]), backup, recipient);
    let sooner =
        recover(world, consents(&recovery(world, delayed, recipient), &[&delayed.passkey]), delayed, recipient);
    vec![
        ("another message", Ask::PutShares(PutShares { message: another, ..brought })),
        ("a key that is there", Ask::Change(Change { credential: Some(registration(&alias)), ..add })),
        ("a cancelling of another", changed(stage, waiting, Action::Cancel(cancel), false)),
        ("a forged tenant's signature", Ask::Recover(Recover { act: Some(forged), ..released.clone() })),
        ("an epoch that was given up", under(stage, Ask::Recover(released), &statement)),
        ("a recovery that must wait", Ask::Recover(sooner)),
    ]
}

fn signed_for_something_else(stage: &Stage) -> Vec<(&'static str, Ask)> {
    let Stage { world, backup, pending, vouched, recipient, .. } = stage;
    let own = &[&backup.passkey][..];
    let brought = |backup: &Backup, generation| {
        let (intent, message) = put(world, backup, generation, &[share("ed", b"second")]);
        Ask::PutShares(put_shares(world, consents(&intent, own), message, backup))
    };
    let good = recovery(world, backup, recipient);
    let (mut moved, mut waits) = (good.clone(), recovery(world, pending, recipient));
    part(&mut moved).head = vec![7; 32];
    waits.action = Some(Action::Recover(RecoverAction { generation: 2, eject: false }));
    let recovers = |intent: &Intent, backup| recover(world, consents(intent, own), backup, recipient);
    let remove = RemovePasskeyAction { credential_id: backup.passkey.id.clone() };
    let another = Recipient::new(2).public_key;
    let rename = Action::RenamePasskey(RenamePasskeyAction { credential_id: Passkey::eddsa(10).id, label: "x".into() });
    vec![
        ("a put without the other role", brought(pending, 3)),
        ("a generation that was seen", brought(backup, 1)),
        ("another head", Ask::Recover(recovers(&moved, backup))),
        ("a generation that waits", Ask::Recover(recovers(&waits, pending))),
        ("another recipient", Ask::Recover(Recover { recipient_key: another, ..recovers(&good, backup) })),
        ("without the tenant", changed(stage, vouched, rename, false)),
        ("the last passkey", changed(stage, backup, Action::RemovePasskey(remove), false)),
    ]
}

fn all(stage: &Stage) -> Vec<(&'static str, Ask)> {
    [
        commits(stage),
        reseals(stage),
        dropped(stage),
        unsound(stage),
        due(stage),
        others(stage),
        signed_for_something_else(stage),
    ]
    .concat()
}

#[test]
fn what_misses_by_one_change_is_refused() {
    stage::with(|stage| {
        for (name, ask) in all(stage) {
            let ask = stage.whole(ask);
            let frame = encode(ask.clone());
            keep("always", &frame);
            assert!(!oracle::check(stage, &ask, &stage.answer(&frame).unwrap()), "{name}");
        }
    });
}
