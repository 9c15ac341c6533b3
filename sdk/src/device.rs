//! What a device does: prepare, back up, recover, and every other act on a backup; each check before the step that needs it.
//!
//! Seals nothing to a service that was not checked, asks nobody for an act that the enclave would refuse, sends nothing by a passkey
//! that the enclave does not list, and gives out no share before its receipt holds.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use strongroom_attestation::Time;
use strongroom_proto::contents::Share;
use strongroom_proto::id::{IntentHash, TenantId};
use strongroom_proto::limits::{PAIRS_MAX, SHARE_BYTES_MAX};
use strongroom_proto::names::is_id;
use strongroom_proto::v1::{Assertion, Pair, Role, SignedReceipt};

use crate::client::Client;
use crate::error::{Error, expect};
use crate::exchange::Delivery;
use crate::kept::{Keeper, Kept};
use crate::passkey::Passkey;
use crate::prepare::{self, Prepared, Question};
use crate::random;
use crate::receipt::VerifiedReceipt;
use crate::trust::Trust;
use crate::view::Asked;

mod asking;
mod backup;
mod checks;
mod commit;
mod draft;
mod eject;
mod keeping;
mod own;
mod passkeys;
mod policy;
mod put;
mod recover;
mod release;
mod waiting;

pub use asking::{Answer, Consent, TenantBackend};
pub use backup::check_creation;
pub(crate) use backup::check_room_for;
pub(crate) use checks::{check_room, waiting};
pub use checks::{choose, openable, releasable, select};
pub(crate) use draft::check_pairs;
pub use eject::{Eject, EjectKeys};
pub use own::Own;
pub use passkeys::{ADDITION_BYTES_MAX, Addition, Pace};
pub use recover::Recovery;

/// What asks the user for an assertion: the platform's authenticator, or a passkey in a file. `Send`, so that a device's calls are.
pub trait Authenticator: Send {
    /// An assertion over an intent by one of the `allowed` credential ids of `rp_id`, with user verification.
    ///
    /// # Errors
    /// Where the user declines, or none of the credentials is here.
    fn assert(&mut self, rp_id: &str, intent: &IntentHash, allowed: &[&[u8]]) -> Result<Assertion, Error>;
}

/// A software passkey that answers as a page at `origin` would.
#[derive(Debug)]
pub struct PasskeyAt<'a> {
    /// The passkey.
    pub passkey: &'a Passkey,
    /// The origin that it claims to be asked from.
    pub origin: &'a str,
}

impl Authenticator for PasskeyAt<'_> {
    fn assert(&mut self, rp_id: &str, intent: &IntentHash, allowed: &[&[u8]]) -> Result<Assertion, Error> {
        expect("passkey", "relying party", self.passkey.rp_id(), rp_id)?;
        if !allowed.contains(&self.passkey.credential_id()) {
            let credential = hex::encode(self.passkey.credential_id());
            return Err(Error::WrongPasskey { credential });
        }
        self.passkey.assert(intent, self.origin)
    }
}

/// A device: a connection through the tenant's backend, the tenant as its only pin, and the root that it trusts.
#[derive(Debug)]
pub struct Device {
    client: Client,
    tenant: TenantId,
    trust: Trust,
    serial: u64,
    backend: Option<Arc<dyn TenantBackend>>,
    keeper: Option<Arc<dyn Keeper>>,
}

/// One role's receipt of an act.
#[derive(Clone, Debug)]
pub struct Receipted {
    /// The role.
    pub role: Role,
    /// What the receipt says.
    pub receipt: VerifiedReceipt,
    /// The receipt, to keep.
    pub signed: SignedReceipt,
}

/// An act that every role which it names has receipted. Where it waits in a role, that role's receipt says until when.
#[derive(Clone, Debug)]
pub struct Acted {
    first: Receipted,
    more: Vec<Receipted>,
}

/// Shares that the client role has released to this device, and what the custodian role has released to its recipient.
#[derive(Debug)]
pub struct Recovered {
    /// The client role's shares, in the order of their pairs' ids.
    pub shares: Vec<Share>,
    /// The pairs with their curves, in the same order.
    pub pairs: Vec<Pair>,
    /// Their generation.
    pub generation: u64,
    /// The receipts.
    pub acted: Acted,
    /// For the MPC server, where the custodian role was named: this device cannot open it.
    pub custodian: Option<Delivery>,
    /// What this device kept was sealed anew: to be kept beside what it brought.
    pub resealed: Option<Kept>,
}

/// Both roles' shares, released to this device.
#[derive(Debug)]
pub struct Ejected {
    /// The client role's shares, in the order of their pairs' ids.
    pub client: Vec<Share>,
    /// The custodian role's, in the same order.
    pub custodian: Vec<Share>,
    /// The pairs with their curves, in the same order.
    pub pairs: Vec<Pair>,
    /// Their generation.
    pub generation: u64,
    /// The receipts.
    pub acted: Acted,
    /// What this device kept was sealed anew: to be kept beside what it brought.
    pub resealed: Option<Kept>,
}

impl Acted {
    /// The receipts of an act: `None` without any.
    pub(crate) fn of(receipts: Vec<Receipted>) -> Option<Self> {
        let mut receipts = receipts.into_iter();
        Some(Self { first: receipts.next()?, more: receipts.collect() })
    }

    /// What the first role's receipt says: the client's, where the act names it.
    #[must_use]
    pub fn receipt(&self) -> &VerifiedReceipt {
        &self.first.receipt
    }

    /// The first role's receipt, to keep.
    #[must_use]
    pub fn signed(&self) -> &SignedReceipt {
        &self.first.signed
    }

    /// Every role's, the client's first.
    pub fn receipts(&self) -> impl Iterator<Item = &Receipted> {
        [&self.first].into_iter().chain(&self.more)
    }
}

impl Device {
    /// A device that trusts AWS's root or what the caller chose in code.
    #[must_use]
    pub fn new(client: Client, tenant: TenantId, trust: Trust) -> Self {
        Self { client, tenant, trust, serial: 0, backend: None, keeper: None }
    }

    /// Refuses statements older than one that this device has seen.
    #[must_use]
    pub fn with_serial(self, serial: u64) -> Self {
        Self { serial, ..self }
    }

    /// Asks this backend for the tenant's signature where a policy needs one.
    #[must_use]
    pub fn with_backend(self, backend: Arc<dyn TenantBackend>) -> Self {
        Self { backend: Some(backend), ..self }
    }

    /// Has this keeper keep the client's part of backups in the host's place, and bring it when it is to be opened.
    #[must_use]
    pub fn with_keeper(self, keeper: Arc<dyn Keeper>) -> Self {
        Self { keeper: Some(keeper), ..self }
    }

    /// Asks the host for what it has of a wallet, with a fresh nonce, and checks the whole answer.
    ///
    /// # Errors
    /// As [`prepare::check`], and [`Error::Refused`].
    pub async fn prepare(&self, wallet: &str) -> Result<Prepared, Error> {
        check_id("wallet", wallet)?;
        let nonce = random::bytes()?;
        let response = self.client.prepare(wallet, &nonce).await?;
        let asked = Asked { wallet, nonce: &nonce, at: now() };
        let question = Question { tenant: self.tenant, serial: self.serial, asked, trust: &self.trust };
        prepare::check(&response, &question)
    }
}

/// The device's clock.
#[must_use]
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Refuses what has not the form of an id, before anything is asked or sent.
///
/// # Errors
/// [`Error::Input`] names the field and the form.
pub fn check_id(field: &'static str, id: &str) -> Result<(), Error> {
    if is_id(id) {
        return Ok(());
    }
    Err(Error::input(field, format!("{id:?} is not 1 to 64 bytes of [A-Za-z0-9._-]")))
}

/// Refuses shares that no backup takes, before anything is asked or sent.
///
/// # Errors
/// [`Error::Input`] names the pair and the limit.
pub fn check_shares(shares: &[Share]) -> Result<(), Error> {
    if !(1..=PAIRS_MAX).contains(&shares.len()) {
        return Err(Error::input("shares", format!("{} are given; 1 to {PAIRS_MAX} are allowed", shares.len())));
    }
    for share in shares {
        check_id("pair", &share.pair)?;
        let bytes = share.bytes.expose().len();
        if !(1..=SHARE_BYTES_MAX).contains(&bytes) {
            let problem = format!("has {bytes} bytes; 1 to {SHARE_BYTES_MAX} are allowed");
            return Err(Error::input(format!("share of pair {}", share.pair), problem));
        }
    }
    Ok(())
}

fn request_id() -> Result<String, Error> {
    Ok(hex::encode(random::bytes::<16>()?))
}

#[cfg(test)]
mod tests;
