//! `Recover`: releases the shares of one generation, sealed to the recipient that the intent names.

use strongroom_proto::contents::Release as Contents;
use strongroom_proto::enclave::v1::{Recover, Recovered};
use strongroom_proto::id::ContentHash;
use strongroom_proto::signed::recipient_hash;
use strongroom_proto::v1::{ActKind, Event, Reason, intent::Action};

use super::Scene;
use super::release::{Release, authorize_release};
use crate::channel::{self, Recipient};
use crate::consent::Authorized;
use crate::intent::CheckedIntent;
use crate::platform::Platform;
use crate::receipt::{self, Done};
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &Recover) -> Result<Recovered, Refusal> {
    let mut recipient = None;
    let authorized = authorize_release::<P, R>(scene, request.act.as_ref(), request.record.as_ref(), |intent| {
        let Some(Action::Recover(action)) = &intent.body.action else {
            return Err(bad("intent.action: not recover"));
        };
        recipient = Some(check_recipient::<P>(intent, &request.recipient_key)?);
        Ok(action.generation)
    })?;
    let recipient = recipient.ok_or_else(|| bad("recipient_key: missing"))?;
    let sealed = seal_release::<P, R>(scene, &authorized, request, &recipient)?;
    finish(scene, authorized, sealed)
}

/// The key that the intent's hash names, and no other.
fn check_recipient<P: Platform>(intent: &CheckedIntent, key: &[u8]) -> Result<Recipient<P::Kem>, Refusal> {
    let refused = |why| refuse(Reason::RecipientNotAllowed, why);
    let named = intent.part.recipient.ok_or_else(|| bad("intent.recipient: missing"))?;
    let given = recipient_hash(key).ok_or_else(|| refused("recipient_key: not an X-Wing public key of 1,216 bytes"))?;
    if given != named {
        return Err(refused("recipient_key: not the recipient that the intent names"));
    }
    Recipient::parse(key).ok_or_else(|| refused("recipient_key: not an X-Wing public key"))
}

fn seal_release<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    authorized: &Authorized<Release>,
    request: &Recover,
    recipient: &Recipient<P::Kem>,
) -> Result<alloc::vec::Vec<u8>, Refusal> {
    let Release { record, generation } = authorized.act();
    let generation = record.generation(*generation)?;
    let contents = Contents {
        intent: authorized.intent().hash,
        record_id: record.id,
        generation: generation.generation,
        shares: record.open_shares::<_, R>(scene.kek, generation, &request.shares)?,
    };
    let contents = contents.encode().map_err(|_| refuse(Reason::DecryptFailed, "shares: not as they were stored"))?;
    Ok(channel::seal(scene.platform, scene.kek, &record.id, recipient, &contents)?)
}

fn finish<P: Platform>(
    scene: &Scene<'_, P>,
    authorized: Authorized<Release>,
    release: alloc::vec::Vec<u8>,
) -> Result<Recovered, Refusal> {
    let stages = authorized.stages();
    let (act, intent, consents) = authorized.into_parts();
    let Release { mut record, generation } = act;
    let event = record.advance(Event {
        version: 0,
        kind: ActKind::Recover.into(),
        intent_hash: intent.hash.0.to_vec(),
        time_ms: scene.now.0,
        generation,
        recipient: intent.part.recipient.map(|hash| hash.0.to_vec()).unwrap_or_default(),
        credential_id: consents.credential_id,
        tenant_key: consents.tenant_key,
        statement_serial: scene.statement()?.body.serial,
    });
    let done =
        Done { event, intent: &intent.hash, sealed: [ContentHash::of(&release)].into(), time: scene.now, stages };
    Ok(Recovered {
        receipt: Some(receipt::sign(scene.kek, &record, done)),
        record: Some(record.seal(scene.platform, scene.kek)?),
        release,
    })
}
