//! The message of a creation or a put: opened only for its own record, and compared with what the intent announces.

use alloc::format;
use alloc::vec::Vec;

use strongroom_proto::contents::{self, BadContents, Share};
use strongroom_proto::enclave::v1::{Generation, SealedShare, SharePart};
use strongroom_proto::id::{ContentHash, IntentHash, RecordId};
use strongroom_proto::limits::{MESSAGE_BYTES_MAX, PAIRS_MAX};
use strongroom_proto::names::is_id;
use strongroom_proto::v1::{Curve, Pair, Reason, SecretKind};

use super::Scene;
use crate::channel;
use crate::intent::CheckedIntent;
use crate::platform::Platform;
use crate::record::Record;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;

/// Checks length and hash, before anybody's consent is looked at.
pub(super) fn check(intent: &CheckedIntent, message: &[u8]) -> Result<(), Refusal> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(refuse(
            Reason::ShareTooLarge,
            format!("message: {} bytes, at most {MESSAGE_BYTES_MAX}", message.len()),
        ));
    }
    if intent.part.message_hash != Some(ContentHash::of(message)) {
        return Err(refuse(Reason::CiphertextHashMismatch, "message: not the one that the intent names"));
    }
    Ok(())
}

/// Checks the pairs that an intent names.
pub(super) fn check_pairs(pairs: &[Pair], action: &str) -> Result<(), Refusal> {
    if !(1..=PAIRS_MAX).contains(&pairs.len()) {
        return Err(bad(format!("{action}.pairs: {}, at least 1 and at most {PAIRS_MAX}", pairs.len())));
    }
    for pair in pairs {
        if !is_id(&pair.id) {
            return Err(bad(format!("{action}.pairs.id: not 1 to 64 bytes of [A-Za-z0-9._-]")));
        }
        if !matches!(Curve::try_from(pair.curve), Ok(Curve::Secp256k1 | Curve::Ed25519)) {
            return Err(bad(format!("{action}.pairs.curve: unknown")));
        }
    }
    if pairs.windows(2).any(|pair| matches!(pair, [a, b] if a.id >= b.id)) {
        return Err(bad(format!("{action}.pairs: not sorted by id, or one twice")));
    }
    Ok(())
}

/// Opens the message, which was sealed to one of the epochs at hand for this record alone.
pub(super) fn open<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    record_id: &RecordId,
    message: &[u8],
    pairs: &[Pair],
    secret: SecretKind,
) -> Result<Vec<Share>, Refusal> {
    let opened = scene.keks().all().find_map(|kek| channel::open(kek, record_id, message).ok().zip(Some(kek)));
    let (opened, kek) = opened.ok_or_else(|| {
        refuse(Reason::DecryptFailed, "message: not sealed to this epoch's channel key for the record of this intent")
    })?;
    scene.statement()?.check_sealing::<R, _>(kek)?;
    let shares = contents::decode_shares(&opened).map_err(|error| {
        let reason = if error == BadContents::ShareLength { Reason::ShareTooLarge } else { Reason::BadRequest };
        refuse(reason, format!("message: {error}"))
    })?;
    if !shares.iter().map(|share| &share.pair).eq(pairs.iter().map(|pair| &pair.id)) {
        return Err(bad("message: other pairs than the intent names"));
    }
    if secret == SecretKind::Key && shares.iter().any(|share| share.bytes.expose().len() != 32) {
        return Err(bad("message: a key in escrow is 32 bytes"));
    }
    Ok(shares)
}

/// Seals the shares at their places, as a generation of the record.
pub(super) fn store<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    record: &Record,
    number: u64,
    pairs: &[Pair],
    shares: &[Share],
    intent: IntentHash,
) -> Result<(Generation, Vec<SealedShare>), Refusal> {
    let sealed = shares
        .iter()
        .map(|share| record.seal_share::<P, R>(scene.platform, scene.kek, number, share))
        .collect::<Result<Vec<_>, _>>()?;
    let parts = pairs.iter().zip(&sealed).map(|(pair, share)| SharePart {
        pair: Some(pair.clone()),
        sealed_hash: ContentHash::of(&share.sealed).0.to_vec(),
        epoch: share.epoch,
        ..SharePart::default()
    });
    let generation = Generation {
        generation: number,
        parts: parts.collect(),
        put_intent_hash: intent.0.to_vec(),
        added_ms: scene.now.0,
        superseded_ms: 0,
    };
    Ok((generation, sealed))
}
