//! Tenant statements: the check against the one pin that a device carries, and the signature.
//!
//! Believes nothing that is not signed by the pinned tenant's root or standby key. Keeps no memory of serials: the caller says
//! which it has seen.

use strongroom_attestation::{Image, ImagePolicy, Pcr, Time};
use strongroom_proto::id::{ContentHash, KekId, TenantId};
use strongroom_proto::statement as form;
use strongroom_proto::v1::{OperationalKey, Role, RoleStatement, SignedStatement, Statement};
use strongroom_proto::{prefix, signed};

use prost::Message;

use crate::error::{Error, array};
use crate::keys::SigningKey;
use crate::role::role_name;

/// A statement that the pinned tenant signed and that keeps every rule of `statement.proto`.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedStatement {
    tenant: TenantId,
    statement: Statement,
    by_standby: bool,
}

/// What a statement says of one epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EpochKeys {
    /// The id of its KEK.
    pub kek_id: KekId,
    /// SHA-256 of its channel key.
    pub channel_key_hash: ContentHash,
    /// The Ed25519 public key that signs its views and receipts.
    pub receipt_key: [u8; 32],
}

impl VerifiedStatement {
    /// Checks a statement against the caller's pin: form, tenant id from both keys, signature by one of them.
    ///
    /// # Errors
    /// [`Error::Statement`], [`Error::ForeignStatement`] or [`Error::Signature`].
    pub fn verify(signed: &SignedStatement, pinned: TenantId) -> Result<Self, Error> {
        let statement = form::decode(&signed.statement).map_err(Error::Statement)?;
        let tenant = TenantId::of(&statement.root_key, &statement.standby_key);
        if tenant != pinned {
            return Err(Error::ForeignStatement { found: tenant, pinned });
        }
        let holds = |key: &[u8]| signed::verify(prefix::STATEMENT, &signed.statement, key, &signed.signature).is_ok();
        let by_standby = !holds(&statement.root_key);
        if by_standby && !holds(&statement.standby_key) {
            return Err(Error::Signature { part: "statement" });
        }
        Ok(Self { tenant, statement, by_standby })
    }

    /// Refuses a statement older than one that the caller has seen.
    ///
    /// # Errors
    /// [`Error::StatementTooOld`].
    pub fn require_at_least(&self, serial: u64) -> Result<(), Error> {
        if self.serial() >= serial {
            return Ok(());
        }
        Err(Error::StatementTooOld { found: self.serial(), needed: serial })
    }

    /// The tenant, equal to the pin.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Its serial, from 1.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.statement.serial
    }

    /// Whether the standby key signed it, and not the root key.
    #[must_use]
    pub fn is_by_standby(&self) -> bool {
        self.by_standby
    }

    /// Every field.
    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Whether a key signs for the tenant at this time.
    #[must_use]
    pub fn is_operational(&self, key: &[u8], at: Time) -> bool {
        self.operational(at).any(|known| known.key == key)
    }

    /// Whether the tenant can sign at all at this time.
    #[must_use]
    pub fn has_operational_key(&self, at: Time) -> bool {
        self.operational(at).next().is_some()
    }

    fn operational(&self, at: Time) -> impl Iterator<Item = &OperationalKey> {
        let keys = self.statement.operational_keys.iter();
        keys.filter(move |key| (key.not_before_ms..=key.not_after_ms).contains(&at.unix_ms()))
    }

    /// Whether the custodian role may release to this recipient.
    #[must_use]
    pub fn is_mpc_recipient(&self, recipient: &ContentHash) -> bool {
        self.statement.mpc_recipients.iter().any(|listed| *listed == recipient.0)
    }

    /// What it says of a role.
    ///
    /// # Errors
    /// [`Error::RoleNotInStatement`].
    pub fn role(&self, role: Role) -> Result<&RoleStatement, Error> {
        form::role(&self.statement, role).ok_or(Error::RoleNotInStatement { role: role_name(role) })
    }

    /// What it says of one epoch of a role.
    ///
    /// # Errors
    /// [`Error::RoleNotInStatement`] or [`Error::EpochNotInStatement`].
    pub fn epoch(&self, role: Role, number: u64) -> Result<EpochKeys, Error> {
        let epoch = form::epoch(self.role(role)?, number)
            .ok_or(Error::EpochNotInStatement { role: role_name(role), epoch: number })?;
        Ok(EpochKeys {
            kek_id: KekId(array("statement", "kek_id", &epoch.kek_id)?),
            channel_key_hash: ContentHash(array("statement", "channel_key_hash", &epoch.channel_key_hash)?),
            receipt_key: array("statement", "receipt_key", &epoch.receipt_key)?,
        })
    }

    /// Refuses an epoch that the tenant gave up. What was signed under it before still counts as history.
    ///
    /// # Errors
    /// [`Error::RoleNotInStatement`] or [`Error::EpochTooOld`].
    pub fn require_in_force(&self, role: Role, epoch: u64) -> Result<(), Error> {
        let lowest = self.role(role)?.lowest_epoch;
        if epoch >= lowest {
            return Ok(());
        }
        Err(Error::EpochTooOld { role: role_name(role), epoch, lowest })
    }

    /// The images and manifests that it accepts for a role.
    ///
    /// # Errors
    /// [`Error::RoleNotInStatement`].
    pub fn image_policy(&self, role: Role) -> Result<ImagePolicy, Error> {
        let pcr16 = self.role(role)?.pcr16.iter().map(|value| pcr(value)).collect::<Result<Vec<_>, _>>()?;
        Ok(ImagePolicy::new(&self.images()?, &pcr16)?)
    }

    /// The images and manifests that it accepts for any of its roles, for people who look at one document.
    ///
    /// # Errors
    /// None that the checks of [`VerifiedStatement::verify`] leave.
    pub fn any_role_policy(&self) -> Result<ImagePolicy, Error> {
        let roles = [&self.statement.client, &self.statement.custodian].into_iter().flatten();
        let pcr16 = roles.flat_map(|role| &role.pcr16).map(|value| pcr(value)).collect::<Result<Vec<_>, _>>()?;
        Ok(ImagePolicy::new(&self.images()?, &pcr16)?)
    }

    fn images(&self) -> Result<Vec<Image>, Error> {
        let images = self.statement.images.iter();
        images
            .map(|image| Ok(Image { pcr0: pcr(&image.pcr0)?, pcr1: pcr(&image.pcr1)?, pcr2: pcr(&image.pcr2)? }))
            .collect()
    }
}

/// Brings the lists into the order that a statement needs, each entry once.
pub fn sort(statement: &mut Statement) {
    fn tidy<T: Ord>(list: &mut Vec<T>) {
        list.sort_unstable();
        list.dedup();
    }
    statement.operational_keys.sort_by(|a, b| a.key.cmp(&b.key));
    statement.operational_keys.dedup_by(|a, b| a == b);
    statement.images.sort_by(|a, b| a.pcr0.cmp(&b.pcr0));
    statement.images.dedup_by(|a, b| a == b);
    for role in [&mut statement.client, &mut statement.custodian].into_iter().flatten() {
        tidy(&mut role.pcr16);
        role.epochs.sort_by_key(|epoch| epoch.epoch);
        role.epochs.dedup_by(|a, b| a == b);
    }
    tidy(&mut statement.mpc_recipients);
    tidy(&mut statement.origins);
    tidy(&mut statement.top_origins);
}

/// Signs a statement with the tenant's root or standby key, after the same checks that every reader makes.
///
/// # Errors
/// [`Error::Statement`] where it breaks a rule, [`Error::Mismatch`] where the key is neither of the two.
pub fn sign(statement: &Statement, key: &SigningKey) -> Result<SignedStatement, Error> {
    form::check(statement).map_err(Error::Statement)?;
    let bytes = statement.encode_to_vec();
    form::decode(&bytes).map_err(Error::Statement)?;
    let public_key = key.public_key().as_slice();
    if statement.root_key != public_key && statement.standby_key != public_key {
        let expected = format!("{} or {}", hex::encode(&statement.root_key), hex::encode(&statement.standby_key));
        let found = hex::encode(public_key);
        return Err(Error::Mismatch { part: "statement", field: "signing key", found, expected });
    }
    let signature = key.sign(prefix::STATEMENT, &bytes)?;
    Ok(SignedStatement { statement: bytes, signature })
}

fn pcr(value: &[u8]) -> Result<Pcr, Error> {
    array("statement", "a PCR", value)
}

#[cfg(test)]
mod tests;
