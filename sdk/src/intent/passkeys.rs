//! Passkeys of a record: added, removed, renamed.

use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::{CREDENTIAL_ID_BYTES_MAX, CREDENTIAL_KEY_BYTES_MAX};
use strongroom_proto::names::is_label;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{AddPasskeyAction, CredentialRef, NewCredential, RemovePasskeyAction, RenamePasskeyAction};

use super::{Base, EncodedIntent, plain};
use crate::error::Error;
use crate::view::{Backup, Credential};

/// A passkey that is to be added: its registration, in the lengths that the enclave takes, and what the user calls it.
#[derive(Clone, Debug, PartialEq)]
pub struct Newcomer {
    credential: NewCredential,
    label: String,
}

impl Newcomer {
    /// Takes a registration and a label.
    ///
    /// # Errors
    /// [`Error::Input`] names the field and its limit.
    pub fn new(credential: NewCredential, label: &str) -> Result<Self, Error> {
        check_label(label)?;
        for (field, bytes, max) in [
            ("credential id", credential.id.len(), CREDENTIAL_ID_BYTES_MAX),
            ("credential key", credential.public_key.len(), CREDENTIAL_KEY_BYTES_MAX),
        ] {
            if !(1..=max).contains(&bytes) {
                return Err(Error::input(field, format!("has {bytes} bytes; 1 to {max} are allowed")));
            }
        }
        Ok(Self { credential, label: label.to_owned() })
    }

    /// Its registration.
    #[must_use]
    pub fn credential(&self) -> &NewCredential {
        &self.credential
    }

    /// What the user calls it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How an intent names it.
    #[must_use]
    pub fn reference(&self) -> CredentialRef {
        CredentialRef {
            id: self.credential.id.clone(),
            key_hash: ContentHash::of(&self.credential.public_key).0.to_vec(),
            label: self.label.clone(),
        }
    }
}

/// The addition of a credential: signed by one that is there, and over the same bytes by the one that is added.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn add_passkey<'a>(
    base: &Base<'_>,
    backup: impl Into<Backup<'a>>,
    newcomer: &Newcomer,
) -> Result<EncodedIntent, Error> {
    plain(base, backup.into(), Action::AddPasskey(AddPasskeyAction { credential: Some(newcomer.reference()) }))
}

/// The removal of a credential that the view lists.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn remove_passkey<'a>(
    base: &Base<'_>,
    backup: impl Into<Backup<'a>>,
    credential: &Credential,
) -> Result<EncodedIntent, Error> {
    plain(base, backup.into(), Action::RemovePasskey(RemovePasskeyAction { credential_id: credential.id.clone() }))
}

/// Another label for a credential that the view lists.
///
/// # Errors
/// [`Error::Input`], or as [`EncodedIntent::new`].
pub fn rename_passkey<'a>(
    base: &Base<'_>,
    backup: impl Into<Backup<'a>>,
    credential: &Credential,
    label: &str,
) -> Result<EncodedIntent, Error> {
    check_label(label)?;
    let action = RenamePasskeyAction { credential_id: credential.id.clone(), label: label.to_owned() };
    plain(base, backup.into(), Action::RenamePasskey(action))
}

/// Refuses a label that must not be shown.
pub(super) fn check_label(label: &str) -> Result<(), Error> {
    if is_label(label) {
        return Ok(());
    }
    Err(Error::input("label", "more than 64 bytes, or with a control character"))
}
