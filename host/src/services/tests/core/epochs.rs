//! The fake core's word on epochs, as the true one's: two at most, nothing sealed under one that the statement does not name so, no
//! record under a lower one than before. Its re-sealed record ends with the epoch, its shares with that too.

use strongroom_proto::enclave::v1::{
    KekRef, Reseal, Resealed, SealedRecord, SealedShare, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::v1::{Reason, Role, Statement};

use crate::testing::refusal;

/// A share or record that does not open.
pub(in crate::services::tests) const DAMAGED: &[u8] = b"damaged";

pub(super) fn other_kek(ask: &Ask) -> Option<&KekRef> {
    match ask {
        Ask::GetView(ask) => ask.other_kek.as_ref(),
        Ask::Recover(ask) => ask.other_kek.as_ref(),
        Ask::Rehearse(ask) => ask.other_kek.as_ref(),
        Ask::Reseal(ask) => ask.other_kek.as_ref(),
        Ask::PutShares(ask) => ask.other_kek.as_ref(),
        Ask::Change(ask) => ask.other_kek.as_ref(),
        Ask::CarryOut(ask) => ask.other_kek.as_ref(),
        Ask::Commit(ask) => ask.other_kek.as_ref(),
        _ => None,
    }
}

/// Why a request is refused for its epochs.
pub(super) fn refuses(ask: &Ask, statement: Option<Statement>, role: Role) -> Option<Reason> {
    let none: &[SealedShare] = &[];
    let (kek, records, shares, seals) = match ask {
        Ask::GetView(ask) => (ask.kek.as_ref()?, ask.records.iter().collect(), none, false),
        Ask::CreateRecord(ask) => (ask.kek.as_ref()?, Vec::new(), none, true),
        Ask::Recover(ask) => (ask.kek.as_ref()?, ask.record.iter().collect(), ask.shares.as_slice(), true),
        Ask::PutShares(ask) => (ask.kek.as_ref()?, ask.record.iter().collect(), none, true),
        Ask::Change(ask) => (ask.kek.as_ref()?, ask.record.iter().collect(), none, true),
        Ask::Commit(ask) => (ask.kek.as_ref()?, ask.record.iter().collect(), none, true),
        Ask::CarryOut(ask) => (ask.kek.as_ref()?, ask.record.iter().collect(), ask.shares.as_slice(), true),
        Ask::Rehearse(ask) => (ask.kek.as_ref()?, ask.record.iter().collect(), ask.shares.as_slice(), false),
        Ask::Reseal(ask) => {
            (ask.kek.as_ref()?, ask.record.iter().collect::<Vec<&SealedRecord>>(), ask.shares.as_slice(), true)
        }
        _ => return None,
    };
    let keks = [Some(kek.epoch), other_kek(ask).map(|other| other.epoch)];
    let epochs = records.iter().map(|record| record.epoch).chain(shares.iter().map(|share| share.epoch));
    if keks[1] == keks[0] || epochs.into_iter().any(|epoch| !keks.contains(&Some(epoch))) {
        return Some(Reason::BadRequest);
    }
    if records.iter().any(|record| record.epoch > kek.epoch) {
        return Some(Reason::BadRequest);
    }
    let part = |statement: Statement| match role {
        Role::Custodian => statement.custodian,
        _ => statement.client,
    };
    let role = statement.and_then(part).unwrap_or_default();
    let named = role.epochs.iter().any(|epoch| epoch.epoch == kek.epoch) && kek.epoch >= role.lowest_epoch;
    (seals && !named).then_some(Reason::EpochNotInStatement)
}

/// Whether a record does not open.
pub(super) fn is_damaged(record: &SealedRecord) -> bool {
    record.sealed == DAMAGED
}

pub(super) fn reseal(ask: &Reseal) -> Answer {
    let epoch = ask.kek.as_ref().unwrap().epoch;
    if ask.shares.len() == 1 {
        return refusal(Reason::NoValidBackup, 0);
    }
    if ask.record.iter().any(is_damaged) || ask.shares.iter().any(|share| share.sealed == DAMAGED) {
        return refusal(Reason::DecryptFailed, 0);
    }
    let tag = u8::try_from(epoch).unwrap();
    let again = |sealed: &[u8]| [sealed, &[tag]].concat();
    let record = ask.record.as_ref().unwrap();
    let record = SealedRecord { epoch, sealed: vec![record.sealed[0], tag], ..record.clone() };
    let shares = ask.shares.iter().map(|share| SealedShare { epoch, sealed: again(&share.sealed), ..share.clone() });
    Answer::Resealed(Resealed { record: Some(record), shares: shares.collect(), epochs: Vec::new() })
}
