//! What Recover and Rehearse have in common: the record that the intent names, at the head that it names, and the policy's consents.

use alloc::format;

use strongroom_proto::enclave::v1::SealedRecord;
use strongroom_proto::v1::{Act, Reason};

use super::Scene;
use crate::consent::{Asked, Authorized, authorize};
use crate::intent::{self, CheckedIntent};
use crate::platform::Platform;
use crate::record::Record;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;

/// A release of one generation of one record.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) record: Record,
    pub(super) generation: u64,
}

/// Checks intent, record and consents of a release. `generation_of` gives the generation from the action, if it is the right one.
pub(super) fn authorize_release<P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    act: Option<&Act>,
    sealed: Option<&SealedRecord>,
    generation_of: impl FnOnce(&CheckedIntent) -> Result<u64, Refusal>,
) -> Result<Authorized<Release>, Refusal> {
    let act = act.ok_or_else(|| bad("act: missing"))?;
    let statement = scene.statement()?;
    let intent = intent::check::<R>(act, &scene.tenant, statement, scene.now)?;
    let generation = generation_of(&intent)?;
    if intent.part.message_hash.is_some() {
        return Err(bad("intent.message_hash: a release brings no message"));
    }
    let record = Record::open(scene.kek, sealed.ok_or_else(|| bad("record: missing"))?)?;
    check_subject(&intent, &record)?;
    if statement.body.serial < record.content.statement_serial {
        return Err(refuse(
            Reason::StatementStale,
            format!(
                "the record has seen statement {}, and the host gave {}",
                record.content.statement_serial, statement.body.serial
            ),
        ));
    }
    let policy = record.content.policy.ok_or_else(|| refuse(Reason::DecryptFailed, "record: has no policy"))?;
    let rp_id = record.content.rp_id.clone();
    let credentials = record.content.credentials.clone();
    let asked = Asked { policy, credentials: &credentials, rp_id: &rp_id, statement, now: scene.now };
    authorize(Release { record, generation }, intent, act, asked)
}

fn check_subject(intent: &CheckedIntent, record: &Record) -> Result<(), Refusal> {
    let (record_id, head) = intent.part.subject.ok_or_else(|| bad("intent.record_id: missing"))?;
    if record_id != record.id {
        return Err(bad("intent.record_id: another record than the one given"));
    }
    if intent.body.wallet != record.wallet {
        return Err(bad("intent.wallet: another wallet than the record's"));
    }
    if head != record.head {
        return Err(refuse(
            Reason::RecordStale,
            format!("intent.head: not the head of the record given, which is at version {}", record.content.version),
        ));
    }
    Ok(())
}
