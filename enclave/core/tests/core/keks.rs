//! KEKs: whose they are, what KMS may answer, what the enclave asks for, and how often.

use strongroom_core::{KekReply, KmsFailure};
use strongroom_proto::enclave::v1::{
    CreateKek, GetIdentity, GetView, KekRef, Need, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::WRAPPED_KEK_BYTES_MAX;
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::Reason;

use crate::acts::{act, back_up, creation, recover, recovery, sealed_message, sign_creation, two_shares};
use crate::device::{Passkey, Recipient, honest};
use crate::tenant::Tenant;
use crate::world::{Fake, START, World, encode, references, told};

fn identity(tenant: Vec<u8>, kek: KekRef) -> Ask {
    Ask::GetIdentity(GetIdentity { tenant, kek: Some(kek), nonce: Vec::new() })
}

fn create_kek(world: &World) -> Ask {
    Ask::CreateKek(CreateKek { tenant: world.tenant_id(), epoch: 9 })
}

/// A core that remembers nothing, before the same KMS and host.
fn restart(world: &mut World, seed: u64) {
    world.fake = Fake::new(seed);
    let deployment = strongroom_core::Deployment { manifest: b"manifest".to_vec(), release: 7 };
    world.core = strongroom_core::RoleCore::new(world.role, world.fake.clone(), deployment).unwrap();
}

/// A recovery that refers to its statement and KEK by hash alone.
fn recovery_request(world: &World) -> Ask {
    let backup = back_up(world, "wallet-1", Passkey::eddsa(9), |_| {});
    let recipient = Recipient::new(1);
    let signed = act(&recovery(world, &backup, &recipient), &backup.passkey, &honest());
    Ask::Recover(recover(world, signed, &backup, &recipient))
}

#[test]
fn the_enclave_asks_for_what_it_lacks_and_only_for_that() {
    let mut world = World::new(0x60);
    let bare = recovery_request(&world);
    let mut with_statement = bare.clone();
    references(&mut with_statement).0.unwrap().signed = Some(world.statement.clone());
    let mut with_kek = bare.clone();
    references(&mut with_kek).1.unwrap().wrapped.clone_from(&world.epoch.wrapped);
    for (name, ask, statement, kek) in [
        ("nothing given", &bare, true, true),
        ("statement given", &with_statement, false, true),
        ("KEK given", &with_kek, true, false),
    ] {
        restart(&mut world, 0x61);
        let calls = world.kms.calls.get();
        match world.once(&encode(ask.clone())) {
            Answer::Need(need) => assert_eq!(need, Need { statement, kek, other_kek: false }, "{name}"),
            answer => panic!("{name}: {}", told(&answer)),
        }
        assert_eq!(world.kms.calls.get(), calls, "{name}: no KMS call before everything is there");
    }
    let answer = world.drive(bare.clone());
    assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
    let calls = world.kms.calls.get();
    let answer = world.once(&encode(bare));
    assert!(matches!(answer, Answer::Moved(_)), "both are cached now: {}", told(&answer));
    assert_eq!(world.kms.calls.get(), calls);
    // Bytes that the host does not have do not help.
    let lost = KekRef { sha256: vec![9; 32], ..world.epoch.kek() };
    let answer = world.once(&encode(identity(world.tenant_id(), lost)));
    assert!(
        matches!(answer, Answer::Need(Need { statement: false, kek: true, other_kek: false })),
        "{}",
        told(&answer)
    );
}

#[test]
fn one_tenants_wrapped_kek_is_no_other_tenants() {
    let world = World::new(0x62);
    let stranger = Tenant::new(2).id().0.to_vec();
    let kek = || KekRef { wrapped: world.epoch.wrapped.clone(), ..world.epoch.kek() };
    // The cache is warm for the first tenant, and misses for the second.
    let calls = world.kms.calls.get();
    let answer = world.drive(identity(world.tenant_id(), kek()));
    assert!(matches!(answer, Answer::IdentityProven(_)));
    assert_eq!(world.kms.calls.get(), calls);
    let not_unwrapped = "kek.wrapped: KMS does not unwrap it";
    world.refused("other tenant", identity(stranger, kek()), Reason::DecryptFailed, not_unwrapped);
    assert_eq!(world.kms.calls.get(), calls + 1);
    let second = KekRef { epoch: 2, ..kek() };
    world.refused("other epoch", identity(world.tenant_id(), second), Reason::DecryptFailed, not_unwrapped);
    assert_eq!(world.kms.calls.get(), calls + 2);
}

#[test]
fn a_reference_to_a_kek_keeps_its_form() {
    let world = World::new(0x63);
    let good = || KekRef { wrapped: world.epoch.wrapped.clone(), ..world.epoch.kek() };
    let unknown = |len: usize| {
        let wrapped = vec![7; len];
        KekRef { epoch: 1, sha256: ContentHash::of(&wrapped).0.to_vec(), wrapped }
    };
    let cases: &[(&str, KekRef, Reason, &str)] = &[
        ("epoch 0", KekRef { epoch: 0, ..good() }, Reason::BadRequest, "epoch: starts at 1"),
        ("hash of 31", KekRef { sha256: vec![1; 31], ..good() }, Reason::BadRequest, "kek.sha256: not 32 bytes"),
        ("no hash", KekRef { sha256: vec![], ..good() }, Reason::BadRequest, "kek.sha256: not 32 bytes"),
        ("other hash", KekRef { sha256: vec![1; 32], ..good() }, Reason::BadRequest, "kek.sha256: not the hash"),
        ("too long", unknown(WRAPPED_KEK_BYTES_MAX + 1), Reason::BadRequest, "kek.wrapped: more than 6144"),
        ("longest", unknown(WRAPPED_KEK_BYTES_MAX), Reason::DecryptFailed, "kek.wrapped: KMS does not unwrap it"),
    ];
    for (name, kek, reason, detail) in cases {
        world.refused(name, identity(world.tenant_id(), kek.clone()), *reason, detail);
    }
    let none = Ask::GetIdentity(GetIdentity { tenant: world.tenant_id(), kek: None, nonce: Vec::new() });
    world.refused("no kek", none, Reason::BadRequest, "kek: missing");
    let view = Ask::GetView(GetView { tenant: vec![1; 33], kek: Some(good()), ..GetView::default() });
    world.refused("tenant of 33", view, Reason::BadRequest, "tenant: not 32 bytes");
    for (tenant, epoch, detail) in [(vec![1; 31], 1, "tenant: not 32 bytes"), (vec![1; 32], 0, "epoch: starts at 1")] {
        let ask = Ask::CreateKek(CreateKek { tenant, epoch });
        world.refused(detail, ask, Reason::BadRequest, detail);
    }
}

#[test]
fn what_kms_answers_is_checked_and_its_failures_are_told() {
    let mut world = World::new(0x64);
    let wrapped = || KekRef { wrapped: world.epoch.wrapped.clone(), ..world.epoch.kek() };
    let (unwrap, create) = (identity(world.tenant_id(), wrapped()), create_kek(&world));
    let kek = |len| Ok(KekReply { wrapped: world.epoch.wrapped.clone(), kek: Secret::new(vec![1; len]) });
    let new = |len| Ok(KekReply { wrapped: vec![1; len], kek: Secret::new(vec![1; 32]) });
    let down = Reason::KmsUnavailable;
    let cases = [
        ("KEK of 31", &unwrap, kek(31), down, "not a KEK", 1000),
        ("KEK of 33", &unwrap, kek(33), down, "not a KEK", 1000),
        ("no KEK", &unwrap, kek(0), down, "not a KEK", 1000),
        ("no wrapped KEK", &create, new(0), down, "the wrapped KEK's length", 1000),
        ("long wrapped KEK", &create, new(WRAPPED_KEK_BYTES_MAX + 1), down, "the wrapped KEK's length", 1000),
        ("denied", &unwrap, Err(KmsFailure::Denied), down, "KMS denied the call", 0),
        ("not unwrapped", &unwrap, Err(KmsFailure::NotUnwrapped), Reason::DecryptFailed, "kek.wrapped", 0),
        ("throttled", &create, Err(KmsFailure::Throttled { retry_after_ms: 77 }), Reason::KmsThrottled, "wait", 77),
        ("unavailable", &create, Err(KmsFailure::Unavailable("no route")), down, "no route", 1000),
        ("bad reply", &unwrap, Err(KmsFailure::BadReply("Plaintext present")), down, "Plaintext present", 1000),
        ("overloaded", &unwrap, Err(KmsFailure::Overloaded), Reason::Overloaded, "too many calls", 1000),
    ];
    let asks: Vec<_> = cases
        .into_iter()
        .map(|(name, ask, reply, reason, detail, retry)| (name, ask.clone(), reply, reason, detail, retry))
        .collect();
    for (name, ask, reply, reason, detail, retry_after_ms) in asks {
        restart(&mut world, 0x65);
        *world.kms.instead.borrow_mut() = Some(reply);
        let error = world.refused(name, ask, reason, detail);
        assert_eq!(error.retry_after_ms, retry_after_ms, "{name}");
        assert!(world.kms.instead.borrow().is_none(), "{name}: KMS was not asked");
    }
    // Nothing of a refused answer stayed: the true KEK is fetched.
    let answer = world.drive(unwrap);
    assert!(matches!(answer, Answer::IdentityProven(_)), "{}", told(&answer));
    *world.kms.instead.borrow_mut() =
        Some(Ok(KekReply { wrapped: vec![1; WRAPPED_KEK_BYTES_MAX], kek: Secret::new(vec![1; 32]) }));
    assert!(matches!(world.drive(create), Answer::KekCreated(made) if made.wrapped.len() == WRAPPED_KEK_BYTES_MAX));
}

#[test]
fn a_kek_is_used_only_in_later_steps_than_the_one_that_made_it() {
    let world = World::new(0x66);
    let Answer::KekCreated(made) = world.drive(create_kek(&world)) else { panic!("no KEK") };
    let by_hash = KekRef { epoch: 9, sha256: ContentHash::of(&made.wrapped).0.to_vec(), wrapped: Vec::new() };
    let answer = world.once(&encode(identity(world.tenant_id(), by_hash.clone())));
    assert!(
        matches!(answer, Answer::Need(Need { statement: false, kek: true, other_kek: false })),
        "{}",
        told(&answer)
    );
    let stored = KekRef { wrapped: made.wrapped, ..by_hash };
    let calls = world.kms.calls.get();
    assert!(matches!(world.drive(identity(world.tenant_id(), stored)), Answer::IdentityProven(_)));
    assert_eq!(world.kms.calls.get(), calls + 1, "it is unwrapped like any other");
}

#[test]
fn costly_calls_are_limited_by_tenant_and_minute() {
    let world = World::new(0x67);
    let limit = 60;
    world.fake.now.set(START + 120_000);
    for call in 0..limit {
        let ask = if call % 2 == 0 { create_kek(&world) } else { identity(world.tenant_id(), world.epoch.kek()) };
        assert!(!matches!(world.drive(ask), Answer::Error(_)), "call {call}");
    }
    world.fake.now.set(START + 120_000 + 15_000);
    let detail = "more than 60 calls a minute";
    let error = world.refused("KEK", create_kek(&world), Reason::RateLimited, detail);
    assert_eq!(error.retry_after_ms, 45_000);
    let again = identity(world.tenant_id(), world.epoch.kek());
    world.refused("identity", again, Reason::RateLimited, detail);
    let wrapped = vec![5; 40];
    let unknown = KekRef { epoch: 1, sha256: ContentHash::of(&wrapped).0.to_vec(), wrapped };
    world.refused("unwrap", identity(world.tenant_id(), unknown), Reason::RateLimited, detail);
    // What costs nothing goes on, other tenants go on, and so does this one in the next minute.
    let answer = world.drive(empty_view(&world));
    assert!(matches!(answer, Answer::View(_)), "{}", told(&answer));
    let other = Ask::CreateKek(CreateKek { tenant: vec![8; 32], epoch: 1 });
    assert!(matches!(world.drive(other), Answer::KekCreated(_)));
    world.fake.now.set(START + 180_000);
    assert!(matches!(world.drive(create_kek(&world)), Answer::KekCreated(_)));
}

fn empty_view(world: &World) -> Ask {
    Ask::GetView(GetView {
        tenant: world.tenant_id(),
        kek: Some(world.epoch.kek()),
        wallet: "wallet-1".into(),
        nonce: vec![1; 32],
        records: Vec::new(),
        other_kek: None,
    })
}

#[test]
fn unwraps_that_fail_are_counted_each() {
    let world = World::new(0x68);
    let wrapped = vec![5; 40];
    let unknown = || KekRef { epoch: 1, sha256: ContentHash::of(&wrapped).0.to_vec(), wrapped: wrapped.clone() };
    world.fake.now.set(START + 120_000);
    let calls = world.kms.calls.get();
    let refusals = (0..200).filter(|_| {
        let answer = world.drive(identity(world.tenant_id(), unknown()));
        matches!(answer, Answer::Error(error) if error.reason() == Reason::RateLimited)
    });
    assert_eq!(refusals.count(), 140);
    assert_eq!(world.kms.calls.get() - calls, 60);
}

#[test]
fn nothing_is_sealed_when_randomness_fails_once() {
    let world = World::new(0x6a);
    let passkey = Passkey::eddsa(9);
    let intent = creation(&world, "wallet-1", &passkey);
    let message = sealed_message(&world, &intent, &two_shares());
    let create = Ask::CreateRecord(sign_creation(&world, intent, message, &passkey, &honest()));
    // A salt for each share and the record; HPKE's randomness and the record's salt.
    for (name, ask, least) in [("creation", create, 3), ("recovery", recovery_request(&world), 2)] {
        world.fake.random_calls.set(0);
        assert!(!matches!(world.drive(ask.clone()), Answer::Error(_)), "{name}");
        let calls = world.fake.random_calls.get();
        assert!(calls >= least, "{name}: {calls} calls");
        for call in 0..calls {
            world.fake.random_calls.set(0);
            world.fake.random_fails_at.set(Some(call));
            let error = world.refused(name, ask.clone(), Reason::EnclaveUnavailable, "random");
            assert_eq!(error.retry_after_ms, 1000);
        }
        world.fake.random_fails_at.set(None);
    }
}

#[test]
fn without_time_or_nsm_nothing_is_done() {
    let world = World::new(0x69);
    let recovery = recovery_request(&world);
    let view = empty_view(&world);
    let identity = identity(world.tenant_id(), world.epoch.kek());
    for (lacks, ask) in [("clock", &recovery), ("clock", &view), ("clock", &identity), ("nsm", &identity)] {
        world.fake.lacks.set(lacks);
        let error = world.refused(lacks, ask.clone(), Reason::EnclaveUnavailable, lacks);
        assert_eq!(error.retry_after_ms, 1000);
        world.fake.lacks.set("");
        assert!(!matches!(world.drive(ask.clone()), Answer::Error(_)), "{lacks}");
    }
}
