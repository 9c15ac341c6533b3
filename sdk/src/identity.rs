//! Identities: one epoch of a tenant in an enclave, read from what an accepted attestation document vouches for.
//!
//! Takes plain values of the document, which `attest` took out of one that the policy accepts. Believes nothing else of the host.

use ring::digest::{SHA384, digest};
use strongroom_attestation::Pcr;
use strongroom_proto::id::{ContentHash, KekId, TenantId};
use strongroom_proto::limits::{CHANNEL_KEY_BYTES, MANIFEST_BYTES_MAX};
use strongroom_proto::v1::{Identity, Manifest, Role};
use strongroom_proto::{canonical, signed};

use crate::error::{Error, array, expect, expect_bytes};
use crate::role::role_name;
use crate::statement::VerifiedStatement;

/// Longest encoded identity in bytes: the manifest, the channel key and the fixed fields.
pub const IDENTITY_BYTES_MAX: usize = MANIFEST_BYTES_MAX + 2 * 1024;

const PART: &str = "identity";

/// What an accepted attestation document says, as far as an identity needs it.
#[derive(Clone, Copy, Debug)]
pub struct Vouched<'a> {
    /// `user_data`.
    pub user_data: Option<&'a [u8]>,
    /// `public_key`: present in documents for KMS, which are no identities.
    pub public_key: Option<&'a [u8]>,
    /// `nonce`.
    pub nonce: Option<&'a [u8]>,
    /// PCR16.
    pub pcr16: Option<&'a Pcr>,
}

/// One epoch of a tenant in a role, as an attested enclave holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleIdentity {
    /// Whose it is.
    pub tenant: TenantId,
    /// The role.
    pub role: Role,
    /// The epoch's number.
    pub epoch: u64,
    /// The id of its KEK.
    pub kek_id: KekId,
    /// HPKE X-Wing public key that shares are sealed to, 1,216 bytes.
    pub channel_key: Vec<u8>,
    /// Ed25519 public key that signs views and receipts.
    pub receipt_key: [u8; 32],
    /// What the deployment is: KMS key, region, release.
    pub manifest: Manifest,
    /// PCR16 as the manifest makes it.
    pub pcr16: Pcr,
    /// Hash of the identity, as receipts name it.
    pub hash: ContentHash,
}

/// PCR16 after a manifest, on a PCR that was zero: SHA-384(48 zero bytes ‖ SHA-384(manifest)).
#[must_use]
pub fn manifest_pcr16(manifest: &[u8]) -> Pcr {
    let measured = digest(&SHA384, manifest);
    let extended = digest(&SHA384, &[&[0; 48], measured.as_ref()].concat());
    let mut pcr = [0; 48];
    pcr.copy_from_slice(extended.as_ref());
    pcr
}

/// Reads an identity that a document vouches for. `nonce` is checked where the caller sent one for this very document.
///
/// # Errors
/// [`Error::Malformed`], [`Error::Mismatch`] or [`Error::DevelopmentManifest`], each for the first rule broken.
pub fn check(
    identity: &[u8],
    vouched: &Vouched<'_>,
    nonce: Option<&[u8]>,
    development: bool,
) -> Result<RoleIdentity, Error> {
    const DOCUMENT: &str = "attestation document";
    let hash = signed::identity_hash(identity);
    expect_bytes(DOCUMENT, "user_data", vouched.user_data.unwrap_or_default(), hash)?;
    expect_bytes(DOCUMENT, "public_key", vouched.public_key.unwrap_or_default(), [])?;
    if let Some(nonce) = nonce {
        expect_bytes(DOCUMENT, "nonce", vouched.nonce.unwrap_or_default(), nonce)?;
    }
    let fields: Identity = canonical::decode(identity, IDENTITY_BYTES_MAX).map_err(|e| Error::malformed(PART, e))?;
    let pcr16 = manifest_pcr16(&fields.manifest);
    let locked =
        vouched.pcr16.ok_or_else(|| Error::malformed(DOCUMENT, "it has no PCR16: no manifest was measured"))?;
    expect_bytes(DOCUMENT, "PCR16", locked, pcr16)?;
    let manifest = check_manifest(&fields, development)?;
    if fields.channel_key.len() != CHANNEL_KEY_BYTES {
        return Err(Error::malformed(PART, format_args!("channel_key has not {CHANNEL_KEY_BYTES} bytes")));
    }
    if fields.epoch == 0 {
        return Err(Error::malformed(PART, "epoch is 0; the first is 1"));
    }
    Ok(RoleIdentity {
        tenant: TenantId(array(PART, "tenant", &fields.tenant)?),
        role: fields.role(),
        epoch: fields.epoch,
        kek_id: KekId(array(PART, "kek_id", &fields.kek_id)?),
        receipt_key: array(PART, "receipt_key", &fields.receipt_key)?,
        channel_key: fields.channel_key,
        manifest,
        pcr16,
        hash,
    })
}

fn check_manifest(identity: &Identity, development: bool) -> Result<Manifest, Error> {
    let manifest: Manifest = canonical::decode(&identity.manifest, MANIFEST_BYTES_MAX)
        .map_err(|error| Error::malformed("manifest", error))?;
    let role = Role::try_from(identity.role).unwrap_or_default();
    if role == Role::Unspecified {
        return Err(Error::malformed(PART, format_args!("role {} is unknown", identity.role)));
    }
    expect("manifest", "role", role_name(manifest.role()), role_name(role))?;
    expect("manifest", "release", manifest.release, identity.release)?;
    if manifest.development.is_some() && !development {
        return Err(Error::DevelopmentManifest);
    }
    Ok(manifest)
}

impl RoleIdentity {
    /// Checks that this is what the statement says of the role's epoch.
    ///
    /// # Errors
    /// [`Error::Mismatch`] names the field, [`Error::RoleNotInStatement`] and [`Error::EpochNotInStatement`] say what is not signed.
    pub fn check_statement(&self, statement: &VerifiedStatement, role: Role) -> Result<(), Error> {
        expect(PART, "tenant", self.tenant, statement.tenant())?;
        expect(PART, "role", role_name(self.role), role_name(role))?;
        let keys = statement.epoch(role, self.epoch)?;
        expect(PART, "kek_id", self.kek_id, keys.kek_id)?;
        expect(PART, "channel key hash", ContentHash::of(&self.channel_key), keys.channel_key_hash)?;
        expect_bytes(PART, "receipt_key", self.receipt_key, keys.receipt_key)
    }

    /// Refuses an epoch that the tenant no longer lets anybody seal to.
    ///
    /// # Errors
    /// [`Error::EpochTooOld`].
    pub fn check_sealable(&self, statement: &VerifiedStatement) -> Result<(), Error> {
        statement.require_in_force(self.role, self.epoch)
    }
}

#[cfg(test)]
mod tests;
