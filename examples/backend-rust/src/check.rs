//! What a user may ask: its own wallet, in the request and in what its passkey signed, and the act that the call is for.
//!
//! The enclave checks the passkey and every other part of an intent. The refusals here say nothing of what the host has.

use strongroom_proto::id::TenantId;
use strongroom_proto::intent as form;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{Act, Intent};
use tonic::Status;

/// Refuses every wallet but the user's own, as the host refuses one that is not there.
pub(crate) fn wallet(own: &str, asked: &str) -> Result<(), Status> {
    if own == asked { Ok(()) } else { Err(Status::not_found("no such wallet")) }
}

/// The intent of an act on the user's own wallet.
pub(crate) fn act(
    tenant: TenantId,
    own: &str,
    act: Option<&Act>,
    wanted: fn(&Action) -> bool,
) -> Result<Intent, Status> {
    let act = act.ok_or_else(|| Status::invalid_argument("act: required"))?;
    let intent = form::decode(&act.intent).map_err(|error| Status::invalid_argument(format!("act.intent: {error}")))?;
    if intent.tenant != tenant.0 {
        return Err(Status::invalid_argument("act.intent.tenant: not this wallet company"));
    }
    wallet(own, &intent.wallet)?;
    if !intent.action.as_ref().is_some_and(wanted) {
        return Err(Status::invalid_argument("act.intent.action: not what this call is for"));
    }
    Ok(intent)
}
