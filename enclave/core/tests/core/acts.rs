//! Acts as an honest device makes them, in steps that a test can come between.

use prost::Message;
use strongroom_proto::contents::{Share, encode_shares};
use strongroom_proto::enclave::v1::{
    CreateRecord, Recover, Rehearse, SealedRecord, SealedShare, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::id::{ContentHash, KekId, RecordId};
use strongroom_proto::seal::{Direction, hpke_info};
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::{
    Act, CreateBackupAction, CredentialRef, Curve, Intent, NewCredential, Pair, Policy, Receipt, RecoverAction,
    RehearseAction, Role, RolePart, SecretKind, intent::Action,
};

use crate::device::{Ceremony, Passkey, Recipient, honest, seal};
use crate::world::{Epoch, START, World, told};

pub(crate) const MINUTES_15: u64 = 15 * 60 * 1000;
pub(crate) const PASSKEY_ONLY: Policy =
    Policy { passkey: true, tenant_signature: false, delay_seconds: 0, newest_head: false };

pub(crate) fn share(pair: &str, bytes: &[u8]) -> Share {
    Share { pair: pair.into(), bytes: Secret::new(bytes.to_vec()) }
}

/// What the users of these tests back up.
pub(crate) fn two_shares() -> Vec<Share> {
    vec![share("ed", b"planted secret of the ed25519 pair"), share("k1", b"planted secret of the secp256k1 pair")]
}

/// An intent that names the world's role and no other.
fn intent(world: &World, wallet: &str, action: Action) -> Intent {
    let part = |role| (world.role == role).then(RolePart::default);
    Intent {
        tenant: world.tenant_id(),
        wallet: wallet.into(),
        statement_serial: 5,
        client: part(Role::Client),
        custodian: part(Role::Custodian),
        not_after_ms: START + 5 * 60 * 1000,
        nonce: world.random().to_vec(),
        action: Some(action),
    }
}

/// A creation intent, but for the hash of its message.
pub(crate) fn creation(world: &World, wallet: &str, passkey: &Passkey) -> Intent {
    let pair = |id: &str, curve: Curve| Pair { id: id.into(), curve: curve.into() };
    let action = CreateBackupAction {
        backup: "backup-1".into(),
        method: "PASSKEY".into(),
        secret: SecretKind::Share.into(),
        pairs: vec![pair("ed", Curve::Ed25519), pair("k1", Curve::Secp256k1)],
        generation: 1,
        client_policy: (world.role == Role::Client).then_some(PASSKEY_ONLY),
        custodian_policy: (world.role == Role::Custodian).then_some(PASSKEY_ONLY),
        credential: Some(CredentialRef {
            id: passkey.id.clone(),
            key_hash: passkey.key_hash(),
            label: "Ann's phone".into(),
        }),
    };
    intent(world, wallet, Action::CreateBackup(action))
}

/// The parameters of a creation, to be changed.
pub(crate) fn action(intent: &mut Intent) -> &mut CreateBackupAction {
    match &mut intent.action {
        Some(Action::CreateBackup(action)) => action,
        _ => panic!("no creation"),
    }
}

/// The first part of an intent, to be changed: the client's, if it is named.
pub(crate) fn part(intent: &mut Intent) -> &mut RolePart {
    intent.client.as_mut().or(intent.custodian.as_mut()).unwrap()
}

/// What an intent says to the world's role, to be changed.
pub(crate) fn own_part<'a>(world: &World, intent: &'a mut Intent) -> &'a mut RolePart {
    let part = if world.role == Role::Client { &mut intent.client } else { &mut intent.custodian };
    part.as_mut().unwrap()
}

/// HPKE info under one epoch.
pub(crate) fn info(direction: Direction, epoch: &Epoch, record_id: &[u8]) -> Vec<u8> {
    let tenant = strongroom_proto::id::TenantId::from_slice(&epoch.identity.tenant).unwrap();
    let kek_id = KekId::from_slice(&epoch.identity.kek_id).unwrap();
    hpke_info(direction, epoch.identity.role(), &tenant, &kek_id, &RecordId::from_slice(record_id).unwrap())
}

/// Seals shares for the record that this creation makes.
pub(crate) fn sealed_message(world: &World, creation: &Intent, shares: &[Share]) -> Vec<u8> {
    let record_id = strongroom_proto::intent::record_id(creation);
    let info = info(Direction::Request, &world.epoch, &record_id.0);
    let contents = encode_shares(shares).unwrap();
    let mut random = world.fake.random.borrow_mut();
    seal(&mut random, &world.epoch.identity.channel_key, &info, &contents)
}

/// Names the message in the intent, and has the passkey sign.
pub(crate) fn sign_creation(
    world: &World,
    mut intent: Intent,
    message: Vec<u8>,
    passkey: &Passkey,
    ceremony: &Ceremony,
) -> CreateRecord {
    let part = if world.role == Role::Client { &mut intent.client } else { &mut intent.custodian };
    if let Some(part) = part {
        part.message_hash = ContentHash::of(&message).0.to_vec();
    }
    let mut act = act(&intent, passkey, ceremony);
    if world.role == Role::Custodian {
        act.tenant_signature = Some(world.tenant.consent(&act.intent));
    }
    CreateRecord {
        tenant: world.tenant_id(),
        statement: Some(world.statement_ref()),
        kek: Some(world.epoch.kek()),
        act: Some(act),
        credential: Some(NewCredential { id: passkey.id.clone(), public_key: passkey.cose() }),
        message,
    }
}

pub(crate) fn act(intent: &Intent, passkey: &Passkey, ceremony: &Ceremony) -> Act {
    let intent = intent.encode_to_vec();
    let assertions = vec![passkey.assert(&intent, ceremony)];
    Act { intent, assertions, tenant_signature: None }
}

/// A record with what the host stores of it.
pub(crate) struct Backup {
    pub(crate) record: SealedRecord,
    pub(crate) shares: Vec<SealedShare>,
    pub(crate) receipt: Receipt,
    pub(crate) passkey: Passkey,
}

/// Creates a record and keeps everything.
pub(crate) fn back_up(world: &World, wallet: &str, passkey: Passkey, change: impl FnOnce(&mut Intent)) -> Backup {
    back_up_these(world, wallet, passkey, &two_shares(), change)
}

/// Creates a record of these shares and keeps everything. What `change` leaves of the intent names their pairs.
pub(crate) fn back_up_these(
    world: &World,
    wallet: &str,
    passkey: Passkey,
    shares: &[Share],
    change: impl FnOnce(&mut Intent),
) -> Backup {
    let mut intent = creation(world, wallet, &passkey);
    change(&mut intent);
    let message = sealed_message(world, &intent, shares);
    let request = sign_creation(world, intent, message, &passkey, &honest());
    match world.drive(Ask::CreateRecord(request)) {
        Answer::Moved(made) => Backup {
            record: made.record.unwrap(),
            shares: made.shares,
            receipt: Receipt::decode(made.receipt.unwrap().receipt.as_slice()).unwrap(),
            passkey,
        },
        answer => panic!("not created: {}", told(&answer)),
    }
}

pub(crate) fn recovery(world: &World, backup: &Backup, recipient: &Recipient) -> Intent {
    let mut intent = rehearsal(world, backup);
    intent.action = Some(Action::Recover(RecoverAction { generation: 1, eject: false }));
    part(&mut intent).recipient = recipient.hash();
    intent
}

pub(crate) fn rehearsal(world: &World, backup: &Backup) -> Intent {
    let mut intent = intent(world, &backup.record.wallet, Action::Rehearse(RehearseAction { generation: 1 }));
    part(&mut intent).record_id.clone_from(&backup.receipt.record_id);
    part(&mut intent).head.clone_from(&backup.receipt.head);
    intent
}

pub(crate) fn recover(world: &World, act: Act, backup: &Backup, recipient: &Recipient) -> Recover {
    Recover {
        tenant: world.tenant_id(),
        statement: Some(world.statement_ref()),
        kek: Some(world.epoch.kek()),
        act: Some(act),
        recipient_key: recipient.public_key.clone(),
        record: Some(backup.record.clone()),
        shares: backup.shares.clone(),
        other_kek: None,
    }
}

pub(crate) fn rehearse(world: &World, act: Act, backup: &Backup) -> Rehearse {
    Rehearse {
        tenant: world.tenant_id(),
        statement: Some(world.statement_ref()),
        kek: Some(world.epoch.kek()),
        act: Some(act),
        record: Some(backup.record.clone()),
        shares: backup.shares.clone(),
        other_kek: None,
    }
}
