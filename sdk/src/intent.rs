//! Intents: one act with all its parameters, built from what was checked.
//!
//! Builds only what the enclave takes; signs nothing.

use prost::Message;
use strongroom_attestation::Time;
use strongroom_proto::id::{ContentHash, IntentHash, RecordId, TenantId};
use strongroom_proto::limits::{INTENT_BYTES_MAX, PAIRS_MAX};
use strongroom_proto::names::{is_id, is_label, is_method};
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{
    CreateBackupAction, CredentialRef, Curve, Intent, NewCredential, Pair, Policy, RecoverAction, RehearseAction,
    RolePart, SecretKind,
};

use crate::error::Error;
use crate::random;
use crate::view::Record;

/// How long an intent may be carried out, counted from the enclave's time in the view: 10 minutes.
pub const INTENT_LIFE_MS: u64 = 10 * 60 * 1000;

/// What every intent says first.
#[derive(Clone, Copy, Debug)]
pub struct Base<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The wallet.
    pub wallet: &'a str,
    /// Serial of the statement that the device checked.
    pub statement_serial: u64,
    /// The enclave's time.
    pub enclave_time: Time,
}

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
    pub policy: Policy,
    /// The first credential.
    pub credential: NewCredential,
    /// What the user calls that credential.
    pub label: String,
}

/// An intent in its one encoding.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedIntent {
    /// Its fields.
    pub intent: Intent,
    /// Its bytes, as they are signed and sent.
    pub bytes: Vec<u8>,
    /// The WebAuthn challenge.
    pub hash: IntentHash,
}

impl EncodedIntent {
    /// Encodes an intent.
    ///
    /// # Errors
    /// [`Error::Input`] where it is longer than 4 KiB.
    pub fn new(intent: Intent) -> Result<Self, Error> {
        let bytes = intent.encode_to_vec();
        if bytes.len() > INTENT_BYTES_MAX {
            return Err(Error::input(
                "intent",
                format!("has {} bytes; at most {INTENT_BYTES_MAX} are allowed", bytes.len()),
            ));
        }
        let hash = strongroom_proto::intent::hash(&bytes);
        Ok(Self { intent, bytes, hash })
    }
}

/// A creation in the client role, whose message is not sealed yet, and the record that it will make.
///
/// # Errors
/// [`Error::Input`] names the field and its limit.
pub fn create_backup(base: &Base<'_>, creation: &Creation) -> Result<(Intent, RecordId), Error> {
    check_creation(creation)?;
    let mut pairs = creation.pairs.clone();
    pairs.sort_by(|a, b| a.id.cmp(&b.id));
    if !pairs.is_sorted_by(|a, b| a.id < b.id) {
        return Err(Error::input("pairs", "one is there twice"));
    }
    let action = Action::CreateBackup(CreateBackupAction {
        backup: creation.backup.clone(),
        method: creation.method.clone(),
        secret: creation.secret.into(),
        pairs,
        generation: 1,
        client_policy: Some(creation.policy),
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

/// A recovery of one generation from the client role, to one recipient.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn recover(
    base: &Base<'_>,
    record: &Record,
    generation: u64,
    recipient: ContentHash,
) -> Result<EncodedIntent, Error> {
    let part = RolePart { recipient: recipient.0.to_vec(), ..part_of(record) };
    EncodedIntent::new(start(base, part, Action::Recover(RecoverAction { generation }))?)
}

/// A rehearsal of one generation in the client role.
///
/// # Errors
/// As [`EncodedIntent::new`].
pub fn rehearse(base: &Base<'_>, record: &Record, generation: u64) -> Result<EncodedIntent, Error> {
    EncodedIntent::new(start(base, part_of(record), Action::Rehearse(RehearseAction { generation }))?)
}

fn part_of(record: &Record) -> RolePart {
    RolePart { record_id: record.id.0.to_vec(), head: record.head.0.to_vec(), ..RolePart::default() }
}

fn start(base: &Base<'_>, client: RolePart, action: Action) -> Result<Intent, Error> {
    Ok(Intent {
        tenant: base.tenant.0.to_vec(),
        wallet: base.wallet.to_owned(),
        statement_serial: base.statement_serial,
        client: Some(client),
        custodian: None,
        not_after_ms: base.enclave_time.unix_ms().saturating_add(INTENT_LIFE_MS),
        nonce: random::bytes::<32>()?.to_vec(),
        action: Some(action),
    })
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
    if !is_label(&creation.label) {
        return Err(Error::input("label", "more than 64 bytes, or with a control character"));
    }
    if !(1..=PAIRS_MAX).contains(&creation.pairs.len()) {
        return Err(Error::input("pairs", format!("{} are given; 1 to {PAIRS_MAX} are allowed", creation.pairs.len())));
    }
    if let Some(pair) = creation.pairs.iter().find(|pair| !is_id(&pair.id) || pair.curve() == Curve::Unspecified) {
        return Err(Error::input("pairs", format!("{:?} is no id of [A-Za-z0-9._-] with a known curve", pair.id)));
    }
    if !creation.policy.passkey {
        return Err(Error::input("policy", "a client share always needs a passkey"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
