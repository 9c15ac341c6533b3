//! Capsules: a backup with all that its recovery takes, for whoever is its next host. Read strictly and checked as far as anybody outside
//! an enclave can.
//!
//! Everything rests on the tenant's statement, the receipts' signatures and the attestation of each epoch. What lies sealed is compared
//! with the hashes that receipts name; a share that was sealed anew under a later epoch is named by none. Whether a KEK unwraps and a
//! record opens, only an enclave can tell; and a capsule proves that a backup was so, not that it still is.

use strongroom_proto::canonical;
use strongroom_proto::id::{ContentHash, RecordId, TenantId};
use strongroom_proto::limits::{CIPHERTEXT_BYTES_MAX, GENERATIONS_MAX, PAIRS_MAX, SEALED_SHARE_BYTES_MAX};
use strongroom_proto::names::{is_id, is_method};
use strongroom_proto::v1::{Capsule, Pair, Role, RoleAttestation, SecretKind, SignedStatement, Storage};

use crate::error::{Error, array, expect, expect_bytes};
use crate::identity::RoleIdentity;
use crate::statement::VerifiedStatement;
use crate::trust::Trust;

mod role;

pub use role::{CapsuleGeneration, CapsuleRole};

/// Longest capsule in bytes: every generation of both roles with its shares and ciphertexts, and everything small.
pub const CAPSULE_BYTES_MAX: usize =
    GENERATIONS_MAX * PAIRS_MAX * (2 * SEALED_SHARE_BYTES_MAX + CIPHERTEXT_BYTES_MAX + 512) + 6 * 1024 * 1024;
/// Longest chunk of a capsule on its way in bytes.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;

const FORMAT: u32 = 1;
const PART: &str = "capsule";

/// What a reader brings besides the capsule.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The tenant: the only pin.
    pub tenant: TenantId,
    /// The root of attestation.
    pub trust: &'a Trust,
}

/// A capsule that holds.
#[derive(Clone, Debug)]
pub struct VerifiedCapsule {
    /// The tenant's statement.
    pub statement: VerifiedStatement,
    /// The wallet.
    pub wallet: String,
    /// The backup.
    pub backup: String,
    /// Its method.
    pub method: String,
    /// What the client role keeps.
    pub secret: SecretKind,
    /// Who keeps the client's part.
    pub storage: Storage,
    /// The pairs of the backup.
    pub pairs: Vec<Pair>,
    /// Its record id, the same in every role.
    pub record_id: RecordId,
    /// The roles, the client first.
    pub roles: Vec<CapsuleRole>,
    /// What the device encrypted itself.
    pub ciphertexts: Vec<KeptCiphertext>,
}

/// A ciphertext of the device.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptCiphertext {
    /// Its generation.
    pub generation: u64,
    /// Its pair.
    pub pair: String,
    /// Its length in bytes; `None` where its owner keeps it.
    pub bytes: Option<usize>,
}

/// Reads a capsule and checks all of it.
///
/// # Errors
/// The first check that fails, with the field.
pub fn verify(bytes: &[u8], question: &Question<'_>) -> Result<VerifiedCapsule, Error> {
    verify_with(bytes, question, &|attestation, statement| role::attested(attestation, statement, question.trust))
}

/// What judges an attestation document: gives the identity that it vouches for.
type Attest<'a> = dyn Fn(&RoleAttestation, &VerifiedStatement) -> Result<RoleIdentity, Error> + 'a;

fn verify_with(bytes: &[u8], question: &Question<'_>, attest: &Attest<'_>) -> Result<VerifiedCapsule, Error> {
    let capsule = decode(bytes)?;
    let signed = capsule.statement.as_ref().ok_or_else(|| malformed("it has no statement"))?;
    let statement = VerifiedStatement::verify(signed, question.tenant)?;
    let head = Head::read(&capsule)?;
    let mut roles = Vec::with_capacity(capsule.roles.len());
    for part in &capsule.roles {
        roles.push(role::read(part, &head, &statement, (question.trust, attest))?);
    }
    check_same_puts(&roles)?;
    let ciphertexts = ciphertexts(&capsule, &roles)?;
    let (secret, storage) = (capsule.secret(), capsule.storage());
    let Head { record_id, .. } = head;
    let Capsule { wallet, backup, method, pairs, .. } = capsule;
    Ok(VerifiedCapsule { statement, wallet, backup, method, secret, storage, pairs, record_id, roles, ciphertexts })
}

/// The statement of a capsule that nothing was checked of yet: for a reader without a pin, who is told so.
///
/// # Errors
/// [`Error::Malformed`].
pub fn unverified_statement(bytes: &[u8]) -> Result<SignedStatement, Error> {
    decode(bytes)?.statement.ok_or_else(|| malformed("it has no statement"))
}

fn decode(bytes: &[u8]) -> Result<Capsule, Error> {
    canonical::decode(bytes, CAPSULE_BYTES_MAX).map_err(malformed)
}

/// What every role's part is compared with.
struct Head<'a> {
    wallet: &'a str,
    record_id: RecordId,
    storage: Storage,
}

impl<'a> Head<'a> {
    fn read(capsule: &'a Capsule) -> Result<Self, Error> {
        expect(PART, "format", capsule.format, FORMAT)?;
        for (field, is_good) in [
            ("wallet", is_id(&capsule.wallet)),
            ("backup", is_id(&capsule.backup)),
            ("method", is_method(&capsule.method)),
            ("secret", capsule.secret() != SecretKind::Unspecified),
            ("storage", capsule.storage() != Storage::Unspecified),
        ] {
            if !is_good {
                return Err(malformed(format_args!("its {field} has not the form of one")));
            }
        }
        check_pairs(&capsule.pairs)?;
        let record_id = RecordId(array(PART, "record_id", &capsule.record_id)?);
        let roles: Vec<Role> = capsule.roles.iter().map(strongroom_proto::v1::CapsuleRole::role).collect();
        if roles.is_empty() || roles.contains(&Role::Unspecified) || !roles.is_sorted_by(|a, b| a < b) {
            return Err(malformed("its roles are not client, custodian or both, in this order"));
        }
        if capsule.made_in().ne(roles.iter().copied()) || capsule.made_in.len() != roles.len() {
            return Err(malformed("it was cut short, or lacks a role"));
        }
        Ok(Self { wallet: &capsule.wallet, record_id, storage: capsule.storage() })
    }
}

/// One put reaches both roles with the same pairs.
fn check_same_puts(roles: &[CapsuleRole]) -> Result<(), Error> {
    let [client, custodian] = roles else { return Ok(()) };
    for one in &client.generations {
        let other = custodian.generations.iter().find(|other| other.put_intent == one.put_intent);
        if other.is_some_and(|other| other.number != one.number || other.pairs != one.pairs) {
            return Err(malformed(format_args!("generation {} is another one in the custodian role", one.number)));
        }
    }
    Ok(())
}

/// What the device encrypted itself: for every pair of every generation, or for none.
fn ciphertexts(capsule: &Capsule, roles: &[CapsuleRole]) -> Result<Vec<KeptCiphertext>, Error> {
    let mut list = Vec::with_capacity(capsule.ciphertexts.len());
    for it in &capsule.ciphertexts {
        let ciphertext = it.ciphertext.as_ref().ok_or_else(|| malformed("a ciphertext is missing"))?;
        let bytes = ciphertext.ciphertext.len();
        array::<32>(PART, "a ciphertext's SHA-256", &ciphertext.sha256)?;
        if (bytes == 0) != (capsule.storage() == Storage::SelfManaged) || bytes > CIPHERTEXT_BYTES_MAX {
            return Err(malformed("a ciphertext is not where its storage says, or too long"));
        }
        if bytes > 0 {
            let hash = ContentHash::of(&ciphertext.ciphertext);
            expect_bytes(PART, "ciphertext's SHA-256", &ciphertext.sha256, hash)?;
        }
        let (generation, pair) = (it.generation, ciphertext.pair.clone());
        list.push(KeptCiphertext { generation, pair, bytes: Some(bytes).filter(|bytes| *bytes > 0) });
    }
    let is_escrow = capsule.secret() == SecretKind::Key;
    let is_alone = roles.iter().all(|role| role.role == Role::Custodian);
    if !list.is_empty() && !is_escrow && !is_alone {
        return Err(malformed("it has ciphertexts, and an enclave keeps the client share"));
    }
    let keeper = roles.first().map(|role| role.generations.as_slice()).unwrap_or_default();
    let expected = keeper.iter().flat_map(|it| it.pairs.iter().map(move |pair| (it.number, pair.id.as_str())));
    if !list.is_empty() && !list.iter().map(|it| (it.generation, it.pair.as_str())).eq(expected) {
        return Err(malformed("its ciphertexts are not one of each pair of each generation, in their order"));
    }
    Ok(list)
}

fn check_pairs(pairs: &[Pair]) -> Result<(), Error> {
    if crate::intent::sorted_pairs(pairs).is_ok_and(|sorted| sorted == pairs) {
        return Ok(());
    }
    Err(malformed("its pairs are not 1 to 4 of known curves, in the order of their ids"))
}

fn malformed(reason: impl std::fmt::Display) -> Error {
    Error::malformed(PART, reason)
}

#[cfg(test)]
mod tests;
