//! Creations in the custodian role: one intent for both roles, the tenant's signature always, and methods without a passkey.

use strongroom_proto::enclave::v1::{Change, CreateRecord, request::Body as Ask};
use strongroom_proto::id::ContentHash;
use strongroom_proto::seal::SealKind;
use strongroom_proto::v1::{
    Act, ActKind, AddPasskeyAction, ChangePolicyAction, CredentialRef, Event, Freshness, Intent, NewCredential, Policy,
    PutSharesAction, Reason, Role, RolePart, SecretKind, intent::Action,
};

use prost::Message;

use crate::acts::{PASSKEY_ONLY, action, creation, own_part, sealed_message, sign_creation, two_shares};
use crate::both::{
    Both, TENANT_ONLY, bare_creation, create_record, created, custodians_shares, message, without_passkey,
};
use crate::device::{Passkey, honest};
use crate::steps::{about, change, consents, countersigned, moves, named, put_shares, registration, view_of};
use crate::tenant::{consent, public};
use crate::vault::{Spot, open, read, spot_of};
use crate::world::{Case, World};

#[test]
fn one_creation_makes_the_record_in_both_roles() {
    let both = Both::new(0x100);
    let pair = both.back_up("wallet-1", Policy { tenant_signature: true, ..PASSKEY_ONLY });
    assert_eq!(pair.client.receipt.record_id, pair.custodian.receipt.record_id);
    assert_eq!(pair.client.receipt.intent_hash, pair.custodian.receipt.intent_hash);
    assert_eq!((pair.client.receipt.role(), pair.custodian.receipt.role()), (Role::Client, Role::Custodian));
    for (world, backup, kind, shares) in [
        (&both.client, &pair.client, SealKind::ClientShare, two_shares()),
        (&both.custodian, &pair.custodian, SealKind::CustodianShare, custodians_shares()),
    ] {
        let event = Event::decode(backup.receipt.event.as_slice()).unwrap();
        let tenant_key = public(&world.tenant.operational);
        assert_eq!((event.kind(), event.tenant_key), (ActKind::CreateBackup, tenant_key));
        assert_eq!(event.credential_id, Passkey::eddsa(9).id);
        let view = view_of(world, &backup.record);
        assert_eq!((view.roles, view.credentials.len()), (vec![1, 2], 1));
        assert_eq!(view.policy.unwrap().tenant_signature, world.role == Role::Custodian);
        for (sealed, plain) in backup.shares.iter().zip(shares) {
            let spot = Spot { kind, generation: 1, pair: &plain.pair, ..spot_of(&backup.record) };
            assert_eq!(open(world, spot, &sealed.sealed), plain.bytes.expose());
        }
    }
}

#[test]
fn a_key_in_escrow_is_the_client_roles_and_the_custodian_keeps_a_share() {
    let both = Both::new(0x101);
    let passkey = Passkey::eddsa(9);
    let escrow = |custodians: &[u8], clients: &[u8]| {
        let mut intent = both.creation("wallet-1", &passkey, PASSKEY_ONLY);
        action(&mut intent).secret = SecretKind::Key.into();
        action(&mut intent).pairs.truncate(1);
        let share = |bytes| [crate::acts::share("ed", bytes)];
        let messages = [
            sealed_message(&both.client, &intent, &share(clients)),
            sealed_message(&both.custodian, &intent, &share(custodians)),
        ];
        for (world, message) in [&both.client, &both.custodian].into_iter().zip(&messages) {
            own_part(world, &mut intent).message_hash = ContentHash::of(message).0.to_vec();
        }
        let act = countersigned(&both.client, consents(&intent, &[&passkey]));
        let credential = || Some(registration(&passkey));
        let [to_client, to_custodian] = messages;
        (
            create_record(&both.client, act.clone(), credential(), to_client),
            create_record(&both.custodian, act, credential(), to_custodian),
        )
    };
    let (client, custodian) = escrow(b"a share of any length that is not 32 bytes", &[7; 32]);
    assert_eq!(read(&both.client, &created(&both.client, client).record).secret(), SecretKind::Key);
    assert_eq!(read(&both.custodian, &created(&both.custodian, custodian).record).secret(), SecretKind::Share);
    let (client, _) = escrow(&[7; 32], &[7; 31]);
    both.client.refused("31 bytes", Ask::CreateRecord(client), Reason::BadRequest, "a key in escrow is 32 bytes");
}

#[test]
fn a_custodian_record_takes_the_tenants_signature_whatever_its_policy_says() {
    let world = World::custodian(0x102);
    let passkey = Passkey::eddsa(9);
    let expired = |r: &mut CreateRecord| {
        let act = r.act.as_mut().unwrap();
        act.tenant_signature = Some(consent(&crate::tenant::Tenant::new(1).expired, &act.intent));
    };
    let cases: &[Case<CreateRecord>] = &[
        ("unsigned", |r| r.act.as_mut().unwrap().tenant_signature = None, Reason::PolicyDenied, "act.tenant_signature"),
        ("expired key", expired, Reason::ProofRejected, "tenant_signature.key"),
        ("no assertion", |r| r.act.as_mut().unwrap().assertions.clear(), Reason::PolicyDenied, "act.assertions"),
        ("no credential", |r| r.credential = None, Reason::BadRequest, "credential: missing"),
        ("no message", |r| r.message.clear(), Reason::CiphertextHashMismatch, "message"),
    ];
    let request = |policy| {
        let mut intent = creation(&world, "wallet-1", &passkey);
        action(&mut intent).custodian_policy = Some(policy);
        let message = sealed_message(&world, &intent, &custodians_shares());
        sign_creation(&world, intent, message, &passkey, &honest())
    };
    let both_needed = Policy { passkey: true, ..TENANT_ONLY };
    for policy in [PASSKEY_ONLY, TENANT_ONLY, both_needed, Policy { newest_head: true, ..TENANT_ONLY }] {
        for (name, change, reason, detail) in cases {
            let mut request = request(policy);
            change(&mut request);
            world.refused(name, Ask::CreateRecord(request), *reason, detail);
        }
        let backup = created(&world, request(policy));
        assert_eq!(view_of(&world, &backup.record).policy, Some(policy));
        let freshness = backup.receipt.stages.as_ref().unwrap().freshness();
        assert_eq!(freshness, Freshness::None, "a creation names no head that anybody could vouch for");
    }
}

/// What makes a creation without a passkey another thing.
const BARE: &[Case<Intent>] = &[
    (
        "an empty credential",
        |i| action(i).credential = Some(CredentialRef::default()),
        Reason::BadRequest,
        "credential: missing",
    ),
    (
        "passkey",
        |i| action(i).custodian_policy = Some(PASSKEY_ONLY),
        Reason::PolicyDenied,
        "create_backup: asks for a passkey, and the record has none",
    ),
    (
        "passkey and tenant",
        |i| action(i).custodian_policy = Some(Policy { passkey: true, ..TENANT_ONLY }),
        Reason::PolicyDenied,
        "create_backup: asks for a passkey",
    ),
    (
        "neither",
        |i| action(i).custodian_policy = Some(Policy::default()),
        Reason::PolicyDenied,
        "create_backup.custodian_policy: neither",
    ),
    (
        "the client role too",
        |i| {
            i.client = Some(RolePart::default());
            action(i).client_policy = Some(PASSKEY_ONLY);
        },
        Reason::BadRequest,
        "the client role always has one",
    ),
    ("a key", |i| action(i).secret = SecretKind::Key.into(), Reason::BadRequest, "create_backup.secret"),
    ("no kind", |i| action(i).secret = 0, Reason::BadRequest, "create_backup.secret: unknown"),
];

#[test]
fn a_creation_without_a_passkey_has_one_form() {
    let world = World::custodian(0x103);
    for (name, edit, reason, detail) in BARE {
        let (act, message) = bare_creation(&world, "wallet-1", edit);
        let ask = create_record(&world, countersigned(&world, act), None, message);
        world.refused(name, Ask::CreateRecord(ask), *reason, detail);
    }
    let passkey = Passkey::eddsa(9);
    let (act, message) = bare_creation(&world, "wallet-1", |i| action(i).credential = Some(CredentialRef::default()));
    let empty = create_record(&world, countersigned(&world, act), Some(NewCredential::default()), message);
    world.refused("empty on both sides", Ask::CreateRecord(empty), Reason::BadRequest, "create_backup.credential.id");
    let (act, message) = bare_creation(&world, "wallet-1", |_| {});
    let unsigned = create_record(&world, act.clone(), None, message.clone());
    world.refused("unsigned", Ask::CreateRecord(unsigned), Reason::PolicyDenied, "act.tenant_signature");
    let brought = create_record(&world, countersigned(&world, act.clone()), Some(registration(&passkey)), message);
    world.refused("a credential", Ask::CreateRecord(brought), Reason::BadRequest, "the intent names none");
    let (mut act, message) = bare_creation(&world, "wallet-1", |_| {});
    act.assertions = vec![passkey.assert(&act.intent, &honest())];
    let asserted = create_record(&world, countersigned(&world, act), None, message);
    world.refused("an assertion", Ask::CreateRecord(asserted), Reason::ProofRejected, "assertion.credential_id");
    let backup = without_passkey(&world, "wallet-1", TENANT_ONLY);
    let view = view_of(&world, &backup.record);
    assert_eq!((view.credentials.len(), view.roles, view.method.as_str()), (0, vec![2], "PASSWORD"));
}

#[test]
fn a_client_record_is_never_made_without_a_passkey() {
    let both = Both::new(0x104);
    let passkey = Passkey::eddsa(9);
    for (world, role) in [(&both.client, Role::Client), (&both.custodian, Role::Custodian)] {
        let mut intent = both.creation("wallet-1", &passkey, TENANT_ONLY);
        action(&mut intent).credential = None;
        let message = sealed_message(world, &intent, &two_shares());
        own_part(world, &mut intent).message_hash = ContentHash::of(&message).0.to_vec();
        let act = countersigned(world, consents(&intent, &[]));
        let ask = create_record(world, act, None, message);
        let name = role.as_str_name();
        world.refused(name, Ask::CreateRecord(ask), Reason::BadRequest, "the client role always has one");
    }
}

#[test]
fn a_record_without_a_passkey_gets_none_and_no_policy_that_asks_for_one() {
    let world = World::custodian(0x105);
    let delayed = Policy { delay_seconds: 60, ..TENANT_ONLY };
    for policy in [TENANT_ONLY, delayed] {
        let mut backup = without_passkey(&world, "wallet-1", policy);
        let to = |backup: &_, wanted| {
            let policies = ChangePolicyAction { client_policy: None, custodian_policy: Some(wanted) };
            let intent = about(&world, backup, Action::ChangePolicy(policies));
            Ask::Change(change(&world, countersigned(&world, consents(&intent, &[])), backup))
        };
        for wanted in [PASSKEY_ONLY, Policy { passkey: true, ..TENANT_ONLY }] {
            world.refused(
                "policy",
                to(&backup, wanted),
                Reason::PolicyDenied,
                "asks for a passkey, and the record has none",
            );
        }
        let newcomer = Passkey::eddsa(10);
        let add = Action::AddPasskey(AddPasskeyAction { credential: Some(named(&newcomer)) });
        let intent = about(&world, &backup, add);
        for (by, reason, detail) in [
            (vec![&newcomer], Reason::PolicyDenied, "takes two"),
            (vec![&newcomer, &newcomer], Reason::ProofRejected, "assertion.credential_id"),
        ] {
            let act = countersigned(&world, consents(&intent, &by));
            let ask = Change { credential: Some(registration(&newcomer)), ..change(&world, act, &backup) };
            world.refused("newcomer", Ask::Change(ask), reason, detail);
        }
        let ask = to(&backup, Policy { delay_seconds: 5, ..TENANT_ONLY });
        moves(&world, "another delay", ask, &mut backup);
    }
}

#[test]
fn a_message_to_one_role_is_nothing_to_the_other() {
    let both = Both::new(0x106);
    let passkey = Passkey::eddsa(9);
    let intent = both.creation("wallet-1", &passkey, PASSKEY_ONLY);
    let record_id = strongroom_proto::intent::record_id(&intent).0;
    let to = |world: &World| message(world, &record_id, &two_shares());
    let (to_client, to_custodian) = (to(&both.client), to(&both.custodian));
    for (world, own, foreign) in
        [(&both.client, &to_client, &to_custodian), (&both.custodian, &to_custodian, &to_client)]
    {
        let sign = |message: &[u8]| {
            let mut intent = intent.clone();
            own_part(world, &mut intent).message_hash = ContentHash::of(message).0.to_vec();
            let act = countersigned(world, consents(&intent, &[&passkey]));
            create_record(world, act, Some(registration(&passkey)), message.to_vec())
        };
        let crossed = CreateRecord { message: foreign.clone(), ..sign(own) };
        let mismatch = Reason::CiphertextHashMismatch;
        world.refused("given to the other", Ask::CreateRecord(crossed), mismatch, "message");
        world.refused("named for the other", Ask::CreateRecord(sign(foreign)), Reason::DecryptFailed, "not sealed");
        created(world, sign(own));
    }
}

#[test]
fn a_puts_message_to_one_role_is_nothing_to_the_other() {
    let both = Both::new(0x10a);
    let mut pair = both.back_up("wallet-1", PASSKEY_ONLY);
    let pairs = vec![strongroom_proto::v1::Pair { id: "ed".into(), curve: 2 }];
    let record_id = pair.client.receipt.record_id.clone();
    let to = |world: &World| message(world, &record_id, &[crate::acts::share("ed", b"next")]);
    let (to_client, to_custodian) = (to(&both.client), to(&both.custodian));
    let put = |named: [&[u8]; 2]| {
        let action = Action::PutShares(PutSharesAction { generation: 2, pairs: pairs.clone() });
        let mut intent = both.about(&pair, action);
        for (world, message) in [&both.client, &both.custodian].into_iter().zip(named) {
            own_part(world, &mut intent).message_hash = ContentHash::of(message).0.to_vec();
        }
        consents(&intent, &[&pair.client.passkey])
    };
    let (crossed, right) = (put([&to_custodian, &to_client]), put([&to_client, &to_custodian]));
    for (world, backup, own, foreign) in [
        (&both.client, &mut pair.client, &to_client, &to_custodian),
        (&both.custodian, &mut pair.custodian, &to_custodian, &to_client),
    ] {
        let ask = |act: &Act, message: &[u8]| Ask::PutShares(put_shares(world, act.clone(), message.to_vec(), backup));
        world.refused("given", ask(&right, foreign), Reason::CiphertextHashMismatch, "message");
        world.refused("named", ask(&crossed, foreign), Reason::DecryptFailed, "message: not sealed");
        let ask = ask(&right, own);
        moves(world, "put", ask, backup);
    }
}

#[test]
fn a_creation_for_one_role_is_refused_by_the_other() {
    let both = Both::new(0x107);
    for (maker, other) in [(&both.client, &both.custodian), (&both.custodian, &both.client)] {
        let intent = creation(maker, "wallet-1", &Passkey::eddsa(9));
        let message = sealed_message(maker, &intent, &two_shares());
        let signed = sign_creation(maker, intent, message.clone(), &Passkey::eddsa(9), &honest());
        let act = countersigned(maker, signed.act.unwrap());
        let ask = create_record(other, act, signed.credential, message);
        other.refused("not named", Ask::CreateRecord(ask), Reason::BadRequest, "intent: does not name the ROLE_");
    }
    // And where the statement does not name the role, nothing is sealed in it.
    let mut lone = World::custodian(0x108);
    let client = World::new(0x109);
    lone.statement = lone.keep(lone.tenant.sign(&lone.tenant.statement(&[&client.epoch.identity])));
    let (act, message) = bare_creation(&lone, "wallet-1", |_| {});
    let ask = create_record(&lone, countersigned(&lone, act), None, message);
    lone.refused("no such role", Ask::CreateRecord(ask), Reason::EpochNotInStatement, "does not name this role");
}
