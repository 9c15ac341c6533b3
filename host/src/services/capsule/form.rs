//! The forms of a capsule's parts, each by itself: lengths, order, and one encoding of each message. Errors name the field.

use strongroom_proto::canonical;
use strongroom_proto::limits::{EPOCHS_MAX, MANIFEST_BYTES_MAX, SEALED_SHARE_BYTES_MAX, WRAPPED_KEK_BYTES_MAX};
use strongroom_proto::v1::{
    CapsuleKek, Curve, Identity, Manifest, OpenAct, OpenActKind, Pair, Receipt, RoleAttestation, SignedReceipt,
};

use crate::error::Error;
use crate::services::check;
use crate::services::listing::Place;

/// Longest sealed record in bytes: what a frame has beside its shares.
pub(super) const RECORD_BYTES_MAX: usize = 512 * 1024;
/// Longest encoded receipt, and longest encoded identity, in bytes.
const RECEIPT_BYTES_MAX: usize = 16 * 1024;
/// Longest attestation document in bytes, as the NSM makes them.
const DOCUMENT_BYTES_MAX: usize = 16 * 1024;
/// Most KEKs of a role: a statement names no more epochs.
const KEKS_MAX: usize = EPOCHS_MAX;

/// Pairs, each of a known curve, sorted by their ids.
pub(super) fn pairs(field: &'static str, pairs: &[Pair]) -> Result<(), Error> {
    check::pairs(field, pairs)?;
    if !ascends(pairs, |pair| pair.id.as_str()) {
        return Err(Error::bad(field, "sorted by id, each once"));
    }
    let known = |pair: &Pair| Curve::try_from(pair.curve).is_ok_and(|curve| curve != Curve::Unspecified);
    if pairs.iter().all(known) { Ok(()) } else { Err(Error::bad(field, "each of a known curve")) }
}

/// The encoded manifest of an enclave of the role.
pub(super) fn manifest(bytes: &[u8], place: &Place) -> Result<(), Error> {
    let field = "roles.manifest";
    let manifest: Manifest =
        canonical::decode(bytes, MANIFEST_BYTES_MAX).map_err(|error| Error::bad(field, error.to_string()))?;
    if manifest.role() == place.role { Ok(()) } else { Err(Error::bad(field, "of the role")) }
}

/// Wrapped KEKs of epochs up to the newest that the statement names.
pub(super) fn keks(keks: &[CapsuleKek], newest: u64) -> Result<(), Error> {
    if !(1..=KEKS_MAX).contains(&keks.len()) || !ascends(keks, |kek| kek.epoch) {
        return Err(Error::bad("roles.keks", format!("1 to {KEKS_MAX}, in order of their epochs, each once")));
    }
    if keks.iter().any(|kek| !(1..=newest).contains(&kek.epoch)) {
        return Err(Error::bad("roles.keks.epoch", format!("1 to {newest}, the newest that the statement names")));
    }
    let wrapped = |kek: &CapsuleKek| (1..=WRAPPED_KEK_BYTES_MAX).contains(&kek.wrapped.len());
    if keks.iter().all(wrapped) {
        Ok(())
    } else {
        Err(Error::bad("roles.keks.wrapped", format!("1 to {WRAPPED_KEK_BYTES_MAX} bytes")))
    }
}

/// A receipt of the record in the role.
pub(super) fn receipt(field: &'static str, signed: Option<&SignedReceipt>, place: &Place) -> Result<Receipt, Error> {
    let signed = signed.ok_or_else(|| Error::bad(field, "required"))?;
    check::exactly(field, signed.signature.len(), 64)?;
    let receipt: Receipt =
        canonical::decode(&signed.receipt, RECEIPT_BYTES_MAX).map_err(|error| Error::bad(field, error.to_string()))?;
    let of = (receipt.tenant.as_slice(), receipt.wallet.as_str(), receipt.role(), receipt.record_id.as_slice());
    if of != (place.tenant.0.as_slice(), place.wallet.as_str(), place.role, place.record.0.as_slice()) {
        return Err(Error::bad(field, "of the statement's tenant, the wallet, the role and record_id"));
    }
    if receipt.version == 0 { Err(Error::bad(field, "of a version from 1 on")) } else { Ok(receipt) }
}

/// What waits: at most one of each kind.
pub(super) fn open_acts(acts: &[OpenAct]) -> Result<(), Error> {
    let field = "roles.open_acts";
    if !ascends(acts, |open| open.kind) {
        return Err(Error::bad(field, "in the order of their kinds, one of each"));
    }
    for open in acts {
        if !OpenActKind::try_from(open.kind).is_ok_and(|kind| kind != OpenActKind::Unspecified) {
            return Err(Error::bad("roles.open_acts.kind", "a known kind"));
        }
        check::exactly("roles.open_acts.intent_hash", open.intent_hash.len(), 32)?;
        if open.not_before_ms >= open.expires_ms {
            return Err(Error::bad("roles.open_acts.expires_ms", "after not_before_ms"));
        }
    }
    Ok(())
}

/// A document for each epoch that there is a KEK of.
pub(super) fn attestations(attestations: &[RoleAttestation], keks: &[CapsuleKek], place: &Place) -> Result<(), Error> {
    let field = "roles.attestations";
    if attestations.len() != keks.len() {
        return Err(Error::bad(field, "one for each of keks"));
    }
    for (attestation, kek) in attestations.iter().zip(keks) {
        let identity: Identity = canonical::decode(&attestation.identity, RECEIPT_BYTES_MAX)
            .map_err(|error| Error::bad("roles.attestations.identity", error.to_string()))?;
        let of = (attestation.role(), identity.role(), identity.tenant.as_slice(), identity.epoch);
        if of != (place.role, place.role, place.tenant.0.as_slice(), kek.epoch) {
            return Err(Error::bad(field, "of the tenant and the role, in the order of keks"));
        }
        check::at_most("roles.attestations.document", attestation.document.len(), DOCUMENT_BYTES_MAX)?;
    }
    Ok(())
}

/// A sealed share.
pub(super) fn sealed(len: usize) -> Result<(), Error> {
    if (1..=SEALED_SHARE_BYTES_MAX).contains(&len) {
        Ok(())
    } else {
        Err(Error::bad("roles.generations.shares.sealed", format!("1 to {SEALED_SHARE_BYTES_MAX} bytes")))
    }
}

/// Whether a list is sorted by a key, without duplicates.
pub(super) fn ascends<'a, T, K: Ord>(list: &'a [T], key: impl Fn(&'a T) -> K) -> bool {
    list.iter().zip(list.iter().skip(1)).all(|(one, next)| key(one) < key(next))
}
