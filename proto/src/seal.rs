//! AAD of everything at rest, infos of HPKE and of the derivations from a KEK.
//!
//! Fixed layouts, big-endian; a text is its length in two bytes and then itself. `tests/golden/` holds one of each.

use alloc::vec::Vec;

use crate::id::{KekId, RecordId, TenantId};
use crate::prefix;
use crate::v1::Role;

/// Format of sealed bytes at rest: this byte ‖ salt (32) ‖ AES-256-GCM ciphertext ‖ tag (16).
pub const SEAL_FORMAT: u8 = 1;

/// What sealed bytes hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum SealKind {
    /// A record; generation 0, no pair.
    Record = 1,
    /// A client share.
    ClientShare = 2,
    /// A custodian share.
    CustodianShare = 3,
}

/// Where sealed bytes belong. Nothing opens anywhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// What the bytes hold.
    pub kind: SealKind,
    /// Whose they are.
    pub tenant: &'a TenantId,
    /// Which enclave keeps them.
    pub role: Role,
    /// The KEK that they are sealed under.
    pub kek_id: &'a KekId,
    /// The wallet.
    pub wallet: &'a str,
    /// The record that the bytes are, or that names them.
    pub record_id: &'a RecordId,
    /// The record's backup.
    pub backup: &'a str,
    /// The share's generation; 0 for a record.
    pub generation: u64,
    /// The share's pair; empty for a record.
    pub pair: &'a str,
}

impl Place<'_> {
    /// The AAD, which is also the info of the key's derivation.
    #[must_use]
    pub fn aad(&self) -> Vec<u8> {
        let mut out = prefix::SEAL.to_vec();
        out.push(self.kind as u8);
        out.push(SEAL_FORMAT);
        out.extend_from_slice(&self.tenant.0);
        out.push(role_byte(self.role));
        out.extend_from_slice(&self.kek_id.0);
        push_text(&mut out, self.wallet);
        out.extend_from_slice(&self.record_id.0);
        push_text(&mut out, self.backup);
        out.extend_from_slice(&self.generation.to_be_bytes());
        push_text(&mut out, self.pair);
        out
    }
}

/// Which way an HPKE message goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Direction {
    /// To an enclave's channel key.
    Request = 1,
    /// From an enclave to a recipient.
    Release = 2,
}

/// HPKE info of a message about one record.
#[must_use]
pub fn hpke_info(direction: Direction, role: Role, tenant: &TenantId, kek_id: &KekId, record_id: &RecordId) -> Vec<u8> {
    let mut out = prefix::HPKE.to_vec();
    out.push(direction as u8);
    out.push(role_byte(role));
    out.extend_from_slice(&tenant.0);
    out.extend_from_slice(&kek_id.0);
    out.extend_from_slice(&record_id.0);
    out
}

/// Info of the derivation of a KEK's id.
#[must_use]
pub fn kek_id_info(tenant: &TenantId, role: Role, epoch: u64) -> Vec<u8> {
    derivation_info(prefix::KEK_ID, tenant, role, epoch)
}

/// Info of the derivation of an epoch's HPKE seed.
#[must_use]
pub fn channel_key_info(tenant: &TenantId, role: Role, epoch: u64, kek_id: &KekId) -> Vec<u8> {
    let mut out = derivation_info(prefix::CHANNEL_KEY, tenant, role, epoch);
    out.extend_from_slice(&kek_id.0);
    out
}

/// Info of the derivation of an epoch's Ed25519 seed.
#[must_use]
pub fn receipt_key_info(tenant: &TenantId, role: Role, epoch: u64, kek_id: &KekId) -> Vec<u8> {
    let mut out = derivation_info(prefix::RECEIPT_KEY, tenant, role, epoch);
    out.extend_from_slice(&kek_id.0);
    out
}

fn derivation_info(prefix: &[u8], tenant: &TenantId, role: Role, epoch: u64) -> Vec<u8> {
    let mut out = prefix.to_vec();
    out.extend_from_slice(&tenant.0);
    out.push(role_byte(role));
    out.extend_from_slice(&epoch.to_be_bytes());
    out
}

fn role_byte(role: Role) -> u8 {
    match role {
        Role::Unspecified => 0,
        Role::Client => 1,
        Role::Custodian => 2,
    }
}

/// Ids are at most 64 bytes where they enter; a longer text would be cut here in its length only, and so still differ.
fn push_text(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
