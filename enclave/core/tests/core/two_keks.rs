//! Steps that need two KEKs: how they are fetched, metered and bounded, and that the other one is checked like the first.

use prost::Message;
use strongroom_core::{Incoming, KekReply, KmsCall, Step, parse};
use strongroom_proto::enclave::v1::{
    GetIdentity, GetView, KekRef, Need, Response, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::id::ContentHash;
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::Reason;

use crate::tenant::Tenant;
use crate::world::{Epoch, START, World, encode, told};

fn view(world: &World, kek: &Epoch, other: &KekRef) -> GetView {
    GetView {
        tenant: world.tenant_id(),
        kek: Some(kek.kek()),
        wallet: "wallet-1".into(),
        nonce: vec![7; 32],
        records: Vec::new(),
        other_kek: Some(other.clone()),
    }
}

fn with_bytes(epoch: &Epoch) -> KekRef {
    KekRef { wrapped: epoch.wrapped.clone(), ..epoch.kek() }
}

#[test]
fn both_are_asked_for_at_once_and_unwrapped_one_after_the_other() {
    let world = World::new(0x68);
    let second = world.make_epoch(&world.tenant, 2);
    let ask = Ask::GetView(view(&world, &second, &world.epoch.kek()));
    world.fake.forget();
    match world.once(&encode(ask.clone())) {
        Answer::Need(need) => assert_eq!(need, Need { statement: false, kek: true, other_kek: true }),
        answer => panic!("{}", told(&answer)),
    }
    let calls = world.kms.calls.get();
    assert!(matches!(world.drive(ask.clone()), Answer::View(_)));
    assert_eq!(world.kms.calls.get(), calls + 2);
    assert!(matches!(world.once(&encode(ask)), Answer::View(_)), "both are cached now");
    assert_eq!(world.kms.calls.get(), calls + 2);
}

#[test]
fn the_other_kek_is_checked_like_the_first() {
    let world = World::new(0x69);
    let second = world.make_epoch(&world.tenant, 2);
    let tenant = Tenant::new(2);
    let foreign = world.make_epoch(&tenant, 1);
    // Every KEK is in the cache here.
    let foreign = with_bytes(&foreign);
    let ask = |other: &KekRef| Ask::GetView(view(&world, &second, other));
    world.refused("another tenant's", ask(&foreign), Reason::DecryptFailed, "kek.wrapped");
    let mut renamed = with_bytes(&second);
    renamed.epoch = 1;
    world.refused("another epoch's", ask(&renamed), Reason::DecryptFailed, "kek.wrapped");
    world.refused("the same epoch", ask(&second.kek()), Reason::BadRequest, "other_kek.epoch");
    let mut other_hash = with_bytes(&world.epoch);
    other_hash.sha256[0] ^= 1;
    world.refused("another hash", ask(&other_hash), Reason::BadRequest, "kek.sha256");
    let zero = KekRef { epoch: 0, ..world.epoch.kek() };
    world.refused("no epoch", ask(&zero), Reason::BadRequest, "epoch");
    let long = vec![7; 6145];
    let long = KekRef { epoch: 1, sha256: ContentHash::of(&long).0.to_vec(), wrapped: long };
    world.refused("too long", ask(&long), Reason::BadRequest, "kek.wrapped");
    assert!(matches!(world.drive(ask(&world.epoch.kek())), Answer::View(_)));
}

#[test]
fn a_step_waits_for_two_kms_calls_and_never_for_a_third() {
    let world = World::new(0x6a);
    let second = world.make_epoch(&world.tenant, 2);
    let mut ask = view(&world, &second, &with_bytes(&world.epoch));
    ask.kek = Some(with_bytes(&second));
    world.fake.forget();
    let Ok(Incoming::Work(work)) = parse(&encode(Ask::GetView(ask))) else { panic!("malformed") };
    let mut step = world.core.begin(work);
    for calls in 0.. {
        match step {
            Step::Kms(call, pending) => {
                assert!(calls < 2, "a third call");
                let KmsCall::Unwrap { context, wrapped } = &call else { panic!("made a KEK") };
                let kek = world.kms.kek(*context, wrapped).unwrap();
                // Other requests push everything out of the cache before this one goes on.
                world.fake.forget();
                let reply = KekReply { wrapped: wrapped.clone(), kek: Secret::new(kek.to_vec()) };
                step = world.core.resume(pending, Ok(reply));
            }
            Step::Reply(bytes) => {
                let answer = Response::decode(bytes.as_slice()).unwrap().body.unwrap();
                assert!(matches!(&answer, Answer::View(_)) || calls == 2, "{}", told(&answer));
                if let Answer::Error(error) = answer {
                    assert_eq!(error.reason(), Reason::Overloaded);
                    assert!(error.retry_after_ms > 0);
                }
                return;
            }
        }
    }
}

#[test]
fn a_kek_that_the_cache_lost_at_once_still_serves_its_request() {
    let world = World::new(0x6c);
    let ask = GetView {
        kek: Some(with_bytes(&world.epoch)),
        other_kek: None,
        ..view(&world, &world.epoch, &world.epoch.kek())
    };
    world.fake.lacks.set("memory");
    let calls = world.kms.calls.get();
    assert!(matches!(world.once(&encode(Ask::GetView(ask))), Answer::View(_)));
    assert_eq!(world.kms.calls.get(), calls + 1);
}

#[test]
fn an_unwrap_that_waits_for_long_counts_anew() {
    let world = World::new(0x6d);
    world.fake.forget();
    let ask = || {
        let kek = Some(with_bytes(&world.epoch));
        let ask = GetView { kek, other_kek: None, ..view(&world, &world.epoch, &world.epoch.kek()) };
        let Ok(Incoming::Work(work)) = parse(&encode(Ask::GetView(ask))) else { panic!("malformed") };
        world.core.begin(work)
    };
    // One call counts for ten seconds of waiting: of the 60 in a minute six are used up, and KMS has answered none.
    for ms in (0..60_000).step_by(1000) {
        world.fake.now.set(START + ms);
        assert!(matches!(ask(), Step::Kms(..)));
    }
    let identity = || {
        let (tenant, kek) = (world.tenant_id(), Some(with_bytes(&world.epoch)));
        world.drive(Ask::GetIdentity(GetIdentity { tenant, kek, nonce: Vec::new() }))
    };
    // The first of these unwraps the KEK within the call that counts already.
    let passed = (0..60).take_while(|_| matches!(identity(), Answer::IdentityProven(_))).count();
    assert_eq!(passed, 60 - 6);
}

#[test]
fn unwraps_of_one_kek_in_flight_count_once() {
    let world = World::new(0x6b);
    world.fake.forget();
    world.fake.now.set(START + 120_000);
    let ask = || {
        let ask = GetView {
            kek: Some(with_bytes(&world.epoch)),
            other_kek: None,
            ..view(&world, &world.epoch, &world.epoch.kek())
        };
        let Ok(Incoming::Work(work)) = parse(&encode(Ask::GetView(ask))) else { panic!("malformed") };
        world.core.begin(work)
    };
    // Many more than the 60 calls that a tenant has in a minute: none is refused while the first still waits for KMS.
    let waiting: Vec<Step> = (0..200).map(|_| ask()).collect();
    assert!(waiting.iter().all(|step| matches!(step, Step::Kms(..))));
    // Answered and failed again and again, each one counts.
    for (round, step) in waiting.into_iter().enumerate() {
        let Step::Kms(_, pending) = step else { panic!() };
        drop(world.core.resume(pending, Err(strongroom_core::KmsFailure::NotUnwrapped)));
        let again = ask();
        if round < 59 {
            assert!(matches!(again, Step::Kms(..)), "round {round}");
        } else {
            let Step::Reply(bytes) = again else { panic!("round {round} was not metered") };
            let Some(Answer::Error(error)) = Response::decode(bytes.as_slice()).unwrap().body else { panic!() };
            assert_eq!(error.reason(), Reason::RateLimited);
            return;
        }
    }
    panic!("never metered");
}
