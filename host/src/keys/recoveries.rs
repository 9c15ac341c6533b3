//! Keys of the recoveries of a wallet: each by the hash of the intent that started it, and its place among them.

use strongroom_proto::id::TenantId;

use super::{Key, Kind, Name};

/// Start of the keys of a wallet's recoveries.
#[must_use]
pub fn recoveries(tenant: &TenantId, wallet: &Name) -> Key {
    Key::new(Kind::Recovery).fixed(&tenant.0).name(wallet)
}

/// A recovery, by the hash of the intent that started it.
#[must_use]
pub fn recovery(tenant: &TenantId, wallet: &Name, intent: &[u8; 32]) -> Key {
    recoveries(tenant, wallet).fixed(intent)
}

/// Start of the keys of the places of a wallet's recoveries, the newest first.
#[must_use]
pub fn recovery_places(tenant: &TenantId, wallet: &Name) -> Key {
    Key::new(Kind::RecoveryPlace).fixed(&tenant.0).name(wallet)
}

/// The place of the recovery that was the wallet's `ordinal`th.
#[must_use]
pub fn recovery_place(tenant: &TenantId, wallet: &Name, ordinal: u64) -> Key {
    recovery_places(tenant, wallet).number(u64::MAX - ordinal)
}

/// Reads the ordinal of what [`recovery_place`] wrote, behind the prefix of [`recovery_places`].
#[must_use]
pub fn parse_recovery_place(prefix: &Key, key: &[u8]) -> Option<u64> {
    let number = key.strip_prefix(prefix.bytes())?.try_into().ok().map(u64::from_be_bytes)?;
    Some(u64::MAX - number)
}
