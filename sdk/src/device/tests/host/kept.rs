//! What a caller keeps in the host's place, and what the host keeps for a device's own ciphertexts.

use std::sync::{Arc, Mutex};

use strongroom_proto::v1::{
    ClientCiphertext, GetClientCiphertextsRequest, GetClientCiphertextsResponse, ReportStoredRequest,
};

/// What came in beside the messages.
#[derive(Clone, Default)]
pub(in crate::device::tests) struct Kept {
    ciphertexts: Arc<Mutex<Vec<ClientCiphertext>>>,
    reports: Arc<Mutex<Vec<ReportStoredRequest>>>,
}

impl Kept {
    pub(super) fn take(&self, ciphertexts: &[ClientCiphertext]) {
        *self.ciphertexts.lock().unwrap() = ciphertexts.to_vec();
    }

    pub(super) fn ciphertexts(&self, request: &GetClientCiphertextsRequest) -> GetClientCiphertextsResponse {
        let client_ciphertexts = self.ciphertexts.lock().unwrap().clone();
        GetClientCiphertextsResponse { generation: request.generation.max(1), client_ciphertexts }
    }

    pub(super) fn reported(&self, report: ReportStoredRequest) {
        self.reports.lock().unwrap().push(report);
    }

    /// Every report so far.
    pub(in crate::device::tests) fn reports(&self) -> Vec<ReportStoredRequest> {
        self.reports.lock().unwrap().clone()
    }
}
