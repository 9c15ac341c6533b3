//! `Rehearse`: takes the consents of a release, opens the shares, and says only whether they opened.

use prost::Message;
use strongroom_proto::enclave::v1::{Rehearse, Rehearsed};
use strongroom_proto::prefix;
use strongroom_proto::v1::{Rehearsal, RehearsalResult, SignedRehearsal, intent::Action};

use super::Scene;
use super::release::{Release, authorize_release};
use crate::platform::Platform;
use crate::refusal::{Refusal, bad};
use crate::role::RoleKind;

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &Rehearse) -> Result<Rehearsed, Refusal> {
    let authorized = authorize_release::<P, R>(scene, request.act.as_ref(), request.record.as_ref(), |intent| {
        let Some(Action::Rehearse(action)) = &intent.body.action else {
            return Err(bad("intent.action: not rehearse"));
        };
        if intent.part.recipient.is_some() {
            return Err(bad("intent.recipient: a rehearsal releases nothing"));
        }
        Ok(action.generation)
    })?;
    let Release { record, generation } = authorized.act();
    let generation = record.generation(*generation)?;
    let opened = record.open_shares::<_, R>(scene.kek, generation, &request.shares).is_ok();
    let rehearsal = Rehearsal {
        tenant: scene.tenant.0.to_vec(),
        wallet: record.wallet.clone(),
        role: R::ROLE.into(),
        record_id: record.id.0.to_vec(),
        head: record.head.0.to_vec(),
        generation: generation.generation,
        intent_hash: authorized.intent().hash.0.to_vec(),
        result: if opened { RehearsalResult::Opens } else { RehearsalResult::Damaged }.into(),
        epoch: scene.kek.context.epoch,
        time_ms: scene.now.0,
        stages: Some(authorized.stages()),
    }
    .encode_to_vec();
    let signature = scene.kek.sign(prefix::REHEARSAL, &rehearsal);
    Ok(Rehearsed { rehearsal: Some(SignedRehearsal { rehearsal, signature }) })
}
