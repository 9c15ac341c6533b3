//! What the tenant does by its own signature alone.

use strongroom_proto::intent as wire;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{ActRequest, OpenAct, OpenActKind, RecordView, RecoverRequest, Role};

use prost::Message;

use super::host::{Fault, Tamper, alone_of, both_of};
use super::*;
use crate::intent::EjectWindow;
use crate::receipt::{KnownReceipt, newest};
use crate::seal::MpcRecipient;
use crate::tenant::custodian::Service;
use crate::testing::{NOW_MS, WALLET, key, mpc_key, operational_key, verified_statement_of_both};

fn mpc() -> MpcRecipient {
    MpcRecipient::listed(mpc_key().public_key(), &verified_statement_of_both()).unwrap()
}

fn window(open: bool) -> impl FnOnce(&mut RecordView, &mut RecordView) {
    move |_, custodian| {
        let act = OpenAct {
            kind: OpenActKind::EjectWindow.into(),
            intent_hash: vec![41; 32],
            not_before_ms: NOW_MS - 1000,
            expires_ms: NOW_MS + 1000,
            ..OpenAct::default()
        };
        custodian.open_acts.extend(open.then_some(act));
    }
}

#[tokio::test]
async fn the_tenant_opens_and_closes_a_window_by_its_signature_alone() {
    let both = both_of(Tamper::Nothing, None, window(false)).await;
    let statement = verified_statement_of_both();
    let service = Service::new(&both.prepared, &statement).unwrap();
    let solo = service.enable_eject(None, EjectWindow::default()).unwrap();
    let (acted, delivery) = solo.sign(&operational_key()).unwrap().send(&both.client).await.unwrap();
    assert!(delivery.is_none() && acted.receipt().not_before_ms == acted.receipt().time_ms);
    let request = ActRequest::decode(both.host_calls().lock().unwrap()[0].as_slice()).unwrap();
    let act = request.act.unwrap();
    assert!(act.assertions.is_empty() && act.tenant_signature.is_some());
    let fields = wire::decode(&act.intent).unwrap();
    assert!(fields.client.is_none() && fields.custodian.is_some());
    assert!(matches!(fields.action, Some(Action::OpenEjectWindow(it)) if it.duration_seconds == 300));
    assert_eq!(service.disable_eject(None).unwrap_err().reason(), Some("STATE_INVALID"));

    let open = both_of(Tamper::Nothing, None, window(true)).await;
    let service = Service::new(&open.prepared, &statement).unwrap();
    assert_eq!(service.enable_eject(None, EjectWindow::default()).unwrap_err().reason(), Some("STATE_INVALID"));
    let solo = service.disable_eject(Some("main")).unwrap();
    solo.sign(&operational_key()).unwrap().send(&open.client).await.unwrap();
    let request = ActRequest::decode(open.host_calls().lock().unwrap()[0].as_slice()).unwrap();
    let fields = wire::decode(&request.act.unwrap().intent).unwrap();
    assert!(matches!(fields.action, Some(Action::Cancel(it)) if it.intent_hash == [41; 32]));
}

#[tokio::test]
async fn what_the_enclave_would_refuse_is_not_signed() {
    let (_, prepared, _) = alone_of(Tamper::Nothing, None, |_| {}).await;
    let statement = verified_statement_of_both();
    let service = Service::new(&prepared, &statement).unwrap();
    let nobody = service.enable_eject(None, EjectWindow::default()).unwrap_err();
    assert_eq!(nobody.reason(), Some("POLICY_DENIED"), "{nobody}");
    assert!(matches!(service.enable_eject(Some("other"), EjectWindow::default()), Err(Error::NotFound { .. })));
    let recipient = mpc();
    for purpose in [crate::keys::KeyUse::Root, crate::keys::KeyUse::Operational] {
        let solo = service.release_alone(None, None, &recipient, &[]).unwrap();
        let error = solo.sign(&key(purpose, 77)).unwrap_err();
        assert_eq!(error.reason(), Some("PROOF_REJECTED"), "{error}");
    }
    let number = service.release_alone(None, Some(9), &recipient, &[]).unwrap_err();
    assert_eq!(number.reason(), Some("NO_VALID_BACKUP"));

    let both = both_of(Tamper::Nothing, None, window(false)).await;
    let service = Service::new(&both.prepared, &statement).unwrap();
    let drafted = service.release_alone(None, None, &recipient, &[]).unwrap_err().to_string();
    assert!(drafted.contains("is of both roles: its passkey signs"), "{drafted}");
    let (_, delayed, _) = alone_of(Tamper::Nothing, None, |it| it.policy.as_mut().unwrap().delay_seconds = 9).await;
    let service = Service::new(&delayed, &statement).unwrap();
    assert_eq!(service.release_alone(None, None, &recipient, &[]).unwrap_err().reason(), Some("RECOVERY_DELAYED"));
}

#[tokio::test]
async fn the_custodians_shares_of_a_backup_without_a_passkey_go_to_the_mpc_server() {
    let (client, prepared, host) = alone_of(Tamper::Nothing, None, |_| {}).await;
    let (statement, recipient) = (verified_statement_of_both(), mpc());
    let service = Service::new(&prepared, &statement).unwrap();
    let solo = service.release_alone(Some("pw"), None, &recipient, &[]).unwrap();
    let (acted, delivery) = solo.sign(&operational_key()).unwrap().send(&client).await.unwrap();
    assert_eq!(acted.receipts().map(|it| it.role).collect::<Vec<_>>(), [Role::Custodian]);
    let record_id = prepared.backups().unwrap()[0].id();
    let opened = mpc_key().open(&delivery.unwrap(), &statement, WALLET, record_id, &pairs()).unwrap();
    assert_eq!(opened.iter().map(|it| it.bytes.expose().len()).collect::<Vec<_>>(), [4, 6]);
    let request = RecoverRequest::decode(host.calls.lock().unwrap()[0].as_slice()).unwrap();
    assert!(request.client_recipient_key.is_empty() && request.act.unwrap().assertions.is_empty());
}

async fn released(tamper: Tamper, fault: Option<Fault>) -> String {
    let (client, prepared, _) = alone_of(tamper, fault, |_| {}).await;
    let (statement, recipient) = (verified_statement_of_both(), mpc());
    let service = Service::new(&prepared, &statement).unwrap();
    let signed = service.release_alone(None, None, &recipient, &[]).unwrap().sign(&operational_key()).unwrap();
    signed.send(&client).await.map(|_| ()).unwrap_err().to_string()
}

#[tokio::test]
async fn nothing_is_handed_to_the_mpc_server_that_no_receipt_vouches_for() {
    let cases: [(Tamper, Option<Fault>, &str); 8] = [
        (Tamper::NoReceipt, None, "it has not one receipt of the custodian role"),
        (Tamper::ReceiptSignature, None, "receipt's signature is wrong"),
        (Tamper::CustodianSignedByClient, None, "receipt's signature is wrong"),
        (Tamper::CustodianRelease, None, "receipt's hash of the release is"),
        (Tamper::ThirdReceipt, None, "a receipt of a role that the act does not name"),
        (Tamper::ReleasesSwapped, None, "a release of a role that the act does not name"),
        (Tamper::Nothing, Some(|_, e| e.recipient[0] ^= 1), "event's recipient is"),
        (Tamper::Nothing, Some(|r, _| r.wallet.push('x')), "receipt's wallet is"),
    ];
    for (tamper, fault, expect) in cases {
        let error = released(tamper, fault).await;
        assert!(error.contains(expect), "{expect}: {error}");
    }
}

#[tokio::test]
async fn under_the_newest_head_the_tenant_signs_for_the_head_that_it_knows() {
    let (_, prepared, _) = alone_of(Tamper::Nothing, None, |it| it.policy.as_mut().unwrap().newest_head = true).await;
    let (statement, recipient) = (verified_statement_of_both(), mpc());
    let service = Service::new(&prepared, &statement).unwrap();
    let record = prepared.backups().unwrap()[0].any().clone();
    let known = KnownReceipt {
        role: Role::Custodian,
        wallet: WALLET.to_owned(),
        record_id: record.id,
        version: record.version,
        head: record.head,
    };
    service.release_alone(None, None, &recipient, std::slice::from_ref(&known)).unwrap();
    let head = strongroom_proto::id::Head([5; 32]);
    for (newest, expect) in [
        (vec![], "newest receipt: is needed"),
        (vec![KnownReceipt { role: Role::Client, ..known.clone() }], "newest receipt: is needed"),
        (vec![KnownReceipt { head, ..known.clone() }], "intent's head is"),
        (vec![KnownReceipt { record_id: strongroom_proto::id::RecordId([5; 32]), ..known }], "record_id of the newest"),
    ] {
        let error = service.release_alone(None, None, &recipient, &newest).unwrap_err().to_string();
        assert!(error.contains(expect), "{expect}: {error}");
    }
    assert!(newest(&[], &statement, Role::Custodian).unwrap().is_none());
}
