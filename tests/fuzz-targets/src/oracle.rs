//! What must be true of an answer that gives something: found again from the request alone, by other means than the core's.

use prost::Message;
use strongroom_proto::enclave::v1::{
    Credential, GetView, KekRef, Record, Recover, SealedRecord, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::id::{ContentHash, IntentHash, sha256};
use strongroom_proto::signed::{identity_hash, next_head, recipient_hash};
use strongroom_proto::v1::{
    Act, Assertion, Identity, Intent, Receipt, Rehearsal, SignedReceipt, WalletView, intent::Action,
};
use strongroom_proto::{prefix, signed};

use crate::device::base64url;
use crate::json;
use crate::stage::Stage;
use crate::world::START;

const UP_AND_UV: u8 = 0x05;

/// Checks an answer against what was asked. True where the core gave what was asked for.
pub(crate) fn check(stage: &Stage, asked: &Ask, answer: &Answer) -> bool {
    match (asked, answer) {
        (_, Answer::Error(error)) => {
            assert!(error.reason != 0 && (1..400).contains(&error.detail.len()), "a refusal says why: {error:?}");
            return false;
        }
        (_, Answer::Need(need)) => {
            assert!(need.statement || need.kek);
            return false;
        }
        (Ask::CreateKek(asked), Answer::KekCreated(made)) => assert_eq!(asked.epoch, made.epoch),
        (Ask::GetIdentity(asked), Answer::IdentityProven(proven)) => {
            let identity = Identity::decode(proven.identity.as_slice()).expect("an identity decodes");
            assert_eq!(identity.tenant, asked.tenant);
        }
        (Ask::GetView(asked), Answer::View(answer)) => {
            let view = answer.view.as_ref().expect("a view");
            let key = identity(stage, &asked.tenant, asked.kek.as_ref()).receipt_key;
            signed::verify(prefix::VIEW, &view.view, &key, &view.signature).expect("the view is signed");
            check_view(stage, asked, &WalletView::decode(view.view.as_slice()).expect("a view decodes"));
        }
        (Ask::CreateRecord(asked), Answer::RecordCreated(made)) => {
            let new = asked.credential.clone().expect("a credential");
            let credential = Credential { id: new.id, public_key: new.public_key, ..Credential::default() };
            let (act, kek) = (asked.act.as_ref().expect("an act"), asked.kek.as_ref().expect("a KEK"));
            let made_record = made.record.as_ref().expect("a record");
            let content = opened(stage, &asked.tenant, kek, made_record);
            check_consent(act, &[credential], &content.rp_id);
            let intent = Intent::decode(act.intent.as_slice()).expect("an intent decodes");
            assert!(matches!(intent.action, Some(Action::CreateBackup(_))), "another act than was signed for");
            assert_eq!(intent.client.expect("this role's part").message_hash, ContentHash::of(&asked.message).0);
            check_receipt(stage, &asked.tenant, kek, act, made.receipt.as_ref(), &content, None);
        }
        (Ask::Recover(asked), Answer::Recovered(done)) => {
            check_recovery(stage, asked, done.record.as_ref(), &done.release, done.receipt.as_ref());
        }
        (Ask::Rehearse(asked), Answer::Rehearsed(done)) => {
            let (act, kek) = (asked.act.as_ref().expect("an act"), asked.kek.as_ref().expect("a KEK"));
            let content = opened(stage, &asked.tenant, kek, asked.record.as_ref().expect("a record"));
            check_consent(act, &content.credentials, &content.rp_id);
            let done = done.rehearsal.as_ref().expect("a rehearsal");
            let key = identity(stage, &asked.tenant, Some(kek)).receipt_key;
            signed::verify(prefix::REHEARSAL, &done.rehearsal, &key, &done.signature).expect("it is signed");
            let rehearsal = Rehearsal::decode(done.rehearsal.as_slice()).expect("a rehearsal decodes");
            assert_eq!((rehearsal.head, rehearsal.record_id), (content.head, content.record_id));
            assert_eq!(rehearsal.intent_hash, hash(act).0);
        }
        // What the oracle does not know must at least be an answer to a request of some kind.
        _ => {}
    }
    true
}

fn hash(act: &Act) -> IntentHash {
    IntentHash(sha256(&[prefix::INTENT, &act.intent]))
}

fn identity(stage: &Stage, tenant: &[u8], kek: Option<&KekRef>) -> Identity {
    stage.identity(tenant, kek.expect("a KEK")).expect("what was asked with a KEK has an identity")
}

fn opened(stage: &Stage, tenant: &[u8], kek: &KekRef, record: &SealedRecord) -> Record {
    let bytes = stage.open(tenant, kek, record).expect("what the core opened, opens");
    let content = Record::decode(bytes.as_slice()).expect("and decodes");
    assert_eq!(content.record_id, record.record_id, "the record is the one that it is kept as");
    content
}

fn check_view(stage: &Stage, asked: &GetView, view: &WalletView) {
    assert_eq!(
        (&view.wallet, &view.nonce, &view.tenant, view.time_ms),
        (&asked.wallet, &asked.nonce, &asked.tenant, START)
    );
    assert_eq!(view.records.len(), asked.records.len());
    let kek = asked.kek.as_ref().expect("a KEK");
    for record in &asked.records {
        assert_eq!(record.wallet, asked.wallet);
        let content = opened(stage, &asked.tenant, kek, record);
        let shown = view.records.iter().find(|shown| shown.record_id == content.record_id).expect("each is shown");
        assert_eq!((&shown.head, shown.version, &shown.policy), (&content.head, content.version, &content.policy));
        let ids = content.credentials.iter().map(|credential| &credential.id);
        assert!(shown.credentials.iter().map(|credential| &credential.id).eq(ids), "each credential is shown");
    }
}

fn check_recovery(
    stage: &Stage,
    asked: &Recover,
    record: Option<&SealedRecord>,
    release: &[u8],
    receipt: Option<&SignedReceipt>,
) {
    let (act, kek) = (asked.act.as_ref().expect("an act"), asked.kek.as_ref().expect("a KEK"));
    let before = opened(stage, &asked.tenant, kek, asked.record.as_ref().expect("a record"));
    if before.policy.is_some_and(|policy| policy.passkey) {
        check_consent(act, &before.credentials, &before.rp_id);
    }
    let intent = Intent::decode(act.intent.as_slice()).expect("an intent decodes");
    let part = intent.client.expect("this role's part");
    assert!(matches!(intent.action, Some(Action::Recover(_))), "another act than was signed for");
    assert_eq!((&part.record_id, &part.head), (&before.record_id, &before.head), "another record or head");
    assert_eq!(recipient_hash(&asked.recipient_key).expect("a key").0, *part.recipient, "another recipient");
    assert_eq!(intent.tenant, asked.tenant);
    assert!((1..=15 * 60 * 1000).contains(&(intent.not_after_ms - START)), "not in time");
    let after = opened(stage, &asked.tenant, kek, record.expect("a record"));
    let receipt = check_receipt(stage, &asked.tenant, kek, act, receipt, &after, Some(&before));
    assert_eq!(receipt.sealed_hashes, [ContentHash::of(release).0.to_vec()]);
}

fn check_receipt(
    stage: &Stage,
    tenant: &[u8],
    kek: &KekRef,
    act: &Act,
    receipt: Option<&SignedReceipt>,
    after: &Record,
    before: Option<&Record>,
) -> Receipt {
    let identity = identity(stage, tenant, Some(kek));
    let given = receipt.expect("a receipt");
    signed::verify(prefix::RECEIPT, &given.receipt, &identity.receipt_key, &given.signature).expect("it is signed");
    let receipt = Receipt::decode(given.receipt.as_slice()).expect("a receipt decodes");
    assert_eq!(receipt.intent_hash, hash(act).0);
    assert_eq!(receipt.identity_hash, identity_hash(&identity.encode_to_vec()).0);
    assert_eq!((&receipt.head, receipt.version), (&after.head, after.version));
    // A creation starts from the record's id.
    let head = before.map_or(&after.record_id, |before| &before.head);
    let head = strongroom_proto::id::Head::from_slice(head).expect("a head");
    assert_eq!(receipt.head, next_head(&head, &receipt.event).0);
    assert_eq!(receipt.version, before.map_or(0, |before| before.version).saturating_add(1));
    receipt
}

/// Every assertion is by a credential of the record, over this intent, with user verification.
fn check_consent(act: &Act, credentials: &[Credential], rp_id: &str) {
    assert!(!act.assertions.is_empty(), "nobody consented");
    for assertion in &act.assertions {
        let by = credentials.iter().find(|credential| credential.id == assertion.credential_id);
        check_assertion(assertion, &by.expect("a credential of the record").public_key, &hash(act), rp_id);
    }
}

fn check_assertion(assertion: &Assertion, key: &[u8], hash: &IntentHash, rp_id: &str) {
    let client_data = json::whole(&assertion.client_data_json).expect("JSON");
    let text = |name| client_data.only(name).and_then(json::Json::text);
    assert_eq!(text("challenge"), Some(base64url(&hash.0).as_str()));
    assert_eq!(text("type"), Some("webauthn.get"));
    let data = &assertion.authenticator_data;
    assert_eq!(data[..32], sha256(&[rp_id.as_bytes()]));
    assert_eq!(data[32] & UP_AND_UV, UP_AND_UV);
    let message = [data.as_slice(), &sha256(&[&assertion.client_data_json])].concat();
    assert!(crate::cose::holds(key, &message, &assertion.signature), "the signature does not hold");
}
