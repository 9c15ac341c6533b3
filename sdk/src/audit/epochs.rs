//! The attestation documents of an export, each judged at the time when it was made.

use strongroom_attestation::made_at;
use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::{Role, RoleAttestation};

use super::Finding;
use crate::attest;
use crate::error::Error;
use crate::statement::VerifiedStatement;
use crate::trust::Trust;

/// An identity that a document vouches for, under a statement that names its image, its manifest and its keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct AttestedEpoch {
    pub(super) role: Role,
    pub(super) epoch: u64,
    pub(super) identity: ContentHash,
}

/// The identities that hold.
pub(super) fn read(
    attestations: &[RoleAttestation],
    statements: &[VerifiedStatement],
    trust: &Trust,
    findings: &mut Vec<Finding>,
) -> Vec<AttestedEpoch> {
    let mut list = Vec::new();
    for (place, attestation) in (1..).zip(attestations) {
        match accept(attestation, statements, trust) {
            Ok(epoch) => list.push(epoch),
            Err(error) => findings.push(Finding::Attestation { place, error }),
        }
    }
    list
}

/// Images and manifests come and go from one statement to the next: one that accepts the document is enough.
fn accept(
    attestation: &RoleAttestation,
    statements: &[VerifiedStatement],
    trust: &Trust,
) -> Result<AttestedEpoch, Error> {
    let role = attestation.role();
    let at = made_at(&attestation.document)?;
    let mut refused = Error::malformed("attestation", "there is no statement to judge it by");
    for statement in statements.iter().rev() {
        match attest::by_statement(attestation, statement, role, None, trust, at) {
            Ok(attested) => {
                let identity = attested.identity;
                return Ok(AttestedEpoch { role, epoch: identity.epoch, identity: identity.hash });
            }
            // What the newest statement says of it is the most useful.
            Err(error) if statement.serial() == statements.last().map_or(0, VerifiedStatement::serial) => {
                refused = error;
            }
            Err(_) => {}
        }
    }
    Err(refused)
}
