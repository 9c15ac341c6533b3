use super::*;
use crate::exchange::SignedDraft;
use crate::intent::{self, ClientPolicy, Creation, CustodianPolicy, Delay};
use crate::keys::KeyUse;
use crate::passkey::Passkey;
use crate::seal::enclave;
use crate::testing::{
    NOW_MS, WALLET, channel_key_of, custodian_view, kek_id_of, key, operational_key, pairs, record_view_of_both, root,
    statement_of_both, tenant, verified_statement, verified_statement_of_both,
};
use prost::Message;
use strongroom_proto::contents::decode_shares;
use strongroom_proto::limits::INTENT_AHEAD_MS_MAX;
use strongroom_proto::seal::{Direction, hpke_info};
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::{Assertion, Policy, RecordView, SecretKind, Statement};

type OfCreation = fn(&mut CreateBackupAction);

const RECORD: RecordId = RecordId([10; 32]);
const POLICIES: Policies = Policies { client: Some(ClientPolicy::PASSKEY), custodian: Some(CustodianPolicy::PASSKEY) };

fn prepared() -> Prepared {
    Prepared::of_both(vec![record_view_of_both()], vec![custodian_view()])
}

fn share(pair: &str) -> Share {
    Share { pair: pair.to_owned(), bytes: Secret::new(vec![7; 3]) }
}

fn shares() -> Vec<Share> {
    vec![share("b"), share("a")]
}

fn creation(passkey: &Passkey) -> Creation {
    Creation {
        backup: "new".to_owned(),
        method: "PASSKEY".to_owned(),
        secret: SecretKind::Share,
        pairs: pairs(),
        policy: ClientPolicy::PASSKEY,
        custodian: Some(CustodianPolicy::PASSKEY),
        credential: passkey.registration(),
        label: "phone".to_owned(),
    }
}

/// The draft of a creation, and the draft of a put, each with the order that it is for.
fn drafts(prepared: &Prepared, passkey: &Passkey) -> [(Intent, OrderedAct<'static>); 2] {
    let base = prepared.base_for([Role::Client, Role::Custodian]).unwrap();
    let (created, _) = intent::create_backup(&base, &creation(passkey)).unwrap();
    let put = intent::put_shares(&base, prepared.backups().unwrap()[0], &pairs()).unwrap();
    [
        (created, OrderedAct::CreateBackup { backup: "new", method: "PASSKEY", policies: POLICIES }),
        (put, OrderedAct::PutShares { record_id: RECORD }),
    ]
}

fn check<'a>(prepared: &'a Prepared, draft: &Intent, act: OrderedAct<'_>) -> Result<Checked<'a>, Error> {
    let order = Order { wallet: WALLET, pairs: &pairs(), act, newest: &[] };
    Service::new(prepared, &verified_statement_of_both())?.check_draft(&draft.encode_to_vec(), &order)
}

#[test]
fn a_custodians_shares_are_sealed_to_the_custodians_channel_key_for_the_drafts_record() {
    let (prepared, passkey) = (prepared(), Passkey::create("wallet.example").unwrap());
    for (draft, act) in drafts(&prepared, &passkey) {
        let checked = check(&prepared, &draft, act).unwrap();
        let record_id = checked.record_id();
        let (held, answer) = checked.seal(shares()).unwrap();
        let held = HeldDraft::decode(held.to_bytes().as_slice()).unwrap();
        assert_eq!((answer.epoch, held.epoch), (2, 2));
        assert_eq!(answer.message_hash, ContentHash::of(&held.message).0);
        assert_eq!(answer.draft, form::hash(&draft.encode_to_vec()).0);
        let open = |role| {
            let info = hpke_info(Direction::Request, role, &tenant(), &kek_id_of(role), &record_id);
            enclave::open(&channel_key_of(role), &info, &held.message)
        };
        assert_eq!(decode_shares(&open(Role::Custodian).unwrap()).unwrap().len(), 2);
        assert!(open(Role::Client).is_none());
        for bad in [vec![share("a")], vec![share("a"), share("c")], vec![]] {
            assert!(check(&prepared, &draft, act).unwrap().seal(bad).is_err());
        }
    }
}

#[test]
fn a_draft_that_says_anything_else_than_was_ordered_is_not_sealed_for() {
    type Change = fn(&mut Intent);
    let (prepared, passkey) = (prepared(), Passkey::create("wallet.example").unwrap());
    let [(created, creation), (put, put_order)] = drafts(&prepared, &passkey);
    let of_both: [(Change, &str); 13] = [
        (|i| i.tenant[0] ^= 1, "intent's tenant is"),
        (|i| i.wallet.push('x'), "intent's wallet is"),
        (|i| i.statement_serial = 2, "intent's statement serial is 2"),
        (|i| i.not_after_ms = NOW_MS, "intent's not_after is"),
        (|i| i.not_after_ms = NOW_MS + INTENT_AHEAD_MS_MAX + 1, "intent's not_after is"),
        (|i| i.client = None, "intent's list of roles is one role's alone"),
        (|i| i.custodian = None, "intent's list of roles is one role's alone"),
        (|i| i.client.as_mut().unwrap().message_hash = vec![1; 32], "intent's message hash is"),
        (|i| i.custodian.as_mut().unwrap().message_hash = vec![1; 32], "intent's message hash is"),
        (|i| i.custodian.as_mut().unwrap().recipient = vec![1; 32], "intent's recipient is"),
        (|i| i.custodian.as_mut().unwrap().record_id = vec![1; 32], "intent's record_id is"),
        (|i| i.custodian.as_mut().unwrap().head = vec![1; 32], "intent's head is"),
        (|i| i.action = None, "it has no action"),
    ];
    for (draft, act) in [(&created, creation), (&put, put_order)] {
        check(&prepared, draft, act).unwrap();
        for (index, (change, expect)) in of_both.iter().enumerate() {
            let mut draft = draft.clone();
            change(&mut draft);
            let error = check(&prepared, &draft, act).unwrap_err().to_string();
            assert!(error.contains(expect), "case {index}: {error}");
        }
        let more = [draft.encode_to_vec(), vec![0xf8, 7, 1]].concat();
        let order = Order { wallet: WALLET, pairs: &pairs(), act, newest: &[] };
        let service = Service::new(&prepared, &verified_statement_of_both()).unwrap();
        assert!(matches!(service.check_draft(&more, &order), Err(Error::Malformed { .. })));
    }
    assert!(check(&prepared, &created, put_order).is_err() && check(&prepared, &put, creation).is_err());
}

#[test]
fn an_action_with_another_field_than_was_ordered_is_not_sealed_for() {
    let (prepared, passkey) = (prepared(), Passkey::create("wallet.example").unwrap());
    let [(created, creation), (put, put_order)] = drafts(&prepared, &passkey);
    let of = |draft: &Intent, change: OfCreation| {
        let mut draft = draft.clone();
        if let Some(Action::CreateBackup(action)) = &mut draft.action {
            change(action);
        }
        draft
    };
    let creations: [(OfCreation, &str); 9] = [
        (|a| a.backup = "other".to_owned(), "intent's backup is other"),
        (|a| a.method = "PASSWORD".to_owned(), "intent's method is PASSWORD"),
        (|a| a.generation = 2, "intent's generation is 2"),
        (|a| _ = a.pairs.pop(), "intent's list of pairs is a:secp256k1, but"),
        (|a| a.pairs[0].curve = 2, "intent's list of pairs is a:ed25519, b:ed25519"),
        (|a| a.client_policy.as_mut().unwrap().delay_seconds = 1, "intent's client policy is"),
        (|a| a.custodian_policy.as_mut().unwrap().tenant_signature = true, "intent's custodian policy is"),
        (|a| a.custodian_policy = None, "intent's custodian policy is none"),
        (|a| a.credential = None, "intent's credential is none"),
    ];
    for (change, expect) in creations {
        let error = check(&prepared, &of(&created, change), creation).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    let of_put = |change: fn(&mut PutSharesAction)| {
        let mut draft = put.clone();
        if let Some(Action::PutShares(action)) = &mut draft.action {
            change(action);
        }
        check(&prepared, &draft, put_order).unwrap_err().to_string()
    };
    assert!(of_put(|a| a.generation = 3).contains("intent's generation is 3, but the tenant expects 2"));
    assert!(of_put(|a| a.generation = 1).contains("intent's generation is 1"));
    assert!(of_put(|a| _ = a.pairs.pop()).contains("list of pairs"));
    let mut client_head = put.clone();
    client_head.client.as_mut().unwrap().head = vec![1; 32];
    assert!(check(&prepared, &client_head, put_order).unwrap_err().to_string().contains("intent's head is"));
    let elsewhere = OrderedAct::PutShares { record_id: RecordId([9; 32]) };
    assert!(check(&prepared, &put, elsewhere).unwrap_err().to_string().contains("record_id"));
    let taken = Creation { backup: "main".to_owned(), ..self::creation(&passkey) };
    let base = prepared.base(Role::Custodian).unwrap();
    let (taken, _) = intent::create_backup(&base, &taken).unwrap();
    let main = OrderedAct::CreateBackup { backup: "main", method: "PASSKEY", policies: POLICIES };
    let error = check(&prepared, &taken, main).unwrap_err().to_string();
    assert!(error.contains("wallet wallet-1 has a backup main already"), "{error}");
}

#[test]
fn nothing_is_sealed_for_a_service_that_shows_another_statement_than_the_tenants_own() {
    let refused = |change: fn(&mut Statement), own: &VerifiedStatement| {
        let mut prepared = prepared();
        prepared.with_statement(change);
        Service::new(&prepared, own).map(|_| ()).unwrap_err().to_string()
    };
    let own = verified_statement_of_both();
    assert!(refused(|it| it.serial = 2, &own).contains("serial 2, but 3 is known"));
    assert!(refused(|it| it.serial = 4, &own).contains("statement's serial is 4, not 3"));
    assert!(refused(|it| it.mpc_recipients.clear(), &own).contains("another one than the tenant's own"));
    let gave_up = {
        let mut statement = statement_of_both();
        let custodian = statement.custodian.as_mut().unwrap();
        custodian.epochs.push(strongroom_proto::v1::Epoch { epoch: 3, ..custodian.epochs[1].clone() });
        custodian.lowest_epoch = 3;
        statement
    };
    let signed = crate::statement::sign(&gave_up, &root()).unwrap();
    let own = VerifiedStatement::verify(&signed, tenant()).unwrap();
    let mut prepared = prepared();
    prepared.with_statement(|it| *it = gave_up);
    let error = Service::new(&prepared, &own).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("epoch 2 of the custodian role is older than 3"), "{error}");
    let client_only = Prepared::of(Vec::new());
    assert!(matches!(Service::new(&client_only, &verified_statement()), Err(Error::RoleNotServed { .. })));
}

/// What an honest device signs for a draft.
fn signed(draft: &Intent, answer: &CustodianSeal, passkey: &Passkey) -> SignedDraft {
    let message = b"client message".to_vec();
    let custodian = ContentHash(answer.message_hash.as_slice().try_into().unwrap());
    let intent = with_messages(draft.clone(), Some(ContentHash::of(&message)), Some(custodian)).unwrap();
    let is_creation = matches!(draft.action, Some(Action::CreateBackup(_)));
    SignedDraft {
        assertion: Some(passkey.assert(&intent.hash, "https://wallet.example").unwrap()),
        credential: is_creation.then(|| passkey.registration()),
        client_message: message,
        client_epoch: 2,
        storage: 0,
        client_ciphertexts: Vec::new(),
        intent: intent.bytes,
    }
}

#[test]
fn a_draft_that_changed_after_it_was_sealed_for_is_not_signed() {
    type Change = fn(&mut Intent);
    let (prepared, passkey) = (prepared(), Passkey::create("wallet.example").unwrap());
    let cases: [(Change, &str); 16] = [
        (|i| i.tenant[0] ^= 1, "intent's content is"),
        (|i| i.wallet.push('x'), "intent's content is"),
        (|i| i.statement_serial += 1, "intent's content is"),
        (|i| i.not_after_ms += 1, "intent's content is"),
        (|i| i.nonce[0] ^= 1, "intent's content is"),
        (|i| i.client.as_mut().unwrap().record_id = vec![9; 32], "intent's content is"),
        (|i| i.client.as_mut().unwrap().head = vec![9; 32], "intent's content is"),
        (|i| i.client.as_mut().unwrap().recipient = vec![9; 32], "intent's content is"),
        (|i| i.custodian.as_mut().unwrap().record_id = vec![9; 32], "intent's content is"),
        (|i| i.custodian.as_mut().unwrap().head = vec![9; 32], "intent's content is"),
        (|i| i.custodian.as_mut().unwrap().recipient = vec![9; 32], "intent's content is"),
        (|i| i.custodian.as_mut().unwrap().message_hash[0] ^= 1, "intent's custodian's message hash is"),
        (|i| i.client.as_mut().unwrap().message_hash[0] ^= 1, "intent's client's message hash is"),
        (swap, "intent's client's message hash is"),
        (|i| i.custodian = None, "intent's custodian's message hash is"),
        (|i| i.action = Some(Action::DeleteBackup(strongroom_proto::v1::DeleteBackupAction {})), "intent's content is"),
    ];
    for (draft, act) in drafts(&prepared, &passkey) {
        let (held, answer) = check(&prepared, &draft, act).unwrap().seal(shares()).unwrap();
        let good = signed(&draft, &answer, &passkey);
        let ready = held.clone().finish(good.clone()).unwrap();
        assert_eq!(ready.intent().bytes, good.intent);
        for (index, (change, expect)) in cases.iter().enumerate() {
            let mut fields = form::decode(&good.intent).unwrap();
            change(&mut fields);
            let changed = SignedDraft { intent: fields.encode_to_vec(), ..good.clone() };
            let error = held.clone().finish(changed).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(expect), "case {index}: {error}");
        }
        action_fields(&held, &good);
        for purpose in [KeyUse::Root, KeyUse::Standby] {
            let whole = held.clone().finish(good.clone()).unwrap();
            assert!(whole.sign(&key(purpose, 1)).map(|_| ()).unwrap_err().to_string().contains("signs no intents"));
        }
    }
}

fn swap(intent: &mut Intent) {
    let (client, custodian) = (intent.client.as_mut().unwrap(), intent.custodian.as_mut().unwrap());
    std::mem::swap(&mut client.message_hash, &mut custodian.message_hash);
}

/// Every field of the action, in a creation and in a put.
fn action_fields(held: &Held, good: &SignedDraft) {
    let creations: [OfCreation; 9] = [
        |a| a.backup.push('x'),
        |a| a.method.push('X'),
        |a| a.secret = SecretKind::Key.into(),
        |a| _ = a.pairs.pop(),
        |a| a.generation = 2,
        |a| a.client_policy = Some(Policy { delay_seconds: 1, ..a.client_policy.unwrap() }),
        |a| a.custodian_policy = Some(Policy { tenant_signature: true, ..a.custodian_policy.unwrap() }),
        |a| a.credential.as_mut().unwrap().key_hash[0] ^= 1,
        |a| a.credential.as_mut().unwrap().label.push('x'),
    ];
    let puts: [fn(&mut PutSharesAction); 2] = [|a| a.generation += 1, |a| _ = a.pairs.pop()];
    let fields = form::decode(&good.intent).unwrap();
    let changed: Vec<Action> = match fields.action.clone().unwrap() {
        Action::CreateBackup(action) => creations.iter().map(|it| with(&action, *it, Action::CreateBackup)).collect(),
        Action::PutShares(action) => puts.iter().map(|it| with(&action, *it, Action::PutShares)).collect(),
        other => panic!("{other:?}"),
    };
    for action in changed {
        let intent = Intent { action: Some(action.clone()), ..fields.clone() }.encode_to_vec();
        let error = held.clone().finish(SignedDraft { intent, ..good.clone() }).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("intent's content is"), "{action:?}: {error}");
    }
}

fn with<T: Clone>(action: &T, change: fn(&mut T), wrap: fn(T) -> Action) -> Action {
    let mut action = action.clone();
    change(&mut action);
    wrap(action)
}

#[test]
fn what_the_device_brings_beside_the_draft_is_checked() {
    type Change = fn(&mut SignedDraft);
    let (prepared, passkey) = (prepared(), Passkey::create("wallet.example").unwrap());
    let [(created, creation), (put, put_order)] = drafts(&prepared, &passkey);
    let cases: [(Change, &str); 7] = [
        (|it| it.intent.push(0), "signed draft is malformed"),
        (|it| it.client_message.push(0), "intent's client's message hash is"),
        (|it| it.assertion = None, "it has no assertion"),
        (|it| it.credential = None, "it does not bring the credential"),
        (|it| it.credential.as_mut().unwrap().id.push(0), "signed draft's credential is"),
        (|it| it.credential.as_mut().unwrap().public_key.push(0), "signed draft's credential's key hash is"),
        (
            |it| it.assertion = Some(Assertion { credential_id: vec![1], ..it.assertion.clone().unwrap() }),
            "signed draft's assertion's credential is",
        ),
    ];
    let (held, answer) = check(&prepared, &created, creation).unwrap().seal(shares()).unwrap();
    for (change, expect) in cases {
        let mut changed = signed(&created, &answer, &passkey);
        change(&mut changed);
        let error = held.clone().finish(changed).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    }
    let (put_held, put_answer) = check(&prepared, &put, put_order).unwrap().seal(shares()).unwrap();
    let brought = SignedDraft { credential: Some(passkey.registration()), ..signed(&put, &put_answer, &passkey) };
    let error = put_held.clone().finish(brought).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("it brings a credential that its intent does not name"), "{error}");
    // One draft's signature with what is kept for another.
    assert!(put_held.finish(signed(&created, &answer, &passkey)).is_err());
    assert!(Held::from_bytes(&[0xff]).is_err());
    let bare = HeldDraft { draft: vec![0xff], message: Vec::new(), epoch: 2 };
    assert!(Held::from_bytes(&bare.encode_to_vec()).is_err());
}

fn alone(policy: CustodianPolicy) -> Alone {
    Alone { backup: "pw".to_owned(), method: "PASSWORD".to_owned(), pairs: pairs(), policy }
}

#[test]
fn a_backup_of_the_custodian_alone_names_no_passkey_and_no_other_role() {
    let custodian_only = |record: RecordView| RecordView { roles: vec![2], credentials: Vec::new(), ..record };
    let policy = Some(Policy { tenant_signature: true, ..Policy::default() });
    let record = RecordView { policy, ..custodian_only(custodian_view()) };
    let prepared = Prepared::of_both(Vec::new(), vec![record]);
    let service = Service::new(&prepared, &verified_statement_of_both()).unwrap();
    let made = service.create_alone(&alone(CustodianPolicy::TENANT), shares()).unwrap();
    let fields = &made.intent().intent;
    assert!(fields.client.is_none() && fields.custodian.as_ref().unwrap().message_hash.len() == 32);
    let Some(Action::CreateBackup(action)) = &fields.action else { panic!("a creation") };
    assert!(action.credential.is_none() && action.client_policy.is_none() && action.custodian_policy.is_some());
    made.sign(&operational_key()).unwrap();
    let put = service.put_alone(RECORD, &pairs(), shares()).unwrap();
    assert!(put.intent().intent.client.is_none());

    let passkey = service.create_alone(&alone(CustodianPolicy::PASSKEY), shares()).map(|_| ()).unwrap_err();
    assert!(passkey.to_string().contains("policy: asks for a passkey"), "{passkey}");
    let taken = Alone { backup: "main".to_owned(), ..alone(CustodianPolicy::TENANT) };
    assert!(
        service.create_alone(&taken, shares()).map(|_| ()).unwrap_err().to_string().contains("backup main already")
    );
    let method = Alone { method: "pass word".to_owned(), ..alone(CustodianPolicy::TENANT) };
    assert!(service.create_alone(&method, shares()).is_err());
    assert!(service.create_alone(&alone(CustodianPolicy::TENANT), vec![share("a")]).is_err());
    assert!(matches!(service.put_alone(RecordId([1; 32]), &pairs(), shares()), Err(Error::NotFound { .. })));
    let both = self::prepared();
    let both = Service::new(&both, &verified_statement_of_both()).unwrap();
    let drafted = both.put_alone(RECORD, &pairs(), shares()).map(|_| ()).unwrap_err().to_string();
    assert!(drafted.contains("is of both roles"), "{drafted}");
    assert!(Delay::from_seconds(1).is_ok());
}
