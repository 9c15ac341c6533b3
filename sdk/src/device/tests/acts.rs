//! Every act on an existing backup, as it is sent and receipted.

use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{
    AddPasskeyRequest, CredentialView, DeleteBackupAction, Intent, OpenAct, OpenActKind, Policy, RecordView,
};

use prost::Message;

use super::host::{Tamper, world, world_of};
use super::*;
use crate::intent::{Delay, Newcomer, TenantConsent};
use crate::keys::SigningKey;
use crate::seal::RecipientKey;
use crate::testing::{NOW_MS, open_recovery, operational_key};

type Change<T> = fn(&mut T);

/// The tenant's backend, which signs with this key whatever it is asked.
#[derive(Debug)]
pub(super) struct Backend(pub(super) SigningKey);

impl TenantBackend for Backend {
    fn consent<'a>(&'a self, intent: &'a [u8]) -> Consent<'a> {
        Box::pin(async move { self.0.sign_intent(intent) })
    }
}

pub(super) fn second_passkey(record: &mut RecordView) {
    let first = record.credentials[0].clone();
    record.credentials.push(CredentialView { id: b"second".to_vec(), key_hash: vec![9; 32], ..first });
}

pub(super) fn policy(tenant_signature: bool, newest_head: bool, delay_seconds: u32) -> impl Fn(&mut RecordView) {
    move |record| record.policy = Some(Policy { passkey: true, tenant_signature, delay_seconds, newest_head })
}

#[tokio::test]
async fn a_put_is_the_next_generation_and_its_receipt_says_who_put_it() {
    let shares = || vec![share("b", 5), share("a", 3)];
    let (device, passkey, prepared, calls) = world_of(Tamper::Nothing, |r| r.highest_generation = 6).await;
    let done = device.put(&prepared, None, &pairs(), shares(), &mut at(&passkey)).await.unwrap();
    assert_eq!((done.receipt().generation, done.receipt().version, calls.lock().unwrap().len()), (7, 5, 1));
    for (tamper, expect) in [
        (Tamper::PutByAnother, "receipt's active generation is 2 put by"),
        (Tamper::ReceiptSignature, "the receipt's signature is wrong"),
        (Tamper::NoReceipt, "it has not one receipt"),
    ] {
        let (device, passkey, prepared, _) = world(tamper).await;
        let done = device.put(&prepared, None, &pairs(), shares(), &mut at(&passkey)).await;
        let error = done.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}

#[tokio::test]
async fn a_passkey_is_added_by_two_devices_that_sign_the_same_bytes() {
    let (device, passkey, prepared, calls) = world(Tamper::Nothing).await;
    let tablet = Passkey::create("wallet.example").unwrap();
    let newcomer = Newcomer::new(tablet.registration(), "tablet").unwrap();
    let addition = device.begin_adding(&prepared, None, &newcomer, &mut at(&passkey)).await.unwrap();
    assert!(calls.lock().unwrap().is_empty(), "nothing is sent before the newcomer signed");
    let addition = Addition::from_bytes(&addition.to_bytes()).unwrap();
    let own = tablet.registration();
    let done = device.finish_adding(&prepared, &addition, &own, &mut at(&tablet)).await.unwrap();
    assert_eq!((done.receipt().version, done.receipt().not_before_ms), (5, 0));

    let stranger = device.finish_adding(&prepared, &addition, &passkey.registration(), &mut at(&passkey)).await;
    assert!(stranger.unwrap_err().to_string().starts_with("the addition's credential is"));
    let moved = Prepared::of(vec![RecordView { head: vec![9; 32], ..record_view() }]);
    let late = device.finish_adding(&moved, &addition, &own, &mut at(&tablet)).await.unwrap_err();
    assert_eq!(late.reason(), Some("RECORD_STALE"), "{late}");

    let cases: [(Change<AddPasskeyRequest>, &str); 6] = [
        (|r| r.act = None, "it has no act"),
        (|r| r.credential = None, "it has no credential"),
        (|r| r.credential.as_mut().unwrap().public_key.push(0), "addition's credential's key is"),
        (|r| r.act.as_mut().unwrap().intent.push(0), "addition is malformed"),
        (|r| r.act.as_mut().unwrap().assertions.clear(), "it has not one assertion"),
        (|r| r.act.as_mut().unwrap().assertions[0].credential_id.push(0), "is not among the credentials"),
    ];
    for (change, expect) in cases {
        let mut request = AddPasskeyRequest::decode(addition.to_bytes().as_slice()).unwrap();
        change(&mut request);
        let changed = Addition::from_bytes(&request.encode_to_vec()).unwrap();
        let error = device.finish_adding(&prepared, &changed, &own, &mut at(&tablet)).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    assert!(Addition::from_bytes(&[addition.to_bytes(), vec![0xf8, 7, 1]].concat()).is_err());
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_addition_that_says_something_else_is_not_signed_by_the_newcomer() {
    let (device, passkey, prepared, calls) = world(Tamper::Nothing).await;
    let tablet = Passkey::create("wallet.example").unwrap();
    let own = tablet.registration();
    let newcomer = Newcomer::new(own.clone(), "tablet").unwrap();
    let addition = device.begin_adding(&prepared, None, &newcomer, &mut at(&passkey)).await.unwrap();
    let genuine = AddPasskeyRequest::decode(addition.to_bytes().as_slice()).unwrap();
    let cases: [(Change<Intent>, &str); 8] = [
        (|i| i.tenant[0] ^= 1, "addition's tenant is"),
        (|i| i.wallet.push('x'), "addition's wallet is"),
        (|i| i.action = Some(Action::DeleteBackup(DeleteBackupAction {})), "adds no passkey"),
        (|i| i.custodian = i.client.clone(), "does not name the roles of the backup"),
        (|i| i.client.as_mut().unwrap().record_id[0] ^= 1, "about no record of this wallet"),
        (|i| i.client.as_mut().unwrap().recipient = vec![1; 32], "releases or brings something"),
        (|i| i.client.as_mut().unwrap().message_hash = vec![1; 32], "releases or brings something"),
        (|i| i.not_after_ms = NOW_MS, "INTENT_EXPIRED"),
    ];
    for (change, expect) in cases {
        let mut request = genuine.clone();
        let act = request.act.as_mut().unwrap();
        let mut intent = strongroom_proto::intent::decode(&act.intent).unwrap();
        change(&mut intent);
        act.intent = intent.encode_to_vec();
        let changed = Addition::from_bytes(&request.encode_to_vec()).unwrap();
        let error = device.finish_adding(&prepared, &changed, &own, &mut at(&tablet)).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    assert!(calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_a_policy_delays_waits_and_the_tenant_frees_a_removal() {
    for (delay, pace, due) in
        [(0, Pace::AsThePolicySays, 0), (60, Pace::AsThePolicySays, NOW_MS + 1 + 60_000), (60, Pace::WithTheTenant, 0)]
    {
        let change = |record: &mut RecordView| {
            second_passkey(record);
            policy(false, false, delay)(record);
        };
        let (device, passkey, prepared, _) = world_of(Tamper::Nothing, change).await;
        let device = device.with_backend(Arc::new(Backend(operational_key())));
        let removed = device.remove_passkey(&prepared, None, b"second", pace, &mut at(&passkey)).await.unwrap();
        assert_eq!(removed.receipt().not_before_ms, due);
        let wanted = ClientPolicy { tenant: TenantConsent::NewestHead, delay: Delay::NONE };
        let changed = device.change_policy(&prepared, None, wanted, &mut at(&passkey)).await.unwrap();
        assert_eq!(changed.receipt().not_before_ms > 0, delay > 0);
        let renamed = device.rename_passkey(&prepared, None, b"second", "x", &mut at(&passkey)).await.unwrap();
        let deleted = device.delete(&prepared, None, &mut at(&passkey)).await.unwrap();
        assert_eq!((renamed.receipt().not_before_ms, deleted.receipt().not_before_ms > NOW_MS), (0, true));
    }
}

#[tokio::test]
async fn a_recovery_waits_and_is_released_to_its_key_alone() {
    let key = RecipientKey::generate().unwrap();
    for newest_head in [false, true] {
        let (device, passkey, prepared, _) = world_of(Tamper::Nothing, policy(newest_head, newest_head, 1)).await;
        let device = device.with_backend(Arc::new(Backend(operational_key())));
        let started = device.start_recovery(&prepared, None, None, &key, &mut at(&passkey)).await.unwrap();
        assert_eq!(started.receipt().not_before_ms, NOW_MS + 1001);
        for tamper in [Tamper::Nothing, Tamper::Release, Tamper::ReleaseToItself, Tamper::ReceiptSignature] {
            let waiting = |record: &mut RecordView| {
                policy(newest_head, newest_head, 1)(record);
                let open = OpenAct { not_before_ms: NOW_MS - 1, recipient: key.hash().0.to_vec(), ..open_recovery() };
                record.open_acts = vec![open];
            };
            let (device, _, prepared, calls) = world_of(tamper, waiting).await;
            let device = device.with_backend(Arc::new(Backend(operational_key())));
            let released = device.release_recovery(&prepared, None, &key).await;
            assert_eq!((released.is_ok(), calls.lock().unwrap().len()), (tamper == Tamper::Nothing, 1), "{tamper:?}");
            let stranger = device.release_recovery(&prepared, None, &RecipientKey::generate().unwrap()).await;
            assert_eq!(stranger.unwrap_err().reason(), Some("RECIPIENT_NOT_ALLOWED"));
        }
    }
}

#[tokio::test]
async fn what_waits_is_cancelled_or_carried_out() {
    let waits = |kind: OpenActKind| OpenAct {
        kind: kind.into(),
        not_before_ms: NOW_MS - 1,
        generation: 0,
        recipient: Vec::new(),
        policy: (kind == OpenActKind::PolicyChange).then_some(Policy { passkey: true, ..Policy::default() }),
        credential_id: if kind == OpenActKind::PasskeyRemoval { b"second".to_vec() } else { Vec::new() },
        ..open_recovery()
    };
    for kind in [OpenActKind::PolicyChange, OpenActKind::PasskeyRemoval, OpenActKind::Delete] {
        let change = |record: &mut RecordView| record.open_acts = vec![waits(kind)];
        let (device, passkey, prepared, calls) = world_of(Tamper::Nothing, change).await;
        assert_eq!(device.carry_out(&prepared, None, kind).await.unwrap().receipt().version, 5);
        device.cancel(&prepared, None, kind, &mut at(&passkey)).await.unwrap();
        assert_eq!(calls.lock().unwrap().len(), 2);
    }
    let change = |record: &mut RecordView| record.open_acts = vec![open_recovery()];
    let (device, passkey, prepared, _) = world_of(Tamper::Nothing, change).await;
    device.cancel(&prepared, None, OpenActKind::Recovery, &mut at(&passkey)).await.unwrap();
}
