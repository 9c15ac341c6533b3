//! `CreateRecord`: the creation intent of a backup, carried out in this role.

mod creation;

use alloc::vec::Vec;

use strongroom_proto::enclave::v1::{CreateRecord, Credential, Moved, Record as Content};
use strongroom_proto::id::Head;
use strongroom_proto::v1::{ActKind, Reason, Role};

use super::moved::{Deed, finish};
use super::{Scene, message, subject};
use crate::consent::{Rule, authorize};
use crate::intent::{self, CheckedIntent};
use crate::platform::Platform;
use crate::record::Record;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;
use crate::statement::VerifiedStatement;
use creation::Creation;

/// The generation that a creation brings.
const FIRST_GENERATION: u64 = 1;

pub(super) fn run<P: Platform, R: RoleKind>(scene: &Scene<'_, P>, request: &CreateRecord) -> Result<Moved, Refusal> {
    let act = request.act.as_ref().ok_or_else(|| bad("act: missing"))?;
    let statement = scene.statement()?;
    let intent = intent::check::<R>(act, &scene.tenant, statement, scene.now)?;
    let creation = Creation::check::<R>(&intent, request)?;
    if creation.policy.tenant_signature && !statement.has_operational_key(scene.now) {
        return Err(refuse(
            Reason::PolicyDenied,
            "create_backup: the policy asks for tenant_signature, and the statement has no operational key in force",
        ));
    }
    let record = new_record(&intent, &creation, statement, scene);
    let authorized = authorize(
        record,
        creation,
        &intent,
        act,
        subject::terms(scene, Rule::Creation { tenant: R::TENANT_CREATES })?,
    )?;
    let Creation { pairs, secret, .. } = authorized.act();
    let shares = message::open::<P, R>(scene, &authorized.record().id, &request.message, pairs, *secret)?;
    let (mut record, creation, intent, consents) = authorized.into_parts();
    for credential in &mut record.content.credentials {
        credential.backup_eligible = consents.backup_eligible;
    }
    let (generation, shares) =
        message::store::<P, R>(scene, &record, FIRST_GENERATION, &creation.pairs, &shares, intent)?;
    record.content.generations = [generation].into();
    let deed = Deed { kind: ActKind::CreateBackup, generation: FIRST_GENERATION, shares, ..Deed::default() };
    finish::<P, R>(scene, record, intent, consents, deed)
}

/// The record before its first act: without shares, and at version 0.
fn new_record<P: Platform>(
    intent: &CheckedIntent,
    creation: &Creation,
    statement: &VerifiedStatement,
    scene: &Scene<'_, P>,
) -> Record {
    let record_id = strongroom_proto::intent::record_id(&intent.body);
    let first = creation.credential.iter().map(|(named, public_key)| Credential {
        id: named.id.clone(),
        public_key: public_key.clone(),
        label: named.label.clone(),
        added_ms: scene.now.0,
        backup_eligible: None,
    });
    Record {
        wallet: intent.body.wallet.clone(),
        backup: creation.backup.clone(),
        id: record_id,
        head: Head(record_id.0),
        content: Content {
            record_id: record_id.0.to_vec(),
            method: creation.method.clone(),
            secret: creation.secret.into(),
            rp_id: statement.body.rp_id.clone(),
            credentials: first.collect(),
            policy: Some(creation.policy),
            generations: Vec::new(),
            active: FIRST_GENERATION,
            highest_generation: FIRST_GENERATION,
            roles: creation.roles.iter().copied().map(Role::into).collect(),
            statement_serial: statement.body.serial,
            version: 0,
            head: record_id.0.to_vec(),
            pending: 0,
            open_acts: Vec::new(),
            closed: false,
        },
    }
}
