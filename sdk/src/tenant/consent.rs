//! The tenant's consent: what its backend reads of an intent before an operational key signs it.
//!
//! The backend knows what its user asked for, and so what the intent must say. Nothing is signed unread.

use strongroom_attestation::Time;
use strongroom_proto::id::{ContentHash, IntentHash, RecordId, TenantId};
use strongroom_proto::intent as form;
use strongroom_proto::limits::INTENT_AHEAD_MS_MAX;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{
    Intent, OpenActKind, Policy, RecoverAction, Role, RolePart, StartRecoveryAction, TenantSignature,
};

use crate::error::Error;
use crate::intent::shown::action_name;
use crate::keys::SigningKey;
use crate::receipt::KnownReceipt;
use crate::role::role_name;

/// What a backend expects of an intent that it is asked to sign.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The wallet of the user who asks.
    pub wallet: &'a str,
    /// What the user asked for.
    pub act: ExpectedAct<'a>,
    /// Serial of the newest statement: an intent under an older one is not signed.
    pub statement_serial: u64,
    /// The newest receipt of the record that the tenant has in each role, where a record's policy has `newest_head`: the signature then
    /// vouches that there is no newer head. An intent that names another one, or a role that none is known of, is not signed.
    pub newest: &'a [KnownReceipt],
    /// The tenant's time.
    pub now: Time,
}

/// An act as a user of the backend asked for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ExpectedAct<'a> {
    /// A new backup. Its record has no id yet: the intent itself gives it one.
    CreateBackup {
        /// Its id.
        backup: &'a str,
    },
    /// An act on a record. Its id is always compared: a wallet has several records, and some acts name theirs by nothing else.
    OnRecord {
        /// The record, as its receipts name it.
        record_id: RecordId,
        /// What is done to it.
        act: RecordAct<'a>,
    },
}

/// An act on a record, with what a wrong intent would do most harm by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RecordAct<'a> {
    /// A release at once.
    Recover,
    /// A release at once of both roles to the user's device.
    Eject,
    /// A rehearsal.
    Rehearse,
    /// A new generation.
    PutShares,
    /// A further passkey.
    AddPasskey {
        /// Its WebAuthn credential id.
        credential_id: &'a [u8],
        /// SHA-256 of its `COSE_Key`: the id alone would let a false page put a key of its own beside it.
        key_hash: ContentHash,
    },
    /// The removal of a passkey, which the signature frees from the policy's delay.
    RemovePasskey {
        /// Its WebAuthn credential id.
        credential_id: &'a [u8],
    },
    /// Another label of a passkey.
    RenamePasskey,
    /// Other policies, for exactly the roles that have one here.
    ChangePolicy {
        /// The client role's.
        client: Option<Policy>,
        /// The custodian role's.
        custodian: Option<Policy>,
    },
    /// A release after the policy's delay.
    StartRecovery,
    /// A release of both roles to the user's device after the policy's delay.
    StartEject,
    /// A window in which the custodian role releases to the user's device.
    OpenEjectWindow {
        /// For how long.
        duration_seconds: u32,
    },
    /// The deletion of a backup.
    DeleteBackup,
    /// The end of what waits.
    Cancel {
        /// What waits.
        kind: OpenActKind,
        /// The intent that started it.
        started_by: IntentHash,
    },
    /// What waited is carried out. Always needs the newest receipt.
    CarryOut {
        /// What waited.
        kind: OpenActKind,
        /// The intent that started it, which the tenant signed then.
        started_by: IntentHash,
    },
}

/// Reads an intent, compares it with what is expected, and signs it.
///
/// # Errors
/// [`Error::Malformed`] for bytes that are no intent, [`Error::NotExpected`] with the field, [`Error::Input`] for a key that signs no
/// intents.
pub fn consent(key: &SigningKey, intent: &[u8], expected: &Expected<'_>) -> Result<TenantSignature, Error> {
    check(intent, expected)?;
    key.sign_intent(intent)
}

/// Reads an intent and compares it with what is expected; gives its fields.
///
/// # Errors
/// As [`consent`].
pub fn check(intent: &[u8], expected: &Expected<'_>) -> Result<Intent, Error> {
    let fields = form::decode(intent).map_err(|error| Error::malformed("intent", error))?;
    same_bytes("tenant", &fields.tenant, expected.tenant)?;
    same("wallet", &fields.wallet, expected.wallet)?;
    let action = fields.action.as_ref().ok_or_else(|| Error::malformed("intent", "it has no action"))?;
    check_action(action, &expected.act)?;
    if fields.statement_serial < expected.statement_serial {
        return Err(not_expected("statement serial", &fields.statement_serial, &expected.statement_serial));
    }
    let now = expected.now.unix_ms();
    let ahead = fields.not_after_ms.saturating_sub(now);
    if ahead == 0 || ahead > INTENT_AHEAD_MS_MAX {
        let until = Time::from_unix_ms(now.saturating_add(INTENT_AHEAD_MS_MAX));
        let window = format!("after {} and until {until}", expected.now);
        return Err(not_expected("not_after", &Time::from_unix_ms(fields.not_after_ms), &window));
    }
    let of = |role| form::part(&fields, role).map(|part| (role, part));
    let parts: Vec<(Role, &RolePart)> = [Role::Client, Role::Custodian].into_iter().filter_map(of).collect();
    check_record(&parts, &expected.act)?;
    check_heads(&parts, expected)?;
    Ok(fields)
}

/// Every role that the intent names is to act on the record that is expected, which a creation does not have.
fn check_record(parts: &[(Role, &RolePart)], act: &ExpectedAct<'_>) -> Result<(), Error> {
    let record_id = match act {
        ExpectedAct::CreateBackup { .. } => &[][..],
        ExpectedAct::OnRecord { record_id, .. } => &record_id.0[..],
    };
    if parts.is_empty() {
        return Err(not_expected("number of roles", &0, &"1 or 2"));
    }
    parts.iter().try_for_each(|(_, part)| same_bytes("record_id", &part.record_id, record_id))
}

/// In every role, the head that the intent names is the newest that the tenant knows. Versions lie in the receipt: the intent has none.
fn check_heads(parts: &[(Role, &RolePart)], expected: &Expected<'_>) -> Result<(), Error> {
    if expected.newest.is_empty() {
        if matches!(expected.act, ExpectedAct::OnRecord { act: RecordAct::CarryOut { .. }, .. }) {
            return Err(Error::input("newest receipt", "is needed: the tenant vouches for the head"));
        }
        return Ok(());
    }
    for (role, part) in parts {
        let newest = expected.newest.iter().find(|known| known.role == *role).ok_or_else(|| {
            let problem = format!("is needed of the {} role too: the intent names it", role_name(*role));
            Error::input("newest receipt", problem)
        })?;
        same("wallet of the newest receipt", &newest.wallet, expected.wallet)?;
        same_bytes("record_id", &part.record_id, newest.record_id)?;
        if part.head != newest.head.0 {
            let expected = format!("{}, the head of the newest receipt, version {}", newest.head, newest.version);
            return Err(not_expected("head", &hex::encode(&part.head), &expected));
        }
    }
    Ok(())
}

fn check_action(action: &Action, expected: &ExpectedAct<'_>) -> Result<(), Error> {
    same("action", action_name(action), expected.name())?;
    let act = match (action, expected) {
        (Action::CreateBackup(it), ExpectedAct::CreateBackup { backup }) => return same("backup", &it.backup, backup),
        (_, ExpectedAct::CreateBackup { .. }) => return Ok(()),
        (_, ExpectedAct::OnRecord { act, .. }) => act,
    };
    match (action, act) {
        (
            Action::Recover(RecoverAction { eject, .. }) | Action::StartRecovery(StartRecoveryAction { eject, .. }),
            _,
        ) => {
            let wanted = matches!(act, RecordAct::Eject | RecordAct::StartEject);
            if *eject == wanted { Ok(()) } else { Err(not_expected("eject", eject, &wanted)) }
        }
        (Action::OpenEjectWindow(it), RecordAct::OpenEjectWindow { duration_seconds }) => {
            same("duration in seconds", &it.duration_seconds.to_string(), &duration_seconds.to_string())
        }
        (Action::AddPasskey(it), RecordAct::AddPasskey { credential_id, key_hash }) => {
            let named = it.credential.as_ref();
            same_bytes("credential", named.map_or(&[][..], |credential| &credential.id), credential_id)?;
            same_bytes("credential's key hash", named.map_or(&[][..], |credential| &credential.key_hash), key_hash)
        }
        (Action::RemovePasskey(it), RecordAct::RemovePasskey { credential_id }) => {
            same_bytes("credential", &it.credential_id, credential_id)
        }
        (Action::ChangePolicy(it), RecordAct::ChangePolicy { client, custodian }) => {
            same_policy("client policy", it.client_policy.as_ref(), client.as_ref())?;
            same_policy("custodian policy", it.custodian_policy.as_ref(), custodian.as_ref())
        }
        (Action::Cancel(it), RecordAct::Cancel { kind, started_by }) => {
            same("kind", it.kind().as_str_name(), kind.as_str_name())?;
            same_bytes("intent that started it", &it.intent_hash, started_by)
        }
        (Action::CarryOut(it), RecordAct::CarryOut { kind, started_by }) => {
            same("kind", it.kind().as_str_name(), kind.as_str_name())?;
            same_bytes("intent that started it", &it.intent_hash, started_by)
        }
        _ => Ok(()),
    }
}

/// A policy for a role, or none, as expected.
pub(super) fn same_policy(field: &'static str, found: Option<&Policy>, expected: Option<&Policy>) -> Result<(), Error> {
    let show = |policy: Option<&Policy>| policy.map_or_else(|| "none".to_owned(), crate::intent::shown::policy);
    if found == expected { Ok(()) } else { Err(not_expected(field, &show(found), &show(expected))) }
}

impl ExpectedAct<'_> {
    /// The action's name, as `action_name` gives it for an intent.
    fn name(&self) -> &'static str {
        match self {
            Self::CreateBackup { .. } => "create_backup",
            Self::OnRecord { act, .. } => act.name(),
        }
    }
}

impl RecordAct<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Recover | Self::Eject => "recover",
            Self::Rehearse => "rehearse",
            Self::PutShares => "put_shares",
            Self::AddPasskey { .. } => "add_passkey",
            Self::RemovePasskey { .. } => "remove_passkey",
            Self::RenamePasskey => "rename_passkey",
            Self::ChangePolicy { .. } => "change_policy",
            Self::StartRecovery | Self::StartEject => "start_recovery",
            Self::OpenEjectWindow { .. } => "open_eject_window",
            Self::DeleteBackup => "delete_backup",
            Self::Cancel { .. } => "cancel",
            Self::CarryOut { .. } => "carry_out",
        }
    }
}

pub(super) fn same(field: &'static str, found: &str, expected: &str) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(not_expected(field, &found, &expected)) }
}

pub(super) fn same_bytes(field: &'static str, found: &[u8], expected: impl AsRef<[u8]>) -> Result<(), Error> {
    let expected = expected.as_ref();
    if found == expected { Ok(()) } else { Err(not_expected(field, &hex::encode(found), &hex::encode(expected))) }
}

pub(super) fn not_expected(field: &'static str, found: &impl ToString, expected: &impl ToString) -> Error {
    Error::NotExpected { field, found: found.to_string(), expected: expected.to_string() }
}

#[cfg(test)]
mod tests;
