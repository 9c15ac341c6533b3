//! Ejects: one intent, both roles, both to this device, in the tenant's window alone.

use strongroom_proto::intent as wire;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{OpenAct, OpenActKind, Policy, RecordView, RecoverAction};

use super::acts::Backend;
use super::host::{Fault, Tamper, both_of};
use super::*;
use crate::seal::RecipientKey;
use crate::testing::{NOW_MS, open_recovery, operational_key};

fn window(from: u64, until: u64) -> OpenAct {
    OpenAct {
        kind: OpenActKind::EjectWindow.into(),
        intent_hash: vec![51; 32],
        not_before_ms: from,
        expires_ms: until,
        ..OpenAct::default()
    }
}

fn opened(_: &mut RecordView, custodian: &mut RecordView) {
    custodian.open_acts = vec![window(NOW_MS, NOW_MS + 1)];
}

async fn eject(tamper: Tamper, fault: Option<Fault>) -> Result<Ejected, Error> {
    let both = both_of(tamper, fault, opened).await;
    let eject = both.device.sign_eject(&both.prepared, None, &mut at(&both.passkey)).await?;
    let intent = wire::decode(&eject.act().intent).unwrap();
    assert_eq!(intent.action, Some(Action::Recover(RecoverAction { generation: 1, eject: true })));
    let (client, custodian) = (intent.client.unwrap(), intent.custodian.unwrap());
    assert!(client.recipient.len() == 32 && custodian.recipient.len() == 32 && client.recipient != custodian.recipient);
    assert_eq!(eject.request(), eject.request(), "the same bytes each time");
    assert_eq!(both.calls(), 0);
    both.device.open_eject(&both.prepared, &eject, &both.host.released(&eject.request())).await
}

#[tokio::test]
async fn an_eject_gives_both_shares_to_the_device() {
    let ejected = eject(Tamper::Nothing, None).await.unwrap();
    let lengths = |shares: &[Share]| shares.iter().map(|it| it.bytes.expose().len()).collect::<Vec<_>>();
    assert_eq!((lengths(&ejected.client), lengths(&ejected.custodian)), (vec![3, 5], vec![4, 6]));
    assert_eq!((ejected.acted.receipts().count(), ejected.generation, ejected.pairs), (2, 1, pairs()));
    let cases: [(Tamper, Option<Fault>, &str); 10] = [
        (Tamper::NoCustodianReceipt, None, "it has not one receipt of the custodian role"),
        (Tamper::ClientReceiptTwice, None, "it has not one receipt of the client role"),
        (Tamper::ReceiptSignature, None, "signature is wrong"),
        (Tamper::CustodianSignedByClient, None, "signature is wrong"),
        (Tamper::CustodianRelease, None, "hash of the release is"),
        (Tamper::ReleasesSwapped, None, "hash of the release is"),
        (Tamper::ReleaseToItself, None, "does not open"),
        // A recovery is no eject, whoever it went to.
        (Tamper::Nothing, Some(|_, e| e.kind = 2), "event's kind is ACT_KIND_RECOVER, not ACT_KIND_EJECT"),
        (Tamper::Nothing, Some(|r, _| r.record_id[0] ^= 1), "record_id is"),
        (Tamper::Nothing, Some(|_, e| e.generation = 2), "generation is 2"),
    ];
    for (tamper, fault, expect) in cases {
        let error = eject(tamper, fault).await.unwrap_err().to_string();
        assert!(error.contains(expect), "{expect}: {error}");
    }
}

#[tokio::test]
async fn without_an_open_window_nobody_is_asked() {
    type Change = fn(&mut RecordView, &mut RecordView);
    let cases: [(Change, &str); 6] = [
        (|_, _| {}, "EJECT_NOT_ENABLED"),
        (|_, it| it.open_acts = vec![window(NOW_MS + 1, NOW_MS + 2)], "EJECT_NOT_ENABLED"),
        (|_, it| it.open_acts = vec![window(NOW_MS - 2, NOW_MS)], "EJECT_NOT_ENABLED"),
        // A window in the client's record is none of the custodian's.
        (|it, _| it.open_acts = vec![window(NOW_MS, NOW_MS + 1)], "EJECT_NOT_ENABLED"),
        (
            |one, other| {
                opened(one, other);
                other.policy.as_mut().unwrap().delay_seconds = 1;
            },
            "RECOVERY_DELAYED",
        ),
        (
            |one, other| {
                opened(one, other);
                other.generations[0].put_intent_hash = vec![99; 32];
            },
            "NO_VALID_BACKUP",
        ),
    ];
    for (change, expect) in cases {
        let both = both_of(Tamper::Nothing, None, change).await;
        let error = both.device.sign_eject(&both.prepared, None, &mut at(&both.passkey)).await.unwrap_err();
        assert_eq!((error.reason(), both.calls()), (Some(expect), 0), "{error}");
    }
}

#[tokio::test]
async fn the_window_stands_for_the_tenants_signature_but_not_for_its_word_on_the_head() {
    let policy =
        |tenant_signature, newest_head| Policy { passkey: true, tenant_signature, delay_seconds: 0, newest_head };
    for (client, custodian, asked) in [
        (policy(false, false), policy(false, false), false),
        (policy(false, false), policy(true, false), false),
        (policy(true, false), policy(false, false), true),
        (policy(false, false), policy(true, true), true),
    ] {
        let both = both_of(Tamper::Nothing, None, |one, other| {
            opened(one, other);
            (one.policy, other.policy) = (Some(client), Some(custodian));
        })
        .await;
        let alone = both.device.sign_eject(&both.prepared, None, &mut at(&both.passkey)).await;
        assert_eq!(matches!(alone, Err(Error::TenantNeeded { .. })), asked);
        let device = both.device.with_backend(Arc::new(Backend(operational_key())));
        let eject = device.sign_eject(&both.prepared, None, &mut at(&both.passkey)).await.unwrap();
        assert_eq!(eject.act().tenant_signature.is_some(), asked);
        let answer = both.host.released(&eject.request());
        device.open_eject(&both.prepared, &eject, &answer).await.unwrap();
    }
}

#[tokio::test]
async fn an_eject_under_a_delay_is_released_to_the_keys_that_it_was_started_for() {
    let (client, custodian) = (RecipientKey::generate().unwrap(), RecipientKey::generate().unwrap());
    let keys = EjectKeys { client: &client, custodian: &custodian };
    let delay = |one: &mut RecordView, other: &mut RecordView| {
        opened(one, other);
        for record in [one, other] {
            record.policy.as_mut().unwrap().delay_seconds = 1;
        }
    };
    let both = both_of(Tamper::Nothing, None, delay).await;
    let started = both.device.start_eject(&both.prepared, None, keys, &mut at(&both.passkey)).await.unwrap();
    assert!(started.receipts().all(|it| it.receipt.not_before_ms == NOW_MS + 1001));
    for (change, expect) in
        [((|_, _| {}) as fn(&mut RecordView, &mut RecordView), "EJECT_NOT_ENABLED"), (opened, "STATE_INVALID")]
    {
        let both = both_of(Tamper::Nothing, None, change).await;
        let refused = both.device.start_eject(&both.prepared, None, keys, &mut at(&both.passkey)).await.unwrap_err();
        assert_eq!((refused.reason(), both.calls()), (Some(expect), 0), "{refused}");
    }
    let waits = |eject: bool| {
        let recipients = [client.hash(), custodian.hash()];
        move |one: &mut RecordView, other: &mut RecordView| {
            for (record, to) in [one, other].into_iter().zip(recipients) {
                let open = OpenAct { not_before_ms: NOW_MS - 1, recipient: to.0.to_vec(), eject, ..open_recovery() };
                record.open_acts = vec![open];
            }
        }
    };
    // No window is needed any more.
    let cases: [(Tamper, Option<Fault>, &str); 5] = [
        (Tamper::Nothing, None, ""),
        (Tamper::NoCustodianReceipt, None, "it has not one receipt of the custodian role"),
        (Tamper::ReleasesSwapped, None, "hash of the release is"),
        (Tamper::CustodianSignedByClient, None, "signature is wrong"),
        (Tamper::Nothing, Some(|_, e| e.kind = 2), "event's kind is ACT_KIND_RECOVER"),
    ];
    for (tamper, fault, expect) in cases {
        let both = both_of(tamper, fault, waits(true)).await;
        match both.device.release_eject(&both.prepared, None, keys).await {
            Ok(ejected) => assert!(expect.is_empty() && ejected.client.len() == 2 && ejected.custodian.len() == 2),
            Err(error) => assert!(!expect.is_empty() && error.to_string().contains(expect), "{error}"),
        }
    }
    let swapped = EjectKeys { client: &custodian, custodian: &client };
    for (eject, keys) in [(false, keys), (true, swapped)] {
        let both = both_of(Tamper::Nothing, None, waits(eject)).await;
        let refused = both.device.release_eject(&both.prepared, None, keys).await.unwrap_err();
        assert_eq!((refused.reason(), both.calls()), (Some("RECIPIENT_NOT_ALLOWED"), 0), "{refused}");
    }
    // And what waits as an eject is released as no recovery.
    let both = both_of(Tamper::Nothing, None, waits(true)).await;
    let refused = both.device.release_recovery(&both.prepared, None, &client).await.unwrap_err();
    assert_eq!((refused.reason(), both.calls()), (Some("RECIPIENT_NOT_ALLOWED"), 0), "{refused}");
}

#[tokio::test]
async fn an_eject_is_sent_as_a_release_is() {
    let both = both_of(Tamper::Nothing, None, opened).await;
    let ejected = both.device.eject(&both.prepared, None, &mut at(&both.passkey)).await.unwrap();
    assert_eq!((ejected.client.len(), ejected.custodian.len(), both.calls()), (2, 2, 1));
}
