use super::*;
use crate::keys::KeyUse;
use crate::testing::{NOW_MS, WALLET, key, now, open_recovery, record_view, role_identity, sign_view, wallet_view};
use prost::Message;
use strongroom_proto::v1::{CredentialView, GenerationView, OpenAct, RecordView};

mod backups;

const NONCE: &[u8; 32] = &[6; 32];

fn verify_at(signed: &SignedView, at: Time) -> Result<VerifiedView, Error> {
    VerifiedView::verify(signed, &role_identity(), &Asked { wallet: WALLET, nonce: NONCE, at })
}

fn verify(view: &WalletView) -> Result<VerifiedView, Error> {
    verify_at(&sign_view(view), now())
}

#[test]
fn a_view_gives_records_and_time() {
    let view = verify(&wallet_view(NONCE)).unwrap();
    assert_eq!(view.time(), now());
    let [record] = view.records() else { panic!("one record") };
    assert_eq!((record.backup.as_str(), record.version, record.active().unwrap().number), ("main", 4, 1));
    assert!(record.pending().is_none());
    assert!(record.check_credential(b"credential").is_ok());
    let stranger = record.check_credential(b"stranger").unwrap_err();
    assert!(matches!(stranger, Error::UnknownCredential { .. }));
    let empty = WalletView { records: Vec::new(), ..wallet_view(NONCE) };
    assert!(verify(&empty).unwrap().records().is_empty());
}

#[test]
fn each_field_of_a_view_is_checked() {
    type Change = fn(&mut WalletView);
    let cases: &[(Change, &str)] = &[
        (|v| v.tenant[0] ^= 1, "view's tenant is"),
        (|v| v.role = 2, "view's role is custodian, not client"),
        (|v| v.role = 9, "view's role is unspecified, not client"),
        (|v| v.epoch = 1, "view's epoch is 1, not 2"),
        (|v| v.wallet.push('x'), "view's wallet is wallet-1x, not wallet-1"),
        (|v| v.nonce[31] ^= 1, "view's nonce is"),
        (|v| v.nonce.clear(), "view's nonce is empty"),
        (|v| v.stages = None, "stages are missing"),
        (|v| v.time_ms += 40 * 60 * 1000, "your clock is off by 40 min"),
        (|v| v.time_ms -= 40 * 60 * 1000, "your clock is off by 40 min"),
        (|v| v.time_ms = 0, "your clock is off by"),
        (|v| v.records.push(record_view()), "not sorted, or one is there twice"),
        (|v| v.records = (0..17).map(|_| record_view()).collect(), "more than 16 records"),
    ];
    for (index, (change, expect)) in cases.iter().enumerate() {
        let mut view = wallet_view(NONCE);
        change(&mut view);
        let error = verify(&view).unwrap_err().to_string();
        assert!(error.contains(expect), "case {index}: {error}");
    }
}

#[test]
fn each_field_of_a_record_is_checked() {
    type Change = fn(&mut strongroom_proto::v1::RecordView);
    let cases: &[(Change, &str)] = &[
        (|r| r.record_id.clear(), "record_id has 0 bytes"),
        (|r| r.head.push(0), "head has 33 bytes"),
        (|r| r.backup.clear(), "backup, method or secret"),
        (|r| r.method = "a b".to_owned(), "backup, method or secret"),
        (|r| r.secret = 7, "backup, method or secret"),
        (|r| r.policy = None, "has no policy"),
        (|r| r.roles.clear(), "the list of roles"),
        (|r| r.roles = vec![2, 1], "the list of roles"),
        (|r| r.roles = vec![9], "the list of roles"),
        (|r| r.roles = vec![2], "was not made for the client role"),
        (|r| r.credentials = vec![CredentialView::default(); 17], "the number of credentials"),
        (|r| r.credentials[0].id.clear(), "id or label of a credential"),
        (|r| r.credentials[0].label = "a\u{1b}[2J".to_owned(), "id or label of a credential"),
        (|r| r.credentials[0].key_hash.clear(), "key_hash has 0 bytes"),
        (|r| r.generations.push(r.generations[0].clone()), "the order of generations"),
        (|r| r.generations[0].generation = 0, "generation 0"),
        (|r| r.generations[0].state = 0, "generation 1"),
        (|r| r.generations[0].pairs.clear(), "generation 1"),
        (|r| r.generations[0].pairs.swap(0, 1), "generation 1"),
        (|r| r.generations[0].pairs[0].curve = 0, "generation 1"),
        (|r| r.generations[0].pairs[0].id = "a/b".to_owned(), "generation 1"),
        (|r| r.generations[0].put_intent_hash.clear(), "put_intent_hash has 0 bytes"),
        (|r| r.highest_generation = 0, "the highest generation"),
        (|r| r.generations[0].state = 2, "the state of a generation"),
        (|r| r.generations[0].state = 3, "the number of pending generations"),
        (|r| (r.generations, r.highest_generation) = (many_generations(r, 9), 9), "the number of generations"),
        (|r| former_above_active(r), "the state of a generation"),
        (|r| pending_below_highest(r), "the state of a generation"),
        (|r| r.generations.clear(), "what a closed record has, or an open one lacks"),
        (|r| r.closed = true, "what a closed record has"),
        (|r| (r.closed, r.generations) = (true, Vec::new()), "what a closed record has"),
        (|r| r.credentials.push(r.credentials[0].clone()), "a credential, which is there twice"),
        (|r| r.policy.as_mut().unwrap().passkey = false, "the policy"),
        (|r| r.policy.as_mut().unwrap().newest_head = true, "the policy"),
        (|r| r.policy.as_mut().unwrap().delay_seconds = u32::MAX, "the policy"),
        (
            |r| {
                let second = strongroom_proto::v1::GenerationView { generation: 2, ..r.generations[0].clone() };
                r.highest_generation = 2;
                r.generations.push(second);
            },
            "the number of active generations",
        ),
    ];
    for (index, (change, expect)) in cases.iter().enumerate() {
        let mut view = wallet_view(NONCE);
        change(&mut view.records[0]);
        let error = verify(&view).unwrap_err().to_string();
        assert!(error.contains(expect), "case {index}: {error}");
    }
}

fn many_generations(record: &RecordView, count: u64) -> Vec<GenerationView> {
    let state = |number| if number == count { GenerationState::Active } else { GenerationState::Former };
    let of =
        |number| GenerationView { generation: number, state: state(number).into(), ..record.generations[0].clone() };
    (1..=count).map(of).collect()
}

fn former_above_active(record: &mut RecordView) {
    let former = GenerationState::Former.into();
    record.generations.push(GenerationView { generation: 2, state: former, ..record.generations[0].clone() });
    record.highest_generation = 2;
}

fn pending_below_highest(record: &mut RecordView) {
    let pending = GenerationState::Pending.into();
    record.generations.push(GenerationView { generation: 2, state: pending, ..record.generations[0].clone() });
    (record.highest_generation, record.roles) = (3, vec![1, 2]);
}

#[test]
fn a_record_may_have_former_and_pending_generations_and_end() {
    let good: [fn(&mut RecordView); 4] = [
        |r| (r.generations, r.highest_generation) = (many_generations(r, 8), 8),
        |r| {
            pending_below_highest(r);
            r.highest_generation = 2;
        },
        |r| r.highest_generation = 9,
        |r| {
            r.generations.clear();
            r.credentials.clear();
            r.closed = true;
        },
    ];
    for change in good {
        let mut view = wallet_view(NONCE);
        change(&mut view.records[0]);
        let verified = verify(&view).unwrap();
        let record = &verified.records()[0];
        let opening = record.generations.iter().filter(|it| record.opening(it.number).is_some()).count();
        assert_eq!(opening, record.generations.len() - usize::from(record.pending().is_some()));
    }
}

#[test]
fn what_waits_has_the_fields_of_its_kind_and_no_others() {
    let of = |kind: i32| OpenAct { kind, generation: 0, recipient: Vec::new(), ..open_recovery() };
    let policy = || Some(Policy { passkey: true, ..Policy::default() });
    let removal = || OpenAct { credential_id: b"x".to_vec(), ..of(3) };
    let all = vec![open_recovery(), OpenAct { policy: policy(), ..of(2) }, removal(), of(4), of(5)];
    let verify_with = |acts: Vec<OpenAct>| {
        let mut view = wallet_view(NONCE);
        view.records[0].open_acts = acts;
        verify(&view)
    };
    let view = verify_with(all.clone()).unwrap();
    let kinds: Vec<i32> = view.records()[0].open_acts.iter().map(|open| open.kind().into()).collect();
    assert_eq!(kinds, [1, 2, 3, 4, 5]);
    let eject = verify_with(vec![OpenAct { eject: true, ..open_recovery() }]).unwrap();
    let open = &eject.records()[0].open_acts[0];
    assert!(matches!(open.waiting, Waiting::Recovery { eject: true, .. }));
    assert_eq!(
        [999, 1000, 1999, 2000].map(|at| open.is_due(Time::from_unix_ms(NOW_MS + at))),
        [false, true, true, false]
    );
    for (acts, expect) in [
        (vec![of(0)], "what waits of kind"),
        (vec![of(9)], "what waits of kind"),
        (vec![OpenAct { generation: 1, ..of(5) }], "what waits of kind OPEN_ACT_KIND_EJECT_WINDOW"),
        (vec![OpenAct { policy: policy(), ..of(5) }], "what waits of kind"),
        (vec![OpenAct { eject: true, ..of(5) }], "what waits of kind"),
        (vec![OpenAct { eject: true, ..of(4) }], "what waits of kind OPEN_ACT_KIND_DELETE"),
        (vec![OpenAct { generation: 0, ..open_recovery() }], "what waits of kind OPEN_ACT_KIND_RECOVERY"),
        (vec![OpenAct { recipient: Vec::new(), ..open_recovery() }], "what waits of kind"),
        (vec![OpenAct { recipient: vec![1; 31], ..open_recovery() }], "what waits of kind"),
        (vec![OpenAct { policy: policy(), ..open_recovery() }], "what waits of kind"),
        (vec![OpenAct { credential_id: vec![1], ..open_recovery() }], "what waits of kind"),
        (vec![of(2)], "what waits of kind OPEN_ACT_KIND_POLICY_CHANGE"),
        (vec![OpenAct { policy: Some(Policy::default()), ..of(2) }], "what waits of kind"),
        (vec![of(3)], "what waits of kind OPEN_ACT_KIND_PASSKEY_REMOVAL"),
        (vec![OpenAct { credential_id: vec![1; 1024], ..of(3) }], "what waits of kind"),
        (vec![OpenAct { generation: 1, ..removal() }], "what waits of kind"),
        (vec![OpenAct { recipient: vec![1; 31], ..of(4) }], "what waits of kind OPEN_ACT_KIND_DELETE"),
        (vec![OpenAct { expires_ms: NOW_MS + 1000, ..open_recovery() }], "what waits of kind"),
        (vec![OpenAct { intent_hash: vec![1; 31], ..open_recovery() }], "intent_hash has 31 bytes"),
        (vec![of(4), of(4)], "the order of what waits, or the number of one kind"),
        (all.into_iter().rev().collect(), "the order of what waits"),
    ] {
        let error = verify_with(acts.clone()).unwrap_err().to_string();
        assert!(error.contains(expect), "{acts:?}: {error}");
    }
}

#[test]
fn only_the_attested_receipt_key_signs() {
    let bytes = wallet_view(NONCE).encode_to_vec();
    let by = |prefix: &[u8], seed| SignedView {
        signature: key(KeyUse::Operational, seed).sign(prefix, &bytes).unwrap(),
        view: bytes.clone(),
    };
    assert!(verify_at(&by(prefix::VIEW, 3), now()).is_ok());
    for signed in
        [by(prefix::VIEW, 8), by(prefix::RECEIPT, 3), SignedView { view: bytes.clone(), signature: Vec::new() }]
    {
        assert!(matches!(verify_at(&signed, now()), Err(Error::Signature { part: "view" })));
    }
    let mut other = bytes.clone();
    other.extend([0xf8, 0x07, 1]);
    let signature = key(KeyUse::Operational, 3).sign(prefix::VIEW, &other).unwrap();
    let error = verify_at(&SignedView { view: other, signature }, now()).unwrap_err().to_string();
    assert!(error.contains("not in canonical encoding"), "{error}");
}

#[test]
fn clocks_may_be_a_quarter_of_an_hour_apart() {
    let signed = sign_view(&wallet_view(NONCE));
    for (device, expect) in [
        (NOW_MS + CLOCK_OFF_MS_MAX, true),
        (NOW_MS - CLOCK_OFF_MS_MAX, true),
        (NOW_MS + CLOCK_OFF_MS_MAX + 1, false),
        (NOW_MS - CLOCK_OFF_MS_MAX - 1, false),
    ] {
        assert_eq!(verify_at(&signed, Time::from_unix_ms(device)).is_ok(), expect, "{device}");
    }
}
