//! The host as the enemy: what belongs to one record, wallet, epoch, role or tenant, given in the place of another's.

use strongroom_proto::contents::encode_shares;
use strongroom_proto::enclave::v1::{CreateRecord, GetView, Recover, request::Body as Ask, response::Body as Answer};
use strongroom_proto::id::{KekId, RecordId, TenantId};
use strongroom_proto::seal::{Direction, hpke_info};
use strongroom_proto::v1::{Reason, Role};

use crate::acts::{
    Backup, act, action, back_up, creation, part, recover, recovery, sealed_message, sign_creation, two_shares,
};
use crate::device::{Passkey, Recipient, honest, seal};
use crate::tenant::Tenant;
use crate::world::{World, told};

const NOT_SEALED: &str = "message: not sealed to this epoch's channel key for the record of this intent";

/// The creation of an honest user, as it passes through the host.
fn users_creation(world: &World) -> CreateRecord {
    let passkey = Passkey::eddsa(9);
    let intent = creation(world, "wallet-1", &passkey);
    let message = sealed_message(world, &intent, &two_shares());
    sign_creation(world, intent, message, &passkey, &honest())
}

#[test]
fn the_users_ciphertext_does_not_open_in_a_record_of_the_hosts_own() {
    let world = World::new(0x80);
    let users = users_creation(&world);
    let host = Passkey::eddsa(66);
    for (name, wallet) in [("another wallet", "hosts-wallet"), ("the user's wallet, the host's passkey", "wallet-1")] {
        let intent = creation(&world, wallet, &host);
        let stolen = sign_creation(&world, intent, users.message.clone(), &host, &honest());
        world.refused(name, Ask::CreateRecord(stolen), Reason::DecryptFailed, NOT_SEALED);
    }
    // The user's own intent with the host's credential beside it, or in it, or with the host's assertion.
    let theirs = strongroom_proto::intent::decode(&users.act.as_ref().unwrap().intent).unwrap();
    let mut intent = theirs.clone();
    let credential = action(&mut intent).credential.as_mut().unwrap();
    (credential.id, credential.key_hash) = (host.id.clone(), host.key_hash());
    let stolen = sign_creation(&world, intent, users.message.clone(), &host, &honest());
    world.refused("credential in the intent", Ask::CreateRecord(stolen), Reason::DecryptFailed, NOT_SEALED);
    let stolen = sign_creation(&world, theirs.clone(), users.message.clone(), &host, &honest());
    world.refused("credential beside it", Ask::CreateRecord(stolen), Reason::ProofRejected, "credential");
    let mut weaker = theirs.clone();
    action(&mut weaker).method = "CUSTOM".into();
    let again = sign_creation(&world, weaker, users.message.clone(), &Passkey::eddsa(9), &honest());
    world.refused("other parameters", Ask::CreateRecord(again), Reason::DecryptFailed, NOT_SEALED);
    // A message of the host's choosing is not the one that the user signed.
    let mut swapped = users.clone();
    swapped.message = sealed_message(&world, &theirs, &two_shares());
    world.refused("swapped", Ask::CreateRecord(swapped), Reason::CiphertextHashMismatch, "message");
    let answer = world.drive(Ask::CreateRecord(users));
    assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
}

#[test]
fn a_message_opens_only_for_its_record_epoch_tenant_role_and_direction() {
    type Subject = (Direction, Role, TenantId, KekId, Option<RecordId>);
    let world = World::new(0x81);
    let passkey = Passkey::eddsa(9);
    let second = world.make_epoch(&world.tenant, 2);
    let stranger = Tenant::new(2);
    let foreign = world.make_epoch(&stranger, 1);
    let contents = encode_shares(&two_shares()).unwrap();
    let own = &world.epoch.identity;
    let kek = |identity: &strongroom_proto::v1::Identity| KekId::from_slice(&identity.kek_id).unwrap();
    let tenant = world.tenant.id();
    let other_record = RecordId([7; 32]);
    let (request, client) = (Direction::Request, Role::Client);
    let cases: &[(&str, &[u8], Subject)] = &[
        ("own", &own.channel_key, (request, client, tenant, kek(own), None)),
        ("other record", &own.channel_key, (request, client, tenant, kek(own), Some(other_record))),
        ("other kek_id", &own.channel_key, (request, client, tenant, kek(&second.identity), None)),
        ("other tenant", &own.channel_key, (request, client, stranger.id(), kek(own), None)),
        ("other role", &own.channel_key, (request, Role::Custodian, tenant, kek(own), None)),
        ("release", &own.channel_key, (Direction::Release, client, tenant, kek(own), None)),
        ("other epoch", &second.identity.channel_key, (request, client, tenant, kek(&second.identity), None)),
        ("other tenant's key", &foreign.identity.channel_key, (request, client, tenant, kek(own), None)),
    ];
    for (name, key, (direction, role, tenant, kek_id, record_id)) in cases {
        let intent = creation(&world, "wallet-1", &passkey);
        let record_id = record_id.unwrap_or(strongroom_proto::intent::record_id(&intent));
        let info = hpke_info(*direction, *role, tenant, kek_id, &record_id);
        let message = seal(&mut world.fake.random.borrow_mut(), key, &info, &contents);
        let ask = Ask::CreateRecord(sign_creation(&world, intent, message, &passkey, &honest()));
        if *name == "own" {
            let answer = world.drive(ask);
            assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
        } else {
            world.refused(name, ask, Reason::DecryptFailed, NOT_SEALED);
        }
    }
}

fn request(world: &World, backup: &Backup) -> Recover {
    let recipient = Recipient::new(1);
    let signed = act(&recovery(world, backup, &recipient), &backup.passkey, &honest());
    recover(world, signed, backup, &recipient)
}

#[test]
fn two_records_share_nothing() {
    let world = World::new(0x82);
    let first = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let second = back_up(&world, "wallet-1", Passkey::eddsa(66), |_| {});
    let other_wallet = back_up(&world, "wallet-2", Passkey::eddsa(66), |_| {});
    let other_backup = back_up(&world, "wallet-1", Passkey::eddsa(66), |i| action(i).backup = "backup-2".into());
    for (name, thief) in [("same wallet", &second), ("other wallet", &other_wallet), ("other backup", &other_backup)] {
        let mut stolen = request(&world, thief);
        stolen.shares.clone_from(&first.shares);
        world.refused(name, Ask::Recover(stolen), Reason::CiphertextHashMismatch, "shares");
        let mut stolen = request(&world, thief);
        stolen.record = Some(first.record.clone());
        stolen.shares.clone_from(&first.shares);
        world.refused(name, Ask::Recover(stolen), Reason::BadRequest, "intent.record_id: another record");
        let mut disguised = request(&world, thief);
        disguised.record.as_mut().unwrap().sealed.clone_from(&first.record.sealed);
        disguised.shares.clone_from(&first.shares);
        world.refused(name, Ask::Recover(disguised), Reason::DecryptFailed, "record: does not open");
    }
    // The thief's intent names the victim's record: then the victim's credential is asked for.
    let recipient = Recipient::new(1);
    let mut intent = recovery(&world, &first, &recipient);
    let stolen = recover(&world, act(&intent, &second.passkey, &honest()), &first, &recipient);
    world.refused("victim's record", Ask::Recover(stolen), Reason::ProofRejected, "assertion.credential_id");
    part(&mut intent).head.clone_from(&second.receipt.head);
    let stolen = recover(&world, act(&intent, &first.passkey, &honest()), &first, &recipient);
    world.refused("other head", Ask::Recover(stolen), Reason::RecordStale, "intent.head");
}

#[test]
fn one_tenants_record_is_nothing_to_another() {
    let mut world = World::new(0x83);
    let victim = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let victims_request = request(&world, &victim);
    let victims = (world.statement.clone(), world.tenant_id());
    let stranger = Tenant::new(2);
    let epoch = world.make_epoch(&stranger, 1);
    let signed = world.keep(stranger.sign(&stranger.statement(&[&epoch.identity])));
    (world.tenant, world.epoch, world.statement) = (stranger, epoch, signed);

    let ask = |change: &dyn Fn(&mut Recover)| {
        let mut request = request(&world, &victim);
        change(&mut request);
        Ask::Recover(request)
    };
    world.refused("own KEK", ask(&|_| {}), Reason::DecryptFailed, "record: does not open as this tenant's");
    let statement = victims_request.statement.clone();
    world.refused(
        "victim's statement",
        ask(&|r| r.statement.clone_from(&statement)),
        Reason::BadRequest,
        "statement: of another tenant",
    );
    let act = victims_request.act.clone();
    world.refused(
        "victim's act",
        ask(&|r| r.act.clone_from(&act)),
        Reason::BadRequest,
        "intent.tenant: another tenant",
    );
    let kek = victims_request.kek.clone();
    let calls = world.kms.calls.get();
    world.refused("victim's KEK", ask(&|r| r.kek.clone_from(&kek)), Reason::DecryptFailed, "kek.wrapped");
    assert_eq!(world.kms.calls.get(), calls + 1, "a warm cache of the victim's gives nothing");

    // In the victim's name the victim's own rules hold: statement, intent and credential are the victim's.
    let tenant = victims.1;
    let name = "victim's name";
    world.refused(name, ask(&|r| r.tenant.clone_from(&tenant)), Reason::DecryptFailed, "kek.wrapped");
    let both = ask(&|r| (r.tenant, r.kek) = (tenant.clone(), kek.clone()));
    world.refused(name, both, Reason::BadRequest, "statement: of another tenant");
    let all = ask(&|r| (r.tenant, r.kek, r.statement) = (tenant.clone(), kek.clone(), statement.clone()));
    world.refused(name, all, Reason::BadRequest, "intent.tenant: another tenant");
    let view = Ask::GetView(GetView {
        tenant: world.tenant_id(),
        kek: Some(world.epoch.kek()),
        wallet: "wallet-1".into(),
        nonce: vec![1; 32],
        records: vec![victim.record.clone()],
        other_kek: None,
    });
    world.refused("view", view, Reason::DecryptFailed, "record: does not open");
    world.keep(victims.0);
    let answer = world.drive(Ask::Recover(victims_request));
    assert!(matches!(answer, Answer::Moved(_)), "{}", told(&answer));
}
