//! Commits: on the other role's receipt of the same put, and on nothing else.

use prost::Message;
use strongroom_proto::enclave::v1::{Commit, Moved, Record};
use strongroom_proto::v1::{ActKind, Event, Freshness, GenerationRef, Receipt, Role};
use strongroom_proto::{prefix, signed};

use super::acts::{awaited, supersede};
use super::consents::Consents;
use super::moved::{self, Done, check_receipt, stages};
use super::scene::Scene;

pub(super) fn check(scene: &Scene<'_>, asked: &Commit, moved: &Moved) {
    let before = scene.subject(asked.record.as_ref());
    let names = asked.record.as_ref().expect("a record");
    let given = asked.receipt.as_ref().expect("a receipt");
    let receipt = Receipt::decode(given.receipt.as_slice()).expect("a receipt decodes");
    assert_eq!(receipt.encode_to_vec(), given.receipt, "a receipt has one encoding");
    let custodian = scene.statement().custodian.as_ref().expect("the statement names the other role");
    let signs = |key: &[u8]| signed::verify(prefix::RECEIPT, &given.receipt, key, &given.signature).is_ok();
    assert!(receipt.epoch >= custodian.lowest_epoch, "an epoch that the tenant gave up");
    let mut keys = custodian.epochs.iter().filter(|epoch| epoch.epoch == receipt.epoch);
    assert!(keys.any(|epoch| signs(&epoch.receipt_key)), "not the other role's receipt");
    assert_eq!(receipt.role(), Role::Custodian, "another role's receipt");
    assert_eq!((&receipt.tenant, &receipt.wallet), (&scene.tenant, &names.wallet), "another wallet's receipt");
    assert_eq!(receipt.record_id, before.record_id, "another record's receipt");
    let committed = receipt.active.expect("a generation that is active there");
    assert!(moved.shares.is_empty() && moved.release.is_empty(), "a commit has no shares");
    if is(&before, before.active, &committed) {
        assert_eq!(moved.record.as_ref(), Some(names), "it was in force: nothing moves");
        let stages = Some(stages(Freshness::None));
        let particular = Receipt { intent_hash: committed.put_intent_hash, stages, ..Receipt::default() };
        return check_receipt(scene, names, &before, moved, particular);
    }
    assert!(before.pending > 0 && is(&before, before.pending, &committed), "another put than the one that waits");
    let mut after = Record { active: before.pending, pending: 0, ..before.clone() };
    let stays = [Some(before.active), Some(before.pending), awaited(&before)];
    after.generations.retain(|it| stays.contains(&Some(it.generation)));
    supersede(&mut after, before.active);
    let event = Event { kind: ActKind::Commit.into(), generation: committed.generation, ..Event::default() };
    let intent_hash = committed.put_intent_hash;
    moved::check(scene, Done { names, after, intent_hash, consents: Consents::none(), event }, moved);
}

/// Whether the record's generation of this number came by the put that is named.
fn is(record: &Record, number: u64, named: &GenerationRef) -> bool {
    let mut known = record.generations.iter().filter(|it| it.generation == number);
    named.generation == number && known.any(|it| it.put_intent_hash == named.put_intent_hash)
}
