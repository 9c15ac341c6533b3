//! `Recover`: releases the shares of one generation at once, sealed to the recipient that the intent names.

use strongroom_proto::enclave::v1::{Moved, Recover};
use strongroom_proto::v1::{Reason, RecoverAction, intent::Action};

use super::moved::finish;
use super::release::{self, Release};
use super::{Scene, subject};
use crate::platform::Platform;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &Recover) -> Result<Moved, Refusal> {
    let subject = subject::open::<P, R>(scene, request.act.as_ref(), request.record.as_ref())?;
    let Some(Action::Recover(action)) = &subject.intent.body.action else {
        return Err(bad("intent.action: not recover"));
    };
    let RecoverAction { generation, eject } = *action;
    subject::brings(&subject.intent, false, true)?;
    let recipient = subject.intent.part.recipient.ok_or_else(|| bad("intent.recipient: missing"))?;
    R::check_recipient(&scene.statement()?.body, &recipient, eject)?;
    let key = release::check_recipient::<P>(recipient, &request.recipient_key)?;
    if subject.record.policy()?.delay_seconds > 0 {
        return Err(refuse(
            Reason::RecoveryDelayed,
            "recover: the policy has a delay; start the recovery, and release it when it is due",
        ));
    }
    let authorized = subject.authorize(scene, release::rule::<R>(eject), Release { generation, recipient, eject })?;
    let sealed = release::seal::<P, R>(scene, &authorized, &key, &request.shares)?;
    let (mut record, release, intent, consents) = authorized.into_parts();
    let deed = release::deed(&mut record, &release, sealed);
    finish::<P, R>(scene, record, intent, consents, deed)
}
