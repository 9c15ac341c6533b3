//! `record`: any bytes, sealed as the content of a record under this stage's KEK, so that the enclave opens them; then asked for a
//! view, a release and a rehearsal.

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::enclave::v1::{Credential, GetView, Record, SealedRecord, SealedShare, request::Body as Ask};
use strongroom_proto::id::ContentHash;
use strongroom_proto::seal::SealKind;
use strongroom_proto::v1::intent::Action;

use crate::acts::{recover, recovery, rehearsal, rehearse};
use crate::intent::whole;
use crate::oracle;
use crate::stage::{self, Stage};
use crate::vault::{Spot, seal, spot_of};

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
    let Stage { world, backup, recipient, .. } = stage;
    let mut sealed = named(stage, record);
    sealed.sealed = seal(world, spot_of(&sealed), content);
    let (mut release, mut rehearsal) = (recovery(world, backup, recipient), rehearsal(world, backup));
    for intent in [&mut release, &mut rehearsal] {
        if let Some(part) = &mut intent.client {
            part.record_id.clone_from(&record.record_id);
            part.head.clone_from(&record.head);
        }
        match &mut intent.action {
            Some(Action::Recover(action)) => action.generation = record.active,
            Some(Action::Rehearse(action)) => action.generation = record.active,
            _ => {}
        }
    }
    let mut recover = recover(world, stage.consent(&release.encode_to_vec()), backup, recipient);
    let mut rehearse = rehearse(world, stage.consent(&rehearsal.encode_to_vec()), backup);
    (recover.record, recover.shares) = (Some(sealed.clone()), shares.clone());
    (rehearse.record, rehearse.shares) = (Some(sealed.clone()), shares);
    let view = GetView {
        tenant: world.tenant_id(),
        kek: Some(world.epoch.kek()),
        wallet: sealed.wallet.clone(),
        nonce: vec![4; 32],
        records: vec![sealed],
    };
    let mut given = false;
    for ask in [Ask::GetView(view), Ask::Recover(recover), Ask::Rehearse(rehearse)] {
        let answer = stage.ask(ask.clone());
        given |= oracle::check(stage, &whole(stage, ask), &answer);
    }
    given
}

/// What the host would call the record: as the record itself says, where it can.
fn named(stage: &Stage, record: &Record) -> SealedRecord {
    let mut sealed = stage.backup.record.clone();
    if record.record_id.len() == 32 {
        sealed.record_id.clone_from(&record.record_id);
    }
    sealed
}

/// The record with this stage's passkey in it, and with shares that open for every pair of its active generation.
fn at_home(stage: &Stage, mut record: Record) -> (Record, Vec<SealedShare>) {
    let passkey = &stage.backup.passkey;
    let credential = Credential { id: passkey.id.clone(), public_key: passkey.cose(), ..Credential::default() };
    record.credentials.insert(0, credential);
    record.rp_id = crate::tenant::RP_ID.into();
    let sealed = named(stage, &record);
    let mut shares = Vec::new();
    for generation in record.generations.iter_mut().filter(|generation| generation.generation == record.active) {
        for part in generation.parts.iter_mut().take(8) {
            let pair = part.pair.clone().unwrap_or_default().id;
            let spot = Spot {
                kind: SealKind::ClientShare,
                generation: generation.generation,
                pair: &pair,
                ..spot_of(&sealed)
            };
            let bytes = seal(&stage.world, spot, b"a share");
            part.sealed_hash = ContentHash::of(&bytes).0.to_vec();
            shares.push(SealedShare { generation: generation.generation, pair: pair.clone(), sealed: bytes });
        }
    }
    (record, shares)
}
