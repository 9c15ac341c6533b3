//! What waits in a record: deletions, which always do, cancelling, and the tenant's second signature.

use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{CancelAction, CarryOutAction, DeleteBackupAction};

use super::{Base, EncodedIntent, plain};
use crate::error::Error;
use crate::view::{Backup, OpenAct};

/// The deletion of a backup's records, after their grace.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn delete_backup<'a>(base: &Base<'_>, backup: impl Into<Backup<'a>>) -> Result<EncodedIntent, Error> {
    plain(base, backup.into(), Action::DeleteBackup(DeleteBackupAction {}))
}

/// The end of what waits.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn cancel<'a>(base: &Base<'_>, backup: impl Into<Backup<'a>>, open: &OpenAct) -> Result<EncodedIntent, Error> {
    let action = CancelAction { kind: open.kind().into(), intent_hash: open.intent.0.to_vec() };
    plain(base, backup.into(), Action::Cancel(action))
}

/// What waited is carried out from this head, which the tenant vouches for. Only the tenant signs it.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn carry_out<'a>(base: &Base<'_>, backup: impl Into<Backup<'a>>, open: &OpenAct) -> Result<EncodedIntent, Error> {
    let action = CarryOutAction { kind: open.kind().into(), intent_hash: open.intent.0.to_vec() };
    plain(base, backup.into(), Action::CarryOut(action))
}
