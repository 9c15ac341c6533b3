//! Shares found again: in the message that brought them, where they are stored, and in the release.

use strongroom_proto::contents::{Release, decode_shares};
use strongroom_proto::enclave::v1::{Generation, Moved, ResealedPart, SealedRecord, SealedShare, SharePart};
use strongroom_proto::id::ContentHash;
use strongroom_proto::seal::{Direction, SealKind};
use strongroom_proto::signed::recipient_hash;
use strongroom_proto::v1::{Curve, Pair, SecretKind};

use super::scene::Scene;
use crate::stage::keks::Known;
use crate::vault::{Spot, spot_of};
use crate::world::START;

/// A pair's id and its share.
pub(super) type Plain = (String, Vec<u8>);

/// What a message to this enclave brings for a record.
fn of_message(scene: &Scene<'_>, record_id: &[u8], message: &[u8], secret: i32) -> Vec<Plain> {
    let opened = scene.keks().find_map(|kek| Some((kek, kek.open_message(record_id, message)?)));
    let (kek, contents) = opened.expect("a message to this enclave about this record");
    scene.check_sealing(kek);
    let shares = decode_shares(&contents).expect("shares");
    let plain: Vec<Plain> = shares.into_iter().map(|it| (it.pair, it.bytes.expose().to_vec())).collect();
    let (share, key) = (i32::from(SecretKind::Share), i32::from(SecretKind::Key));
    assert!(secret == share || secret == key, "a secret of no kind");
    assert!(secret == share || plain.iter().all(|(_, bytes)| bytes.len() == 32), "a key in escrow has 32 bytes");
    plain
}

/// The generation that an act brings: what was sealed to the enclave is what it stored, pair by pair.
pub(super) fn brought(
    scene: &Scene<'_>,
    names: &SealedRecord,
    (number, pairs, secret): (u64, &[Pair], i32),
    message: &[u8],
    put_intent_hash: Vec<u8>,
    moved: &Moved,
) -> Generation {
    assert!((1..=4).contains(&pairs.len()), "no pair, or too many");
    let known = |curve| matches!(Curve::try_from(curve), Ok(Curve::Secp256k1 | Curve::Ed25519));
    assert!(pairs.iter().all(|pair| known(pair.curve)), "a curve that is none");
    let plain = of_message(scene, &names.record_id, message, secret);
    assert!(plain.iter().map(|(pair, _)| pair).eq(pairs.iter().map(|pair| &pair.id)), "other pairs than signed for");
    assert_eq!(moved.shares.len(), pairs.len(), "a share for each pair");
    let parts = pairs.iter().zip(&plain).zip(&moved.shares).map(|((pair, (id, bytes)), stored)| {
        let names_of = (stored.generation, &stored.pair, stored.epoch);
        assert_eq!(names_of, (number, id, scene.own.epoch()), "stored as another share");
        assert_eq!(open(&scene.own, names, number, stored).as_ref(), Some(bytes), "another share than was sealed");
        let sealed_hash = ContentHash::of(&stored.sealed).0.to_vec();
        SharePart { pair: Some(pair.clone()), sealed_hash, epoch: stored.epoch, ..SharePart::default() }
    });
    Generation { generation: number, parts: parts.collect(), put_intent_hash, added_ms: START, superseded_ms: 0 }
}

fn open(kek: &Known, names: &SealedRecord, generation: u64, share: &SealedShare) -> Option<Vec<u8>> {
    kek.open(Spot { kind: SealKind::ClientShare, generation, pair: &share.pair, ..spot_of(names) }, &share.sealed)
}

/// The epoch that a part names beside the hash of these bytes, and whether it does so in the second place.
fn place(part: &SharePart, sealed: &[u8]) -> Option<(u64, bool)> {
    let hash = ContentHash::of(sealed).0;
    let second = part.resealed.iter().map(|again| (&again.sealed_hash, again.epoch, true));
    let mut places = [(&part.sealed_hash, part.epoch, false)].into_iter().chain(second);
    places.find(|(named, ..)| **named == hash).map(|(_, epoch, second)| (epoch, second))
}

/// The bytes that were brought for a part.
fn brought_for<'a>(generation: &Generation, part: &SharePart, shares: &'a [SealedShare]) -> Option<&'a SealedShare> {
    let pair = part.pair.as_ref().map(|pair| pair.id.as_str()).unwrap_or_default();
    shares.iter().find(|share| share.generation == generation.generation && share.pair == pair)
}

/// Every share of a generation, where each is there, has a hash that the record names, and opens under the epoch beside that hash.
pub(super) fn stored(
    scene: &Scene<'_>,
    names: &SealedRecord,
    generation: &Generation,
    shares: &[SealedShare],
) -> Option<Vec<Plain>> {
    let share_of = |part: &SharePart| {
        let share = brought_for(generation, part, shares)?;
        let (epoch, _) = place(part, &share.sealed)?;
        let bytes = open(scene.of_epoch(epoch)?, names, generation.generation, share)?;
        Some((share.pair.clone(), bytes))
    };
    generation.parts.iter().map(share_of).collect()
}

/// A generation after its release: what was brought stands first, and where it lies under a lower epoch than the one that seals, the same
/// share stands second as it was handed back.
pub(super) fn raised(
    scene: &Scene<'_>,
    names: &SealedRecord,
    (generation, brought): (&Generation, &[SealedShare]),
    plain: &[Plain],
    moved: &Moved,
) -> Generation {
    let (number, own) = (generation.generation, scene.own.epoch());
    let mut handed_back = moved.shares.iter();
    let mut after = generation.clone();
    for (part, (pair, bytes)) in after.parts.iter_mut().zip(plain) {
        let sealed = &brought_for(generation, part, brought).expect("it was opened").sealed;
        let (epoch, second) = place(part, sealed).expect("the record names it");
        if second {
            (part.sealed_hash, part.epoch, part.resealed) = (ContentHash::of(sealed).0.to_vec(), epoch, None);
        }
        if epoch < own {
            let anew = handed_back.next().expect("what lies under a lower epoch is sealed anew");
            assert_eq!((anew.generation, &anew.pair, anew.epoch), (number, pair, own), "handed back as another share");
            assert_eq!(open(&scene.own, names, number, anew).as_ref(), Some(bytes), "another share than was brought");
            let sealed_hash = ContentHash::of(&anew.sealed).0.to_vec();
            part.resealed = Some(ResealedPart { sealed_hash, epoch: own });
        }
    }
    assert!(handed_back.next().is_none(), "handed back what lies under the epoch that seals");
    after
}

/// A release: to this recipient, of these shares, for this intent.
pub(super) struct Given<'a> {
    pub(super) recipient: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) generation: u64,
    pub(super) intent_hash: &'a [u8],
    pub(super) shares: Vec<Plain>,
}

pub(super) fn check_release(scene: &Scene<'_>, record_id: &[u8], given: &Given<'_>, release: &[u8]) {
    assert_eq!(recipient_hash(given.key).expect("a key").0, *given.recipient, "another recipient");
    let info = scene.own.info(Direction::Release, record_id).expect("a record's id");
    let plain = given.shares.iter().fold(0, |sum, (pair, bytes)| sum + 6 + pair.len() + bytes.len());
    assert!(release.len() > 1120 + plain + 16, "a release that does not hold the shares");
    // Whoever else's key it is, only its owner can look.
    let Some(recipient) = scene.stage.recipient_of(given.key) else { return };
    let opened = recipient.open(&info, release).expect("the recipient opens it");
    let opened = Release::decode(&opened).expect("a release");
    assert_eq!((opened.intent.0.as_slice(), opened.record_id.0.as_slice()), (given.intent_hash, record_id));
    assert_eq!(opened.generation, given.generation, "another generation");
    let shares = opened.shares.iter().map(|share| (share.pair.clone(), share.bytes.expose().to_vec()));
    assert!(shares.eq(given.shares.iter().cloned()), "other shares");
}
