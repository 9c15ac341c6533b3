//! A record's policy: changed with the consents and the delay of the one in force.

use alloc::format;

use strongroom_proto::enclave::v1::Moved;
use strongroom_proto::v1::{ActKind, ChangePolicyAction, OpenAct, OpenActKind, Policy, Reason};

use super::super::Scene;
use super::super::moved::{Deed, finish};
use super::super::subject::Subject;
use super::waiting::start;
use crate::consent::Rule;
use crate::intent::CheckedIntent;
use crate::platform::Platform;
use crate::policy;
use crate::record::Record;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;

pub(super) fn change<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    subject: Subject<'_>,
    action: &ChangePolicyAction,
) -> Result<Moved, Refusal> {
    let wanted = check::<R>(&subject.intent, action)?;
    check_satisfiable::<P, R>(scene, &subject.record, wanted)?;
    let authorized = subject.authorize(scene, Rule::Policy, wanted)?;
    let (mut record, wanted, intent, consents) = authorized.into_parts();
    if record.policy()?.delay_seconds == 0 {
        let deed = set(&mut record, wanted);
        return finish::<P, R>(scene, record, intent, consents, deed);
    }
    let open = OpenAct { policy: Some(wanted), ..OpenAct::default() };
    start::<P, R>(scene, record, intent, consents, OpenActKind::PolicyChange, open)
}

/// Refuses a policy that could not be satisfied now: by the rules of its role, or for want of a passkey or a tenant's key.
pub(in crate::work) fn check_satisfiable<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    record: &Record,
    wanted: Policy,
) -> Result<(), Refusal> {
    policy::check(wanted, "change_policy")?;
    R::check_policy(wanted)?;
    policy::check_credentials(wanted, !record.content.credentials.is_empty(), "change_policy")?;
    if wanted.tenant_signature && !scene.statement()?.has_operational_key(scene.now) {
        return Err(refuse(
            Reason::PolicyDenied,
            "change_policy: asks for tenant_signature, and the statement has no operational key in force",
        ));
    }
    Ok(())
}

/// Puts a policy in force.
pub(in crate::work) fn set(record: &mut Record, wanted: Policy) -> Deed {
    record.content.policy = Some(wanted);
    Deed { kind: ActKind::ChangePolicy, ..Deed::default() }
}

/// The policy for this role. The intent holds one for each role that it names, and no other.
fn check<R: RoleKind>(intent: &CheckedIntent, action: &ChangePolicyAction) -> Result<Policy, Refusal> {
    for (part, wanted, field) in [
        (&intent.body.client, &action.client_policy, "client_policy"),
        (&intent.body.custodian, &action.custodian_policy, "custodian_policy"),
    ] {
        if part.is_some() != wanted.is_some() {
            return Err(bad(format!("change_policy.{field}: present exactly when the intent names the role")));
        }
    }
    R::changed_policy(action).copied().ok_or_else(|| bad("change_policy: no policy for this role"))
}
