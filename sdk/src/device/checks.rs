//! What the enclave would refuse, as far as the view shows it: refused here with the same reason, before anybody is asked.

use strongroom_attestation::Time;
use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::CREDENTIALS_MAX;
use strongroom_proto::v1::{NewCredential, OpenActKind, Policy, Reason, Role};

use crate::error::Error;
use crate::intent::ClientPolicy;
use crate::prepare::Prepared;
use crate::view::{Credential, Generation, OpenAct, Record};

/// The record of a backup in the client role, or of the only one that is not closed.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Input`] where there are several and none was named, `STATE_INVALID` for one that was deleted.
pub fn choose<'a>(prepared: &'a Prepared, backup: Option<&str>) -> Result<&'a Record, Error> {
    let records = prepared.role(Role::Client)?.view.records();
    let wanted = |record: &&Record| backup.map_or(!record.closed, |backup| record.backup == backup);
    let mut found = records.iter().filter(wanted);
    match (found.next(), found.next()) {
        (Some(record), None) if record.closed => {
            let detail = format!("record: closed, backup {} was deleted", record.backup);
            Err(Error::would_be_refused(Reason::StateInvalid, detail))
        }
        (Some(record), None) => Ok(record),
        (None, _) => {
            let what = backup.map_or_else(|| "backup".to_owned(), |backup| format!("backup {backup}"));
            Err(Error::NotFound { wallet: prepared.wallet().to_owned(), what })
        }
        (Some(_), Some(_)) => {
            let names: Vec<&str> = records.iter().filter(wanted).map(|record| record.backup.as_str()).collect();
            Err(Error::input("backup", format!("there are several; name one of {}", names.join(", "))))
        }
    }
}

/// A generation of a record that opens: by its number, or the active one.
///
/// # Errors
/// `NO_VALID_BACKUP`.
pub fn openable(record: &Record, number: Option<u64>) -> Result<&Generation, Error> {
    let found = number.map_or_else(|| record.active(), |number| record.opening(number));
    found.ok_or_else(|| {
        let which = number.map_or_else(|| "active generation".to_owned(), |number| format!("generation {number}"));
        Error::would_be_refused(Reason::NoValidBackup, format!("{which}: backup {} has none that opens", record.backup))
    })
}

/// As [`openable`], where the policy lets it be released at once.
///
/// # Errors
/// As [`openable`], and `RECOVERY_DELAYED` under a policy with a delay.
pub fn releasable(record: &Record, number: Option<u64>) -> Result<&Generation, Error> {
    if record.policy.delay_seconds > 0 {
        let detail = format!(
            "recover: the policy has a delay of {} s; start the recovery, and release it when it is due",
            record.policy.delay_seconds
        );
        return Err(Error::would_be_refused(Reason::RecoveryDelayed, detail));
    }
    openable(record, number)
}

/// A credential of the record, by its id.
pub(super) fn known<'a>(record: &'a Record, credential_id: &[u8], act: &str) -> Result<&'a Credential, Error> {
    record.credentials.iter().find(|credential| credential.id == credential_id).ok_or_else(|| {
        let detail = format!("{act}.credential_id: {} is no credential of the record", hex::encode(credential_id));
        Error::would_be_refused(Reason::NotFound, detail)
    })
}

/// A credential that may go: not the last one, and none other than in the custodian's record of the same backup.
pub(super) fn removable<'a>(
    prepared: &Prepared,
    record: &'a Record,
    credential_id: &[u8],
) -> Result<&'a Credential, Error> {
    let credential = known(record, credential_id, "remove_passkey")?;
    if record.credentials.len() == 1 {
        let detail = "remove_passkey: the last passkey of a record stays";
        return Err(Error::would_be_refused(Reason::LastPasskey, detail));
    }
    let others = prepared.roles().iter().flat_map(|role| role.view.records());
    let ids = |record: &Record| record.credentials.iter().map(|credential| credential.id.clone()).collect::<Vec<_>>();
    for other in others.filter(|other| other.id == record.id) {
        if ids(other) != ids(record) {
            return Err(Error::input(
                "passkey",
                "the roles' records list different passkeys; add the missing one first",
            ));
        }
    }
    Ok(credential)
}

/// Refuses a credential that is there already, and one too many.
pub(super) fn check_newcomer(record: &Record, newcomer: &NewCredential) -> Result<(), Error> {
    let key_hash = ContentHash::of(&newcomer.public_key);
    if record.credentials.iter().any(|it| it.id == newcomer.id || it.key_hash == key_hash) {
        let detail = "add_passkey.credential: the record has this id or this key already";
        return Err(Error::would_be_refused(Reason::AlreadyExists, detail));
    }
    if record.credentials.len() >= CREDENTIALS_MAX {
        let detail = format!("add_passkey: the record has {CREDENTIALS_MAX}");
        return Err(Error::would_be_refused(Reason::TooManyPasskeys, detail));
    }
    Ok(())
}

/// Refuses a second act of a kind beside one that waits.
pub(super) fn check_room(record: &Record, kind: OpenActKind, at: Time) -> Result<(), Error> {
    match record.open_act(kind).filter(|open| !open.is_expired(at)) {
        Some(open) => {
            let detail = format!("record.open_acts: one of this kind waits until {}; cancel it first", open.not_before);
            Err(Error::would_be_refused(Reason::StateInvalid, detail))
        }
        None => Ok(()),
    }
}

/// What waits of a kind.
pub(super) fn waiting(record: &Record, kind: OpenActKind) -> Result<&OpenAct, Error> {
    record
        .open_act(kind)
        .ok_or_else(|| Error::would_be_refused(Reason::StateInvalid, "record.open_acts: none of this kind waits"))
}

/// What waits of a kind and is due.
pub(super) fn due(record: &Record, kind: OpenActKind, at: Time) -> Result<&OpenAct, Error> {
    let open = waiting(record, kind)?;
    if at < open.not_before {
        let detail = format!("record.open_acts: due at {}, and it is {at}", open.not_before);
        return Err(Error::would_be_refused(Reason::RecoveryDelayed, detail));
    }
    if open.is_expired(at) {
        let detail = "record.open_acts: expired before it was carried out";
        return Err(Error::would_be_refused(Reason::StateInvalid, detail));
    }
    Ok(open)
}

/// Refuses a policy that the tenant could not satisfy now.
pub(super) fn check_satisfiable(prepared: &Prepared, policy: ClientPolicy, at: Time) -> Result<(), Error> {
    if Policy::from(policy).tenant_signature && !prepared.statement().has_operational_key(at) {
        let detail = "change_policy: asks for tenant_signature, and the statement has no operational key in force";
        return Err(Error::would_be_refused(Reason::PolicyDenied, detail));
    }
    Ok(())
}
