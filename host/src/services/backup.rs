//! `BackupService`: creates, shows and rehearses backups.

use strongroom_proto::enclave::v1::{Rehearse, request, response};
use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::backup_service_server::BackupService;
use strongroom_proto::v1::{
    ActRequest, ActResponse, CarryOutRequest, ExportAuditRequest, ExportAuditResponse, PutSharesRequest,
    PutSharesResponse,
};
use strongroom_proto::v1::{
    Backup, BackupPart, BackupState, CreateBackupRequest, CreateBackupResponse, GetBackupRequest, GetBackupResponse,
    ListBackupsRequest, ListBackupsResponse, Rehearsal, RehearseBackupRequest, RehearseBackupResponse, Role,
    SecretKind, intent::Action,
};
use tonic::{Request, Response, Status};

use super::listing::Place;
use super::load::{self, StoredRecord, StoredStatement};
use super::{App, check, service};
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{BackupRow, RecordRow, decode};

mod create;

service! {
    /// The service.
    Backups
}

#[tonic::async_trait]
impl BackupService for Backups {
    async fn create_backup(
        &self,
        request: Request<CreateBackupRequest>,
    ) -> Result<Response<CreateBackupResponse>, Status> {
        let work = |tenant, message| async move { create::create(&self.0, tenant, message).await };
        self.0.call("CreateBackup", request, work).await
    }

    async fn get_backup(&self, request: Request<GetBackupRequest>) -> Result<Response<GetBackupResponse>, Status> {
        let work = |tenant: TenantId, message: GetBackupRequest| async move {
            let wallet = Name::parse("wallet", &message.wallet)?;
            let id = Name::parse("backup", &message.backup)?;
            let row = self.0.store.get(keys::backup(&tenant, &wallet, &id)).await?.ok_or(Error::NotFound("backup"))?;
            let backup = show_stored(&self.0, &tenant, &wallet, &id, &decode(&row)?).await?;
            Ok(GetBackupResponse { backup: Some(backup) })
        };
        self.0.call("GetBackup", request, work).await
    }

    async fn list_backups(
        &self,
        request: Request<ListBackupsRequest>,
    ) -> Result<Response<ListBackupsResponse>, Status> {
        let work = |tenant: TenantId, message: ListBackupsRequest| async move {
            let wallet = Name::parse("wallet", &message.wallet)?;
            let there = self.0.store.get(keys::wallet(&tenant, &wallet)).await?;
            there.ok_or(Error::NotFound("wallet"))?;
            let prefix = keys::backups(&tenant, &wallet);
            let mut backups = Vec::new();
            for (key, row) in self.0.store.scan(prefix.clone(), None, RECORDS_MAX).await? {
                let id = keys::last_name(&prefix, &key).ok_or(Error::Internal("a backup's key does not parse"))?;
                backups.push(show_stored(&self.0, &tenant, &wallet, &id, &decode(&row)?).await?);
            }
            Ok(ListBackupsResponse { backups })
        };
        self.0.call("ListBackups", request, work).await
    }

    async fn rehearse_backup(
        &self,
        request: Request<RehearseBackupRequest>,
    ) -> Result<Response<RehearseBackupResponse>, Status> {
        let work = |tenant, message| async move { rehearse(&self.0, tenant, message).await };
        self.0.call("RehearseBackup", request, work).await
    }

    async fn put_shares(&self, _: Request<PutSharesRequest>) -> Result<Response<PutSharesResponse>, Status> {
        Err(Status::unimplemented("PutShares comes with the next commits"))
    }

    async fn change_policy(&self, _: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        Err(Status::unimplemented("ChangePolicy comes with the next commits"))
    }

    async fn delete_backup(&self, _: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        Err(Status::unimplemented("DeleteBackup comes with the next commits"))
    }

    async fn cancel_act(&self, _: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        Err(Status::unimplemented("CancelAct comes with the next commits"))
    }

    async fn carry_out(&self, _: Request<CarryOutRequest>) -> Result<Response<ActResponse>, Status> {
        Err(Status::unimplemented("CarryOut comes with the next commits"))
    }

    async fn export_audit(&self, _: Request<ExportAuditRequest>) -> Result<Response<ExportAuditResponse>, Status> {
        Err(Status::unimplemented("ExportAudit comes with the next commits"))
    }
}

async fn rehearse(
    app: &App,
    tenant: TenantId,
    message: RehearseBackupRequest,
) -> Result<RehearseBackupResponse, Error> {
    let role = Role::Client;
    let checked = check::act(&tenant, message.act)?;
    let Some(Action::Rehearse(action)) = &checked.intent.action else {
        return Err(Error::bad("act.intent.action", "must be rehearse"));
    };
    let record_id = check::record_id(&checked.intent, role)?;
    let place = Place { tenant, wallet: checked.wallet.clone(), role, record: record_id };
    let rows = app.store.get_all(vec![keys::statement(&tenant), place.key()]).await?;
    let [statement, record] = rows.as_slice() else { return Err(Error::Internal("rows are missing")) };
    let record = StoredRecord::read(record.as_deref())?;
    let statement = StoredStatement::read(statement.as_deref())?;
    let shares = app.shares(&place, &record, action.generation).await?;
    let keks = app.keks_of(&place, &statement, &record, &shares, None).await?;
    let (kek, other_kek) = keks.references();
    let body = Rehearse {
        tenant: tenant.0.to_vec(),
        statement: Some(statement.reference()),
        kek,
        act: Some(checked.act),
        record: Some(record.sealed),
        shares,
        other_kek,
    };
    match app.enclave(role)?.ask(request::Body::Rehearse(body), &keks.known(Some(statement.signed))).await? {
        response::Body::Rehearsed(rehearsed) => {
            let signed = rehearsed.rehearsal.ok_or(Error::Internal("a rehearsal is missing"))?;
            let report: Rehearsal = decode(&signed.rehearsal)?;
            Ok(RehearseBackupResponse { rehearsals: vec![signed], stages: report.stages })
        }
        _ => Err(Error::Internal("an enclave's answer to Rehearse")),
    }
}

/// A backup as it stands in the store.
async fn show_stored(app: &App, tenant: &TenantId, wallet: &Name, id: &Name, row: &BackupRow) -> Result<Backup, Error> {
    let record_id = RecordId::from_slice(&row.record_id).ok_or(Error::Internal("a backup's row holds no record id"))?;
    let roles: Vec<Role> = row.roles.iter().filter_map(|role| Role::try_from(*role).ok()).collect();
    let keys = roles.iter().map(|role| keys::record(tenant, wallet, *role, &record_id)).collect();
    let mut records: Vec<(Role, RecordRow)> = Vec::with_capacity(roles.len());
    for (role, record) in roles.iter().zip(app.store.get_all(keys).await?) {
        if let Some(record) = record {
            records.push((*role, decode(&record)?));
        }
    }
    show(wallet, id, row, &records)
}

/// A backup from its row and the records that are stored: active when every role that the creation named has one.
fn show(wallet: &Name, id: &Name, row: &BackupRow, records: &[(Role, RecordRow)]) -> Result<Backup, Error> {
    let part = |role: &Role| match role {
        Role::Custodian => BackupPart::CustodianStored,
        _ if row.secret == SecretKind::Key as i32 => BackupPart::KeyStored,
        _ => BackupPart::ClientStored,
    };
    let mut parts: Vec<i32> = records.iter().map(|(role, _)| part(role).into()).collect();
    parts.sort_unstable();
    let complete = row.roles.iter().all(|role| records.iter().any(|(stored, _)| *stored as i32 == *role));
    let state = if complete && !row.roles.is_empty() { BackupState::Active } else { BackupState::Pending };
    let newest = records.first().map(|(_, record)| load::receipt(record.receipt.as_ref())).transpose()?;
    Ok(Backup {
        wallet: wallet.as_str().to_owned(),
        backup: id.as_str().to_owned(),
        method: row.method.clone(),
        state: state.into(),
        parts,
        pairs: row.pairs.clone(),
        record_id: row.record_id.clone(),
        receipts: records.iter().filter_map(|(_, record)| record.receipt.clone()).collect(),
        created_ms: row.created_ms,
        generation: newest.and_then(|receipt| receipt.active).map_or(0, |active| active.generation),
        open_acts: Vec::new(),
    })
}
