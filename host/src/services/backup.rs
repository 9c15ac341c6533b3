//! `BackupService`: backups and the acts on them.

use strongroom_proto::id::TenantId;
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::backup_service_server::BackupService;
use strongroom_proto::v1::{
    AbortBackupRequest, AbortBackupResponse, ActRequest, ActResponse, CarryOutRequest, CommitBackupRequest,
    CommitBackupResponse, CreateBackupRequest, CreateBackupResponse, ExportAuditRequest, ExportAuditResponse,
    ExportCapsuleRequest, GetBackupRequest, GetBackupResponse, GetClientCiphertextsRequest,
    GetClientCiphertextsResponse, ListBackupsRequest, ListBackupsResponse, PutSharesRequest, PutSharesResponse,
    RehearseBackupRequest, RehearseBackupResponse, ReportStoredRequest, ReportStoredResponse,
};
use tonic::{Request, Response, Status};

use super::act::{Call, carry_out};
use super::{begin, capsule, service};
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::decode;

mod ciphertexts;
mod commit;
mod create;
mod export;
mod put;
mod rehearse;
pub(super) mod show;
mod stored;

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
            let backup = show::stored(&self.0, &tenant, &wallet, &id, decode(&row)?).await?;
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
                backups.push(show::stored(&self.0, &tenant, &wallet, &id, decode(&row)?).await?);
            }
            Ok(ListBackupsResponse { backups })
        };
        self.0.call("ListBackups", request, work).await
    }

    async fn rehearse_backup(
        &self,
        request: Request<RehearseBackupRequest>,
    ) -> Result<Response<RehearseBackupResponse>, Status> {
        let work = |tenant, message| async move { begin(|| rehearse::rehearse(&self.0, tenant, &message)).await };
        self.0.call("RehearseBackup", request, work).await
    }

    async fn put_shares(&self, request: Request<PutSharesRequest>) -> Result<Response<PutSharesResponse>, Status> {
        let work = |tenant, message| async move { put::put(&self.0, tenant, message).await };
        self.0.call("PutShares", request, work).await
    }

    async fn commit_backup(
        &self,
        request: Request<CommitBackupRequest>,
    ) -> Result<Response<CommitBackupResponse>, Status> {
        let work = |tenant, message| async move { commit::commit(&self.0, tenant, &message).await };
        self.0.call("CommitBackup", request, work).await
    }

    async fn change_policy(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.0.plain_act(Call::ChangePolicy, request).await
    }

    async fn delete_backup(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.0.plain_act(Call::DeleteBackup, request).await
    }

    async fn cancel_act(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.0.plain_act(Call::CancelAct, request).await
    }

    async fn carry_out(&self, request: Request<CarryOutRequest>) -> Result<Response<ActResponse>, Status> {
        let work = |tenant, message| async move { carry_out::asked_for(&self.0, tenant, message).await };
        self.0.call("CarryOut", request, work).await
    }

    async fn export_audit(
        &self,
        request: Request<ExportAuditRequest>,
    ) -> Result<Response<ExportAuditResponse>, Status> {
        let work = |tenant, message| async move { export::export(&self.0, tenant, &message).await };
        self.0.call("ExportAudit", request, work).await
    }

    async fn abort_backup(
        &self,
        request: Request<AbortBackupRequest>,
    ) -> Result<Response<AbortBackupResponse>, Status> {
        let work = |tenant, message| async move { begin(|| stored::abort(&self.0, tenant, &message)).await };
        self.0.call("AbortBackup", request, work).await
    }

    async fn report_stored(
        &self,
        request: Request<ReportStoredRequest>,
    ) -> Result<Response<ReportStoredResponse>, Status> {
        let work = |tenant, message| async move { begin(|| stored::report(&self.0, tenant, &message)).await };
        self.0.call("ReportStored", request, work).await
    }

    async fn get_client_ciphertexts(
        &self,
        request: Request<GetClientCiphertextsRequest>,
    ) -> Result<Response<GetClientCiphertextsResponse>, Status> {
        let work = |tenant, message| async move { ciphertexts::get(&self.0, tenant, &message).await };
        self.0.call("GetClientCiphertexts", request, work).await
    }

    type ExportCapsuleStream = capsule::Chunks;

    async fn export_capsule(
        &self,
        request: Request<ExportCapsuleRequest>,
    ) -> Result<Response<Self::ExportCapsuleStream>, Status> {
        let work = |tenant, message| async move { capsule::export::export(&self.0, tenant, &message).await };
        self.0.call("ExportCapsule", request, work).await
    }
}
