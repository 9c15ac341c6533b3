//! One role's part of a capsule.

use std::collections::BTreeSet;

use strongroom_attestation::made_at;
use strongroom_proto::canonical;
use strongroom_proto::id::{ContentHash, IntentHash};
use strongroom_proto::limits::{
    EPOCHS_MAX, GENERATIONS_MAX, MANIFEST_BYTES_MAX, SEALED_SHARE_BYTES_MAX, WRAPPED_KEK_BYTES_MAX,
};
use strongroom_proto::v1::{
    ActKind, CapsuleGeneration as GenerationPart, CapsuleRole as RolePart, Event, GenerationRef, Manifest, OpenAct,
    OpenActKind, Pair, Receipt, Role, RoleAttestation, SignedReceipt, Storage,
};

use super::{Attest, Head, PART, check_pairs, malformed};
use crate::attest;
use crate::error::{Error, array, expect, expect_bytes};
use crate::identity::{RoleIdentity, manifest_pcr16};
use crate::receipt::{self, RECEIPT_BYTES_MAX};
use crate::role::role_name;
use crate::statement::VerifiedStatement;
use crate::trust::Trust;

/// Longest sealed record in bytes: what a frame has beside its shares.
const RECORD_BYTES_MAX: usize = 512 * 1024;

/// A role's part of a capsule that holds.
#[derive(Clone, Debug)]
pub struct CapsuleRole {
    /// The role.
    pub role: Role,
    /// The deployment that serves it: KMS key, region, release.
    pub manifest: Manifest,
    /// Epochs whose wrapped KEKs are here, ascending: each attested, and as the statement names it.
    pub epochs: Vec<u64>,
    /// The epoch that the record lies under.
    pub epoch: u64,
    /// Version of the record, by its newest receipt.
    pub version: u64,
    /// When that receipt was signed, by the enclave's time in milliseconds.
    pub time_ms: u64,
    /// The active generation.
    pub active: u64,
    /// The one that waits for its commit.
    pub pending: Option<u64>,
    /// The generations, in order of their numbers.
    pub generations: Vec<CapsuleGeneration>,
    /// What waits, as the host noted it.
    pub open_acts: Vec<OpenAct>,
}

/// A generation in a role.
#[derive(Clone, Debug, PartialEq)]
pub struct CapsuleGeneration {
    /// Its number.
    pub number: u64,
    /// Its pairs.
    pub pairs: Vec<Pair>,
    /// The epoch that its shares lie under.
    pub epoch: u64,
    /// The intent that put it.
    pub put_intent: IntentHash,
    /// Whether its sealed shares are here, and not with their owner.
    pub has_shares: bool,
    /// Whether a receipt names the sealed bytes; those that were sealed anew under a later epoch, none does.
    pub is_receipted: bool,
}

/// What a document vouches for, at the time when it was made.
pub(super) fn attested(
    attestation: &RoleAttestation,
    statement: &VerifiedStatement,
    trust: &Trust,
) -> Result<RoleIdentity, Error> {
    let at = made_at(&attestation.document)?;
    Ok(attest::by_statement(attestation, statement, attestation.role(), None, trust, at)?.identity)
}

pub(super) fn read(
    part: &RolePart,
    head: &Head<'_>,
    statement: &VerifiedStatement,
    (trust, attest): (&Trust, &Attest<'_>),
) -> Result<CapsuleRole, Error> {
    let role = part.role();
    let manifest = manifest(part, statement, trust)?;
    let epochs = epochs(part, statement, attest)?;
    if !(1..=RECORD_BYTES_MAX).contains(&part.record.len()) {
        return Err(malformed(format_args!(
            "the {} role's record has not 1 to {RECORD_BYTES_MAX} bytes",
            role_name(role)
        )));
    }
    let newest = receipted(part.receipt.as_ref(), role, head, statement)?;
    if !(1..=GENERATIONS_MAX).contains(&part.generations.len())
        || !part.generations.is_sorted_by(|a, b| a.generation < b.generation)
    {
        return Err(malformed(format_args!("the {} role's generations are not in order", role_name(role))));
    }
    let mut generations = Vec::with_capacity(part.generations.len());
    let mut before = 0;
    for given in &part.generations {
        let put = receipted(given.put.as_ref(), role, head, statement)?;
        if put.version <= before || put.version > newest.version {
            return Err(malformed(format_args!("the put of generation {} is out of its order", given.generation)));
        }
        if put.version == newest.version && given.put != part.receipt {
            return Err(malformed("two receipts of one version differ: the record was forked"));
        }
        before = put.version;
        generations.push(generation(given, &put, (role, head))?);
    }
    let named = named(&newest, &generations)?;
    check_epochs(part, &generations, &epochs)?;
    check_open_acts(&part.open_acts)?;
    Ok(CapsuleRole {
        role,
        manifest,
        epochs,
        epoch: part.epoch,
        version: newest.version,
        time_ms: newest.time_ms,
        active: named.0,
        pending: named.1,
        generations,
        open_acts: part.open_acts.clone(),
    })
}

/// The manifest that the statement accepts for the role.
fn manifest(part: &RolePart, statement: &VerifiedStatement, trust: &Trust) -> Result<Manifest, Error> {
    let manifest: Manifest =
        canonical::decode(&part.manifest, MANIFEST_BYTES_MAX).map_err(|error| Error::malformed("manifest", error))?;
    expect("manifest", "role", role_name(manifest.role()), role_name(part.role()))?;
    let pcr16 = manifest_pcr16(&part.manifest);
    if !statement.role(part.role())?.pcr16.iter().any(|accepted| *accepted == pcr16) {
        return Err(malformed("its manifest is none that the statement accepts for the role"));
    }
    if manifest.development.is_some() && !trust.is_development() {
        return Err(Error::DevelopmentManifest);
    }
    Ok(manifest)
}

/// The epochs of the wrapped KEKs, each with a document that vouches for what the statement says of it.
fn epochs(part: &RolePart, statement: &VerifiedStatement, attest: &Attest<'_>) -> Result<Vec<u64>, Error> {
    let epochs: Vec<u64> = part.keks.iter().map(|kek| kek.epoch).collect();
    if !(1..=EPOCHS_MAX).contains(&epochs.len()) || !epochs.is_sorted_by(|a, b| a < b) {
        return Err(malformed("its KEKs are not in the order of their epochs"));
    }
    if part.keks.iter().any(|kek| !(1..=WRAPPED_KEK_BYTES_MAX).contains(&kek.wrapped.len())) {
        return Err(malformed(format_args!("a wrapped KEK has not 1 to {WRAPPED_KEK_BYTES_MAX} bytes")));
    }
    for epoch in &epochs {
        statement.epoch(part.role(), *epoch)?;
    }
    let mut vouched = Vec::with_capacity(epochs.len());
    for attestation in &part.attestations {
        expect("attestation", "role", role_name(attestation.role()), role_name(part.role()))?;
        vouched.push(attest(attestation, statement)?.epoch);
    }
    vouched.sort_unstable();
    if vouched != epochs {
        return Err(malformed("it has not one attestation document for each epoch"));
    }
    Ok(epochs)
}

/// A receipt of this wallet's record, signed in an epoch that the statement names.
fn receipted(
    signed: Option<&SignedReceipt>,
    role: Role,
    head: &Head<'_>,
    statement: &VerifiedStatement,
) -> Result<Receipt, Error> {
    let signed = signed.ok_or_else(|| malformed("a receipt is missing"))?;
    let receipt = receipt::read(signed, statement, role)?;
    expect("receipt", "wallet", receipt.wallet.as_str(), head.wallet)?;
    expect_bytes("receipt", "record_id", &receipt.record_id, head.record_id)?;
    Ok(receipt)
}

fn generation(
    given: &GenerationPart,
    put: &Receipt,
    (role, head): (Role, &Head<'_>),
) -> Result<CapsuleGeneration, Error> {
    let number = given.generation;
    check_pairs(&given.pairs)?;
    let reference = put.pending.as_ref().or(put.active.as_ref()).cloned().unwrap_or_default();
    expect("receipt of a put", "generation", reference.generation, number)?;
    let event: Event =
        canonical::decode(&put.event, RECEIPT_BYTES_MAX).map_err(|error| Error::malformed("receipt's event", error))?;
    if !matches!(event.kind(), ActKind::CreateBackup | ActKind::PutShares) || event.generation != number {
        return Err(malformed(format_args!("the receipt beside generation {number} is of no put of it")));
    }
    expect("receipt of a put", "number of hashes", put.sealed_hashes.len(), given.pairs.len())?;
    if given.epoch < put.epoch {
        return Err(malformed(format_args!(
            "generation {number} lies under an epoch below the one that it was put under"
        )));
    }
    // The host keeps the custodian's shares always.
    let is_outside = role == Role::Client && head.storage == Storage::SelfManaged;
    let is_receipted = if is_outside { seals(given, put)? } else { shares(given, put)? };
    Ok(CapsuleGeneration {
        number,
        pairs: given.pairs.clone(),
        epoch: given.epoch,
        put_intent: IntentHash(array("receipt", "put_intent_hash", &reference.put_intent_hash)?),
        has_shares: !is_outside,
        is_receipted,
    })
}

/// The sealed shares: as the receipt of their put names them, unless they were sealed anew under a later epoch.
fn shares(given: &GenerationPart, put: &Receipt) -> Result<bool, Error> {
    let number = given.generation;
    let named = given.shares.iter().map(|share| (share.pair.as_str(), share.generation));
    if !named.eq(given.pairs.iter().map(|pair| (pair.id.as_str(), number))) || !given.seals.is_empty() {
        return Err(malformed(format_args!("the shares of generation {number} are not one of each pair")));
    }
    for (share, hash) in given.shares.iter().zip(&put.sealed_hashes) {
        if !(1..=SEALED_SHARE_BYTES_MAX).contains(&share.sealed.len()) {
            return Err(malformed(format_args!("a sealed share has not 1 to {SEALED_SHARE_BYTES_MAX} bytes")));
        }
        if given.epoch == put.epoch {
            expect_bytes(PART, "sealed share's SHA-256", ContentHash::of(&share.sealed), hash)?;
        }
    }
    Ok(given.epoch == put.epoch)
}

/// Hashes of shares that their owner keeps: one or two of each pair. The older one, where it still lies under the epoch of its put, is as
/// the receipt names it.
fn seals(given: &GenerationPart, put: &Receipt) -> Result<bool, Error> {
    let number = given.generation;
    let refuse = || {
        malformed(format_args!("generation {number} is kept by its owner, and has not one or two hashes of each pair"))
    };
    let is_known = |pair: &str| given.pairs.iter().any(|it| it.id == pair);
    if !given.shares.is_empty() || given.seals.iter().any(|seal| !is_known(&seal.pair) || seal.sha256.len() != 32) {
        return Err(refuse());
    }
    for (pair, hash) in given.pairs.iter().zip(&put.sealed_hashes) {
        let of_pair: Vec<_> = given.seals.iter().filter(|seal| seal.pair == pair.id).collect();
        let [first, ..] = of_pair.as_slice() else { return Err(refuse()) };
        if of_pair.len() > 2 || !of_pair.is_sorted_by(|a, b| a.epoch < b.epoch) || first.epoch < put.epoch {
            return Err(refuse());
        }
        if first.epoch == put.epoch {
            expect_bytes(PART, "sealed share's SHA-256", &first.sha256, hash)?;
        }
    }
    Ok(given.seals.iter().all(|seal| seal.epoch == put.epoch))
}

/// The generations that the newest receipt names: here, and put by what it says put them.
fn named(newest: &Receipt, generations: &[CapsuleGeneration]) -> Result<(u64, Option<u64>), Error> {
    let find = |reference: &GenerationRef| {
        let found = generations.iter().find(|it| it.number == reference.generation);
        let same = found.is_some_and(|it| it.put_intent.0 == *reference.put_intent_hash);
        let missing = || {
            malformed(format_args!("generation {}, which the newest receipt names, is missing", reference.generation))
        };
        same.then_some(reference.generation).ok_or_else(missing)
    };
    let active = newest.active.as_ref().ok_or_else(|| malformed("the newest receipt names no active generation"))?;
    Ok((find(active)?, newest.pending.as_ref().map(find).transpose()?))
}

/// A KEK for every epoch that something lies under, and no other.
fn check_epochs(part: &RolePart, generations: &[CapsuleGeneration], epochs: &[u64]) -> Result<(), Error> {
    let seals = part.generations.iter().flat_map(|it| it.seals.iter().map(|seal| seal.epoch));
    let needed: BTreeSet<u64> = generations.iter().map(|it| it.epoch).chain(seals).chain([part.epoch]).collect();
    if needed.into_iter().eq(epochs.iter().copied()) {
        return Ok(());
    }
    Err(malformed("its KEKs are not those of the epochs that something lies under"))
}

/// At most one of each kind, in the order of the kinds.
fn check_open_acts(acts: &[OpenAct]) -> Result<(), Error> {
    let known = acts.iter().all(|act| act.kind() != OpenActKind::Unspecified && act.intent_hash.len() == 32);
    if known && acts.is_sorted_by(|a, b| a.kind < b.kind) {
        return Ok(());
    }
    Err(malformed("what waits is not one of each kind, in their order"))
}
