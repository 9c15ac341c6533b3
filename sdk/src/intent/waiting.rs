//! What waits in a record: deletions, which always do, cancelling, and the tenant's second signature.

use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{CancelAction, CarryOutAction, DeleteBackupAction};

use super::{Base, EncodedIntent, plain};
use crate::error::Error;
use crate::view::{OpenAct, Record};

/// The deletion of a record, after its grace.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn delete_backup(base: &Base<'_>, record: &Record) -> Result<EncodedIntent, Error> {
    plain(base, record, Action::DeleteBackup(DeleteBackupAction {}))
}

/// The end of what waits.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn cancel(base: &Base<'_>, record: &Record, open: &OpenAct) -> Result<EncodedIntent, Error> {
    let action = CancelAction { kind: open.kind().into(), intent_hash: open.intent.0.to_vec() };
    plain(base, record, Action::Cancel(action))
}

/// What waited is carried out from this head, which the tenant vouches for. Only the tenant signs it.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn carry_out(base: &Base<'_>, record: &Record, open: &OpenAct) -> Result<EncodedIntent, Error> {
    let action = CarryOutAction { kind: open.kind().into(), intent_hash: open.intent.0.to_vec() };
    plain(base, record, Action::CarryOut(action))
}
