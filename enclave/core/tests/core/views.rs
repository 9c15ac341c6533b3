//! Refusals of `GetView` and `GetIdentity`, and of requests that are none.

use prost::Message;
use strongroom_core::{Control, Incoming, parse};
use strongroom_proto::enclave::v1::{
    Boot, GetHealth, GetIdentity, GetView, SealedRecord, SetCredentials, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::limits::{ATTESTATION_NONCE_BYTES_MAX, RECORDS_MAX};
use strongroom_proto::v1::{Reason, WalletView};

use crate::acts::back_up;
use crate::device::Passkey;
use crate::world::{World, encode, told};

fn view(world: &World, records: Vec<SealedRecord>) -> GetView {
    GetView {
        tenant: world.tenant_id(),
        kek: Some(world.epoch.kek()),
        wallet: "wallet-1".into(),
        nonce: vec![3; 32],
        records,
        other_kek: None,
    }
}

#[test]
fn a_view_holds_the_records_of_one_wallet_once_each() {
    let world = World::new(0x70);
    let records: Vec<SealedRecord> =
        (0..=RECORDS_MAX).map(|_| back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {}).record).collect();
    let foreign = back_up(&world, "wallet-2", Passkey::eddsa(9), |_| {}).record;
    let one = || records[0].clone();
    let ask = |records, change: fn(&mut GetView)| {
        let mut ask = view(&world, records);
        change(&mut ask);
        Ask::GetView(ask)
    };
    let renamed = SealedRecord { wallet: "wallet-1".into(), ..foreign.clone() };
    let mut altered = one();
    altered.sealed[40] ^= 1;
    let bad = Reason::BadRequest;
    for (name, ask, reason, detail) in [
        ("foreign record", ask(vec![one(), foreign], |_| {}), bad, "records: one of another wallet"),
        ("foreign record, renamed", ask(vec![one(), renamed], |_| {}), Reason::DecryptFailed, "record"),
        ("altered record", ask(vec![altered], |_| {}), Reason::DecryptFailed, "record"),
        ("other epoch", ask(vec![SealedRecord { epoch: 2, ..one() }], |_| {}), bad, "record.epoch"),
        ("a record twice", ask(vec![one(), records[1].clone(), one()], |_| {}), bad, "records: one of them twice"),
        ("17 records", ask(records.clone(), |_| {}), bad, "records: 17, at most 16"),
        ("nonce of 31", ask(vec![], |v| v.nonce.truncate(31)), bad, "nonce: not 32 bytes"),
        ("nonce of 33", ask(vec![], |v| v.nonce.push(0)), bad, "nonce: not 32 bytes"),
        ("no nonce", ask(vec![], |v| v.nonce.clear()), bad, "nonce: not 32 bytes"),
        ("no wallet", ask(vec![], |v| v.wallet.clear()), bad, "wallet: not 1 to 64"),
        ("wallet's form", ask(vec![], |v| v.wallet = "a/b".into()), bad, "wallet: not 1 to 64"),
        ("no kek", ask(vec![], |v| v.kek = None), bad, "kek: missing"),
    ] {
        world.refused(name, ask, reason, detail);
    }
    let full = ask(records[..RECORDS_MAX].iter().rev().cloned().collect(), |_| {});
    let Answer::View(answer) = world.drive(full) else { panic!("no view of 16 records") };
    let seen = WalletView::decode(answer.view.unwrap().view.as_slice()).unwrap();
    assert_eq!(seen.records.len(), RECORDS_MAX);
    assert!(seen.records.is_sorted_by(|a, b| a.record_id < b.record_id));
}

#[test]
fn an_identitys_nonce_ends_at_its_limit() {
    let world = World::new(0x71);
    let ask = |len| {
        let kek = Some(world.epoch.kek());
        Ask::GetIdentity(GetIdentity { tenant: world.tenant_id(), kek, nonce: vec![1; len] })
    };
    let answer = world.drive(ask(ATTESTATION_NONCE_BYTES_MAX));
    assert!(matches!(answer, Answer::IdentityProven(_)), "{}", told(&answer));
    world.refused("65", ask(ATTESTATION_NONCE_BYTES_MAX + 1), Reason::BadRequest, "nonce: more than 64 bytes");
}

#[test]
fn what_is_no_request_is_refused() {
    let world = World::new(0x72);
    for (name, payload, detail) in [
        ("empty", vec![], "request.body: missing"),
        ("unknown", vec![0xfa, 0x01, 0], "request.body: missing"),
        ("malformed", vec![0xff], "request: malformed"),
        ("cut", encode(Ask::GetView(view(&world, vec![])))[..50].to_vec(), "request: malformed"),
        ("empty view", encode(Ask::GetView(GetView::default())), "kek: missing"),
    ] {
        match world.once(&payload) {
            Answer::Error(error) => {
                assert_eq!(error.reason(), Reason::BadRequest, "{name}");
                assert!(error.detail.contains(detail), "{name}: {error:?}");
            }
            answer => panic!("{name}: {}", told(&answer)),
        }
    }
}

#[test]
fn control_requests_are_the_runtimes() {
    let boot = parse(&encode(Ask::Boot(Boot { manifest: vec![1] })));
    assert!(matches!(boot, Ok(Incoming::Control(Control::Boot(boot))) if boot.manifest == [1]));
    let health = parse(&encode(Ask::GetHealth(GetHealth {})));
    assert!(matches!(health, Ok(Incoming::Control(Control::GetHealth))));
    let secret = SetCredentials { secret_access_key: "planted".into(), ..SetCredentials::default() };
    let credentials = parse(&encode(Ask::SetCredentials(secret))).unwrap();
    assert!(matches!(credentials, Incoming::Control(Control::SetCredentials(_))));
    assert!(!format!("{credentials:?}").contains("planted"));
}
