//! Requests on an existing record, as an honest host makes them, in steps that a test can come between.

use prost::Message;
use strongroom_proto::contents::{Share, encode_shares};
use strongroom_proto::enclave::v1::{
    CarryOut, Change, GetView, Moved, PutShares, SealedRecord, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::id::{ContentHash, Head};
use strongroom_proto::seal::Direction;
use strongroom_proto::signed::next_head;
use strongroom_proto::v1::{
    Act, CredentialRef, Event, Intent, NewCredential, OpenActKind, Pair, PutSharesAction, Receipt, RecordView,
    Statement, WalletView, intent::Action,
};

use crate::acts::{Backup, info, part, rehearsal};
use crate::device::{Passkey, honest, seal};
use crate::world::{World, told};

/// An intent about a backup's record, at its newest head.
pub(crate) fn about(world: &World, backup: &Backup, action: Action) -> Intent {
    Intent { not_after_ms: world.fake.now.get() + 5 * 60 * 1000, action: Some(action), ..rehearsal(world, backup) }
}

/// The consents of some passkeys, in this order.
pub(crate) fn consents(intent: &Intent, passkeys: &[&Passkey]) -> Act {
    let intent = intent.encode_to_vec();
    let assertions = passkeys.iter().map(|passkey| passkey.assert(&intent, &honest())).collect();
    Act { intent, assertions, tenant_signature: None }
}

/// The same act with the tenant's signature.
pub(crate) fn countersigned(world: &World, act: Act) -> Act {
    Act { tenant_signature: Some(world.tenant.consent(&act.intent)), ..act }
}

pub(crate) fn change(world: &World, act: Act, backup: &Backup) -> Change {
    Change {
        tenant: world.tenant_id(),
        statement: Some(world.statement_ref()),
        kek: Some(world.epoch.kek()),
        act: Some(act),
        record: Some(backup.record.clone()),
        credential: None,
        other_kek: None,
    }
}

pub(crate) fn carry_out(world: &World, kind: OpenActKind, backup: &Backup) -> CarryOut {
    CarryOut {
        tenant: world.tenant_id(),
        statement: Some(world.statement_ref()),
        kek: Some(world.epoch.kek()),
        act: None,
        record: Some(backup.record.clone()),
        kind: kind.into(),
        recipient_key: Vec::new(),
        shares: backup.shares.clone(),
        other_kek: None,
    }
}

/// How an intent names a passkey.
pub(crate) fn named(passkey: &Passkey) -> CredentialRef {
    CredentialRef { id: passkey.id.clone(), key_hash: passkey.key_hash(), label: "Bob's laptop".into() }
}

pub(crate) fn registration(passkey: &Passkey) -> NewCredential {
    NewCredential { id: passkey.id.clone(), public_key: passkey.cose() }
}

/// A put's intent and message: the shares of the backup's pairs, sealed for its record.
pub(crate) fn put(world: &World, backup: &Backup, generation: u64, shares: &[Share]) -> (Intent, Vec<u8>) {
    let curves = [1, 2, 1, 2];
    let pair = |(share, curve): (&Share, i32)| Pair { id: share.pair.clone(), curve };
    let pairs = shares.iter().zip(curves).map(pair).collect();
    let mut intent = about(world, backup, Action::PutShares(PutSharesAction { generation, pairs }));
    let info = info(Direction::Request, &world.epoch, &backup.receipt.record_id);
    let contents = encode_shares(shares).unwrap();
    let message = seal(&mut world.fake.random.borrow_mut(), &world.epoch.identity.channel_key, &info, &contents);
    part(&mut intent).message_hash = ContentHash::of(&message).0.to_vec();
    (intent, message)
}

pub(crate) fn put_shares(world: &World, act: Act, message: Vec<u8>, backup: &Backup) -> PutShares {
    PutShares {
        tenant: world.tenant_id(),
        statement: Some(world.statement_ref()),
        kek: Some(world.epoch.kek()),
        act: Some(act),
        record: Some(backup.record.clone()),
        message,
        other_kek: None,
    }
}

/// Asks, expects the record to move, and keeps what the host would keep.
pub(crate) fn moves(world: &World, name: &str, ask: Ask, backup: &mut Backup) -> (Moved, Event) {
    let moved = match world.drive(ask) {
        Answer::Moved(moved) => moved,
        answer => panic!("{name}: {}", told(&answer)),
    };
    let before = std::mem::take(&mut backup.receipt);
    backup.record = moved.record.clone().unwrap();
    backup.shares.extend(moved.shares.clone());
    backup.shares.retain(|share| moved.generations.contains(&share.generation));
    backup.receipt = Receipt::decode(moved.receipt.as_ref().unwrap().receipt.as_slice()).unwrap();
    let event = Event::decode(backup.receipt.event.as_slice()).unwrap();
    follows(world, name, &moved, &event, &before, &backup.receipt);
    (moved, event)
}

/// What holds of every move, whatever the act: one version on, by the event that the receipt shows, at the time of the enclave.
fn follows(world: &World, name: &str, moved: &Moved, event: &Event, before: &Receipt, after: &Receipt) {
    let record = moved.record.as_ref().unwrap();
    // A record that is new starts from its id, at version 0.
    let start = if before.head.is_empty() { &record.record_id } else { &before.head };
    let head = next_head(&Head::from_slice(start).unwrap(), &after.event);
    assert_eq!((after.version, event.version), (before.version + 1, before.version + 1), "{name}");
    assert_eq!(after.head, head.0, "{name}");
    let of = (&after.tenant, &after.wallet, after.role(), &after.record_id);
    assert_eq!(of, (&world.tenant_id(), &record.wallet, world.role, &record.record_id), "{name}");
    assert_eq!(
        (after.epoch, after.time_ms, event.time_ms),
        (record.epoch, event.time_ms, world.fake.now.get()),
        "{name}"
    );
    assert_eq!(after.intent_hash, event.intent_hash, "{name}");
    let statement = Statement::decode(world.statement.statement.as_slice()).unwrap();
    assert_eq!(event.statement_serial, statement.serial, "{name}");
    let shares: Vec<_> = moved.shares.iter().map(|share| ContentHash::of(&share.sealed).0.to_vec()).collect();
    let release = vec![ContentHash::of(&moved.release).0.to_vec()];
    let hashes = if moved.release.is_empty() { (shares, Vec::new()) } else { (release, shares) };
    let named = (after.sealed_hashes.clone(), after.resealed_hashes.clone());
    assert_eq!(named, hashes, "{name}: new shares in their order, or the release and the shares that it sealed anew");
    let named = [&after.active, &after.pending].into_iter().flatten().map(|it| it.generation);
    assert!(named.into_iter().all(|it| moved.generations.contains(&it)), "{name}");
}

/// What a device is told of one record.
pub(crate) fn view_of(world: &World, record: &SealedRecord) -> RecordView {
    let ask = GetView {
        tenant: world.tenant_id(),
        kek: Some(world.epoch.kek()),
        wallet: record.wallet.clone(),
        nonce: vec![7; 32],
        records: vec![record.clone()],
        other_kek: None,
    };
    let Answer::View(answer) = world.drive(Ask::GetView(ask)) else { panic!("no view") };
    WalletView::decode(answer.view.unwrap().view.as_slice()).unwrap().records.remove(0)
}
