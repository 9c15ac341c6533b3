//! A new generation of shares for an existing backup.

use strongroom_proto::limits::PAIRS_MAX;
use strongroom_proto::names::is_id;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{Curve, Intent, Pair, PutSharesAction};

use super::{Base, Parts, start};
use crate::error::Error;
use crate::view::Backup;

/// A put whose messages are not sealed yet. It names every role of the backup, and its generation is one above the highest that any of
/// its records has seen; `pairs` come in any order.
///
/// # Errors
/// [`Error::Input`] names the field and its limit; [`Error::RoleNotServed`] where the record of a role is missing.
pub fn put_shares<'a>(base: &Base<'_>, backup: impl Into<Backup<'a>>, pairs: &[Pair]) -> Result<Intent, Error> {
    let backup = backup.into().whole()?;
    let pairs = sorted_pairs(pairs)?;
    let highest = backup.records().map(|(_, record)| record.highest_generation).max().unwrap_or_default();
    let generation = highest
        .checked_add(1)
        .ok_or_else(|| Error::input("generation", "there is none above the highest that the record has seen"))?;
    start(base, Parts::of(backup), Action::PutShares(PutSharesAction { generation, pairs }))
}

/// The pairs in the order of their ids, each known and there once.
pub(crate) fn sorted_pairs(pairs: &[Pair]) -> Result<Vec<Pair>, Error> {
    if !(1..=PAIRS_MAX).contains(&pairs.len()) {
        return Err(Error::input("pairs", format!("{} are given; 1 to {PAIRS_MAX} are allowed", pairs.len())));
    }
    if let Some(pair) = pairs.iter().find(|pair| !is_id(&pair.id) || pair.curve() == Curve::Unspecified) {
        return Err(Error::input("pairs", format!("{:?} is no id of [A-Za-z0-9._-] with a known curve", pair.id)));
    }
    let mut pairs = pairs.to_vec();
    pairs.sort_by(|a, b| a.id.cmp(&b.id));
    if !pairs.is_sorted_by(|a, b| a.id < b.id) {
        return Err(Error::input("pairs", "one is there twice"));
    }
    Ok(pairs)
}
