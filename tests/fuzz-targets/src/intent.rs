//! `intent`: any bytes, as an intent that passkey and tenant signed. Decoding is total, what decodes has one encoding, and nothing is
//! done for it that the intent does not say.

use prost::Message;
use strongroom_proto::enclave::v1::{request::Body as Ask, response::Body as Answer};
use strongroom_proto::intent::decode;
use strongroom_proto::v1::{Intent, intent::Action};

use crate::acts::{recover, rehearse, sealed_message, sign_creation, two_shares};
use crate::device::honest;
use crate::stage::{self, Stage};
use crate::{oracle, wire};

/// The numbers of a role's parts and of the actions, which are messages of their own.
const PARTS: [u64; 2] = [4, 5];
/// The pairs of a creation.
const PAIRS: u64 = 4;

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
                assert!(wire::is_canonical(content, &[PAIRS]), "a second encoding of an action");
            }
        }
        let last = wire::fields(bytes).last().map(|field| field.number);
        assert!(intent.action.is_none() || last >= Some(16), "the action comes last");
    }
    stage::with(|stage| {
        carry_out(stage, bytes);
        if let Ok(intent) = Intent::decode(bytes) {
            carry_out(stage, &at_home(stage, intent.clone()).encode_to_vec());
            create(stage, intent);
        }
    });
}

/// Asks for a release and for a rehearsal; whether one of them was given.
fn carry_out(stage: &Stage, intent: &[u8]) {
    let Stage { world, backup, recipient, .. } = stage;
    let act = stage.consent(intent);
    for ask in
        [Ask::Recover(recover(world, act.clone(), backup, recipient)), Ask::Rehearse(rehearse(world, act, backup))]
    {
        let answer = stage.ask(ask.clone());
        if oracle::check(stage, &whole(stage, ask), &answer) {
            let said = decode(intent).expect("an intent that was carried out is canonical");
            let same = matches!(
                (said.action, &answer),
                (Some(Action::Recover(_)), Answer::Recovered(_)) | (Some(Action::Rehearse(_)), Answer::Rehearsed(_))
            );
            assert!(same, "another act than was signed for");
        }
    }
}

/// A creation as the device finishes it, if it is one.
fn create(stage: &Stage, intent: Intent) {
    let Stage { world, backup, .. } = stage;
    if !matches!(intent.action, Some(Action::CreateBackup(_))) {
        return;
    }
    let intent = Intent { tenant: world.tenant_id(), ..intent };
    let message = sealed_message(world, &intent, &two_shares());
    let ask = Ask::CreateRecord(sign_creation(world, intent, message, &backup.passkey, &honest()));
    let answer = stage.ask(ask.clone());
    oracle::check(stage, &whole(stage, ask), &answer);
}

/// The intent for this stage's tenant, record and recipient, where it names any: so that what is left of it decides.
fn at_home(stage: &Stage, mut intent: Intent) -> Intent {
    let home = &stage.backup.receipt;
    intent.tenant = stage.world.tenant_id();
    if let Some(part) = &mut intent.client {
        if part.record_id.len() == 32 {
            part.record_id.clone_from(&home.record_id);
        }
        if part.head.len() == 32 {
            part.head.clone_from(&home.head);
        }
        if part.recipient.len() == 32 {
            part.recipient = stage.recipient.hash();
        }
    }
    intent
}

/// The request with the wrapped KEK in it, as the oracle needs it.
pub(crate) fn whole(stage: &Stage, mut ask: Ask) -> Ask {
    if let (_, Some(kek)) = crate::world::references(&mut ask) {
        kek.wrapped.clone_from(&stage.world.epoch.wrapped);
    }
    ask
}
