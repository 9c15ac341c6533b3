//! Acts that start to wait, and the act that cancels them.

use strongroom_proto::enclave::v1::Moved;
use strongroom_proto::id::IntentHash;
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::v1::{ActKind, CancelAction, OpenAct, OpenActKind, Reason, StartRecoveryAction};

use super::super::moved::{Deed, finish};
use super::super::subject::Subject;
use super::super::{Scene, release};
use crate::consent::{Consents, Rule};
use crate::platform::Platform;
use crate::record::{Record, open_acts};
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;

/// Fixes generation and recipient of a release, which is due after the policy's delay.
pub(super) fn start_recovery<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    subject: Subject<'_>,
    action: StartRecoveryAction,
) -> Result<Moved, Refusal> {
    let recipient = subject.intent.part.recipient.ok_or_else(|| bad("intent.recipient: missing"))?;
    R::check_recipient(&scene.statement()?.body, &recipient, action.eject)?;
    subject.record.generation(action.generation)?;
    if subject.record.policy()?.delay_seconds == 0 {
        return Err(refuse(Reason::StateInvalid, "start_recovery: the policy has no delay; recover at once"));
    }
    let authorized = subject.authorize(scene, release::rule::<R>(action.eject), action)?;
    let (record, action, intent, consents) = authorized.into_parts();
    let StartRecoveryAction { generation, eject } = action;
    let open = OpenAct { generation, recipient: recipient.0.to_vec(), eject, ..OpenAct::default() };
    start::<P, R>(scene, record, intent, consents, OpenActKind::Recovery, open)
}

/// Lets a deletion wait for its grace.
pub(super) fn start_delete<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    subject: Subject<'_>,
) -> Result<Moved, Refusal> {
    let authorized = subject.authorize(scene, Rule::CredentialOrTenant, ())?;
    let (record, (), intent, consents) = authorized.into_parts();
    start::<P, R>(scene, record, intent, consents, OpenActKind::Delete, OpenAct::default())
}

/// Cancels what an intent started.
pub(super) fn cancel<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    subject: Subject<'_>,
    action: CancelAction,
) -> Result<Moved, Refusal> {
    subject.record.open_act_of(action.kind(), &action.intent_hash)?;
    let authorized = subject.authorize(scene, Rule::CredentialOrTenant, action)?;
    let (mut record, action, intent, consents) = authorized.into_parts();
    record.take_out(action.kind());
    let deed = Deed { kind: ActKind::Cancel, cancelled: action.intent_hash, ..Deed::default() };
    finish::<P, R>(scene, record, intent, consents, deed)
}

/// Lets an act wait whose consents were given. `parameters` has what is particular to its kind.
pub(super) fn start<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    mut record: Record,
    intent: IntentHash,
    consents: Consents,
    kind: OpenActKind,
    parameters: OpenAct,
) -> Result<Moved, Refusal> {
    let (event, delay_ms) = match kind {
        OpenActKind::Recovery if parameters.eject => (ActKind::StartEject, policy_delay_ms(&record)?),
        OpenActKind::Recovery => (ActKind::StartRecovery, policy_delay_ms(&record)?),
        OpenActKind::PolicyChange => (ActKind::StartChangePolicy, policy_delay_ms(&record)?),
        OpenActKind::PasskeyRemoval => (ActKind::StartRemovePasskey, policy_delay_ms(&record)?),
        OpenActKind::Delete => (ActKind::StartDelete, GRACE_MS),
        OpenActKind::EjectWindow | OpenActKind::Unspecified => return Err(bad("kind: unknown")),
    };
    let waiting = open_acts::waiting(kind, intent, scene.now, delay_ms);
    let deed = Deed {
        kind: event,
        generation: parameters.generation,
        recipient: parameters.recipient.clone(),
        credential_id: parameters.credential_id.clone(),
        not_before_ms: waiting.not_before_ms,
        ..Deed::default()
    };
    let OpenAct { generation, recipient, policy, credential_id, eject, .. } = parameters;
    record.wait(OpenAct { generation, recipient, policy, credential_id, eject, ..waiting }, scene.now)?;
    finish::<P, R>(scene, record, intent, consents, deed)
}

fn policy_delay_ms(record: &Record) -> Result<u64, Refusal> {
    Ok(u64::from(record.policy()?.delay_seconds).saturating_mul(1000))
}
