use super::*;
use crate::prepare::Prepared;
use crate::testing::{CREDENTIAL, NOW_MS, WALLET, pairs, record_view, tenant};
use strongroom_proto::v1::Role;

fn creation() -> Creation {
    Creation {
        backup: "main".to_owned(),
        method: "PASSKEY".to_owned(),
        secret: SecretKind::Share,
        pairs: pairs().into_iter().rev().collect(),
        policy: Policy { passkey: true, ..Policy::default() },
        credential: NewCredential { id: CREDENTIAL.to_vec(), public_key: vec![1, 2, 3] },
        label: "phone".to_owned(),
    }
}

#[test]
fn a_creation_names_everything_and_its_record_before_it_is_sealed() {
    let prepared = Prepared::of(Vec::new());
    let base = prepared.base(Role::Client).unwrap();
    let (intent, record_id) = create_backup(&base, &creation()).unwrap();
    assert_eq!((intent.tenant.as_slice(), intent.wallet.as_str()), (&tenant().0[..], WALLET));
    assert_eq!((intent.statement_serial, intent.not_after_ms), (3, NOW_MS + INTENT_LIFE_MS));
    assert_eq!(intent.nonce.len(), 32);
    assert_eq!((intent.client.clone(), intent.custodian.clone()), (Some(RolePart::default()), None));
    let Some(Action::CreateBackup(action)) = &intent.action else { panic!("a creation") };
    assert_eq!((&action.pairs, action.generation), (&pairs(), 1));
    assert_eq!(action.credential.as_ref().unwrap().key_hash, ContentHash::of(&[1, 2, 3]).0);

    let sealed = with_client_message(intent, b"message").unwrap();
    assert_eq!(sealed.intent.client.as_ref().unwrap().message_hash, ContentHash::of(b"message").0);
    assert_eq!(strongroom_proto::intent::record_id(&sealed.intent), record_id);
    assert_eq!(strongroom_proto::intent::decode(&sealed.bytes).unwrap(), sealed.intent);
    assert_eq!(strongroom_proto::intent::hash(&sealed.bytes), sealed.hash);
    let (again, other_id) = create_backup(&base, &creation()).unwrap();
    assert!(again.nonce != sealed.intent.nonce && other_id != record_id);
}

#[test]
fn what_no_enclave_would_take_is_refused_with_its_limit() {
    type Change = fn(&mut Creation);
    let cases: &[(Change, &str)] = &[
        (|c| c.backup.clear(), "backup: not 1 to 64"),
        (|c| c.backup = "a/b".to_owned(), "backup: not 1 to 64"),
        (|c| c.method = "passkey".to_owned(), "method: not 1 to 32"),
        (|c| c.secret = SecretKind::Unspecified, "secret: neither"),
        (|c| c.label = "a".repeat(65), "label: more than 64"),
        (|c| c.pairs.clear(), "pairs: 0 are given; 1 to 4"),
        (|c| c.pairs = vec![c.pairs[0].clone(); 5], "pairs: 5 are given; 1 to 4"),
        (|c| c.pairs[0].id = "a b".to_owned(), "pairs: \"a b\" is no id"),
        (|c| c.pairs[0].curve = 0, "with a known curve"),
        (|c| c.pairs[1] = c.pairs[0].clone(), "pairs: one is there twice"),
        (|c| c.policy.passkey = false, "policy: a client share always needs a passkey"),
    ];
    let prepared = Prepared::of(Vec::new());
    for (index, (change, expect)) in cases.iter().enumerate() {
        let mut creation = creation();
        change(&mut creation);
        let error = create_backup(&prepared.base(Role::Client).unwrap(), &creation).unwrap_err().to_string();
        assert!(error.contains(expect), "case {index}: {error}");
    }
    let (intent, _) = create_backup(&prepared.base(Role::Client).unwrap(), &creation()).unwrap();
    let long = Intent { wallet: "w".repeat(INTENT_BYTES_MAX), ..intent };
    let error = EncodedIntent::new(long).unwrap_err().to_string();
    assert!(error.contains("at most 4096 are allowed"), "{error}");
}

#[test]
fn releases_name_record_head_and_recipient() {
    let prepared = Prepared::of(vec![record_view()]);
    let base = prepared.base(Role::Client).unwrap();
    let record = &prepared.role(Role::Client).unwrap().view.records()[0];
    let recover = recover(&base, record, 1, ContentHash([9; 32])).unwrap().intent;
    let part = recover.client.unwrap();
    assert_eq!((part.record_id, part.head), (vec![10; 32], vec![11; 32]));
    assert_eq!((part.recipient, part.message_hash.len()), (vec![9; 32], 0));
    assert_eq!(recover.action, Some(Action::Recover(RecoverAction { generation: 1 })));
    let rehearse = rehearse(&base, record, 1).unwrap().intent;
    assert_eq!(rehearse.client.unwrap().recipient, Vec::<u8>::new());
    assert_eq!(rehearse.action, Some(Action::Rehearse(RehearseAction { generation: 1 })));
}
