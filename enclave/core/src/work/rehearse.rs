//! `Rehearse`: takes the consents of a release, opens the shares, and says only whether they opened.

use prost::Message;
use strongroom_proto::enclave::v1::{Rehearse, Rehearsed};
use strongroom_proto::prefix;
use strongroom_proto::v1::{Rehearsal, RehearsalResult, SignedRehearsal, intent::Action};

use super::{Scene, subject};
use crate::consent::Rule;
use crate::platform::Platform;
use crate::record::shares::Damaged;
use crate::refusal::{Refusal, bad};
use crate::role::RoleKind;

/// A rehearsal of one generation.
#[derive(Debug)]
struct Rehearsing {
    generation: u64,
}

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &Rehearse) -> Result<Rehearsed, Refusal> {
    let subject = subject::open::<P, R>(scene, request.act.as_ref(), request.record.as_ref())?;
    let Some(Action::Rehearse(action)) = &subject.intent.body.action else {
        return Err(bad("intent.action: not rehearse"));
    };
    subject::brings(&subject.intent, false, false)?;
    let rehearsing = Rehearsing { generation: action.generation };
    let authorized = subject.authorize(scene, Rule::Policy, rehearsing)?;
    let record = authorized.record();
    let generation = record.generation(authorized.act().generation)?;
    let result = match record.open_shares::<_, R>(scene.keks(), generation, &request.shares) {
        Ok(_) => RehearsalResult::Opens,
        // The host's omission, which says nothing about the share.
        Err(damaged @ Damaged::OtherEpoch(..)) => return Err(damaged.into()),
        Err(_) => RehearsalResult::Damaged,
    };
    let rehearsal = Rehearsal {
        tenant: scene.tenant.0.to_vec(),
        wallet: record.wallet.clone(),
        role: R::ROLE.into(),
        record_id: record.id.0.to_vec(),
        head: record.head.0.to_vec(),
        generation: generation.generation,
        intent_hash: authorized.intent().0.to_vec(),
        result: result.into(),
        epoch: scene.kek.context.epoch,
        time_ms: scene.now.0,
        stages: Some(authorized.stages()),
    }
    .encode_to_vec();
    let signature = scene.kek.sign(prefix::REHEARSAL, &rehearsal);
    Ok(Rehearsed { rehearsal: Some(SignedRehearsal { rehearsal, signature }) })
}
