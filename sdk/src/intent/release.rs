//! Releases: at once, rehearsed, or started under a policy with a delay.

use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{RecoverAction, RehearseAction, StartRecoveryAction};

use super::{Base, EncodedIntent, Parts, Recipients, plain, start};
use crate::error::Error;
use crate::view::{Backup, Generation};

/// What a release is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// The wallet goes on: the custodian's share goes to an MPC recipient.
    Recovery,
    /// The user takes every share to his device, in a window that the tenant opened.
    Eject,
}

/// A recovery of one generation at once, from every role that the backup names, each to its recipient.
///
/// # Errors
/// As [`EncodedIntent::new`]; [`Error::Input`] where the recipients are not one for each of these roles.
pub fn recover<'a>(
    base: &Base<'_>,
    backup: impl Into<Backup<'a>>,
    generation: u64,
    recipients: impl Into<Recipients>,
) -> Result<EncodedIntent, Error> {
    release(base, backup.into(), generation, recipients.into(), Purpose::Recovery)
}

/// As [`recover`], for any purpose.
///
/// # Errors
/// As [`recover`].
pub fn release(
    base: &Base<'_>,
    backup: Backup<'_>,
    generation: u64,
    recipients: Recipients,
    purpose: Purpose,
) -> Result<EncodedIntent, Error> {
    let action = Action::Recover(RecoverAction { generation, eject: purpose == Purpose::Eject });
    EncodedIntent::new(start(base, Parts::of(backup).to(recipients)?, action)?)
}

/// A rehearsal of one generation in every role that the backup names.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn rehearse<'a>(base: &Base<'_>, backup: impl Into<Backup<'a>>, generation: u64) -> Result<EncodedIntent, Error> {
    plain(base, backup.into(), Action::Rehearse(RehearseAction { generation }))
}

/// The start of a release of one generation, which fixes the recipients.
///
/// # Errors
/// As [`recover`].
pub fn start_recovery<'a>(
    base: &Base<'_>,
    backup: impl Into<Backup<'a>>,
    generation: &Generation,
    recipients: impl Into<Recipients>,
) -> Result<EncodedIntent, Error> {
    start_release(base, backup.into(), generation.number, recipients.into(), Purpose::Recovery)
}

/// As [`start_recovery`], for any purpose.
///
/// # Errors
/// As [`recover`].
pub fn start_release(
    base: &Base<'_>,
    backup: Backup<'_>,
    generation: u64,
    recipients: Recipients,
    purpose: Purpose,
) -> Result<EncodedIntent, Error> {
    let action = StartRecoveryAction { generation, eject: purpose == Purpose::Eject };
    EncodedIntent::new(start(base, Parts::of(backup).to(recipients)?, Action::StartRecovery(action))?)
}
