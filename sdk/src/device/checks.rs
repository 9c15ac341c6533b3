//! What the enclaves would refuse, as far as their views show it: refused here with the same reason, before anybody is asked.

use strongroom_attestation::Time;
use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::CREDENTIALS_MAX;
use strongroom_proto::v1::{NewCredential, OpenActKind, Reason, Role};

use crate::error::Error;
use crate::intent::Policies;
use crate::prepare::Prepared;
use crate::view::{Backup, Credential, Generation, OpenAct, Record};

/// A backup by its id, or the only one that is not closed: its record in every role that shows one and has not closed it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Input`] where there are several and none was named, `STATE_INVALID` for one that was deleted; as
/// [`Prepared::backups`].
pub fn select<'a>(prepared: &'a Prepared, backup: Option<&str>) -> Result<Backup<'a>, Error> {
    let backups = prepared.backups()?;
    let is_closed = |backup: &Backup<'_>| backup.records().all(|(_, record)| record.closed);
    let wanted = |it: &&Backup<'_>| backup.map_or_else(|| !is_closed(it), |backup| it.any().backup == backup);
    let mut found = backups.iter().filter(wanted);
    match (found.next(), found.next()) {
        (Some(backup), None) => backup.filter(
            |_, record| !record.closed,
            || {
                let detail = format!("record: closed, backup {} was deleted", backup.any().backup);
                Error::would_be_refused(Reason::StateInvalid, detail)
            },
        ),
        (None, _) => {
            let what = backup.map_or_else(|| "backup".to_owned(), |backup| format!("backup {backup}"));
            Err(Error::NotFound { wallet: prepared.wallet().to_owned(), what })
        }
        (Some(_), Some(_)) => {
            let names: Vec<&str> = backups.iter().filter(wanted).map(|it| it.any().backup.as_str()).collect();
            Err(Error::input("backup", format!("there are several; name one of {}", names.join(", "))))
        }
    }
}

/// The record of a backup in the client role.
///
/// # Errors
/// As [`select`], and [`Error::RoleNotServed`].
pub fn choose<'a>(prepared: &'a Prepared, backup: Option<&str>) -> Result<&'a Record, Error> {
    select(prepared, backup)?.record(Role::Client)
}

/// A generation that opens in every role of a backup, by the same put: by its number, or the highest.
///
/// # Errors
/// `NO_VALID_BACKUP`.
pub fn openable<'a>(backup: impl Into<Backup<'a>>, number: Option<u64>) -> Result<&'a Generation, Error> {
    let backup = backup.into();
    backup.common(number).ok_or_else(|| {
        let which = number.map_or_else(|| "active generation".to_owned(), |number| format!("generation {number}"));
        let name = &backup.any().backup;
        Error::would_be_refused(Reason::NoValidBackup, format!("{which}: backup {name} has none that opens"))
    })
}

/// As [`openable`], where the policies let it be released at once.
///
/// # Errors
/// As [`openable`], and `RECOVERY_DELAYED` under a policy with a delay.
pub fn releasable<'a>(backup: impl Into<Backup<'a>>, number: Option<u64>) -> Result<&'a Generation, Error> {
    let backup = backup.into();
    if let Some((_, record)) = backup.records().find(|(_, record)| record.policy.delay_seconds > 0) {
        let detail = format!(
            "recover: the policy has a delay of {} s; start the recovery, and release it when it is due",
            record.policy.delay_seconds
        );
        return Err(Error::would_be_refused(Reason::RecoveryDelayed, detail));
    }
    openable(backup, number)
}

/// The roles of a backup that list a credential, and the credential.
pub(super) fn known<'a>(
    backup: Backup<'a>,
    credential_id: &[u8],
    act: &str,
) -> Result<(Backup<'a>, &'a Credential), Error> {
    let of = |record: &'a Record| record.credentials.iter().find(|credential| credential.id == credential_id);
    let unknown = || {
        let detail = format!("{act}.credential_id: {} is no credential of the record", hex::encode(credential_id));
        Error::would_be_refused(Reason::NotFound, detail)
    };
    let listing = backup.filter(|_, record| of(record).is_some(), unknown)?;
    Ok((listing, of(listing.any()).ok_or_else(unknown)?))
}

/// A credential that may go: not the last one, and from roles that list the same ones.
pub(super) fn removable<'a>(backup: Backup<'a>, credential_id: &[u8]) -> Result<&'a Credential, Error> {
    let (_, credential) = known(backup, credential_id, "remove_passkey")?;
    let keys = |record: &Record| record.credentials.iter().map(|it| (it.id.clone(), it.key_hash)).collect::<Vec<_>>();
    let first = keys(backup.any());
    if backup.records().any(|(_, record)| keys(record) != first) {
        return Err(Error::input("passkey", "the roles' records list different passkeys; add the missing one first"));
    }
    if first.len() == 1 {
        let detail = "remove_passkey: the last passkey of a record stays";
        return Err(Error::would_be_refused(Reason::LastPasskey, detail));
    }
    Ok(credential)
}

/// The roles of a backup that lack a credential: all of them, or the one that an earlier addition did not reach. Refuses one that is
/// there already, and one too many.
pub(super) fn lacking<'a>(backup: Backup<'a>, newcomer: &NewCredential) -> Result<Backup<'a>, Error> {
    let key_hash = ContentHash::of(&newcomer.public_key);
    let is_whole = |it: &Credential| it.id == newcomer.id && it.key_hash == key_hash;
    let already = || {
        let detail = "add_passkey.credential: the record has this id or this key already";
        Error::would_be_refused(Reason::AlreadyExists, detail)
    };
    let lacking = backup.filter(|_, record| !record.credentials.iter().any(is_whole), already)?;
    for (_, record) in lacking.records() {
        if record.credentials.iter().any(|it| it.id == newcomer.id || it.key_hash == key_hash) {
            return Err(already());
        }
        if record.credentials.len() >= CREDENTIALS_MAX {
            let detail = format!("add_passkey: the record has {CREDENTIALS_MAX}");
            return Err(Error::would_be_refused(Reason::TooManyPasskeys, detail));
        }
    }
    Ok(lacking)
}

/// Refuses a second act of a kind beside one that waits.
pub(crate) fn check_room(prepared: &Prepared, role: Role, record: &Record, kind: OpenActKind) -> Result<(), Error> {
    let at = prepared.role(role)?.view.time();
    match record.open_act(kind).filter(|open| !open.is_expired(at)) {
        Some(open) => {
            let detail = format!("record.open_acts: one of this kind waits until {}; cancel it first", open.not_before);
            Err(Error::would_be_refused(Reason::StateInvalid, detail))
        }
        None => Ok(()),
    }
}

/// Refuses the start of a release where the policy has no delay, or where another one waits.
pub(super) fn check_delayed(prepared: &Prepared, role: Role, record: &Record) -> Result<(), Error> {
    if record.policy.delay_seconds == 0 {
        let detail = "start_recovery: the policy has no delay; recover at once";
        return Err(Error::would_be_refused(Reason::StateInvalid, detail));
    }
    check_room(prepared, role, record, OpenActKind::Recovery)
}

/// What waits of a kind, and the roles in which the same intent started it.
pub(crate) fn waiting(backup: Backup<'_>, kind: OpenActKind) -> Result<(Backup<'_>, &OpenAct), Error> {
    let none = || Error::would_be_refused(Reason::StateInvalid, "record.open_acts: none of this kind waits");
    let open = backup.open_act(kind).ok_or_else(none)?;
    let same = backup.filter(|_, record| record.open_act(kind).is_some_and(|it| it.intent == open.intent), none)?;
    Ok((same, open))
}

/// What waits of a kind and is due, in every role in which the same intent started it.
pub(super) fn due<'a>(
    prepared: &Prepared,
    backup: Backup<'a>,
    kind: OpenActKind,
) -> Result<(Backup<'a>, &'a OpenAct), Error> {
    let (backup, first) = waiting(backup, kind)?;
    check_due(prepared, backup, kind)?;
    Ok((backup, first))
}

/// Every role in which something of a kind waits, whichever intent started it: all must be due.
pub(super) fn every_due<'a>(prepared: &Prepared, backup: Backup<'a>, kind: OpenActKind) -> Result<Backup<'a>, Error> {
    let none = || Error::would_be_refused(Reason::StateInvalid, "record.open_acts: none of this kind waits");
    let backup = backup.filter(|_, record| record.open_act(kind).is_some(), none)?;
    check_due(prepared, backup, kind)?;
    Ok(backup)
}

fn check_due(prepared: &Prepared, backup: Backup<'_>, kind: OpenActKind) -> Result<(), Error> {
    if kind == OpenActKind::EjectWindow {
        return Err(Error::input("kind", "an eject window is never carried out; it closes by itself"));
    }
    for (role, record) in backup.records() {
        let at = prepared.role(role)?.view.time();
        let Some(open) = record.open_act(kind) else { continue };
        if at < open.not_before {
            let detail = format!("record.open_acts: due at {}, and it is {at}", open.not_before);
            return Err(Error::would_be_refused(Reason::RecoveryDelayed, detail));
        }
        if open.is_expired(at) {
            let detail = "record.open_acts: expired before it was carried out";
            return Err(Error::would_be_refused(Reason::StateInvalid, detail));
        }
    }
    Ok(())
}

/// Refuses policies that could not be satisfied now: for want of a passkey, or of a tenant's key.
pub(super) fn check_satisfiable(prepared: &Prepared, backup: Backup<'_>, policies: Policies) -> Result<(), Error> {
    for (role, record) in backup.records() {
        let Some(policy) = policies.of(role) else { continue };
        let at: Time = prepared.role(role)?.view.time();
        if policy.tenant_signature && !prepared.statement().has_operational_key(at) {
            let detail = "change_policy: asks for tenant_signature, and the statement has no operational key in force";
            return Err(Error::would_be_refused(Reason::PolicyDenied, detail));
        }
        if policy.passkey && record.credentials.is_empty() {
            let detail = "change_policy: asks for a passkey, and the record has none";
            return Err(Error::would_be_refused(Reason::PolicyDenied, detail));
        }
    }
    Ok(())
}
