//! The calls that carry out acts on existing records, and the export for auditors. Each act is sent again with the same bytes while the
//! host is unavailable.

use strongroom_proto::v1::backup_service_client::BackupServiceClient;
use strongroom_proto::v1::eject_service_client::EjectServiceClient;
use strongroom_proto::v1::passkey_service_client::PasskeyServiceClient;
use strongroom_proto::v1::recovery_service_client::RecoveryServiceClient;
use strongroom_proto::v1::{
    ActRequest, ActResponse, AddPasskeyRequest, CarryOutRequest, CommitBackupRequest, CommitBackupResponse,
    ExportAuditRequest, ExportAuditResponse, GetBackupRequest, GetBackupResponse, PutSharesRequest, PutSharesResponse,
    RecoverRequest, RecoverResponse, ReleaseRecoveryRequest,
};

use super::{Client, retry};
use crate::error::Error;

/// Calls that take an intent and nothing else.
macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident = $service:ident;)*) => {
        impl Client {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`Error::Refused`].
            pub async fn $name(&self, request: &ActRequest) -> Result<ActResponse, Error> {
                retry(|| async { $service::new(self.service()).$name(request.clone()).await }).await
            }
        )*}
    };
}

acts! {
    /// Carries out the removal of a passkey, or lets it wait.
    remove_passkey = PasskeyServiceClient;
    /// Carries out another label of a passkey.
    rename_passkey = PasskeyServiceClient;
    /// Carries out a change of policy, or lets it wait.
    change_policy = BackupServiceClient;
    /// Lets a deletion wait.
    delete_backup = BackupServiceClient;
    /// Cancels what waits, a recovery excepted.
    cancel_act = BackupServiceClient;
    /// Lets a recovery wait.
    start_recovery = RecoveryServiceClient;
    /// Cancels a recovery that waits.
    cancel_recovery = RecoveryServiceClient;
    /// Opens an eject window.
    enable_eject = EjectServiceClient;
    /// Closes an eject window.
    disable_eject = EjectServiceClient;
}

impl Client {
    /// Carries out a put.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn put_shares(&self, request: &PutSharesRequest) -> Result<PutSharesResponse, Error> {
        retry(|| async { BackupServiceClient::new(self.service()).put_shares(request.clone()).await }).await
    }

    /// Carries out an eject; sent again with the same bytes while the host is unavailable.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn eject(&self, request: &RecoverRequest) -> Result<RecoverResponse, Error> {
        retry(|| async { EjectServiceClient::new(self.service()).eject(request.clone()).await }).await
    }

    /// Releases the custodian shares of a backup of that role alone; sent again with the same bytes while the host is unavailable.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn release_custodian_shares(&self, request: &RecoverRequest) -> Result<RecoverResponse, Error> {
        retry(|| async { RecoveryServiceClient::new(self.service()).release_custodian_shares(request.clone()).await })
            .await
    }

    /// What the host knows of a backup, from the receipts that it keeps.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn get_backup(&self, request: &GetBackupRequest) -> Result<GetBackupResponse, Error> {
        retry(|| async { BackupServiceClient::new(self.service()).get_backup(request.clone()).await }).await
    }

    /// Commits the generation that waits, in the custodian role and then in the client role. What is in force already stays so.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn commit_backup(&self, request: &CommitBackupRequest) -> Result<CommitBackupResponse, Error> {
        retry(|| async { BackupServiceClient::new(self.service()).commit_backup(request.clone()).await }).await
    }

    /// Adds a passkey.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn add_passkey(&self, request: &AddPasskeyRequest) -> Result<ActResponse, Error> {
        retry(|| async { PasskeyServiceClient::new(self.service()).add_passkey(request.clone()).await }).await
    }

    /// Carries out what waited and is due, a recovery excepted.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn carry_out(&self, request: &CarryOutRequest) -> Result<ActResponse, Error> {
        retry(|| async { BackupServiceClient::new(self.service()).carry_out(request.clone()).await }).await
    }

    /// Releases a recovery that is due.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn release_recovery(&self, request: &ReleaseRecoveryRequest) -> Result<RecoverResponse, Error> {
        retry(|| async { RecoveryServiceClient::new(self.service()).release_recovery(request.clone()).await }).await
    }

    /// One page of what an auditor needs of a backup.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn export_audit(&self, request: &ExportAuditRequest) -> Result<ExportAuditResponse, Error> {
        retry(|| async { BackupServiceClient::new(self.service()).export_audit(request.clone()).await }).await
    }
}
