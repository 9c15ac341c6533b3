//! `Change`: the acts without shares. The intent says which; each takes its own consents.

mod eject;
mod passkeys;
mod policies;
mod waiting;

use strongroom_proto::enclave::v1::{Change, Moved};
use strongroom_proto::v1::intent::Action;

use super::{Scene, subject};
use crate::platform::Platform;
use crate::refusal::{Refusal, bad};
use crate::role::RoleKind;

pub(super) use passkeys::remove;
pub(super) use policies::{check_satisfiable, set};

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &Change) -> Result<Moved, Refusal> {
    let subject = subject::open::<P, R>(scene, request.act.as_ref(), request.record.as_ref())?;
    let action = subject.intent.body.action.clone().ok_or_else(|| bad("intent.action: missing"))?;
    subject::brings(&subject.intent, false, matches!(action, Action::StartRecovery(_)))?;
    match action {
        Action::AddPasskey(action) => passkeys::add::<P, R>(scene, subject, &action, request.credential.as_ref()),
        Action::RemovePasskey(action) => passkeys::start_removal::<P, R>(scene, subject, action),
        Action::RenamePasskey(action) => passkeys::rename::<P, R>(scene, subject, action),
        Action::ChangePolicy(action) => policies::change::<P, R>(scene, subject, &action),
        Action::StartRecovery(action) => waiting::start_recovery::<P, R>(scene, subject, action),
        Action::DeleteBackup(_) => waiting::start_delete::<P, R>(scene, subject),
        Action::OpenEjectWindow(action) => eject::open_window::<P, R>(scene, subject, action),
        Action::Cancel(action) => waiting::cancel::<P, R>(scene, subject, action),
        Action::CreateBackup(_)
        | Action::Recover(_)
        | Action::Rehearse(_)
        | Action::PutShares(_)
        | Action::CarryOut(_) => Err(bad("intent.action: not a change")),
    }
}
