//! Consents: who signed exactly this intent. An [`Authorized`] exists only after the policy's consents were found and checked.

use alloc::format;
use alloc::vec::Vec;

use strongroom_proto::enclave::v1::Credential;
use strongroom_proto::limits::ASSERTIONS_MAX;
use strongroom_proto::v1::{Act, Assertion, Freshness, Policy, Reason, Stages, Trust};
use strongroom_proto::{prefix, signed};

use crate::intent::CheckedIntent;
use crate::platform::EnclaveTime;
use crate::policy;
use crate::refusal::{Refusal, bad, refuse};
use crate::statement::VerifiedStatement;
use crate::webauthn::{self, CredentialKey, Expected};

/// Proof that an act may be done: `A` names the act. Only this module makes one.
#[derive(Debug)]
pub(crate) struct Authorized<A> {
    act: A,
    intent: CheckedIntent,
    consents: Consents,
}

/// Whose consents were taken, for the record's event.
#[derive(Debug)]
pub(crate) struct Consents {
    /// Empty without an assertion.
    pub(crate) credential_id: Vec<u8>,
    /// Flag BE of the assertion.
    pub(crate) backup_eligible: Option<bool>,
    /// Empty without a tenant signature.
    pub(crate) tenant_key: Vec<u8>,
    pub(crate) freshness: Freshness,
}

impl<A> Authorized<A> {
    pub(crate) fn act(&self) -> &A {
        &self.act
    }

    pub(crate) fn intent(&self) -> &CheckedIntent {
        &self.intent
    }

    /// The act, to be carried out, with what belongs into its event.
    pub(crate) fn into_parts(self) -> (A, CheckedIntent, Consents) {
        (self.act, self.intent, self.consents)
    }

    /// What the answer to this act rests on.
    pub(crate) fn stages(&self) -> Stages {
        stages(self.consents.freshness)
    }
}

/// The stages of an answer: the key administrator is always trusted.
pub(crate) fn stages(freshness: Freshness) -> Stages {
    Stages { trusted: [Trust::KeyAdmin.into()].into(), freshness: freshness.into() }
}

/// What consents are compared with.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) policy: Policy,
    pub(crate) credentials: &'a [Credential],
    pub(crate) rp_id: &'a str,
    pub(crate) statement: &'a VerifiedStatement,
    pub(crate) now: EnclaveTime,
}

/// Finds and checks every consent that the policy asks for; one more than it asks for must hold too.
pub(crate) fn authorize<A>(
    act: A,
    intent: CheckedIntent,
    signed: &Act,
    asked: Asked<'_>,
) -> Result<Authorized<A>, Refusal> {
    policy::check(asked.policy, "record.policy")?;
    let (credential_id, backup_eligible) = match signed.assertions.as_slice() {
        [] if asked.policy.passkey => {
            return Err(refuse(Reason::PolicyDenied, "act.assertions: the policy asks for a passkey"));
        }
        [] => (Vec::new(), None),
        [assertion] => check_assertion(assertion, &intent, asked)?,
        _ => return Err(bad(format!("act.assertions: this act takes one (no act more than {ASSERTIONS_MAX})"))),
    };
    let tenant_key = check_tenant_signature(signed, asked)?;
    if asked.policy.tenant_signature && tenant_key.is_empty() {
        return Err(refuse(Reason::PolicyDenied, "act.tenant_signature: the policy asks for one"));
    }
    let vouched = asked.policy.newest_head && !tenant_key.is_empty();
    let freshness = if vouched { Freshness::CallerReceipt } else { Freshness::None };
    Ok(Authorized { act, intent, consents: Consents { credential_id, backup_eligible, tenant_key, freshness } })
}

fn check_assertion(
    assertion: &Assertion,
    intent: &CheckedIntent,
    asked: Asked<'_>,
) -> Result<(Vec<u8>, Option<bool>), Refusal> {
    let credential = asked
        .credentials
        .iter()
        .find(|credential| credential.id == assertion.credential_id)
        .ok_or_else(|| refuse(Reason::ProofRejected, "assertion.credential_id: no credential of the record"))?;
    let key = CredentialKey::parse(&credential.public_key)?;
    let expected = Expected {
        challenge: &intent.hash.0,
        rp_id: asked.rp_id,
        origins: &asked.statement.body.origins,
        top_origins: &asked.statement.body.top_origins,
    };
    let verified = webauthn::verify(assertion, &key, &expected)?;
    // WebAuthn level 3, section 7.2: backup eligibility never changes in the life of a credential.
    if credential.backup_eligible.is_some_and(|known| known != verified.backup_eligible) {
        return Err(refuse(
            Reason::ProofRejected,
            "authenticator_data.flags: BE differs from the credential's first assertion",
        ));
    }
    Ok((credential.id.clone(), Some(verified.backup_eligible)))
}

fn check_tenant_signature(signed: &Act, asked: Asked<'_>) -> Result<Vec<u8>, Refusal> {
    let Some(signature) = &signed.tenant_signature else { return Ok(Vec::new()) };
    let rejected = |why| refuse(Reason::ProofRejected, why);
    if !asked.statement.is_operational(&signature.key, asked.now) {
        return Err(rejected("tenant_signature.key: no operational key of the statement at this time"));
    }
    signed::verify(prefix::TENANT, &signed.intent, &signature.key, &signature.signature)
        .map_err(|_| rejected("tenant_signature.signature: does not hold over this intent"))?;
    Ok(signature.key.clone())
}
