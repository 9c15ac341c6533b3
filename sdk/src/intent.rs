//! Intents: one act with all its parameters, built from what was checked. One builder for each act, in its own file.
//!
//! Builds only what the enclave takes, as far as the view tells; signs nothing.

use prost::Message;
use strongroom_attestation::Time;
use strongroom_proto::id::{IntentHash, TenantId};
use strongroom_proto::limits::INTENT_BYTES_MAX;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{Intent, RolePart};

use crate::error::Error;
use crate::random;
use crate::view::Record;

mod creation;
mod passkeys;
mod policy;
mod release;
mod shares;
pub mod shown;
mod waiting;

pub(crate) use creation::check_creation;
pub use creation::{Creation, create_backup, with_client_message};
pub use passkeys::{Newcomer, add_passkey, remove_passkey, rename_passkey};
pub use policy::{ClientPolicy, Delay, TenantConsent, change_policy};
pub use release::{recover, rehearse, start_recovery};
pub use shares::put_shares;
pub use waiting::{cancel, carry_out, delete_backup};

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

/// What an act on an existing record says to its role.
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

/// An act on a record that brings no message and releases nothing.
fn plain(base: &Base<'_>, record: &Record, action: Action) -> Result<EncodedIntent, Error> {
    EncodedIntent::new(start(base, part_of(record), action)?)
}

#[cfg(test)]
mod tests;
