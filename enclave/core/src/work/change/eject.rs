//! The eject window: for a while after the tenant opened it, a passkey can have the custodian role release to the user's device.
//!
//! An eject does not close it. The tenant said for how long, a lost answer must not cost a second window, and a host that would use a
//! window twice could restore the record from before the eject anyway; each eject takes a passkey of its own.

use alloc::format;

use strongroom_proto::enclave::v1::Moved;
use strongroom_proto::limits::{EJECT_WINDOW_SECONDS_MAX, EJECT_WINDOW_SECONDS_MIN};
use strongroom_proto::v1::{ActKind, OpenAct, OpenActKind, OpenEjectWindowAction, Reason};

use super::super::Scene;
use super::super::moved::{Deed, finish};
use super::super::subject::Subject;
use crate::consent::Rule;
use crate::platform::Platform;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;

/// Opens the window at once, and for as long as the tenant says.
pub(super) fn open_window<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    subject: Subject<'_>,
    action: OpenEjectWindowAction,
) -> Result<Moved, Refusal> {
    // Every intent that the client role reads names it, so this refuses all of them there.
    if subject.intent.body.client.is_some() {
        return Err(bad("open_eject_window: names the custodian role alone"));
    }
    if !(EJECT_WINDOW_SECONDS_MIN..=EJECT_WINDOW_SECONDS_MAX).contains(&action.duration_seconds) {
        return Err(bad(format!(
            "open_eject_window.duration_seconds: {}, at least {EJECT_WINDOW_SECONDS_MIN} and at most \
             {EJECT_WINDOW_SECONDS_MAX}",
            action.duration_seconds
        )));
    }
    if subject.record.content.credentials.is_empty() {
        return Err(refuse(
            Reason::PolicyDenied,
            "open_eject_window: the record has no passkey, and every eject takes one",
        ));
    }
    let authorized = subject.authorize(scene, Rule::Tenant, action)?;
    let (mut record, action, intent, consents) = authorized.into_parts();
    let duration_ms = u64::from(action.duration_seconds).saturating_mul(1000);
    let window = OpenAct {
        kind: OpenActKind::EjectWindow.into(),
        intent_hash: intent.0.to_vec(),
        not_before_ms: scene.now.0,
        expires_ms: scene.now.0.saturating_add(duration_ms),
        ..OpenAct::default()
    };
    let deed = Deed { kind: ActKind::OpenEjectWindow, not_before_ms: window.not_before_ms, ..Deed::default() };
    record.wait(window, scene.now)?;
    finish::<P, R>(scene, record, intent, consents, deed)
}
