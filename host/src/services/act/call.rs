//! The calls that carry out an act: the name of each, and the action that its intent must have.

use strongroom_proto::v1::{OpenActKind, intent::Action};

use crate::error::Error;

/// A call that carries out an act.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::services) enum Call {
    CreateBackup,
    RehearseBackup,
    PutShares,
    ChangePolicy,
    DeleteBackup,
    CancelAct,
    CarryOut,
    AddPasskey,
    RemovePasskey,
    RenamePasskey,
    Recover,
    ReleaseCustodianShares,
    StartRecovery,
    ReleaseRecovery,
    CancelRecovery,
    EnableEject,
    DisableEject,
    Eject,
}

impl Call {
    /// Its name, which a request's hash and the log carry.
    pub(in crate::services) fn rpc(self) -> &'static str {
        self.entry().0
    }

    /// Checks that an intent's action is the one of this call.
    pub(in crate::services) fn check(self, action: Option<&Action>) -> Result<(), Error> {
        let (_, wanted) = self.entry();
        if action.is_some_and(|action| self.takes(action)) {
            Ok(())
        } else {
            Err(Error::bad("act.intent.action", wanted))
        }
    }

    /// Name, and what the action must be.
    fn entry(self) -> (&'static str, &'static str) {
        match self {
            Self::CreateBackup => ("CreateBackup", "must be create_backup"),
            Self::RehearseBackup => ("RehearseBackup", "must be rehearse"),
            Self::PutShares => ("PutShares", "must be put_shares"),
            Self::ChangePolicy => ("ChangePolicy", "must be change_policy"),
            Self::DeleteBackup => ("DeleteBackup", "must be delete_backup"),
            Self::CancelAct => ("CancelAct", "must be cancel, of a policy change, a passkey removal or a deletion"),
            Self::CarryOut => ("CarryOut", "must be carry_out, of a policy change, a passkey removal or a deletion"),
            Self::AddPasskey => ("AddPasskey", "must be add_passkey"),
            Self::RemovePasskey => ("RemovePasskey", "must be remove_passkey"),
            Self::RenamePasskey => ("RenamePasskey", "must be rename_passkey"),
            Self::Recover => ("Recover", "must be recover, and no eject"),
            Self::ReleaseCustodianShares => ("ReleaseCustodianShares", "must be recover, and no eject"),
            Self::StartRecovery => ("StartRecovery", "must be start_recovery"),
            Self::ReleaseRecovery => ("ReleaseRecovery", "must be carry_out, of a recovery"),
            Self::CancelRecovery => ("CancelRecovery", "must be cancel, of a recovery"),
            Self::EnableEject => ("EnableEject", "must be open_eject_window"),
            Self::DisableEject => ("DisableEject", "must be cancel, of an eject window"),
            Self::Eject => ("Eject", "must be recover, as an eject"),
        }
    }

    fn takes(self, action: &Action) -> bool {
        match (self, action) {
            (Self::CreateBackup, Action::CreateBackup(_))
            | (Self::RehearseBackup, Action::Rehearse(_))
            | (Self::PutShares, Action::PutShares(_))
            | (Self::ChangePolicy, Action::ChangePolicy(_))
            | (Self::DeleteBackup, Action::DeleteBackup(_))
            | (Self::AddPasskey, Action::AddPasskey(_))
            | (Self::RemovePasskey, Action::RemovePasskey(_))
            | (Self::RenamePasskey, Action::RenamePasskey(_))
            | (Self::StartRecovery, Action::StartRecovery(_))
            | (Self::EnableEject, Action::OpenEjectWindow(_)) => true,
            (Self::Recover | Self::ReleaseCustodianShares, Action::Recover(recover)) => !recover.eject,
            (Self::Eject, Action::Recover(recover)) => recover.eject,
            (Self::CancelAct, Action::Cancel(cancel)) => waits_by_itself(cancel.kind()),
            (Self::CarryOut, Action::CarryOut(due)) => waits_by_itself(due.kind()),
            (Self::CancelRecovery, Action::Cancel(cancel)) => cancel.kind() == OpenActKind::Recovery,
            (Self::DisableEject, Action::Cancel(cancel)) => cancel.kind() == OpenActKind::EjectWindow,
            (Self::ReleaseRecovery, Action::CarryOut(due)) => due.kind() == OpenActKind::Recovery,
            _ => false,
        }
    }
}

/// Whether what waits of a kind can be carried out without a recipient: everything but a recovery.
pub(in crate::services) fn waits_by_itself(kind: OpenActKind) -> bool {
    match kind {
        OpenActKind::PolicyChange | OpenActKind::PasskeyRemoval | OpenActKind::Delete => true,
        OpenActKind::Recovery | OpenActKind::EjectWindow | OpenActKind::Unspecified => false,
    }
}

#[cfg(test)]
mod tests {
    use strongroom_proto::v1::{
        AddPasskeyAction, CancelAction, CarryOutAction, ChangePolicyAction, CreateBackupAction, DeleteBackupAction,
        OpenEjectWindowAction, PutSharesAction, RecoverAction, RehearseAction, RemovePasskeyAction,
        RenamePasskeyAction, StartRecoveryAction,
    };

    use super::*;

    fn cancel(kind: OpenActKind) -> Action {
        Action::Cancel(CancelAction { kind: kind.into(), intent_hash: vec![0; 32] })
    }

    fn carry_out(kind: OpenActKind) -> Action {
        Action::CarryOut(CarryOutAction { kind: kind.into(), intent_hash: vec![0; 32] })
    }

    #[test]
    fn a_call_takes_its_own_action_and_no_other() {
        use OpenActKind::{Delete, EjectWindow, PasskeyRemoval, PolicyChange, Recovery, Unspecified};
        let table: Vec<(Call, Vec<Action>)> = vec![
            (Call::CreateBackup, vec![Action::CreateBackup(CreateBackupAction::default())]),
            (Call::RehearseBackup, vec![Action::Rehearse(RehearseAction::default())]),
            (Call::PutShares, vec![Action::PutShares(PutSharesAction::default())]),
            (Call::ChangePolicy, vec![Action::ChangePolicy(ChangePolicyAction::default())]),
            (Call::DeleteBackup, vec![Action::DeleteBackup(DeleteBackupAction {})]),
            (Call::CancelAct, vec![cancel(PolicyChange), cancel(PasskeyRemoval), cancel(Delete)]),
            (Call::CarryOut, vec![carry_out(PolicyChange), carry_out(PasskeyRemoval), carry_out(Delete)]),
            (Call::AddPasskey, vec![Action::AddPasskey(AddPasskeyAction::default())]),
            (Call::RemovePasskey, vec![Action::RemovePasskey(RemovePasskeyAction::default())]),
            (Call::RenamePasskey, vec![Action::RenamePasskey(RenamePasskeyAction::default())]),
            (Call::Recover, vec![Action::Recover(RecoverAction::default())]),
            (Call::ReleaseCustodianShares, vec![Action::Recover(RecoverAction::default())]),
            (Call::StartRecovery, vec![Action::StartRecovery(StartRecoveryAction::default())]),
            (Call::ReleaseRecovery, vec![carry_out(Recovery)]),
            (Call::CancelRecovery, vec![cancel(Recovery)]),
            (Call::EnableEject, vec![Action::OpenEjectWindow(OpenEjectWindowAction::default())]),
            (Call::DisableEject, vec![cancel(EjectWindow)]),
            (Call::Eject, vec![Action::Recover(RecoverAction { eject: true, ..RecoverAction::default() })]),
        ];
        // Two calls release at once; one of them in the custodian role alone.
        let alike = |call: Call| if call == Call::ReleaseCustodianShares { Call::Recover } else { call };
        for (call, own) in &table {
            for (other, actions) in &table {
                for action in actions {
                    assert_eq!(call.check(Some(action)).is_ok(), alike(*call) == alike(*other), "{call:?} {action:?}");
                }
            }
            assert!(!own.is_empty());
            for nobodys in [None, Some(&cancel(Unspecified)), Some(&carry_out(Unspecified))] {
                let refused = call.check(nobodys);
                let named = matches!(refused, Err(Error::BadRequest { field: "act.intent.action", .. }));
                assert!(named, "{call:?} {nobodys:?}");
            }
            assert_eq!(call.rpc(), format!("{call:?}"), "the log and the hashes name the call as the API does");
        }
    }
}
