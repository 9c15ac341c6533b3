//! `CarryOut`: what waited in the record and is due. Its consents were taken when it started; the host only says that it is time.

use strongroom_proto::enclave::v1::{CarryOut, Moved};
use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::{ActKind, OpenAct, OpenActKind, Reason, intent::Action};

use super::moved::{Deed, finish};
use super::release::{self, Release};
use super::subject::{check_subject, open_record, terms};
use super::{Scene, change, subject};
use crate::consent::{Authorized, Rule, authorize_due};
use crate::intent::{self, CheckedIntent};
use crate::platform::Platform;
use crate::record::Record;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &CarryOut) -> Result<Moved, Refusal> {
    let record = open_record(scene, request.record.as_ref())?;
    if request.kind() == OpenActKind::EjectWindow {
        return Err(bad("kind: an eject window is never carried out; it closes by itself"));
    }
    let open = record.open_act(request.kind())?.clone();
    if open.kind() == OpenActKind::Recovery {
        let recipient = ContentHash::from_slice(&open.recipient)
            .ok_or_else(|| refuse(Reason::DecryptFailed, "record: an open recovery without its recipient"))?;
        let key = release::check_recipient::<P>(recipient, &request.recipient_key)?;
        R::check_recipient(&scene.statement()?.body, &recipient, open.eject)?;
        let release = Release { generation: open.generation, recipient, eject: open.eject };
        let authorized = authorize::<P, R, _>(scene, request, record, &open, release)?;
        let sealed = release::seal::<P, R>(scene, &authorized, &key, &request.shares)?;
        return carry_out::<P, R, _>(scene, authorized, open.kind(), |record, release| {
            Ok(release::deed(record, &release, sealed))
        });
    }
    let kind = open.kind();
    let authorized = authorize::<P, R, _>(scene, request, record, &open.clone(), open)?;
    carry_out::<P, R, _>(scene, authorized, kind, |record, open| apply::<P, R>(scene, record, open))
}

/// What an act other than a release does to the record.
fn apply<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, record: &mut Record, open: OpenAct) -> Result<Deed, Refusal> {
    match open.kind() {
        OpenActKind::PolicyChange => {
            let wanted = open.policy.ok_or_else(|| bad("record.open_acts: no policy"))?;
            change::check_satisfiable::<P, R>(scene, record, wanted)?;
            Ok(change::set(record, wanted))
        }
        OpenActKind::PasskeyRemoval => change::remove(record, open.credential_id),
        OpenActKind::Delete => {
            record.close();
            Ok(Deed { kind: ActKind::Delete, ..Deed::default() })
        }
        OpenActKind::Recovery | OpenActKind::EjectWindow | OpenActKind::Unspecified => Err(bad("kind: unknown")),
    }
}

fn authorize<P: Platform, R: RoleKind, A>(
    scene: &Scene<'_, P>,
    request: &CarryOut,
    record: Record,
    open: &OpenAct,
    act: A,
) -> Result<Authorized<A>, Refusal> {
    let second = request.act.as_ref().map(|act| check_second::<P, R>(scene, act, &record, open).map(|it| (it, act)));
    let second = second.transpose()?;
    let second = second.as_ref().map(|(intent, act)| (intent, *act));
    authorize_due(record, act, open, second, terms(scene, Rule::Tenant)?)
}

/// The tenant's second intent: about this record at this head, and about what waits here.
fn check_second<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    act: &strongroom_proto::v1::Act,
    record: &Record,
    open: &OpenAct,
) -> Result<CheckedIntent, Refusal> {
    let intent = intent::check::<R>(act, &scene.tenant, scene.statement()?, scene.now)?;
    subject::brings(&intent, false, false)?;
    check_subject(&intent, record)?;
    match &intent.body.action {
        Some(Action::CarryOut(action)) if action.kind == open.kind && action.intent_hash == open.intent_hash => {
            Ok(intent)
        }
        Some(Action::CarryOut(_)) => {
            Err(refuse(Reason::StateInvalid, "carry_out: not the intent that started what waits here"))
        }
        _ => Err(bad("intent.action: not carry_out")),
    }
}

fn carry_out<P: Platform, R: RoleKind, A>(
    scene: &Scene<'_, P>,
    authorized: Authorized<A>,
    kind: OpenActKind,
    deed_of: impl FnOnce(&mut Record, A) -> Result<Deed, Refusal>,
) -> Result<Moved, Refusal> {
    let (mut record, act, intent, consents) = authorized.into_parts();
    record.take_out(kind);
    let deed = deed_of(&mut record, act)?;
    finish::<P, R>(scene, record, intent, consents, deed)
}
