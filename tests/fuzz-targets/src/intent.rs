//! `intent`: any bytes, as an intent that passkeys and tenant signed. Decoding is total, what decodes has one encoding, and of all the
//! requests that take an intent at most the one is answered whose act it says.

use prost::Message;
use strongroom_proto::contents::encode_shares;
use strongroom_proto::enclave::v1::{CarryOut, Change, request::Body as Ask};
use strongroom_proto::id::ContentHash;
use strongroom_proto::intent::decode;
use strongroom_proto::seal::Direction;
use strongroom_proto::v1::{Act, Intent, OpenActKind, Pair, intent::Action};

use crate::acts::{Backup, info, recover, rehearse, sealed_message, share, sign_creation, two_shares};
use crate::device::{honest, seal};
use crate::stage::{self, Stage};
use crate::steps::{carry_out, change, put_shares, registration};
use crate::vault::read;
use crate::{oracle, wire};

/// The numbers of a role's parts and of the actions, which are messages of their own.
const PARTS: [u64; 2] = [4, 5];
/// The pairs of a creation, and of a put.
const PAIRS: [u64; 2] = [4, 2];

/// One encoded intent.
pub(crate) fn run(bytes: &[u8]) {
    if let Ok(intent) = decode(bytes) {
        assert_eq!(intent.encode_to_vec(), bytes, "another encoding");
        assert!(wire::is_canonical(bytes, &[]), "a second encoding of one intent");
        for field in wire::fields(bytes) {
            let content = field.content.unwrap_or_default();
            if PARTS.contains(&field.number) {
                assert!(wire::is_canonical(content, &[]), "a second encoding of a part");
            } else if field.number >= 16 {
                assert!(wire::is_canonical(content, &PAIRS), "a second encoding of an action");
            }
        }
        let last = wire::fields(bytes).last().map(|field| field.number);
        assert!(intent.action.is_none() || last >= Some(16), "the action comes last");
    }
    stage::with(|stage| {
        ask_all(stage, bytes, &stage.backup, Vec::new());
        if let Ok(mut intent) = Intent::decode(bytes) {
            create(stage, intent.clone());
            let (backup, message) = at_home(stage, &mut intent);
            ask_all(stage, &intent.encode_to_vec(), backup, message);
        }
    });
}

/// Asks for everything that an intent can be used for, but a creation: it is used for one thing at most, and for what it says.
fn ask_all(stage: &Stage, bytes: &[u8], backup: &Backup, message: Vec<u8>) {
    let given: Vec<Ask> =
        asks(stage, bytes, backup, message).into_iter().filter(|ask| oracle::gives(stage, ask.clone())).collect();
    assert!(given.len() <= 1, "one intent, used for {} acts", given.len());
    if let Some(given) = given.first() {
        let said = decode(bytes).expect("an intent that was used is canonical").action.expect("and has an action");
        assert!(is_said(&said, given), "another act than was signed for");
    }
}

fn is_said(action: &Action, ask: &Ask) -> bool {
    match action {
        Action::Recover(_) => matches!(ask, Ask::Recover(_)),
        Action::Rehearse(_) => matches!(ask, Ask::Rehearse(_)),
        Action::PutShares(_) => matches!(ask, Ask::PutShares(_)),
        Action::CarryOut(_) => matches!(ask, Ask::CarryOut(_)),
        Action::CreateBackup(_) | Action::OpenEjectWindow(_) => false,
        Action::AddPasskey(_)
        | Action::RemovePasskey(_)
        | Action::RenamePasskey(_)
        | Action::ChangePolicy(_)
        | Action::StartRecovery(_)
        | Action::DeleteBackup(_)
        | Action::Cancel(_) => matches!(ask, Ask::Change(_)),
    }
}

fn asks(stage: &Stage, bytes: &[u8], backup: &Backup, message: Vec<u8>) -> Vec<Ask> {
    let Stage { world, recipient, newcomer, .. } = stage;
    let mut act = stage.consent(bytes, &[&backup.passkey]);
    // What waits without the tenant's signature goes at once with it, so half of the intents have none.
    if bytes.iter().fold(0, |sum, byte| sum ^ byte) & 1 == 1 {
        act.tenant_signature = None;
    }
    let two = stage.consent(bytes, &[&backup.passkey, newcomer]);
    let add = Change { credential: Some(registration(newcomer)), ..change(world, two, backup) };
    // A second signature is the tenant's alone.
    let second = Act { assertions: Vec::new(), ..stage.consent(bytes, &[]) };
    let kind = match Intent::decode(bytes).ok().and_then(|intent| intent.action) {
        Some(Action::CarryOut(action)) => action.kind(),
        _ => OpenActKind::Recovery,
    };
    let due = carry_out(world, kind, backup);
    vec![
        Ask::Recover(recover(world, act.clone(), backup, recipient)),
        Ask::Rehearse(rehearse(world, act.clone(), backup)),
        Ask::PutShares(put_shares(world, act.clone(), message, backup)),
        Ask::Change(change(world, act, backup)),
        Ask::Change(add),
        Ask::CarryOut(CarryOut { act: Some(second), recipient_key: recipient.public_key.clone(), ..due }),
    ]
}

/// A creation as the device finishes it, if it is one.
fn create(stage: &Stage, intent: Intent) {
    let Stage { world, backup, .. } = stage;
    if !matches!(intent.action, Some(Action::CreateBackup(_))) {
        return;
    }
    let intent = Intent { tenant: world.tenant_id(), ..intent };
    let message = sealed_message(world, &intent, &two_shares());
    let create = sign_creation(world, intent, message, &backup.passkey, &honest());
    oracle::gives(stage, Ask::CreateRecord(create));
}

/// Makes the intent one for a record of this stage, its recipient, its newcomer and what waits there, where it names any: so that what
/// is left of it decides. With the message of a put.
fn at_home<'a>(stage: &'a Stage, intent: &mut Intent) -> (&'a Backup, Vec<u8>) {
    let named = intent.client.as_ref().and_then(|part| part.record_id.first());
    let backups = stage.backups();
    let backup = backups[usize::from(named.copied().unwrap_or_default()) % backups.len()];
    intent.tenant = stage.world.tenant_id();
    intent.wallet.clone_from(&backup.record.wallet);
    let message = match &intent.action {
        Some(Action::PutShares(action)) => put_message(stage, backup, &action.pairs),
        _ => Vec::new(),
    };
    if let Some(part) = &mut intent.client {
        for (field, home) in [
            (&mut part.record_id, &backup.receipt.record_id),
            (&mut part.head, &backup.receipt.head),
            (&mut part.message_hash, &ContentHash::of(&message).0.to_vec()),
            (&mut part.recipient, &stage.recipient.hash()),
        ] {
            if goes_home(field) {
                field.clone_from(home);
            }
        }
    }
    let waiting = |kind| {
        let open_acts = read(&stage.world, &backup.record).open_acts;
        open_acts.into_iter().find(|open| open.kind == kind).map(|open| open.intent_hash)
    };
    let (hash, home) = match &mut intent.action {
        Some(Action::Cancel(action)) => (&mut action.intent_hash, waiting(action.kind)),
        Some(Action::CarryOut(action)) => (&mut action.intent_hash, waiting(action.kind)),
        Some(Action::AddPasskey(action)) => {
            let named = action.credential.get_or_insert_default();
            if named.id.len() == 16 {
                named.id.clone_from(&stage.newcomer.id);
            }
            (&mut named.key_hash, Some(stage.newcomer.key_hash()))
        }
        _ => return (backup, message),
    };
    if let Some(home) = home.filter(|_| goes_home(hash)) {
        *hash = home;
    }
    (backup, message)
}

/// Some stay as they are, to be refused.
fn goes_home(hash: &[u8]) -> bool {
    hash.len() == 32 && hash[31] % 8 != 7
}

/// Shares of these pairs, sealed for the record; nothing where they cannot be.
fn put_message(stage: &Stage, backup: &Backup, pairs: &[Pair]) -> Vec<u8> {
    let world = &stage.world;
    let shares: Vec<_> = pairs.iter().map(|pair| share(&pair.id, b"brought by a put")).collect();
    let Ok(contents) = encode_shares(&shares) else { return Vec::new() };
    let info = info(Direction::Request, &world.epoch, &backup.receipt.record_id);
    seal(&mut world.fake.random.borrow_mut(), &world.epoch.identity.channel_key, &info, &contents)
}
