//! The Nitro Secure Module behind `/dev/nsm`, by the vendor's own library.

use aws_nitro_enclaves_nsm_api::api::{ErrorCode, Request, Response};
use aws_nitro_enclaves_nsm_api::driver::{nsm_exit, nsm_init, nsm_process_request};
use strongroom_runtime::nsm::{AttestRequest, Nsm, NsmError};

/// The open device. Its driver serialises calls.
pub(crate) struct DeviceNsm(i32);

impl DeviceNsm {
    /// Opens `/dev/nsm`.
    pub(crate) fn open() -> Result<Self, NsmError> {
        match nsm_init() {
            descriptor if descriptor >= 0 => Ok(Self(descriptor)),
            _ => Err(NsmError::Device("/dev/nsm does not open")),
        }
    }

    fn ask(&self, request: Request) -> Result<Response, NsmError> {
        refuse_error(nsm_process_request(self.0, request))
    }
}

impl Drop for DeviceNsm {
    fn drop(&mut self) {
        nsm_exit(self.0);
    }
}

impl Nsm for DeviceNsm {
    fn random(&self) -> Result<Vec<u8>, NsmError> {
        match self.ask(Request::GetRandom)? {
            Response::GetRandom { random } => Ok(random),
            _ => Err(ANOTHER_ANSWER),
        }
    }

    fn extend_pcr(&self, index: u16, data: &[u8]) -> Result<Vec<u8>, NsmError> {
        match self.ask(Request::ExtendPCR { index, data: data.to_vec() })? {
            Response::ExtendPCR { data } => Ok(data),
            _ => Err(ANOTHER_ANSWER),
        }
    }

    fn lock_pcr(&self, index: u16) -> Result<(), NsmError> {
        match self.ask(Request::LockPCR { index })? {
            Response::LockPCR => Ok(()),
            _ => Err(ANOTHER_ANSWER),
        }
    }

    fn attest(&self, request: &AttestRequest<'_>) -> Result<Vec<u8>, NsmError> {
        let bytes = |field: Option<&[u8]>| field.map(|field| field.to_vec().into());
        let request = Request::Attestation {
            user_data: bytes(request.user_data),
            nonce: bytes(request.nonce),
            public_key: bytes(request.public_key),
        };
        match self.ask(request)? {
            Response::Attestation { document } => Ok(document),
            _ => Err(ANOTHER_ANSWER),
        }
    }
}

/// The device answered something else than it was asked.
const ANOTHER_ANSWER: NsmError = NsmError::Device("answers another call");

fn refuse_error(response: Response) -> Result<Response, NsmError> {
    let Response::Error(code) = response else { return Ok(response) };
    Err(match code {
        ErrorCode::InvalidArgument => NsmError::InvalidArgument,
        ErrorCode::InvalidIndex => NsmError::InvalidIndex,
        ErrorCode::ReadOnlyIndex => NsmError::ReadOnlyIndex,
        ErrorCode::InvalidOperation => NsmError::InvalidOperation,
        ErrorCode::BufferTooSmall => NsmError::BufferTooSmall,
        ErrorCode::InputTooLarge => NsmError::InputTooLarge,
        ErrorCode::InternalError => NsmError::InternalError,
        ErrorCode::InvalidResponse => ANOTHER_ANSWER,
        ErrorCode::Success => NsmError::Device("an error without a code"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_becomes_its_own_error_and_no_error_a_result() {
        for (code, expect) in [
            (ErrorCode::Success, NsmError::Device("an error without a code")),
            (ErrorCode::InvalidArgument, NsmError::InvalidArgument),
            (ErrorCode::InvalidIndex, NsmError::InvalidIndex),
            (ErrorCode::InvalidResponse, ANOTHER_ANSWER),
            (ErrorCode::ReadOnlyIndex, NsmError::ReadOnlyIndex),
            (ErrorCode::InvalidOperation, NsmError::InvalidOperation),
            (ErrorCode::BufferTooSmall, NsmError::BufferTooSmall),
            (ErrorCode::InputTooLarge, NsmError::InputTooLarge),
            (ErrorCode::InternalError, NsmError::InternalError),
        ] {
            assert_eq!(refuse_error(Response::Error(code)).unwrap_err(), expect);
        }
        assert!(refuse_error(Response::LockPCR).is_ok());
    }
}
