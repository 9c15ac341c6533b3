//! Passkeys of a record: added by two assertions over the same bytes, removed with the policy's delay, renamed.

use alloc::format;

use strongroom_proto::enclave::v1::{Credential, Moved};
use strongroom_proto::limits::CREDENTIALS_MAX;
use strongroom_proto::v1::{
    ActKind, AddPasskeyAction, NewCredential, OpenAct, OpenActKind, Reason, RemovePasskeyAction, RenamePasskeyAction,
};

use super::super::moved::{Deed, finish};
use super::super::subject::Subject;
use super::super::{Scene, credential};
use super::waiting::start;
use crate::consent::Rule;
use crate::platform::Platform;
use crate::record::Record;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;
use crate::webauthn::CredentialKey;

/// Adds a credential, which proves by its own assertion that it exists and works: a registration proves nothing.
pub(super) fn add<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    subject: Subject<'_>,
    action: &AddPasskeyAction,
    given: Option<&NewCredential>,
) -> Result<Moved, Refusal> {
    let named = action.credential.as_ref().ok_or_else(|| bad("add_passkey.credential: missing"))?;
    let public_key = credential::check(named, given, "add_passkey.credential")?;
    // As keys, not as bytes: one key has many encodings.
    let key = CredentialKey::parse(&public_key)?;
    let known = &subject.record.content.credentials;
    let is_key = |it: &Credential| CredentialKey::parse(&it.public_key).is_ok_and(|known| known == key);
    if known.iter().any(|it| it.id == named.id || is_key(it)) {
        return Err(refuse(
            Reason::AlreadyExists,
            "add_passkey.credential: the record has this id or this key already",
        ));
    }
    if known.len() >= CREDENTIALS_MAX {
        return Err(refuse(Reason::TooManyPasskeys, format!("add_passkey: the record has {CREDENTIALS_MAX}")));
    }
    let newcomer = Credential {
        id: named.id.clone(),
        public_key,
        label: named.label.clone(),
        added_ms: scene.now.0,
        backup_eligible: None,
    };
    let authorized = subject.authorize_newcomer(scene, newcomer)?;
    let (mut record, newcomer, intent, consents) = authorized.into_parts();
    let deed = Deed { kind: ActKind::AddPasskey, credential_id: newcomer.id.clone(), ..Deed::default() };
    record.content.credentials.push(Credential { backup_eligible: consents.backup_eligible, ..newcomer });
    finish::<P, R>(scene, record, intent, consents, deed)
}

/// Removes a credential: at once where the policy has no delay or the tenant signs too, else it waits.
pub(super) fn start_removal<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    subject: Subject<'_>,
    action: RemovePasskeyAction,
) -> Result<Moved, Refusal> {
    check_removal(&subject.record, &action.credential_id)?;
    let authorized = subject.authorize(scene, Rule::Policy, action)?;
    let (mut record, action, intent, consents) = authorized.into_parts();
    let delay_seconds = record.policy()?.delay_seconds;
    if delay_seconds == 0 || !consents.tenant_key.is_empty() {
        let deed = remove(&mut record, action.credential_id)?;
        return finish::<P, R>(scene, record, intent, consents, deed);
    }
    let open = OpenAct { credential_id: action.credential_id, ..OpenAct::default() };
    start::<P, R>(scene, record, intent, consents, OpenActKind::PasskeyRemoval, open)
}

/// Takes a credential out of the record.
pub(in crate::work) fn remove(record: &mut Record, id: alloc::vec::Vec<u8>) -> Result<Deed, Refusal> {
    check_removal(record, &id)?;
    record.content.credentials.retain(|it| it.id != id);
    // Else a removal that still waits would take the credential out once more after it came back.
    record.content.open_acts.retain(|it| it.credential_id != id);
    Ok(Deed { kind: ActKind::RemovePasskey, credential_id: id, ..Deed::default() })
}

fn check_removal(record: &Record, id: &[u8]) -> Result<(), Refusal> {
    let known = &record.content.credentials;
    if !known.iter().any(|it| it.id == id) {
        return Err(refuse(Reason::NotFound, "remove_passkey.credential_id: no credential of the record"));
    }
    if known.len() == 1 {
        return Err(refuse(Reason::LastPasskey, "remove_passkey: the last passkey of a record stays"));
    }
    Ok(())
}

/// Changes a label.
pub(super) fn rename<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    subject: Subject<'_>,
    action: RenamePasskeyAction,
) -> Result<Moved, Refusal> {
    credential::check_label(&action.label, "rename_passkey")?;
    if !subject.record.content.credentials.iter().any(|it| it.id == action.credential_id) {
        return Err(refuse(Reason::NotFound, "rename_passkey.credential_id: no credential of the record"));
    }
    let authorized = subject.authorize(scene, Rule::Policy, action)?;
    let (mut record, action, intent, consents) = authorized.into_parts();
    for named in record.content.credentials.iter_mut().filter(|it| it.id == action.credential_id) {
        named.label.clone_from(&action.label);
    }
    let deed = Deed { kind: ActKind::RenamePasskey, credential_id: action.credential_id, ..Deed::default() };
    finish::<P, R>(scene, record, intent, consents, deed)
}
