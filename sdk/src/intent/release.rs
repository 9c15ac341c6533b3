//! Releases: at once, rehearsed, or started under a policy with a delay.

use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{RecoverAction, RehearseAction, RolePart, StartRecoveryAction};

use super::{Base, EncodedIntent, part_of, plain, start};
use crate::error::Error;
use crate::view::{Generation, Record};

/// A recovery of one generation from the client role, to one recipient.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn recover(
    base: &Base<'_>,
    record: &Record,
    generation: u64,
    recipient: ContentHash,
) -> Result<EncodedIntent, Error> {
    let part = RolePart { recipient: recipient.0.to_vec(), ..part_of(record) };
    EncodedIntent::new(start(base, part, Action::Recover(RecoverAction { generation, eject: false }))?)
}

/// A rehearsal of one generation in the client role.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn rehearse(base: &Base<'_>, record: &Record, generation: u64) -> Result<EncodedIntent, Error> {
    plain(base, record, Action::Rehearse(RehearseAction { generation }))
}

/// The start of a release of one generation from the client role, which fixes its recipient.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn start_recovery(
    base: &Base<'_>,
    record: &Record,
    generation: &Generation,
    recipient: ContentHash,
) -> Result<EncodedIntent, Error> {
    let part = RolePart { recipient: recipient.0.to_vec(), ..part_of(record) };
    let action = StartRecoveryAction { generation: generation.number, eject: false };
    EncodedIntent::new(start(base, part, Action::StartRecovery(action))?)
}
