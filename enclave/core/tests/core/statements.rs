//! Which statements the enclave believes, and what they allow to be sealed.

use prost::Message;
use strongroom_proto::enclave::v1::{
    CreateRecord, Recover, StatementRef, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::v1::{Reason, SignedStatement, Statement};

use crate::acts::{act, action, back_up, creation, recover, recovery, sealed_message, sign_creation, two_shares};
use crate::device::{Passkey, Recipient, honest};
use crate::tenant::{Tenant, epoch, public, sign_statement};
use crate::world::{World, reference, told};

/// A creation under the world's statement.
fn create(world: &World) -> Ask {
    let passkey = Passkey::eddsa(9);
    let intent = creation(world, "wallet-1", &passkey);
    let message = sealed_message(world, &intent, &two_shares());
    Ask::CreateRecord(sign_creation(world, intent, message, &passkey, &honest()))
}

/// A creation under another statement.
fn create_under(world: &World, signed: &SignedStatement) -> Ask {
    let mut ask = create(world);
    if let Ask::CreateRecord(create) = &mut ask {
        create.statement = Some(StatementRef { signed: Some(signed.clone()), ..reference(signed) });
    }
    ask
}

fn statement(world: &World) -> Statement {
    Statement::decode(world.statement.statement.as_slice()).unwrap()
}

#[test]
fn a_statement_that_is_not_the_tenants_is_refused() {
    let world = World::new(0x50);
    let stranger = Tenant::new(2);
    let good = statement(&world);
    let bytes = good.encode_to_vec();
    let mut altered = world.statement.clone();
    altered.statement[100] ^= 1;
    let unsigned = SignedStatement { signature: Vec::new(), ..world.statement.clone() };
    let mut serial_0 = good.clone();
    serial_0.serial = 0;
    for (name, signed, detail) in [
        ("stranger's", stranger.sign(&stranger.statement(&[&world.epoch.identity])), "statement: of another tenant"),
        ("signed by a stranger", sign_statement(&stranger.root, bytes.clone()), "statement.signature"),
        (
            "signed by an operational key",
            sign_statement(&world.tenant.operational, bytes.clone()),
            "statement.signature",
        ),
        ("unsigned", unsigned, "statement.signature"),
        ("altered", altered, "statement"),
        (
            "unknown field",
            world.tenant.sign_bytes([&bytes[..], &[0xf8, 0x07, 1]].concat()),
            "not in canonical encoding",
        ),
        ("broken rule", world.tenant.sign(&serial_0), "statement: serial is 0"),
        ("empty", SignedStatement::default(), "statement"),
    ] {
        world.refused(name, create_under(&world, &signed), Reason::BadRequest, detail);
    }
    let standby = sign_statement(&world.tenant.standby, bytes);
    let answer = world.drive(create_under(&world, &standby));
    assert!(matches!(answer, Answer::Moved(_)), "the standby key signs too: {}", told(&answer));
}

#[test]
fn a_policy_that_asks_for_a_tenant_without_keys_is_refused() {
    let world = World::new(0x55);
    let passkey = Passkey::eddsa(9);
    let mut intent = creation(&world, "wallet-1", &passkey);
    action(&mut intent).client_policy.as_mut().unwrap().tenant_signature = true;
    let message = sealed_message(&world, &intent, &two_shares());
    let request = sign_creation(&world, intent, message, &passkey, &honest());
    let under = |keys: &dyn Fn(&mut Statement)| {
        let mut statement = statement(&world);
        keys(&mut statement);
        let signed = world.tenant.sign(&statement);
        let reference = StatementRef { signed: Some(signed.clone()), ..reference(&signed) };
        Ask::CreateRecord(CreateRecord { statement: Some(reference), ..request.clone() })
    };
    let (policy, detail) = (Reason::PolicyDenied, "no operational key in force");
    world.refused("no keys", under(&|s| s.operational_keys.clear()), policy, detail);
    let operational = public(&world.tenant.operational);
    world.refused("none in time", under(&|s| s.operational_keys.retain(|key| key.key != operational)), policy, detail);
    let answer = world.drive(under(&|s| s.operational_keys.retain(|key| key.key == operational)));
    assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
}

#[test]
fn a_statement_is_known_by_its_hash() {
    let world = World::new(0x51);
    let other = world.tenant.sign(&Statement { serial: 6, ..statement(&world) });
    let given = StatementRef { signed: Some(other), ..world.statement_ref() };
    let with = |reference| {
        let mut ask = create(&world);
        if let Ask::CreateRecord(create) = &mut ask {
            create.statement = Some(reference);
        }
        ask
    };
    world.refused("other bytes", with(given.clone()), Reason::BadRequest, "statement.sha256: not the hash");
    let short = StatementRef { sha256: vec![1; 31], signed: None };
    world.refused("short hash", with(short), Reason::BadRequest, "statement.sha256: not 32 bytes");
    let answer = world.drive(create(&world));
    assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
    // Once it is known by its hash, what stands beside the hash is not read.
    let answer = world.drive(with(given));
    assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
}

#[test]
fn an_older_statement_than_intent_or_record_is_refused() {
    let mut world = World::new(0x52);
    let newest = statement(&world);
    let older = world.tenant.sign(&Statement { serial: 4, ..newest.clone() });
    let newer = world.tenant.sign(&Statement { serial: 6, ..newest });
    world.refused("creation", create_under(&world, &older), Reason::StatementStale, "made under statement 5");

    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let recipient = Recipient::new(1);
    let ask = |world: &World, serial| {
        let mut intent = recovery(world, &backup, &recipient);
        intent.statement_serial = serial;
        recover(world, act(&intent, &backup.passkey, &honest()), &backup, &recipient)
    };
    world.statement = world.keep(older);
    world.refused("intent's", Ask::Recover(ask(&world, 5)), Reason::StatementStale, "made under statement 5");
    world.refused("record's", Ask::Recover(ask(&world, 4)), Reason::StatementStale, "seen statement 5");

    // An act under a newer statement raises what the record has seen.
    world.statement = world.keep(newer);
    let Answer::Moved(done) = world.drive(Ask::Recover(ask(&world, 1))) else { panic!("not recovered") };
    let record = done.record.unwrap();
    assert_eq!(crate::vault::read(&world, &record).statement_serial, 6);
}

#[test]
fn nothing_is_sealed_under_an_epoch_that_the_statement_does_not_name_so() {
    type Row = (&'static str, fn(&mut Statement), &'static str);
    let mut world = World::new(0x53);
    let second = world.make_epoch(&world.tenant, 2);
    let both = world.tenant.statement(&[&world.epoch.identity, &second.identity]);
    let cases: &[Row] = &[
        ("role not named", |s| s.custodian = s.client.take(), "epoch 1: the statement does not name this role"),
        (
            "epoch not named",
            |s| {
                role(s).epochs.remove(0);
                role(s).lowest_epoch = 2;
            },
            "epoch 1: not in the statement",
        ),
        ("below the lowest", |s| role(s).lowest_epoch = 2, "epoch 1: below the statement's lowest_epoch"),
        ("other kek_id", |s| role(s).epochs[0].kek_id[0] ^= 1, "epoch 1: the statement names other keys"),
        ("other channel key", |s| role(s).epochs[0].channel_key_hash[0] ^= 1, "other keys"),
        ("other receipt key", |s| role(s).epochs[0].receipt_key[0] ^= 1, "other keys"),
        (
            "another epoch's keys",
            |s| {
                let keys = role(s).epochs[1].clone();
                role(s).epochs[0] = strongroom_proto::v1::Epoch { epoch: 1, ..keys };
            },
            "other keys",
        ),
    ];
    for (name, change, detail) in cases {
        let mut changed = both.clone();
        change(&mut changed);
        let signed = world.tenant.sign(&changed);
        world.refused(name, create_under(&world, &signed), Reason::EpochNotInStatement, detail);
    }
    // What was sealed before still opens when the epoch is below the lowest, and moves to the epoch in force.
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let mut raised = both.clone();
    role(&mut raised).lowest_epoch = 2;
    world.statement = world.keep(world.tenant.sign(&raised));
    let recipient = Recipient::new(1);
    let signed = act(&recovery(&world, &backup, &recipient), &backup.passkey, &honest());
    let request = recover(&world, signed, &backup, &recipient);
    world.refused("old epoch", Ask::Recover(request.clone()), Reason::EpochNotInStatement, "below");
    let (kek, other_kek) = (Some(second.kek()), Some(world.epoch.kek()));
    match world.drive(Ask::Recover(Recover { kek, other_kek, ..request })) {
        Answer::Moved(moved) => assert_eq!(moved.record.unwrap().epoch, 2),
        answer => panic!("{}", told(&answer)),
    }
    // And the second epoch is taken.
    world.epoch = second;
    let answer = world.drive(create(&world));
    assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
    assert_eq!(role(&mut raised).epochs[1], epoch(&world.epoch.identity));
}

fn role(statement: &mut Statement) -> &mut strongroom_proto::v1::RoleStatement {
    statement.client.as_mut().unwrap()
}
