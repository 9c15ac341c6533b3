use super::*;
use crate::prepare::Prepared;
use crate::testing::{CREDENTIAL, NOW_MS, WALLET, open_recovery, pairs, record_view, tenant};
use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::DELAY_SECONDS_MAX;
use strongroom_proto::v1::{
    AddPasskeyAction, CancelAction, CarryOutAction, ChangePolicyAction, DeleteBackupAction, NewCredential, OpenActKind,
    Policy, PutSharesAction, RecoverAction, RehearseAction, RemovePasskeyAction, RenamePasskeyAction, Role, SecretKind,
    StartRecoveryAction,
};

mod both;

fn creation() -> Creation {
    Creation {
        backup: "main".to_owned(),
        method: "PASSKEY".to_owned(),
        secret: SecretKind::Share,
        pairs: pairs().into_iter().rev().collect(),
        policy: ClientPolicy::PASSKEY,
        custodian: None,
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
    assert_eq!(recover.action, Some(Action::Recover(RecoverAction { generation: 1, eject: false })));
    let rehearse = rehearse(&base, record, 1).unwrap().intent;
    assert_eq!(rehearse.client.unwrap().recipient, Vec::<u8>::new());
    assert_eq!(rehearse.action, Some(Action::Rehearse(RehearseAction { generation: 1 })));
}

#[test]
fn acts_on_a_record_name_it_and_say_no_more_than_they_need() {
    let mut view = record_view();
    view.highest_generation = 7;
    view.open_acts = vec![open_recovery()];
    let prepared = Prepared::of(vec![view]);
    let base = prepared.base(Role::Client).unwrap();
    let record = &prepared.role(Role::Client).unwrap().view.records()[0];
    let [credential] = record.credentials.as_slice() else { panic!("one credential") };
    let [open] = record.open_acts.as_slice() else { panic!("one open act") };
    let newcomer = Newcomer::new(NewCredential { id: vec![1], public_key: vec![2] }, "tablet").unwrap();
    let started_by = open.intent.0.to_vec();
    let kind = OpenActKind::Recovery.into();
    let put = with_client_message(put_shares(&base, record, &pairs()).unwrap(), b"m").unwrap();
    let to = ContentHash([9; 32]);
    let generation = record.active().unwrap();
    for (intent, action, message, recipient) in [
        (put, Action::PutShares(PutSharesAction { generation: 8, pairs: pairs() }), true, false),
        (
            add_passkey(&base, record, &newcomer).unwrap(),
            Action::AddPasskey(AddPasskeyAction { credential: Some(newcomer.reference()) }),
            false,
            false,
        ),
        (
            remove_passkey(&base, record, credential).unwrap(),
            Action::RemovePasskey(RemovePasskeyAction { credential_id: CREDENTIAL.to_vec() }),
            false,
            false,
        ),
        (
            rename_passkey(&base, record, credential, "new").unwrap(),
            Action::RenamePasskey(RenamePasskeyAction { credential_id: CREDENTIAL.to_vec(), label: "new".to_owned() }),
            false,
            false,
        ),
        (
            change_policy(&base, record, ClientPolicy::PASSKEY).unwrap(),
            Action::ChangePolicy(ChangePolicyAction {
                client_policy: Some(Policy { passkey: true, ..Policy::default() }),
                custodian_policy: None,
            }),
            false,
            false,
        ),
        (
            start_recovery(&base, record, generation, to).unwrap(),
            Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false }),
            false,
            true,
        ),
        (delete_backup(&base, record).unwrap(), Action::DeleteBackup(DeleteBackupAction {}), false, false),
        (
            cancel(&base, record, open).unwrap(),
            Action::Cancel(CancelAction { kind, intent_hash: started_by.clone() }),
            false,
            false,
        ),
        (
            carry_out(&base, record, open).unwrap(),
            Action::CarryOut(CarryOutAction { kind, intent_hash: started_by.clone() }),
            false,
            false,
        ),
    ] {
        let fields = strongroom_proto::intent::decode(&intent.bytes).unwrap();
        assert_eq!((&fields, fields.action.as_ref()), (&intent.intent, Some(&action)));
        let part = fields.client.unwrap();
        assert_eq!((part.record_id, part.head), (vec![10; 32], vec![11; 32]), "{action:?}");
        assert_eq!((part.message_hash.is_empty(), part.recipient.is_empty()), (!message, !recipient), "{action:?}");
        assert!(fields.custodian.is_none() && fields.nonce.len() == 32 && fields.statement_serial == 3);
    }
}

#[test]
fn what_an_act_could_not_say_is_refused_with_its_limit() {
    let prepared = Prepared::of(vec![record_view()]);
    let base = prepared.base(Role::Client).unwrap();
    let record = &prepared.role(Role::Client).unwrap().view.records()[0];
    let newcomer = |id: usize, key: usize, label: &str| {
        Newcomer::new(NewCredential { id: vec![1; id], public_key: vec![2; key] }, label).map(|_| ())
    };
    assert!(newcomer(1023, 1024, "").is_ok());
    let full = crate::view::Record { highest_generation: u64::MAX, ..record.clone() };
    for (outcome, expect) in [
        (newcomer(0, 1, ""), "credential id: has 0 bytes; 1 to 1023"),
        (newcomer(1024, 1, ""), "credential id: has 1024 bytes"),
        (newcomer(1, 0, ""), "credential key: has 0 bytes; 1 to 1024"),
        (newcomer(1, 1025, ""), "credential key: has 1025 bytes"),
        (newcomer(1, 1, "a\nb"), "label: more than 64 bytes, or with a control character"),
        (rename_passkey(&base, record, &record.credentials[0], &"a".repeat(65)).map(|_| ()), "label: more than 64"),
        (put_shares(&base, record, &[]).map(|_| ()), "pairs: 0 are given; 1 to 4"),
        (put_shares(&base, record, &[pairs(), pairs()].concat()).map(|_| ()), "pairs: one is there twice"),
        (put_shares(&base, &full, &pairs()).map(|_| ()), "generation: there is none above"),
        (Delay::from_seconds(DELAY_SECONDS_MAX + 1).map(|_| ()), "delay: 2592001 s; at most 2592000"),
    ] {
        let error = outcome.unwrap_err().to_string();
        assert!(error.starts_with(expect), "{error}");
    }
}

#[test]
fn policies_of_the_client_role_are_those_that_it_can_keep() {
    let policy = |passkey, tenant_signature, newest_head, delay_seconds| Policy {
        passkey,
        tenant_signature,
        delay_seconds,
        newest_head,
    };
    for good in [
        policy(true, false, false, 0),
        policy(true, true, false, 0),
        policy(true, true, true, 1),
        policy(true, false, false, DELAY_SECONDS_MAX),
    ] {
        assert_eq!(Policy::from(ClientPolicy::try_from(good).unwrap()), good);
    }
    for (bad, expect) in [
        (policy(false, true, false, 0), "always needs a passkey"),
        (policy(false, false, false, 1), "always needs a passkey"),
        (policy(true, false, true, 0), "the newest head needs the tenant's signature"),
        (policy(true, false, false, DELAY_SECONDS_MAX + 1), "at most 2592000"),
    ] {
        let error = ClientPolicy::try_from(bad).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
}
