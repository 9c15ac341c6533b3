//! Attestation: from a document and the identity beside it to a [`RoleIdentity`] that may be believed.
//!
//! Ties together the document's verifier (signature, chain, time, PCRs) and the checks of `identity`. Never takes a measurement
//! from the host: images come from the statement or from the caller.

use strongroom_attestation::{AttestationError, Attested, Check, Image, ImagePolicy, Time, verify};
use strongroom_proto::canonical;
use strongroom_proto::v1::{Identity, Role, RoleAttestation};

use crate::error::{Error, expect};
use crate::identity::{self, IDENTITY_BYTES_MAX, RoleIdentity, Vouched, manifest_pcr16};
use crate::role::role_name;
use crate::statement::VerifiedStatement;
use crate::trust::Trust;

/// An identity with the checks that its document passed, for a report.
#[derive(Clone, Debug)]
pub struct AttestedIdentity {
    /// The identity.
    pub identity: RoleIdentity,
    /// What was checked of the document, with values.
    pub checks: Vec<Check>,
    /// What its image measures as: one that the caller's policy accepts.
    pub image: Image,
}

/// Checks one role of a host's answer against the statement.
///
/// # Errors
/// The first check that fails, as [`Error::Attestation`] or as [`identity::check`] and [`RoleIdentity::check_statement`] name it.
pub fn by_statement(
    attestation: &RoleAttestation,
    statement: &VerifiedStatement,
    role: Role,
    nonce: Option<&[u8]>,
    trust: &Trust,
    at: Time,
) -> Result<AttestedIdentity, Error> {
    let policy = statement.image_policy(role)?;
    let attested = checked(attestation, role, &policy, nonce, trust, at)?;
    attested.identity.check_statement(statement, role)?;
    Ok(attested)
}

/// Checks one role against a published release, before a statement names the role. The manifest is whatever PCR16 shows; the
/// caller looks at it before he signs it.
///
/// # Errors
/// As [`by_statement`], but for the statement.
pub fn by_images(
    attestation: &RoleAttestation,
    images: &[Image],
    role: Role,
    nonce: &[u8],
    trust: &Trust,
    at: Time,
) -> Result<AttestedIdentity, Error> {
    let fields: Identity = canonical::decode(&attestation.identity, IDENTITY_BYTES_MAX)
        .map_err(|error| Error::malformed("identity", error))?;
    let policy = ImagePolicy::new(images, &[manifest_pcr16(&fields.manifest)])?;
    checked(attestation, role, &policy, Some(nonce), trust, at)
}

fn checked(
    attestation: &RoleAttestation,
    role: Role,
    policy: &ImagePolicy,
    nonce: Option<&[u8]>,
    trust: &Trust,
    at: Time,
) -> Result<AttestedIdentity, Error> {
    expect("attestation", "role", role_name(attestation.role()), role_name(role))?;
    let genuine = verify(&attestation.document, trust.root(), at)?;
    let attested = genuine.accept(policy)?;
    let identity = identity::check(&attestation.identity, &vouched(&attested), nonce, trust.is_development())?;
    expect("identity", "role", role_name(identity.role), role_name(role))?;
    Ok(AttestedIdentity { identity, checks: attested.genuine().checks().to_vec(), image: image(&attested)? })
}

fn image(attested: &Attested) -> Result<Image, Error> {
    let pcr = |index| attested.pcr(index).copied().ok_or(AttestationError::PcrNotLocked { index });
    Ok(Image { pcr0: pcr(0)?, pcr1: pcr(1)?, pcr2: pcr(2)? })
}

fn vouched(attested: &Attested) -> Vouched<'_> {
    Vouched {
        user_data: attested.user_data(),
        public_key: attested.public_key(),
        nonce: attested.nonce(),
        pcr16: attested.pcr(16),
    }
}

/// Whether a document was refused for the time, so that a wrong clock may be the cause.
pub(crate) fn is_about_time(error: &Error) -> bool {
    matches!(
        error,
        Error::Attestation(
            AttestationError::CertificateExpired { .. }
                | AttestationError::CertificateNotYetValid { .. }
                | AttestationError::FromTheFuture { .. }
        )
    )
}
