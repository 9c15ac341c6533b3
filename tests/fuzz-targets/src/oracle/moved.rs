//! How every act ends: what must stand in the new record, its event and its receipt.

use prost::Message;
use strongroom_proto::enclave::v1::{Moved, Record, SealedRecord};
use strongroom_proto::id::{ContentHash, Head};
use strongroom_proto::signed::{identity_hash, next_head};
use strongroom_proto::v1::{Event, Freshness, GenerationRef, Receipt, Role, Stages, Trust};
use strongroom_proto::{prefix, signed};

use super::consents::Consents;
use super::scene::Scene;
use crate::vault::spot_of;
use crate::world::START;

/// What an act should have done.
pub(super) struct Done<'a> {
    /// Wallet, record and backup.
    pub(super) names: &'a SealedRecord,
    /// The record as the act leaves it, but for version, head and serial, which are those of before.
    pub(super) after: Record,
    pub(super) intent_hash: Vec<u8>,
    pub(super) consents: Consents,
    /// What is particular to the act.
    pub(super) event: Event,
}

pub(super) fn stages(freshness: Freshness) -> Stages {
    Stages { trusted: vec![Trust::KeyAdmin.into()], freshness: freshness.into() }
}

/// The record moved by one version, and by nothing but the act.
pub(super) fn check(scene: &Scene<'_>, done: Done<'_>, moved: &Moved) {
    scene.check_sealing(&scene.own);
    let Done { names, mut after, intent_hash, consents, event } = done;
    let serial = scene.statement().serial;
    after.version = after.version.saturating_add(1);
    after.statement_serial = after.statement_serial.max(serial);
    let event = Event {
        version: after.version,
        intent_hash: intent_hash.clone(),
        time_ms: START,
        credential_id: consents.credential_id,
        tenant_key: consents.tenant_key,
        statement_serial: serial,
        ..event
    }
    .encode_to_vec();
    after.head = next_head(&Head::from_slice(&after.head).expect("a head"), &event).0.to_vec();
    let record = moved.record.as_ref().expect("a record");
    let named = |record: &SealedRecord| (record.wallet.clone(), record.record_id.clone(), record.backup.clone());
    assert_eq!((named(record), record.epoch), (named(names), scene.own.epoch()), "another record");
    let content = scene.own.open(spot_of(record), &record.sealed).expect("the record opens under its epoch");
    assert_eq!(Record::decode(content.as_slice()).expect("and decodes"), after, "the record after the act");
    assert_eq!(content, after.encode_to_vec(), "and has one encoding");
    let hash = |sealed: &[u8]| ContentHash::of(sealed).0.to_vec();
    let shares: Vec<_> = moved.shares.iter().map(|share| hash(&share.sealed)).collect();
    // The shares of a release were there before, and are sealed anew.
    let (sealed_hashes, resealed_hashes) =
        if moved.release.is_empty() { (shares, Vec::new()) } else { (vec![hash(&moved.release)], shares) };
    let stages = Some(stages(consents.freshness));
    check_receipt(
        scene,
        names,
        &after,
        moved,
        Receipt { event, intent_hash, sealed_hashes, resealed_hashes, stages, ..Receipt::default() },
    );
}

/// The receipt says how the record stands, and what `particular` says.
pub(super) fn check_receipt(
    scene: &Scene<'_>,
    names: &SealedRecord,
    after: &Record,
    moved: &Moved,
    particular: Receipt,
) {
    let numbers: Vec<u64> = after.generations.iter().map(|generation| generation.generation).collect();
    assert_eq!(moved.generations, numbers, "the generations that the host keeps");
    let reference = |number| {
        let generation = after.generations.iter().find(|it| it.generation == number)?;
        Some(GenerationRef { generation: number, put_intent_hash: generation.put_intent_hash.clone() })
    };
    let given = moved.receipt.as_ref().expect("a receipt");
    let identity = &scene.own.identity;
    signed::verify(prefix::RECEIPT, &given.receipt, &identity.receipt_key, &given.signature).expect("it is signed");
    let receipt = Receipt {
        tenant: scene.tenant.clone(),
        wallet: names.wallet.clone(),
        role: Role::Client.into(),
        record_id: after.record_id.clone(),
        version: after.version,
        head: after.head.clone(),
        active: reference(after.active),
        pending: reference(after.pending),
        identity_hash: identity_hash(&identity.encode_to_vec()).0.to_vec(),
        epoch: scene.own.epoch(),
        time_ms: START,
        ..particular
    };
    assert_eq!(Receipt::decode(given.receipt.as_slice()).expect("it decodes"), receipt, "the receipt");
    assert_eq!(given.receipt, receipt.encode_to_vec(), "and has one encoding");
}
