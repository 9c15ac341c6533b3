//! The creation of a backup.

use strongroom_proto::id::{ContentHash, RecordId};
use strongroom_proto::names::{is_id, is_method};
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{CreateBackupAction, CredentialRef, Intent, NewCredential, Pair, Policy, Role, SecretKind};

use super::passkeys::check_label;
use super::shares::sorted_pairs;
use super::{Base, ClientPolicy, CustodianPolicy, EncodedIntent, Parts, start};
use crate::error::Error;

/// What a new backup is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Creation {
    /// Its id, unique in the wallet.
    pub backup: String,
    /// Its method, such as PASSKEY.
    pub method: String,
    /// What the client role keeps.
    pub secret: SecretKind,
    /// Its pairs, in any order.
    pub pairs: Vec<Pair>,
    /// What a release from the client role needs.
    pub policy: ClientPolicy,
    /// What a release from the custodian role needs; `None`: the backup is in the client role alone.
    pub custodian: Option<CustodianPolicy>,
    /// The first credential.
    pub credential: NewCredential,
    /// What the user calls that credential.
    pub label: String,
}

impl Creation {
    /// The roles that it makes a record in.
    pub(crate) fn roles(&self) -> impl Iterator<Item = Role> + use<> {
        [Role::Client].into_iter().chain(self.custodian.map(|_| Role::Custodian))
    }
}

/// What a new backup of the custodian role alone is to be: for methods without a passkey, whose client share the service does not open.
#[derive(Clone, Debug, PartialEq)]
pub struct Alone {
    /// Its id, unique in the wallet.
    pub backup: String,
    /// Its method, such as PASSWORD.
    pub method: String,
    /// Its pairs, in any order.
    pub pairs: Vec<Pair>,
    /// What a release needs. It cannot ask for a passkey.
    pub policy: CustodianPolicy,
}

/// A creation whose messages are not sealed yet, and the record that it will make: in the client role, and in the custodian role too
/// where the creation has a policy for it.
///
/// # Errors
/// [`Error::Input`] names the field and its limit.
pub fn create_backup(base: &Base<'_>, creation: &Creation) -> Result<(Intent, RecordId), Error> {
    check_creation(creation)?;
    let action = CreateBackupAction {
        backup: creation.backup.clone(),
        method: creation.method.clone(),
        secret: creation.secret.into(),
        pairs: sorted_pairs(&creation.pairs)?,
        generation: 1,
        client_policy: Some(creation.policy.into()),
        custodian_policy: creation.custodian.map(Into::into),
        credential: Some(CredentialRef {
            id: creation.credential.id.clone(),
            key_hash: ContentHash::of(&creation.credential.public_key).0.to_vec(),
            label: creation.label.clone(),
        }),
    };
    create(base, Parts::new(true, creation.custodian.is_some()), action)
}

/// A creation in the custodian role alone, without a passkey, whose message is not sealed yet, and the record that it will make.
///
/// # Errors
/// [`Error::Input`] names the field and its limit.
pub fn create_alone(base: &Base<'_>, alone: &Alone) -> Result<(Intent, RecordId), Error> {
    check_names(&alone.backup, &alone.method)?;
    let policy = Policy::from(alone.policy);
    if policy.passkey {
        return Err(Error::input("policy", "asks for a passkey, and a backup of the custodian alone has none"));
    }
    let action = CreateBackupAction {
        backup: alone.backup.clone(),
        method: alone.method.clone(),
        secret: SecretKind::Share.into(),
        pairs: sorted_pairs(&alone.pairs)?,
        generation: 1,
        client_policy: None,
        custodian_policy: Some(policy),
        credential: None,
    };
    create(base, Parts::new(false, true), action)
}

fn create(base: &Base<'_>, parts: Parts, action: CreateBackupAction) -> Result<(Intent, RecordId), Error> {
    let intent = start(base, parts, Action::CreateBackup(action))?;
    let record_id = strongroom_proto::intent::record_id(&intent);
    Ok((intent, record_id))
}

/// An intent with the hash of the message sealed for the client role, where it names no other: what the passkey signs.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn with_client_message(intent: Intent, message: &[u8]) -> Result<EncodedIntent, Error> {
    with_messages(intent, Some(ContentHash::of(message)), None)
}

/// An intent with the hash of the message sealed for each role that it names.
///
/// # Errors
/// As [`EncodedIntent::new`]; [`Error::Input`] where the hashes are not one for each role.
pub fn with_messages(
    mut intent: Intent,
    client: Option<ContentHash>,
    custodian: Option<ContentHash>,
) -> Result<EncodedIntent, Error> {
    for (part, hash) in [(&mut intent.client, client), (&mut intent.custodian, custodian)] {
        match (part, hash) {
            (Some(part), Some(hash)) => part.message_hash = hash.0.to_vec(),
            (None, None) => {}
            _ => return Err(Error::input("messages", "not one for each role that the intent names")),
        }
    }
    EncodedIntent::new(intent)
}

pub(crate) fn check_creation(creation: &Creation) -> Result<(), Error> {
    check_names(&creation.backup, &creation.method)?;
    if creation.secret == SecretKind::Unspecified {
        return Err(Error::input("secret", "neither a share nor a key"));
    }
    check_label(&creation.label)?;
    sorted_pairs(&creation.pairs).map(|_| ())
}

/// Refuses a backup's or a method's name that has not its form.
pub(crate) fn check_names(backup: &str, method: &str) -> Result<(), Error> {
    if !is_id(backup) {
        return Err(Error::input("backup", "not 1 to 64 bytes of [A-Za-z0-9._-]"));
    }
    if !is_method(method) {
        return Err(Error::input("method", "not 1 to 32 bytes of [A-Z0-9_-]"));
    }
    Ok(())
}
