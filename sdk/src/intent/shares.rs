//! A new generation of shares for an existing backup.

use strongroom_proto::limits::PAIRS_MAX;
use strongroom_proto::names::is_id;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{Curve, Intent, Pair, PutSharesAction};

use super::{Base, part_of, start};
use crate::error::Error;
use crate::view::Record;

/// A put whose message is not sealed yet. Its generation is one above the highest that the record has seen; `pairs` come in any order.
///
/// # Errors
/// [`Error::Input`] names the field and its limit.
pub fn put_shares(base: &Base<'_>, record: &Record, pairs: &[Pair]) -> Result<Intent, Error> {
    let pairs = sorted_pairs(pairs)?;
    let generation = record
        .highest_generation
        .checked_add(1)
        .ok_or_else(|| Error::input("generation", "there is none above the highest that the record has seen"))?;
    start(base, part_of(record), Action::PutShares(PutSharesAction { generation, pairs }))
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
