//! Consents found again: who signed these bytes, and whether that is enough.

use strongroom_proto::enclave::v1::{Credential, Record};
use strongroom_proto::intent::hash;
use strongroom_proto::v1::{Act, Assertion, Freshness};
use strongroom_proto::{prefix, signed};

use super::scene::{Scene, in_force};
use crate::assertion::Ceremony;

/// Whose consent an act takes.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Needs {
    /// The first credential's.
    Creation,
    /// Whatever the record's policy asks for.
    Policy,
    /// A credential's or the tenant's.
    Anyone,
    /// The tenant's.
    Tenant,
}

/// Who consented.
pub(super) struct Consents {
    pub(super) credential_id: Vec<u8>,
    pub(super) tenant_key: Vec<u8>,
    pub(super) freshness: Freshness,
    /// Flag BE of the last assertion.
    pub(super) backup_eligible: Option<bool>,
}

impl Consents {
    pub(super) fn none() -> Self {
        Self { credential_id: Vec::new(), tenant_key: Vec::new(), freshness: Freshness::None, backup_eligible: None }
    }
}

/// The consents to an act on a record; one more than is needed must hold too.
pub(super) fn find(
    scene: &Scene<'_>,
    act: &Act,
    record: &Record,
    newcomer: Option<&Credential>,
    needs: Needs,
) -> Consents {
    let policy = record.policy.expect("a policy");
    let known = &record.credentials;
    let by = |assertion: &Assertion, credentials: &[Credential]| {
        let by = credentials.iter().find(|credential| credential.id == assertion.credential_id);
        let by = by.expect("an assertion by a credential of the record");
        let backup_eligible = check_assertion(scene, act, record, assertion, by);
        assert!(by.backup_eligible.is_none_or(|known| known == backup_eligible), "BE changed");
        backup_eligible
    };
    let backup_eligible = match (act.assertions.as_slice(), newcomer) {
        ([], None) => None,
        ([one], None) => Some(by(one, known)),
        ([first, second], Some(newcomer)) => {
            by(first, known);
            Some(by(second, std::slice::from_ref(newcomer)))
        }
        (assertions, _) => panic!("{} assertions", assertions.len()),
    };
    let credential_id = act.assertions.first().map(|first| first.credential_id.clone()).unwrap_or_default();
    let tenant_key = act.tenant_signature.as_ref().map(|signature| {
        let known = scene.statement().operational_keys.iter().find(|known| known.key == signature.key);
        assert!(known.is_some_and(in_force), "a key that does not sign for the tenant now");
        signed::verify(prefix::TENANT, &act.intent, &signature.key, &signature.signature).expect("the tenant signed");
        signature.key.clone()
    });
    let (passkey, tenant) = (!credential_id.is_empty(), tenant_key.is_some());
    assert!(policy.passkey || policy.tenant_signature, "a record that anybody may use");
    let enough = match needs {
        Needs::Creation => passkey,
        Needs::Policy => (passkey || !policy.passkey) && (tenant || !policy.tenant_signature),
        Needs::Anyone => passkey || tenant,
        Needs::Tenant => tenant,
    };
    assert!(enough, "a consent is missing");
    let freshness = if policy.newest_head && tenant { Freshness::CallerReceipt } else { Freshness::None };
    Consents { credential_id, tenant_key: tenant_key.unwrap_or_default(), freshness, backup_eligible }
}

/// By this credential, over this intent, from an origin of the statement, with user verification. Gives flag BE.
fn check_assertion(scene: &Scene<'_>, act: &Act, record: &Record, assertion: &Assertion, by: &Credential) -> bool {
    let statement = scene.statement();
    let ceremony = Ceremony {
        challenge: &hash(&act.intent).0,
        rp_id: &record.rp_id,
        origins: &statement.origins,
        top_origins: &statement.top_origins,
    };
    let backup_eligible = ceremony.check(assertion);
    let client_data = strongroom_proto::id::sha256(&[&assertion.client_data_json]);
    let message = [assertion.authenticator_data.as_slice(), &client_data].concat();
    assert!(crate::cose::holds(&by.public_key, &message, &assertion.signature), "the signature does not hold");
    backup_eligible
}
