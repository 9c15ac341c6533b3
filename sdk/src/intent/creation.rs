//! The creation of a backup.

use strongroom_proto::id::{ContentHash, RecordId};
use strongroom_proto::names::{is_id, is_method};
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{CreateBackupAction, CredentialRef, Intent, NewCredential, Pair, RolePart, SecretKind};

use super::passkeys::check_label;
use super::shares::sorted_pairs;
use super::{Base, ClientPolicy, EncodedIntent, start};
use crate::error::Error;

/// What a new backup is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Creation {
    /// Its id, unique in the wallet.
    pub backup: String,
    /// Its method, such as PASSKEY.
    pub method: String,
    /// What it keeps.
    pub secret: SecretKind,
    /// Its pairs, in any order.
    pub pairs: Vec<Pair>,
    /// What a release needs.
    pub policy: ClientPolicy,
    /// The first credential.
    pub credential: NewCredential,
    /// What the user calls that credential.
    pub label: String,
}

/// A creation in the client role, whose message is not sealed yet, and the record that it will make.
///
/// # Errors
/// [`Error::Input`] names the field and its limit.
pub fn create_backup(base: &Base<'_>, creation: &Creation) -> Result<(Intent, RecordId), Error> {
    check_creation(creation)?;
    let pairs = sorted_pairs(&creation.pairs)?;
    let action = Action::CreateBackup(CreateBackupAction {
        backup: creation.backup.clone(),
        method: creation.method.clone(),
        secret: creation.secret.into(),
        pairs,
        generation: 1,
        client_policy: Some(creation.policy.into()),
        custodian_policy: None,
        credential: Some(CredentialRef {
            id: creation.credential.id.clone(),
            key_hash: ContentHash::of(&creation.credential.public_key).0.to_vec(),
            label: creation.label.clone(),
        }),
    });
    let intent = start(base, RolePart::default(), action)?;
    let record_id = strongroom_proto::intent::record_id(&intent);
    Ok((intent, record_id))
}

/// The creation with the hash of the message sealed for the client role: what the passkey signs.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn with_client_message(mut intent: Intent, message: &[u8]) -> Result<EncodedIntent, Error> {
    let part = intent.client.get_or_insert_default();
    part.message_hash = ContentHash::of(message).0.to_vec();
    EncodedIntent::new(intent)
}

pub(crate) fn check_creation(creation: &Creation) -> Result<(), Error> {
    if !is_id(&creation.backup) {
        return Err(Error::input("backup", "not 1 to 64 bytes of [A-Za-z0-9._-]"));
    }
    if !is_method(&creation.method) {
        return Err(Error::input("method", "not 1 to 32 bytes of [A-Z0-9_-]"));
    }
    if creation.secret == SecretKind::Unspecified {
        return Err(Error::input("secret", "neither a share nor a key"));
    }
    check_label(&creation.label)?;
    sorted_pairs(&creation.pairs).map(|_| ())
}
