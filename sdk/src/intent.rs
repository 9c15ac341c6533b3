//! Intents: one act with all its parameters, built from what was checked. One builder for each act, in its own file.
//!
//! Builds only what the enclave takes, as far as the view tells; signs nothing.

use prost::Message;
use strongroom_attestation::Time;
use strongroom_proto::id::{ContentHash, IntentHash, TenantId};
use strongroom_proto::limits::INTENT_BYTES_MAX;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{Intent, Role, RolePart};

use crate::error::Error;
use crate::random;
use crate::view::{Backup, Record};

mod creation;
mod eject;
mod passkeys;
mod policy;
mod release;
mod shares;
pub mod shown;
mod waiting;

pub use creation::{Alone, Creation, create_alone, create_backup, with_client_message, with_messages};
pub(crate) use creation::{check_creation, check_names};
pub use eject::{EJECT_WINDOW_SECONDS, EjectWindow, open_eject_window};
pub use passkeys::{Newcomer, add_passkey, remove_passkey, rename_passkey};
pub use policy::{ClientPolicy, CustodianPolicy, Delay, Policies, TenantConsent, change_policy};
pub use release::{Purpose, recover, rehearse, release, start_recovery, start_release};
pub use shares::put_shares;
pub(crate) use shares::sorted_pairs;
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

/// Recipients of a release, for the roles that release.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Recipients {
    /// The user's device.
    pub client: Option<ContentHash>,
    /// An MPC recipient of the statement or, in an eject, the user's device.
    pub custodian: Option<ContentHash>,
}

impl Recipients {
    /// The recipient in a role.
    #[must_use]
    pub fn of(&self, role: Role) -> Option<ContentHash> {
        match role {
            Role::Client => self.client,
            Role::Custodian => self.custodian,
            Role::Unspecified => None,
        }
    }
}

/// The client role releases to it; the custodian role is not named.
impl From<ContentHash> for Recipients {
    fn from(client: ContentHash) -> Self {
        Self { client: Some(client), custodian: None }
    }
}

/// What an intent says to each role that it names.
#[derive(Clone, Debug, Default)]
struct Parts {
    client: Option<RolePart>,
    custodian: Option<RolePart>,
}

impl Parts {
    /// Of an act on existing records.
    fn of(backup: Backup<'_>) -> Self {
        let of = |role| backup.record(role).ok().map(part_of);
        Self { client: of(Role::Client), custodian: of(Role::Custodian) }
    }

    /// Of a creation in these roles.
    fn new(client: bool, custodian: bool) -> Self {
        let of = |named: bool| named.then(RolePart::default);
        Self { client: of(client), custodian: of(custodian) }
    }

    /// With the recipient of each role; a release that has none for a role, or one for a role that it does not name, is no release.
    fn to(mut self, recipients: Recipients) -> Result<Self, Error> {
        for (part, recipient) in [(&mut self.client, recipients.client), (&mut self.custodian, recipients.custodian)] {
            match (part, recipient) {
                (Some(part), Some(recipient)) => part.recipient = recipient.0.to_vec(),
                (None, None) => {}
                _ => return Err(Error::input("recipients", "not one for each role that releases")),
            }
        }
        Ok(self)
    }
}

fn part_of(record: &Record) -> RolePart {
    RolePart { record_id: record.id.0.to_vec(), head: record.head.0.to_vec(), ..RolePart::default() }
}

fn start(base: &Base<'_>, parts: Parts, action: Action) -> Result<Intent, Error> {
    Ok(Intent {
        tenant: base.tenant.0.to_vec(),
        wallet: base.wallet.to_owned(),
        statement_serial: base.statement_serial,
        client: parts.client,
        custodian: parts.custodian,
        not_after_ms: base.enclave_time.unix_ms().saturating_add(INTENT_LIFE_MS),
        nonce: random::bytes::<32>()?.to_vec(),
        action: Some(action),
    })
}

/// An act on records that brings no message and releases nothing.
fn plain(base: &Base<'_>, backup: Backup<'_>, action: Action) -> Result<EncodedIntent, Error> {
    EncodedIntent::new(start(base, Parts::of(backup), action)?)
}

#[cfg(test)]
mod tests;
