//! `record`: any bytes, sealed as the content of a record under this stage's KEK, so that the enclave opens them; then asked for all
//! that can be asked of a record.

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::enclave::v1::{
    CarryOut, Credential, GetView, Record, Recover, Reseal, SealedRecord, SealedShare, request::Body as Ask,
};
use strongroom_proto::id::ContentHash;
use strongroom_proto::seal::SealKind;
use strongroom_proto::v1::{
    CarryOutAction, Intent, OpenActKind, RecoverAction, RehearseAction, RenamePasskeyAction, intent::Action,
};

use crate::acts::{Backup, recover, recovery, rehearse};
use crate::device::Passkey;
use crate::oracle;
use crate::stage::{self, Stage};
use crate::steps::{about, carry_out, change};
use crate::vault::{Spot, seal, seal_under, spot_of};

/// Most parts of a generation that get a share.
const PARTS_MAX: usize = 8;

/// One record's content.
pub(crate) fn run(content: &[u8]) {
    stage::with(|stage| {
        let decoded = Record::decode(content).ok();
        let given = ask_all(stage, content, &decoded.clone().unwrap_or_default(), Vec::new());
        assert!(!given || canonical::decode::<Record>(content, content.len()).is_ok(), "a second encoding is read");
        if let Some(record) = decoded {
            let (record, shares) = at_home(stage, record);
            ask_all(stage, &record.encode_to_vec(), &record, shares);
        }
    });
}

/// Whether anything was given for the record.
fn ask_all(stage: &Stage, content: &[u8], record: &Record, shares: Vec<SealedShare>) -> bool {
    let mut sealed = named(stage, record);
    sealed.sealed = seal(&stage.world, spot_of(&sealed), content);
    let mut receipt = stage.backup.receipt.clone();
    (receipt.record_id, receipt.head) = (record.record_id.clone(), record.head.clone());
    let backup = Backup { record: sealed, shares, receipt, passkey: Passkey::eddsa(9) };
    let mut given = false;
    for ask in asks(stage, &backup, record) {
        given |= oracle::gives(stage, ask);
    }
    given
}

fn asks(stage: &Stage, backup: &Backup, record: &Record) -> Vec<Ask> {
    let Stage { world, recipient, .. } = stage;
    let act = |intent: &Intent, by: &[&Passkey]| stage.consent(&intent.encode_to_vec(), by);
    let own = &[&backup.passkey][..];
    let generation = record.active;
    let release = Action::Recover(RecoverAction { generation, eject: false });
    let release = Intent { action: Some(release), ..recovery(world, backup, recipient) };
    let rehearsal = about(world, backup, Action::Rehearse(RehearseAction { generation }));
    let credential_id = backup.passkey.id.clone();
    let rename = Action::RenamePasskey(RenamePasskeyAction { credential_id, label: "renamed".into() });
    let (tenant, kek, other_kek) = (world.tenant_id(), world.epoch.kek(), Some(world.epoch.kek()));
    let view = GetView {
        tenant: tenant.clone(),
        kek: Some(kek),
        wallet: backup.record.wallet.clone(),
        nonce: vec![4; 32],
        records: vec![backup.record.clone()],
        other_kek: Some(stage.second.kek()),
    };
    let reseal = Reseal {
        tenant,
        statement: Some(world.statement_ref()),
        kek: Some(stage.second.kek()),
        record: Some(backup.record.clone()),
        shares: backup.shares.clone(),
        other_kek,
    };
    let released = recover(world, act(&release, own), backup, recipient);
    let over_two = (Some(stage.second.kek()), Some(world.epoch.kek()));
    let raised = Recover { kek: over_two.0.clone(), other_kek: over_two.1.clone(), ..released.clone() };
    let mut asks = vec![
        Ask::GetView(view),
        Ask::Recover(released),
        Ask::Recover(raised),
        Ask::Rehearse(rehearse(world, act(&rehearsal, own), backup)),
        Ask::Change(change(world, act(&about(world, backup, rename), own), backup)),
        Ask::Reseal(reseal),
    ];
    for kind in [
        OpenActKind::Recovery,
        OpenActKind::PolicyChange,
        OpenActKind::PasskeyRemoval,
        OpenActKind::Delete,
        OpenActKind::EjectWindow,
    ] {
        let open = record.open_acts.iter().find(|open| open.kind() == kind).cloned().unwrap_or_default();
        let second = CarryOutAction { kind: kind.into(), intent_hash: open.intent_hash };
        let second = record
            .policy
            .filter(|policy| policy.newest_head)
            .map(|_| act(&about(world, backup, Action::CarryOut(second)), &[]));
        let recipient_key = recipient.public_key.clone();
        let ask = CarryOut { act: second, recipient_key, ..carry_out(world, kind, backup) };
        if kind == OpenActKind::Recovery && open.generation > 0 {
            let (kek, other_kek) = over_two.clone();
            asks.push(Ask::CarryOut(CarryOut { kek, other_kek, ..ask.clone() }));
        }
        asks.push(Ask::CarryOut(ask));
    }
    asks
}

/// What the host would call the record: as the record itself says, where it can.
fn named(stage: &Stage, record: &Record) -> SealedRecord {
    let mut sealed = stage.backup.record.clone();
    if record.record_id.len() == 32 {
        sealed.record_id.clone_from(&record.record_id);
    }
    sealed
}

/// The record with this stage's passkey in it, with its recipient wherever one waits, and with shares that open for every pair: where one
/// was sealed again, now the former bytes and now the newer ones. No generation comes twice, as in no record that an enclave made.
fn at_home(stage: &Stage, mut record: Record) -> (Record, Vec<SealedShare>) {
    let passkey = &stage.backup.passkey;
    let credential = Credential { id: passkey.id.clone(), public_key: passkey.cose(), ..Credential::default() };
    record.credentials.insert(0, credential);
    record.rp_id = crate::tenant::RP_ID.into();
    for open in record.open_acts.iter_mut().filter(|open| open.recipient.len() == 32) {
        open.recipient = stage.recipient.hash();
    }
    let mut seen = Vec::new();
    record.generations.retain(|it| {
        !seen.contains(&it.generation) && {
            seen.push(it.generation);
            true
        }
    });
    let sealed = named(stage, &record);
    let mut shares = Vec::new();
    for generation in &mut record.generations {
        for part in generation.parts.iter_mut().take(PARTS_MAX) {
            let pair = part.pair.clone().unwrap_or_default().id;
            let number = generation.generation;
            let spot = Spot { kind: SealKind::ClientShare, generation: number, pair: &pair, ..spot_of(&sealed) };
            let mut bytes = seal(&stage.world, spot, b"a share");
            (part.sealed_hash, part.epoch) = (ContentHash::of(&bytes).0.to_vec(), 1);
            if let Some(again) = &mut part.resealed {
                let newer = seal_under(&stage.world, &stage.second, spot, b"a share");
                let brings_newer = again.epoch % 2 == 0;
                (again.sealed_hash, again.epoch) = (ContentHash::of(&newer).0.to_vec(), 2);
                bytes = if brings_newer { newer } else { bytes };
            }
            shares.push(SealedShare { generation: number, pair: pair.clone(), sealed: bytes, epoch: 1 });
        }
    }
    // A re-seal is of the generation that stands first: now one, now another.
    let first = usize::try_from(record.version).unwrap_or_default() % shares.len().max(1);
    shares.rotate_left(first);
    (record, shares)
}
