//! `CommitBackup`: has what waits in both roles come into force.

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{CommitBackupRequest, CommitBackupResponse, Role};

use super::show;
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{BackupRow, decode};
use crate::services::act::{answer, commit};
use crate::services::roles::ROLES;
use crate::services::{App, load};

pub(super) async fn commit(
    app: &App,
    tenant: TenantId,
    message: &CommitBackupRequest,
) -> Result<CommitBackupResponse, Error> {
    let wallet = Name::parse("wallet", &message.wallet)?;
    let id = Name::parse("backup", &message.backup)?;
    let row = app.store.get(keys::backup(&tenant, &wallet, &id)).await?.ok_or(Error::NotFound("backup"))?;
    let row: BackupRow = decode(&row)?;
    if row.roles().collect::<Vec<Role>>() != ROLES {
        return Err(Error::State("a backup of one role: what is put there is in force at once"));
    }
    ROLES.into_iter().try_for_each(|role| app.enclave(role).map(drop))?;
    let signed = commit::commit(app, tenant, &wallet, row.record_id()?).await?;
    let [custodian, client] = &signed;
    let receipts = [load::receipt(Some(custodian))?, load::receipt(Some(client))?];
    Ok(CommitBackupResponse {
        backup: Some(show::stored(app, &tenant, &wallet, &id, row).await?),
        stages: answer::stages(receipts.iter().map(|receipt| receipt.stages.as_ref())),
        receipts: signed.into(),
    })
}
