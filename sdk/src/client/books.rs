//! The calls about what the host keeps and knows: none of them moves a record.

use strongroom_proto::v1::backup_service_client::BackupServiceClient;
use strongroom_proto::v1::recovery_service_client::RecoveryServiceClient;
use strongroom_proto::v1::{
    AbortBackupRequest, AbortBackupResponse, CompleteRecoveryRequest, CompleteRecoveryResponse,
    GetClientCiphertextsRequest, GetClientCiphertextsResponse, GetRecoveryRequest, GetRecoveryResponse,
    ListRecoveriesRequest, ListRecoveriesResponse, ListRecoveryMethodsRequest, ListRecoveryMethodsResponse,
    ReportStoredRequest, ReportStoredResponse,
};

use super::{Client, retry};
use crate::error::Error;

/// Calls that may be carried out twice without harm.
macro_rules! calls {
    ($($(#[$doc:meta])* $service:ident.$name:ident($request:ident) -> $response:ident;)*) => {
        impl Client {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`Error::Refused`].
            pub async fn $name(&self, request: &$request) -> Result<$response, Error> {
                retry(|| async { $service::new(self.service()).$name(request.clone()).await }).await
            }
        )*}
    };
}

calls! {
    /// Gives up a generation that waits.
    BackupServiceClient.abort_backup(AbortBackupRequest) -> AbortBackupResponse;
    /// The caller's word about what it was to store itself.
    BackupServiceClient.report_stored(ReportStoredRequest) -> ReportStoredResponse;
    /// What the device encrypted itself, as the host keeps it.
    BackupServiceClient.get_client_ciphertexts(GetClientCiphertextsRequest) -> GetClientCiphertextsResponse;
    /// The caller's word that a recovery led to a working wallet, or did not.
    RecoveryServiceClient.complete_recovery(CompleteRecoveryRequest) -> CompleteRecoveryResponse;
    /// What the host knows of a recovery.
    RecoveryServiceClient.get_recovery(GetRecoveryRequest) -> GetRecoveryResponse;
    /// One page of a wallet's recoveries, the newest first.
    RecoveryServiceClient.list_recoveries(ListRecoveriesRequest) -> ListRecoveriesResponse;
    /// Which backups of a wallet could be recovered from now.
    RecoveryServiceClient.list_recovery_methods(ListRecoveryMethodsRequest) -> ListRecoveryMethodsResponse;
}
