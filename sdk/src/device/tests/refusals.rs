//! What the enclave would refuse is refused before anybody is asked, with the same reason.

use std::future::ready;

use strongroom_proto::v1::{CredentialView, OpenAct, OpenActKind, RecordView, Role};

use super::acts::{Backend, policy, second_passkey};
use super::host::{Tamper, world, world_of};
use super::*;
use crate::intent::{Newcomer, TenantConsent};
use crate::keys::KeyUse;
use crate::seal::RecipientKey;
use crate::testing::{NOW_MS, key, open_recovery, operational_key};

/// Must not be asked.
struct Nobody;

impl Authenticator for Nobody {
    fn assert(&mut self, _: &str, _: &IntentHash, _: &[&[u8]]) -> Result<Assertion, Error> {
        panic!("the user was asked")
    }
}

/// A backend that must not be asked.
#[derive(Debug)]
struct Silent;

impl TenantBackend for Silent {
    fn consent<'a>(&'a self, _: &'a [u8]) -> Consent<'a> {
        panic!("the tenant was asked")
    }
}

/// A backend that signs other bytes than it was given.
#[derive(Debug)]
struct OverOtherBytes;

impl TenantBackend for OverOtherBytes {
    fn consent<'a>(&'a self, _: &'a [u8]) -> Consent<'a> {
        Box::pin(ready(operational_key().sign_intent(b"other bytes")))
    }
}

fn waits(kind: OpenActKind) -> impl Fn(&mut RecordView) {
    move |record| {
        second_passkey(record);
        policy(false, false, 1)(record);
        let (generation, recipient) = if kind == OpenActKind::Recovery { (1, vec![1; 32]) } else { (0, Vec::new()) };
        let credential_id = if kind == OpenActKind::PasskeyRemoval { b"second".to_vec() } else { Vec::new() };
        let policy = record.policy.filter(|_| kind == OpenActKind::PolicyChange);
        record.open_acts =
            vec![OpenAct { kind: kind.into(), generation, recipient, credential_id, policy, ..open_recovery() }];
    }
}

/// Checks that an act on a changed record is refused with a reason, while nobody is asked and nothing is sent.
macro_rules! refused {
    ($change:expr, $reason:literal, |$device:ident, $prepared:ident, $passkey:ident| $act:expr) => {{
        let ($device, $passkey, $prepared, calls) = world_of(Tamper::Nothing, $change).await;
        let $device = $device.with_backend(Arc::new(Silent));
        let error = $act.await.map(|_| ()).unwrap_err();
        assert_eq!(error.reason(), Some($reason), "{error}");
        assert!(calls.lock().unwrap().is_empty());
        let _ = &$passkey;
    }};
}

#[tokio::test]
async fn passkeys_and_policies() {
    let newcomer = |id: &[u8], key: &[u8]| {
        Newcomer::new(strongroom_proto::v1::NewCredential { id: id.to_vec(), public_key: key.to_vec() }, "").unwrap()
    };
    let pace = Pace::AsThePolicySays;
    refused!(|_| {}, "LAST_PASSKEY", |d, p, k| d.remove_passkey(&p, None, k.credential_id(), pace, &mut Nobody));
    refused!(second_passkey, "NOT_FOUND", |d, p, k| d.remove_passkey(&p, None, b"other", pace, &mut Nobody));
    refused!(second_passkey, "NOT_FOUND", |d, p, k| d.rename_passkey(&p, None, b"other", "x", &mut Nobody));
    let removal = waits(OpenActKind::PasskeyRemoval);
    refused!(removal, "STATE_INVALID", |d, p, k| d.remove_passkey(&p, None, b"second", pace, &mut Nobody));
    let change = waits(OpenActKind::PolicyChange);
    refused!(change, "STATE_INVALID", |d, p, k| d.change_policy(&p, None, ClientPolicy::PASSKEY, &mut Nobody));
    let known = newcomer(b"second", b"key");
    refused!(second_passkey, "ALREADY_EXISTS", |d, p, k| d.begin_adding(&p, None, &known, &mut Nobody));
    refused!(|_| {}, "ALREADY_EXISTS", |d, p, k| {
        let same_key = newcomer(b"other", &k.registration().public_key);
        let done = d.begin_adding(&p, None, &same_key, &mut Nobody).await;
        ready(done)
    });
    let full = |record: &mut RecordView| {
        let first = record.credentials[0].clone();
        let more = (0..15).map(|n| CredentialView { id: vec![n], key_hash: vec![n; 32], ..first.clone() });
        record.credentials.extend(more);
    };
    let other = newcomer(b"other", b"key");
    refused!(full, "TOO_MANY_PASSKEYS", |d, p, k| d.begin_adding(&p, None, &other, &mut Nobody));
}

#[tokio::test]
async fn recoveries_and_what_waits() {
    let key = RecipientKey::generate().unwrap();
    let delayed = policy(false, false, 1);
    refused!(&delayed, "RECOVERY_DELAYED", |d, p, k| d.recover(&p, None, &mut Nobody));
    refused!(|_| {}, "STATE_INVALID", |d, p, k| d.start_recovery(&p, None, None, &key, &mut Nobody));
    refused!(&delayed, "NO_VALID_BACKUP", |d, p, k| d.start_recovery(&p, None, Some(2), &key, &mut Nobody));
    refused!(|_| {}, "NO_VALID_BACKUP", |d, p, k| d.recover_generation(&p, None, Some(2), &mut Nobody));
    let waiting = || waits(OpenActKind::Recovery);
    refused!(waiting(), "STATE_INVALID", |d, p, k| d.start_recovery(&p, None, None, &key, &mut Nobody));
    refused!(waiting(), "RECOVERY_DELAYED", |d, p, k| d.release_recovery(&p, None, &key));
    refused!(&delayed, "STATE_INVALID", |d, p, k| d.release_recovery(&p, None, &key));
    let expired = |record: &mut RecordView| {
        let open = OpenAct { not_before_ms: NOW_MS - 2, expires_ms: NOW_MS, ..open_recovery() };
        record.open_acts = vec![open];
    };
    refused!(expired, "STATE_INVALID", |d, p, k| d.release_recovery(&p, None, &key));
    refused!(|_| {}, "STATE_INVALID", |d, p, k| d.cancel(&p, None, OpenActKind::Delete, &mut Nobody));
    refused!(waits(OpenActKind::Delete), "STATE_INVALID", |d, p, k| d.delete(&p, None, &mut Nobody));
    refused!(waits(OpenActKind::Delete), "RECOVERY_DELAYED", |d, p, k| d.carry_out(&p, None, OpenActKind::Delete));
    let closed = |record: &mut RecordView| {
        record.generations.clear();
        record.credentials.clear();
        record.closed = true;
    };
    refused!(closed, "STATE_INVALID", |d, p, k| d.recover(&p, Some("main"), &mut Nobody));
    refused!(closed, "STATE_INVALID", |d, p, k| d.delete(&p, Some("main"), &mut Nobody));
    let nothing_left = world_of(Tamper::Nothing, closed).await.2;
    assert!(matches!(choose(&nothing_left, None), Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn the_tenant_is_asked_first_and_its_signature_is_checked() {
    let (device, _, prepared, calls) = world_of(Tamper::Nothing, policy(true, false, 0)).await;
    let error = device.recover(&prepared, None, &mut Nobody).await.unwrap_err();
    assert!(matches!(error, Error::TenantNeeded { .. }), "{error}");
    let stranger = device.with_backend(Arc::new(Backend(key(KeyUse::Operational, 77))));
    let error = stranger.recover(&prepared, None, &mut Nobody).await.unwrap_err();
    assert_eq!(error.reason(), Some("PROOF_REJECTED"));

    let wrong = stranger.with_backend(Arc::new(OverOtherBytes));
    let error = wrong.recover(&prepared, None, &mut Nobody).await.unwrap_err();
    assert!(matches!(error, Error::Signature { .. }), "{error}");
    assert!(calls.lock().unwrap().is_empty());

    let (device, passkey, prepared, _) = world_of(Tamper::Nothing, policy(true, true, 0)).await;
    let device = device.with_backend(Arc::new(Backend(operational_key())));
    let recovered = device.recover(&prepared, None, &mut at(&passkey)).await.unwrap();
    assert_eq!(recovered.acted.receipt().stages.freshness(), strongroom_proto::v1::Freshness::CallerReceipt);
}

#[tokio::test]
async fn a_policy_that_the_tenant_could_not_keep_is_refused() {
    let (device, _, mut prepared, _) = world(Tamper::Nothing).await;
    let wanted = ClientPolicy { tenant: TenantConsent::Signature, ..ClientPolicy::PASSKEY };
    prepared.without_operational_keys();
    let error = device.change_policy(&prepared, None, wanted, &mut Nobody).await.unwrap_err();
    assert_eq!(error.reason(), Some("POLICY_DENIED"), "{error}");
}

#[tokio::test]
async fn a_put_names_every_role_of_the_record() {
    let both = |record: &mut RecordView| record.roles = vec![Role::Client.into(), Role::Custodian.into()];
    let (device, _, prepared, calls) = world_of(Tamper::Nothing, both).await;
    let shares = vec![share("a", 1), share("b", 1)];
    let error = device.put(&prepared, None, &pairs(), shares, &mut Nobody).await.unwrap_err().to_string();
    assert!(error.contains("the host's answer has no custodian role"), "{error}");
    assert!(calls.lock().unwrap().is_empty());
}
