//! `CreateRecord`: the creation intent of a backup, carried out in this role.

mod creation;

use alloc::vec::Vec;
use core::slice;

use strongroom_proto::contents::{self, BadContents, Share};
use strongroom_proto::enclave::v1::{
    CreateRecord, Credential, Generation, Record as Content, RecordCreated, SealedShare, SharePart,
};
use strongroom_proto::id::{ContentHash, Head};
use strongroom_proto::v1::{ActKind, Event, Policy, Reason, Role};

use super::Scene;
use crate::channel;
use crate::consent::{Asked, Authorized, authorize};
use crate::intent;
use crate::platform::Platform;
use crate::receipt::{self, Done};
use crate::record::Record;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;
use creation::Creation;

/// The generation that a creation brings.
const FIRST_GENERATION: u64 = 1;

/// A creation needs its credential's assertion, whatever the record's policy asks of releases: it proves that the credential works.
const CREATION_POLICY: Policy = Policy { passkey: true, tenant_signature: false, delay_seconds: 0, newest_head: false };

pub(super) fn run<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    request: &CreateRecord,
) -> Result<RecordCreated, Refusal> {
    let act = request.act.as_ref().ok_or_else(|| bad("act: missing"))?;
    let statement = scene.statement()?;
    let intent = intent::check::<R>(act, &scene.tenant, statement, scene.now)?;
    let creation = Creation::check::<R>(&intent, request)?;
    statement.check_sealing::<R, _>(scene.kek)?;
    if creation.policy.tenant_signature && !statement.has_operational_key(scene.now) {
        return Err(refuse(
            Reason::PolicyDenied,
            "create_backup: the policy asks for tenant_signature, and the statement has no operational key in force",
        ));
    }
    let credential = Credential {
        id: creation.credential.id.clone(),
        public_key: creation.public_key.clone(),
        label: creation.credential.label.clone(),
        added_ms: scene.now.0,
        backup_eligible: None,
    };
    let asked = Asked {
        policy: CREATION_POLICY,
        credentials: slice::from_ref(&credential),
        rp_id: &statement.body.rp_id,
        statement,
        now: scene.now,
    };
    let authorized = authorize(creation, intent, act, asked)?;
    let shares = open_message(scene, &authorized, &request.message)?;
    store::<P, R>(scene, authorized, credential, &shares)
}

/// Opens the device's message, which was sealed for this record alone, and compares it with what the intent announces.
fn open_message<P: Platform>(
    scene: &Scene<'_, P>,
    authorized: &Authorized<Creation>,
    message: &[u8],
) -> Result<Vec<Share>, Refusal> {
    let creation = authorized.act();
    let record_id = strongroom_proto::intent::record_id(&authorized.intent().body);
    let opened = channel::open(scene.kek, &record_id, message).map_err(|_| {
        refuse(Reason::DecryptFailed, "message: not sealed to this epoch's channel key for the record of this intent")
    })?;
    let shares = contents::decode_shares(&opened).map_err(|error| {
        let reason = if error == BadContents::ShareLength { Reason::ShareTooLarge } else { Reason::BadRequest };
        refuse(reason, alloc::format!("message: {error}"))
    })?;
    if !shares.iter().map(|share| &share.pair).eq(creation.pairs.iter().map(|pair| &pair.id)) {
        return Err(bad("message: other pairs than the intent names"));
    }
    if creation.escrow && shares.iter().any(|share| share.bytes.expose().len() != 32) {
        return Err(bad("message: a key in escrow is 32 bytes"));
    }
    Ok(shares)
}

fn store<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    authorized: Authorized<Creation>,
    credential: Credential,
    shares: &[Share],
) -> Result<RecordCreated, Refusal> {
    let stages = authorized.stages();
    let (creation, intent, consents) = authorized.into_parts();
    let serial = scene.statement()?.body.serial;
    let record_id = strongroom_proto::intent::record_id(&intent.body);
    let mut record = Record {
        wallet: intent.body.wallet.clone(),
        backup: creation.backup.clone(),
        id: record_id,
        head: Head(record_id.0),
        content: Content {
            record_id: record_id.0.to_vec(),
            method: creation.method.clone(),
            secret: creation.secret.into(),
            rp_id: scene.statement()?.body.rp_id.clone(),
            credentials: [Credential { backup_eligible: consents.backup_eligible, ..credential }].into(),
            policy: Some(creation.policy),
            generations: Vec::new(),
            active: FIRST_GENERATION,
            highest_generation: FIRST_GENERATION,
            roles: creation.roles.iter().copied().map(Role::into).collect(),
            statement_serial: serial,
            version: 0,
            head: record_id.0.to_vec(),
        },
    };
    let sealed = shares
        .iter()
        .map(|share| record.seal_share::<P, R>(scene.platform, scene.kek, FIRST_GENERATION, share))
        .collect::<Result<Vec<_>, _>>()?;
    let generation = generation(&creation, &intent.hash.0, &sealed, scene);
    let hashes = sealed.iter().map(|share| ContentHash::of(&share.sealed)).collect();
    record.content.generations = [generation].into();
    let event = record.advance(Event {
        version: 0,
        kind: ActKind::CreateBackup.into(),
        intent_hash: intent.hash.0.to_vec(),
        time_ms: scene.now.0,
        generation: FIRST_GENERATION,
        recipient: Vec::new(),
        credential_id: consents.credential_id,
        tenant_key: consents.tenant_key,
        statement_serial: serial,
    });
    let done = Done { event, intent: &intent.hash, sealed: hashes, time: scene.now, stages };
    let receipt = receipt::sign(scene.kek, &record, done);
    Ok(RecordCreated { record: Some(record.seal(scene.platform, scene.kek)?), shares: sealed, receipt: Some(receipt) })
}

fn generation<P: Platform>(
    creation: &Creation,
    intent_hash: &[u8],
    sealed: &[SealedShare],
    scene: &Scene<'_, P>,
) -> Generation {
    let parts = creation.pairs.iter().zip(sealed).map(|(pair, share)| SharePart {
        pair: Some(pair.clone()),
        sealed_hash: ContentHash::of(&share.sealed).0.to_vec(),
        epoch: scene.kek.context.epoch,
    });
    Generation {
        generation: FIRST_GENERATION,
        parts: parts.collect(),
        put_intent_hash: intent_hash.to_vec(),
        added_ms: scene.now.0,
    }
}
