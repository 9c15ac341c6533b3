//! The form of a tenant statement: what devices and enclaves must find alike before they believe one.
//!
//! Looks at the fields only. Whose statement it is, its signature and its serial are for the caller to judge.

use core::fmt;

use crate::canonical::{self, NotCanonical};
use crate::limits::{
    EPOCHS_MAX, IMAGES_MAX, MPC_RECIPIENTS_MAX, OPERATIONAL_KEY_MS_MAX, OPERATIONAL_KEYS_MAX, ORIGIN_BYTES_MAX,
    ORIGINS_MAX, PCR16_MAX, STATEMENT_BYTES_MAX,
};
use crate::v1::{Epoch, Role, RoleStatement, Statement};

mod origin;

pub use origin::{is_origin, is_rp_id, is_web_origin};

/// Length of a PCR in bytes: SHA-384.
pub const PCR_BYTES: usize = 48;

/// Length of an Ed25519 public key, and of every hash and id, in bytes.
const KEY_BYTES: usize = 32;

/// Why a statement is not to be read. Fields have their names of `statement.proto`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BadStatement {
    /// The bytes are not its canonical encoding, or longer than 32 KiB.
    NotCanonical(NotCanonical),
    /// The serial is 0.
    Serial,
    /// The root key is the standby key too, or one of them is an operational key.
    KeyReused,
    /// A field that has not `bytes` bytes.
    Length {
        /// Its name.
        field: &'static str,
        /// The length that it must have.
        bytes: usize,
    },
    /// A list with fewer than `min` or more than `max` entries.
    Count {
        /// Its name.
        field: &'static str,
        /// The fewest allowed.
        min: usize,
        /// The most allowed.
        max: usize,
    },
    /// A list that is not sorted ascending, or has an entry twice.
    Order {
        /// Its name.
        field: &'static str,
    },
    /// A PCR is all zero: an enclave in debug mode, or nothing measured.
    ZeroPcr {
        /// Which one.
        field: &'static str,
    },
    /// An operational key that ends before it begins, or lives longer than 90 days.
    KeyLife,
    /// Neither role is present.
    NoRole,
    /// An epoch has the number 0.
    EpochZero,
    /// `lowest_epoch` is not among the epochs.
    LowestEpoch,
    /// The relying party id is no lower-case domain of at most 253 bytes.
    RpId,
    /// An origin has none of the forms that a browser or Android gives.
    Origin {
        /// The list that it stands in.
        field: &'static str,
    },
}

impl fmt::Display for BadStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCanonical(error) => write!(f, "{error}"),
            Self::Serial => f.write_str("serial is 0; the first is 1"),
            Self::KeyReused => f.write_str("root_key, standby_key and operational_keys are not different keys"),
            Self::Length { field, bytes } => write!(f, "{field} has not {bytes} bytes"),
            Self::Count { field, min, max } => write!(f, "{field} has not {min} to {max} entries"),
            Self::Order { field } => write!(f, "{field} is not sorted, or has an entry twice"),
            Self::ZeroPcr { field } => write!(f, "{field} is all zero"),
            Self::KeyLife => f.write_str("operational_keys has a key that is not valid for 1 ms to 90 days"),
            Self::NoRole => f.write_str("neither client nor custodian is present"),
            Self::EpochZero => f.write_str("epochs has the number 0; the first is 1"),
            Self::LowestEpoch => f.write_str("lowest_epoch is not among the epochs"),
            Self::RpId => write!(f, "rp_id is not a lower-case domain of at most {ORIGIN_BYTES_MAX} bytes"),
            Self::Origin { field } => write!(
                f,
                "{field} has an entry that is not https://HOST[:PORT], http://localhost[:PORT] or \
                 (in origins) android:apk-key-hash:HASH"
            ),
        }
    }
}

impl core::error::Error for BadStatement {}

/// Decodes a statement, refusing every encoding but one, and checks its form with [`check`].
///
/// # Errors
/// [`BadStatement`] names the first rule broken.
pub fn decode(bytes: &[u8]) -> Result<Statement, BadStatement> {
    let statement = canonical::decode(bytes, STATEMENT_BYTES_MAX).map_err(BadStatement::NotCanonical)?;
    check(&statement)?;
    Ok(statement)
}

/// Checks every rule of `statement.proto` that needs nothing but the statement: lengths, counts, order, key life, epochs,
/// PCRs that are not zero, the forms of relying party id and origins.
///
/// # Errors
/// [`BadStatement`] names the first rule broken.
pub fn check(statement: &Statement) -> Result<(), BadStatement> {
    length("root_key", &statement.root_key, KEY_BYTES)?;
    length("standby_key", &statement.standby_key, KEY_BYTES)?;
    if statement.root_key == statement.standby_key {
        return Err(BadStatement::KeyReused);
    }
    if statement.serial == 0 {
        return Err(BadStatement::Serial);
    }
    check_operational_keys(statement)?;
    check_images(statement)?;
    if statement.client.is_none() && statement.custodian.is_none() {
        return Err(BadStatement::NoRole);
    }
    for role in [&statement.client, &statement.custodian].into_iter().flatten() {
        check_role(role)?;
    }
    count("mpc_recipients", statement.mpc_recipients.len(), 0, MPC_RECIPIENTS_MAX)?;
    for recipient in &statement.mpc_recipients {
        length("mpc_recipients", recipient, KEY_BYTES)?;
    }
    sorted("mpc_recipients", &statement.mpc_recipients)?;
    check_web(statement)
}

/// What the statement says of `role`; `None` where the tenant does not use it.
#[must_use]
pub fn role(statement: &Statement, role: Role) -> Option<&RoleStatement> {
    match role {
        Role::Client => statement.client.as_ref(),
        Role::Custodian => statement.custodian.as_ref(),
        Role::Unspecified => None,
    }
}

/// The epoch of a role with this number.
#[must_use]
pub fn epoch(role: &RoleStatement, number: u64) -> Option<&Epoch> {
    role.epochs.iter().find(|epoch| epoch.epoch == number)
}

fn check_operational_keys(statement: &Statement) -> Result<(), BadStatement> {
    let field = "operational_keys";
    count(field, statement.operational_keys.len(), 0, OPERATIONAL_KEYS_MAX)?;
    for entry in &statement.operational_keys {
        length(field, &entry.key, KEY_BYTES)?;
        if entry.key == statement.root_key || entry.key == statement.standby_key {
            return Err(BadStatement::KeyReused);
        }
        let life = entry.not_after_ms.checked_sub(entry.not_before_ms);
        if !life.is_some_and(|life| (1..=OPERATIONAL_KEY_MS_MAX).contains(&life)) {
            return Err(BadStatement::KeyLife);
        }
    }
    sorted(field, statement.operational_keys.iter().map(|entry| &entry.key))
}

fn check_images(statement: &Statement) -> Result<(), BadStatement> {
    count("images", statement.images.len(), 1, IMAGES_MAX)?;
    for image in &statement.images {
        pcr("images.pcr0", &image.pcr0)?;
        pcr("images.pcr1", &image.pcr1)?;
        pcr("images.pcr2", &image.pcr2)?;
    }
    sorted("images", statement.images.iter().map(|image| &image.pcr0))
}

fn check_role(role: &RoleStatement) -> Result<(), BadStatement> {
    count("pcr16", role.pcr16.len(), 1, PCR16_MAX)?;
    for value in &role.pcr16 {
        pcr("pcr16", value)?;
    }
    sorted("pcr16", &role.pcr16)?;
    count("epochs", role.epochs.len(), 1, EPOCHS_MAX)?;
    for epoch in &role.epochs {
        if epoch.epoch == 0 {
            return Err(BadStatement::EpochZero);
        }
        length("epochs.kek_id", &epoch.kek_id, KEY_BYTES)?;
        length("epochs.channel_key_hash", &epoch.channel_key_hash, KEY_BYTES)?;
        length("epochs.receipt_key", &epoch.receipt_key, KEY_BYTES)?;
    }
    sorted("epochs", role.epochs.iter().map(|epoch| epoch.epoch))?;
    epoch(role, role.lowest_epoch).map(|_| ()).ok_or(BadStatement::LowestEpoch)
}

fn check_web(statement: &Statement) -> Result<(), BadStatement> {
    if !is_rp_id(&statement.rp_id) {
        return Err(BadStatement::RpId);
    }
    count("origins", statement.origins.len(), 1, ORIGINS_MAX)?;
    count("top_origins", statement.top_origins.len(), 0, ORIGINS_MAX)?;
    if !statement.origins.iter().all(|origin| is_origin(origin)) {
        return Err(BadStatement::Origin { field: "origins" });
    }
    if !statement.top_origins.iter().all(|origin| is_web_origin(origin)) {
        return Err(BadStatement::Origin { field: "top_origins" });
    }
    sorted("origins", &statement.origins)?;
    sorted("top_origins", &statement.top_origins)
}

fn length(field: &'static str, value: &[u8], bytes: usize) -> Result<(), BadStatement> {
    if value.len() == bytes { Ok(()) } else { Err(BadStatement::Length { field, bytes }) }
}

fn pcr(field: &'static str, value: &[u8]) -> Result<(), BadStatement> {
    length(field, value, PCR_BYTES)?;
    if value.iter().all(|byte| *byte == 0) { Err(BadStatement::ZeroPcr { field }) } else { Ok(()) }
}

fn count(field: &'static str, len: usize, min: usize, max: usize) -> Result<(), BadStatement> {
    if (min..=max).contains(&len) { Ok(()) } else { Err(BadStatement::Count { field, min, max }) }
}

/// Strictly ascending, so that a list has one order only and no entry twice.
fn sorted<T: Ord>(field: &'static str, entries: impl IntoIterator<Item = T>) -> Result<(), BadStatement> {
    let mut before = None;
    for entry in entries {
        if before.as_ref().is_some_and(|before| *before >= entry) {
            return Err(BadStatement::Order { field });
        }
        before = Some(entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
