//! The statements of an export: each signed by the same tenant, serials ascending, epochs only ever added.

use strongroom_proto::id::TenantId;
use strongroom_proto::statement as form;
use strongroom_proto::v1::{Role, SignedStatement};

use super::Finding;
use crate::statement::VerifiedStatement;

/// The statements that hold, by serial.
pub(super) fn read(
    signed: &[SignedStatement],
    tenant: TenantId,
    findings: &mut Vec<Finding>,
) -> Vec<VerifiedStatement> {
    let mut list: Vec<VerifiedStatement> = Vec::new();
    for (place, signed) in (1..).zip(signed) {
        let statement = match VerifiedStatement::verify(signed, tenant) {
            Ok(statement) => statement,
            Err(error) => {
                findings.push(Finding::Statement { place, error });
                continue;
            }
        };
        let serial = statement.serial();
        if let Some(same) = list.iter().find(|it| it.serial() == serial)
            && same.statement() != statement.statement()
        {
            findings.push(Finding::StatementFork { serial });
        } else if list.last().is_some_and(|before| serial <= before.serial()) {
            findings.push(Finding::StatementOrder { place, serial });
        }
        list.push(statement);
    }
    list.sort_by_key(VerifiedStatement::serial);
    for (before, after) in list.iter().zip(list.iter().skip(1)) {
        check_epochs(before, after, findings);
    }
    list
}

/// A role may be left out of a statement; an epoch that it names never.
fn check_epochs(before: &VerifiedStatement, after: &VerifiedStatement, findings: &mut Vec<Finding>) {
    for role in [Role::Client, Role::Custodian] {
        let epochs = |it: &VerifiedStatement| form::role(it.statement(), role).map(|role| role.epochs.clone());
        let (Some(before), Some(now)) = (epochs(before), epochs(after)) else { continue };
        for epoch in before.iter().filter(|epoch| !now.contains(epoch)) {
            findings.push(Finding::EpochChanged { serial: after.serial(), role, epoch: epoch.epoch });
        }
    }
}
