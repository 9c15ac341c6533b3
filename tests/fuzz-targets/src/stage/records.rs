//! The records on the stage, each made by requests as an honest host and device send them.

use ring::signature::Ed25519KeyPair;
use strongroom_proto::enclave::v1::{Change, request::Body as Ask};
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::v1::{
    AddPasskeyAction, ChangePolicyAction, DeleteBackupAction, Intent, Policy, RemovePasskeyAction, RolePart,
    RoleStatement, StartRecoveryAction, intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, action, back_up, part, share};
use crate::device::{Passkey, Recipient};
use crate::steps::{about, change, consents, countersigned, moves, named, put, put_shares, registration};
use crate::tenant::{key, public};
use crate::world::{Epoch, START, World};

const WALLET: &str = "wallet-1";
const DELAY_SECONDS: u32 = 3600;
const DELAY_MS: u64 = 3_600_000;
const DELAYED: Policy = Policy { delay_seconds: DELAY_SECONDS, ..PASSKEY_ONLY };
/// What a waiting change of policies leads to.
const CHANGED: Policy = Policy { delay_seconds: 7, ..PASSKEY_ONLY };

/// The custodian's receipt key.
pub(crate) fn custodian() -> Ed25519KeyPair {
    key(201)
}

/// A world with two epochs, whose statement names both, and the custodian role.
pub(super) fn world() -> (World, Epoch) {
    let mut world = World::new(0x90);
    let second = world.make_epoch(&world.tenant, 2);
    let mut statement = world.tenant.statement(&[&world.epoch.identity, &second.identity]);
    let epoch = strongroom_proto::v1::Epoch {
        epoch: 1,
        kek_id: vec![201; 32],
        channel_key_hash: vec![201; 32],
        receipt_key: public(&custodian()),
    };
    statement.custodian = Some(RoleStatement { pcr16: vec![vec![17; 48]], epochs: vec![epoch], lowest_epoch: 1 });
    world.statement = world.keep(world.tenant.sign(&statement));
    (world, second)
}

pub(super) fn plain(world: &World) -> Backup {
    back_up(world, WALLET, Passkey::eddsa(9), |_| {})
}

pub(super) fn pending(world: &World) -> Backup {
    let mut backup = back_up(world, WALLET, Passkey::eddsa(9), |intent| {
        intent.custodian = Some(RolePart { message_hash: vec![5; 32], ..RolePart::default() });
        action(intent).custodian_policy = Some(Policy { tenant_signature: true, ..Policy::default() });
    });
    let (mut intent, message) = put(world, &backup, 2, &[share("ed", b"second ed"), share("k1", b"second k1")]);
    intent.custodian.clone_from(&intent.client);
    let act = consents(&intent, &[&backup.passkey]);
    let ask = Ask::PutShares(put_shares(world, act, message, &backup));
    moves(world, "put", ask, &mut backup);
    backup
}

pub(super) fn delayed(world: &World) -> Backup {
    with_two(world, DELAYED)
}

pub(super) fn waiting(world: &World) -> Backup {
    // A deletion is due only after its grace, when everything else that is due has expired.
    world.fake.now.set(START - GRACE_MS);
    let mut backup = with_two(world, DELAYED);
    act(world, &mut backup, Action::DeleteBackup(DeleteBackupAction {}), |_| {});
    world.fake.now.set(START - DELAY_MS);
    start(world, &mut backup);
    let credential_id = Passkey::eddsa(10).id;
    act(world, &mut backup, Action::RemovePasskey(RemovePasskeyAction { credential_id }), |_| {});
    world.fake.now.set(START);
    backup
}

/// Without a removal, which does not wait where the tenant signs, and without a deletion: its keys are not as old as that.
pub(super) fn vouched(world: &World) -> Backup {
    world.fake.now.set(START - DELAY_MS);
    let mut backup = with_two(world, Policy { tenant_signature: true, newest_head: true, ..DELAYED });
    start(world, &mut backup);
    world.fake.now.set(START);
    backup
}

fn start(world: &World, backup: &mut Backup) {
    let recovery = Action::StartRecovery(StartRecoveryAction { generation: 1, eject: false });
    act(world, backup, recovery, |intent| part(intent).recipient = Recipient::new(1).hash());
    let policy = ChangePolicyAction { client_policy: Some(CHANGED), custodian_policy: None };
    act(world, backup, Action::ChangePolicy(policy), |_| {});
}

fn with_two(world: &World, policy: Policy) -> Backup {
    let mut backup = back_up(world, WALLET, Passkey::eddsa(9), |intent| {
        intent.not_after_ms = world.fake.now.get() + 60_000;
        action(intent).client_policy = Some(policy);
    });
    let second = Passkey::eddsa(10);
    let intent = about(world, &backup, Action::AddPasskey(AddPasskeyAction { credential: Some(named(&second)) }));
    let both = consents(&intent, &[&backup.passkey, &second]);
    let both = if policy.tenant_signature { countersigned(world, both) } else { both };
    let ask = Change { credential: Some(registration(&second)), ..change(world, both, &backup) };
    moves(world, "add", Ask::Change(ask), &mut backup);
    backup
}

/// A change with the consents that the record's policy asks for.
fn act(world: &World, backup: &mut Backup, action: Action, edit: impl FnOnce(&mut Intent)) {
    let mut intent = about(world, backup, action);
    edit(&mut intent);
    let act = consents(&intent, &[&backup.passkey]);
    let policy = crate::vault::read(world, &backup.record).policy.unwrap_or_default();
    let act = if policy.tenant_signature { countersigned(world, act) } else { act };
    let ask = Ask::Change(change(world, act, backup));
    moves(world, "change", ask, backup);
}
