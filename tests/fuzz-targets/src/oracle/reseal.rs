//! Re-seals: the same content under an epoch that is no lower, and nothing else.

use std::collections::BTreeSet;

use prost::Message;
use strongroom_proto::enclave::v1::{Record, Reseal, Resealed, SealedRecord};
use strongroom_proto::id::ContentHash;

use super::scene::Scene;
use super::shares::stored;
use crate::vault::spot_of;

pub(super) fn check(scene: &Scene<'_>, asked: &Reseal, done: &Resealed) {
    scene.check_sealing(&scene.own);
    let names = asked.record.as_ref().expect("a record");
    let mut after = scene.record(names);
    assert!(scene.statement().serial >= after.statement_serial, "an older statement than the record has seen");
    let epoch = scene.own.epoch();
    assert!(names.epoch <= epoch, "downwards");
    assert_eq!(asked.shares.is_empty(), done.shares.is_empty(), "shares that nobody gave");
    if let Some(first) = asked.shares.first() {
        let number = first.generation;
        let mut known = after.generations.iter_mut().filter(|it| it.generation == number);
        let generation = known.next().expect("a generation of the record");
        let plain = stored(scene, names, generation, &asked.shares).expect("what was sealed opens");
        assert_eq!(done.shares.len(), generation.parts.len(), "every share of the generation");
        for (part, share) in generation.parts.iter_mut().zip(&done.shares) {
            assert!(part.epoch <= epoch, "a share downwards");
            let pair = part.pair.clone().unwrap_or_default().id;
            assert_eq!((share.generation, &share.pair, share.epoch), (number, &pair, epoch), "another share");
            part.epoch = epoch;
            // Whoever asks for a re-seal keeps what it gives: nothing else opens any more.
            part.resealed = None;
            part.sealed_hash = ContentHash::of(&share.sealed).0.to_vec();
        }
        assert!(known.next().is_none(), "a generation twice");
        let resealed = stored(scene, names, generation, &done.shares).expect("what is sealed again opens");
        assert_eq!(resealed, plain, "other shares than before");
    }
    let record = done.record.as_ref().expect("a record");
    let expected = SealedRecord { epoch, sealed: record.sealed.clone(), ..names.clone() };
    assert_eq!(record, &expected, "another record");
    let content = scene.own.open(spot_of(record), &record.sealed).expect("the record opens under the new epoch");
    assert_eq!(Record::decode(content.as_slice()).expect("and decodes"), after, "other content than before");
    assert_eq!(content, after.encode_to_vec(), "and has one encoding");
    let mut listed = BTreeSet::from([epoch]);
    for part in after.generations.iter().flat_map(|generation| &generation.parts) {
        listed.insert(part.epoch);
        listed.extend(part.resealed.iter().map(|again| again.epoch));
    }
    assert!(done.epochs.iter().eq(&listed), "other epochs than the record lists");
}
