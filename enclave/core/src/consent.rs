//! Consents: who signed exactly this intent. An [`Authorized`] exists only after the policy's consents were found and checked.

use alloc::format;
use alloc::vec::Vec;
use core::slice;

use strongroom_proto::enclave::v1::Credential;
use strongroom_proto::id::IntentHash;
use strongroom_proto::limits::ASSERTIONS_MAX;
use strongroom_proto::v1::{Act, Assertion, Freshness, OpenAct, OpenActKind, Reason, Stages, Trust};
use strongroom_proto::{prefix, signed};

use crate::intent::CheckedIntent;
use crate::platform::EnclaveTime;
use crate::policy;
use crate::record::Record;
use crate::refusal::{Refusal, bad, refuse};
use crate::statement::VerifiedStatement;
use crate::webauthn::{self, CredentialKey, Expected};

/// Proof that an act may be done on a record: `A` names the act. Only this module makes one.
#[derive(Debug)]
pub(crate) struct Authorized<A> {
    record: Record,
    act: A,
    intent: IntentHash,
    consents: Consents,
}

/// Whose consents were taken, for the record's event.
#[derive(Debug)]
pub(crate) struct Consents {
    /// Empty without an assertion.
    pub(crate) credential_id: Vec<u8>,
    /// Flag BE of the assertion; of the newcomer's where there is one.
    pub(crate) backup_eligible: Option<bool>,
    /// Empty without a tenant signature.
    pub(crate) tenant_key: Vec<u8>,
    pub(crate) freshness: Freshness,
}

impl Consents {
    /// Of what needs none: its consents were taken before.
    pub(crate) fn none() -> Self {
        Self { credential_id: Vec::new(), backup_eligible: None, tenant_key: Vec::new(), freshness: Freshness::None }
    }
}

impl<A> Authorized<A> {
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn act(&self) -> &A {
        &self.act
    }

    /// The intent that the consents were given to.
    pub(crate) fn intent(&self) -> IntentHash {
        self.intent
    }

    /// The act, to be carried out, with what belongs into its event.
    pub(crate) fn into_parts(self) -> (Record, A, IntentHash, Consents) {
        (self.record, self.act, self.intent, self.consents)
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

/// Which consents an act takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rule {
    /// Whatever the record's policy asks of releases: the first credential's, if there is one, which proves that it works, and the
    /// tenant's in the role that takes it.
    Creation {
        /// The role takes the tenant's.
        tenant: bool,
    },
    /// What the record's policy asks for.
    Policy,
    /// Any credential's, or the tenant's.
    CredentialOrTenant,
    /// The tenant's.
    Tenant,
    /// A passkey's, in a window that the tenant opened, and the tenant's once more where it must name the newest head.
    Eject,
}

/// What consents are compared with, beside the record.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) rule: Rule,
    /// The credential that the act adds: it asserts over the same bytes, after one that is there already.
    pub(crate) newcomer: Option<&'a Credential>,
    pub(crate) statement: &'a VerifiedStatement,
    pub(crate) now: EnclaveTime,
}

/// Finds and checks every consent that the rule asks for; one more than it asks for must hold too.
pub(crate) fn authorize<A>(
    record: Record,
    act: A,
    intent: &CheckedIntent,
    signed: &Act,
    terms: Terms<'_>,
) -> Result<Authorized<A>, Refusal> {
    let consents = find(&record, intent, signed, terms)?;
    Ok(Authorized { record, act, intent: intent.hash, consents })
}

/// An act that waited: its consents were taken when it started. Under a policy with `newest_head` the tenant signs a second time, over
/// the head of now; `second` is that intent.
pub(crate) fn authorize_due<A>(
    record: Record,
    act: A,
    open: &OpenAct,
    second: Option<(&CheckedIntent, &Act)>,
    terms: Terms<'_>,
) -> Result<Authorized<A>, Refusal> {
    let intent = IntentHash::from_slice(&open.intent_hash)
        .ok_or_else(|| refuse(Reason::DecryptFailed, "record: an open act without its intent"))?;
    check_due(open, terms.now)?;
    let consents = match second {
        Some((second, signed)) => find(&record, second, signed, Terms { rule: Rule::Tenant, ..terms })?,
        None if record.policy()?.newest_head => {
            return Err(refuse(
                Reason::PolicyDenied,
                "act: the policy asks for the tenant's signature over the newest head",
            ));
        }
        None => Consents::none(),
    };
    Ok(Authorized { record, act, intent, consents })
}

fn find(record: &Record, intent: &CheckedIntent, signed: &Act, terms: Terms<'_>) -> Result<Consents, Refusal> {
    let policy = record.policy()?;
    policy::check(policy, "record.policy")?;
    let asserted = check_assertions(record, intent, signed, terms)?;
    let tenant_key = check_tenant_signature(signed, terms)?;
    let (passkey, tenant) = match terms.rule {
        Rule::Creation { tenant } => (!record.content.credentials.is_empty(), tenant),
        Rule::Policy => (policy.passkey, policy.tenant_signature),
        Rule::CredentialOrTenant if asserted.is_none() && tenant_key.is_empty() => {
            return Err(refuse(Reason::PolicyDenied, "act: takes a passkey's consent or the tenant's"));
        }
        Rule::CredentialOrTenant => (false, false),
        Rule::Tenant => (false, true),
        Rule::Eject => {
            check_window(record, terms.now)?;
            (true, policy.newest_head)
        }
    };
    if passkey && asserted.is_none() {
        return Err(refuse(Reason::PolicyDenied, "act.assertions: this act asks for a passkey"));
    }
    if tenant && tenant_key.is_empty() {
        return Err(refuse(Reason::PolicyDenied, "act.tenant_signature: this act asks for one"));
    }
    // A creation names no head that anybody could vouch for.
    let vouched = policy.newest_head && !tenant_key.is_empty() && !matches!(terms.rule, Rule::Creation { .. });
    let freshness = if vouched { Freshness::CallerReceipt } else { Freshness::None };
    let (credential_id, backup_eligible) = match asserted {
        Some((id, backup_eligible)) => (id, Some(backup_eligible)),
        None => (Vec::new(), None),
    };
    Ok(Consents { credential_id, backup_eligible, tenant_key, freshness })
}

/// The tenant opened a window, and it is open now.
fn check_window(record: &Record, now: EnclaveTime) -> Result<(), Refusal> {
    let is_open = |it: &OpenAct| (it.not_before_ms..it.expires_ms).contains(&now.0);
    let mut windows = record.content.open_acts.iter().filter(|it| it.kind() == OpenActKind::EjectWindow);
    if windows.any(is_open) {
        return Ok(());
    }
    Err(refuse(Reason::EjectNotEnabled, "eject: no window of the tenant's is open"))
}

fn check_due(open: &OpenAct, now: EnclaveTime) -> Result<(), Refusal> {
    if now.0 < open.not_before_ms {
        let wait = open.not_before_ms.saturating_sub(now.0);
        return Err(Refusal {
            reason: Reason::RecoveryDelayed,
            detail: format!("record.open_acts: due in {wait} ms"),
            retry_after_ms: u32::try_from(wait).unwrap_or(u32::MAX),
        });
    }
    if now.0 >= open.expires_ms {
        return Err(refuse(Reason::StateInvalid, "record.open_acts: expired before it was carried out"));
    }
    Ok(())
}

/// The assertions of an act: one at most by a credential of the record, and the newcomer's after it.
fn check_assertions(
    record: &Record,
    intent: &CheckedIntent,
    signed: &Act,
    terms: Terms<'_>,
) -> Result<Option<(Vec<u8>, bool)>, Refusal> {
    let check = |assertion, credentials| check_assertion(assertion, credentials, record, intent, terms.statement);
    let known = &record.content.credentials;
    match (signed.assertions.as_slice(), terms.newcomer) {
        ([], None) => Ok(None),
        ([assertion], None) => check(assertion, known).map(Some),
        ([first, second], Some(newcomer)) => {
            let (id, _) = check(first, known)?;
            let (_, backup_eligible) = check(second, slice::from_ref(newcomer))?;
            Ok(Some((id, backup_eligible)))
        }
        (_, None) => Err(bad(format!("act.assertions: this act takes one (no act more than {ASSERTIONS_MAX})"))),
        (_, Some(_)) => Err(refuse(
            Reason::PolicyDenied,
            "act.assertions: takes two, the first by a credential of the record, the second by the one that is added",
        )),
    }
}

fn check_assertion(
    assertion: &Assertion,
    credentials: &[Credential],
    record: &Record,
    intent: &CheckedIntent,
    statement: &VerifiedStatement,
) -> Result<(Vec<u8>, bool), Refusal> {
    let credential = credentials
        .iter()
        .find(|credential| credential.id == assertion.credential_id)
        .ok_or_else(|| refuse(Reason::ProofRejected, "assertion.credential_id: no credential of the record"))?;
    let key = CredentialKey::parse(&credential.public_key)?;
    let expected = Expected {
        challenge: &intent.hash.0,
        rp_id: &record.content.rp_id,
        origins: &statement.body.origins,
        top_origins: &statement.body.top_origins,
    };
    let verified = webauthn::verify(assertion, &key, &expected)?;
    // WebAuthn level 3, section 7.2: backup eligibility never changes in the life of a credential.
    if credential.backup_eligible.is_some_and(|known| known != verified.backup_eligible) {
        return Err(refuse(
            Reason::ProofRejected,
            "authenticator_data.flags: BE differs from the credential's first assertion",
        ));
    }
    Ok((credential.id.clone(), verified.backup_eligible))
}

fn check_tenant_signature(signed: &Act, terms: Terms<'_>) -> Result<Vec<u8>, Refusal> {
    let Some(signature) = &signed.tenant_signature else { return Ok(Vec::new()) };
    let rejected = |why| refuse(Reason::ProofRejected, why);
    if !terms.statement.is_operational(&signature.key, terms.now) {
        return Err(rejected("tenant_signature.key: no operational key of the statement at this time"));
    }
    signed::verify(prefix::TENANT, &signed.intent, &signature.key, &signature.signature)
        .map_err(|_| rejected("tenant_signature.signature: does not hold over this intent"))?;
    Ok(signature.key.clone())
}
