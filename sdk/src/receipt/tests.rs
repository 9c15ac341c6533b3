use super::*;
use crate::prepare::Prepared;
use crate::testing::{
    CREDENTIAL, NOW_MS, WALLET, creation, receipt_key, record_view, sign_receipt, stages, tenant, verified_statement,
};
use strongroom_proto::id::{ContentHash, IntentHash};
use strongroom_proto::v1::{ActKind, Rehearsal, RehearsalResult, SignedRehearsal};

mod commits;
mod kinds;
mod rehearsals;

type Change = fn(&mut Receipt, &mut Event);

/// An act with the receipt that an honest enclave signs for it.
struct Case {
    intent: EncodedIntent,
    record: Option<Record>,
    release: Option<Vec<u8>>,
    receipt: Receipt,
    event: Event,
    head_before: Head,
}

fn record() -> Record {
    Prepared::of(vec![record_view()]).role(Role::Client).unwrap().view.records()[0].clone()
}

fn event(kind: ActKind, version: u64, intent: IntentHash, recipient: Vec<u8>) -> Event {
    Event {
        version,
        kind: kind.into(),
        intent_hash: intent.0.to_vec(),
        time_ms: NOW_MS + 1,
        generation: 1,
        recipient,
        credential_id: CREDENTIAL.to_vec(),
        tenant_key: Vec::new(),
        statement_serial: 3,
        subject_credential_id: Vec::new(),
        not_before_ms: 0,
        cancelled_intent_hash: Vec::new(),
    }
}

fn receipt(record_id: RecordId, event: &Event, active_put: &[u8], sealed_hashes: Vec<Vec<u8>>) -> Receipt {
    Receipt {
        tenant: tenant().0.to_vec(),
        wallet: WALLET.to_owned(),
        role: Role::Client.into(),
        record_id: record_id.0.to_vec(),
        version: event.version,
        head: Vec::new(),
        event: Vec::new(),
        active: Some(GenerationRef { generation: 1, put_intent_hash: active_put.to_vec() }),
        pending: None,
        intent_hash: event.intent_hash.clone(),
        identity_hash: vec![21; 32],
        sealed_hashes,
        epoch: 2,
        time_ms: event.time_ms,
        stages: Some(stages()),
        resealed_hashes: Vec::new(),
    }
}

fn created() -> Case {
    let (intent, record_id) = creation();
    let event = event(ActKind::CreateBackup, 1, intent.hash, Vec::new());
    let receipt = receipt(record_id, &event, &intent.hash.0, vec![vec![1; 32], vec![2; 32]]);
    Case { intent, record: None, release: None, receipt, event, head_before: Head(record_id.0) }
}

fn recovered() -> Case {
    let record = record();
    let prepared = Prepared::of(vec![record_view()]);
    let base = prepared.base(Role::Client).unwrap();
    let intent = crate::intent::recover(&base, &record, 1, ContentHash([9; 32])).unwrap();
    let release = b"release".to_vec();
    let event = event(ActKind::Recover, 5, intent.hash, vec![9; 32]);
    let receipt = receipt(record.id, &event, &[13; 32], vec![ContentHash::of(&release).0.to_vec()]);
    let head_before = record.head;
    Case { intent, record: Some(record), release: Some(release), receipt, event, head_before }
}

impl Case {
    fn sent(&self) -> Sent<'_> {
        Sent {
            role: Role::Client,
            intent: &self.intent,
            record: self.record.as_ref(),
            credential_id: CREDENTIAL,
            tenant_signature: None,
            release: self.release.as_deref(),
        }
    }

    /// The receipt after `change`, with event, head and signature made anew unless `change` set them.
    fn signed(&self, change: Change) -> SignedReceipt {
        let (mut receipt, mut event) = (self.receipt.clone(), self.event.clone());
        change(&mut receipt, &mut event);
        if receipt.event.is_empty() {
            receipt.event = event.encode_to_vec();
        }
        if receipt.head.is_empty() {
            receipt.head = signed::next_head(&self.head_before, &receipt.event).0.to_vec();
        }
        sign_receipt(receipt.encode_to_vec())
    }

    fn verify(&self, change: Change) -> Result<VerifiedReceipt, Error> {
        verify(&self.signed(change), &verified_statement(), &self.sent())
    }
}

#[test]
fn honest_receipts_hold() {
    for (case, version) in [(created(), 1), (recovered(), 5)] {
        let verified = case.verify(|_, _| {}).unwrap();
        assert_eq!((verified.version, verified.epoch, verified.time_ms), (version, 2, NOW_MS + 1));
        let event = case.event.encode_to_vec();
        assert_eq!(verified.head, signed::next_head(&case.head_before, &event));
        // A newer statement than the intent's is fine.
        case.verify(|_, e| e.statement_serial = 9).unwrap();
        // An epoch that the tenant gave up signs nothing new; what it signed before stays known.
        let old = case.signed(|r, _| r.epoch = 1);
        assert_eq!(newest(&[old], &verified_statement(), Role::Client).unwrap().unwrap().version, version);
    }
}

#[test]
fn only_a_release_names_shares_that_it_sealed_anew() {
    let resealed = |r: &mut Receipt, _: &mut Event| r.resealed_hashes = vec![vec![3; 32], vec![4; 32]];
    assert_eq!(recovered().verify(resealed).unwrap().resealed, [ContentHash([3; 32]), ContentHash([4; 32])]);
    assert_eq!(recovered().verify(|_, _| {}).unwrap().resealed, []);
    let refused = |case: Case, change: Change, expect: &str| {
        let error = case.verify(change).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    refused(created(), resealed, "number of resealed_hashes is 2, at most 0");
    refused(recovered(), |r, _| r.resealed_hashes = vec![vec![3; 31]], "an entry of resealed_hashes has 31 bytes");
}

#[test]
fn each_field_of_a_receipt_is_checked() {
    let cases: &[(Change, &str)] = &[
        (|r, _| r.tenant[0] ^= 1, "receipt's tenant is"),
        (|r, _| r.wallet.push('x'), "receipt's wallet is"),
        (|r, _| r.role = 2, "receipt's role is custodian, not client"),
        (|r, _| r.record_id[0] ^= 1, "receipt's record_id is"),
        (|r, _| r.version += 1, "receipt's version is"),
        (|r, _| r.head = vec![1; 32], "receipt's head is"),
        (|r, _| r.active = None, "active generation is none"),
        (|r, _| r.active.as_mut().unwrap().generation = 2, "active generation is 2 put by"),
        (|r, _| r.active.as_mut().unwrap().put_intent_hash[0] ^= 1, "active generation is 1 put by"),
        (|r, _| r.pending = r.active.clone(), "pending generation is 1 put by"),
        (|r, _| r.intent_hash[0] ^= 1, "receipt's intent_hash is"),
        (|r, _| r.identity_hash.clear(), "identity_hash has 0 bytes"),
        (|r, _| r.sealed_hashes.push(vec![3; 32]), "number of sealed_hashes is"),
        (|r, _| r.sealed_hashes.clear(), "receipt's "),
        (|r, _| r.sealed_hashes[0].clear(), "an entry of sealed_hashes has 0 bytes"),
        (|r, _| r.resealed_hashes = vec![vec![3; 32]; 5], "number of resealed_hashes is 5, at most"),
        (|r, _| r.epoch = 3, "does not name epoch 3"),
        (|r, _| r.epoch = 1, "epoch 1 of the client role is older than 2"),
        (|r, _| r.time_ms += 1, "event's time_ms is"),
        (|r, e| (r.time_ms, e.time_ms) = (NOW_MS + 600_001, NOW_MS + 600_001), "after the intent's not_after"),
        (|r, _| r.stages = None, "stages are missing"),
        (|r, _| r.event = vec![0xff], "event is malformed"),
        (|_, e| e.version += 1, "event's version is"),
        (|_, e| e.kind = 0, "event's kind is"),
        (|_, e| e.kind = 3 - e.kind, "event's kind is"),
        (|_, e| e.intent_hash[0] ^= 1, "event's intent_hash is"),
        (|_, e| e.generation = 2, "event's generation is 2, not 1"),
        (|_, e| e.recipient = vec![8; 32], "event's recipient is"),
        (|_, e| e.credential_id.push(1), "event's credential_id is"),
        (|_, e| e.tenant_key = vec![1; 32], "event's tenant_key is"),
        (|_, e| e.statement_serial = 2, "serial 2, but 3 is known"),
    ];
    for case in [created(), recovered()] {
        for (index, (change, expect)) in cases.iter().enumerate() {
            let error = case.verify(*change).unwrap_err().to_string();
            assert!(error.contains(expect), "case {index}: {error}");
        }
    }
}

#[test]
fn a_receipt_is_of_its_release_and_of_its_act() {
    let case = recovered();
    let signed = case.signed(|_, _| {});
    let statement = verified_statement();
    let verify = |sent: Sent<'_>| verify(&signed, &statement, &sent).unwrap_err().to_string();
    let other = verify(Sent { release: Some(b"another"), ..case.sent() });
    assert!(other.contains("receipt's hash of the release is"), "{other}");
    assert!(verify(Sent { release: None, ..case.sent() }).contains("a release came where none"));
    assert!(verify(Sent { record: None, ..case.sent() }).contains("its action gives no receipt"));
    assert!(verify(Sent { credential_id: b"x", ..case.sent() }).contains("credential_id"));
    assert!(verify(Sent { role: Role::Custodian, ..case.sent() }).contains("role is client, not custodian"));
    let tenant_signature = TenantSignature { key: vec![1; 32], signature: Vec::new() };
    let unsigned = verify(Sent { tenant_signature: Some(&tenant_signature), ..case.sent() });
    assert!(unsigned.contains("event's tenant_key is empty"), "{unsigned}");
    let creation = created();
    let with_release = Sent { release: Some(b"x"), ..creation.sent() };
    let error = super::verify(&creation.signed(|_, _| {}), &statement, &with_release).unwrap_err().to_string();
    assert!(error.contains("a release came where none was asked for"), "{error}");
}

#[test]
fn only_the_statements_receipt_key_signs() {
    let case = created();
    let good = case.signed(|_, _| {});
    let by_other_prefix = receipt_key().sign(prefix::VIEW, &good.receipt).unwrap();
    let stranger =
        crate::testing::key(crate::keys::KeyUse::Operational, 8).sign(prefix::RECEIPT, &good.receipt).unwrap();
    for signature in [by_other_prefix, stranger, Vec::new()] {
        let signed = SignedReceipt { receipt: good.receipt.clone(), signature };
        let error = verify(&signed, &verified_statement(), &case.sent()).unwrap_err();
        assert!(matches!(error, Error::Signature { part: "receipt" }), "{error}");
    }
    let mut bytes = good.receipt.clone();
    bytes.extend([0xf8, 0x07, 1]);
    let error = verify(&sign_receipt(bytes), &verified_statement(), &case.sent()).unwrap_err().to_string();
    assert!(error.contains("not in canonical encoding"), "{error}");
}

#[test]
fn an_answer_has_one_receipt_of_a_role() {
    let good = created().signed(|_, _| {});
    let custodian = created().signed(|r, _| r.role = 2);
    let both = [custodian.clone(), good.clone()];
    assert_eq!(of_role(&both, Role::Client).unwrap(), &good);
    for receipts in [vec![], vec![custodian], vec![good.clone(), good]] {
        assert!(of_role(&receipts, Role::Client).is_err());
    }
}
