//! The module's own protocol: CBOR in, CBOR out.

use aws_nitro_enclaves_nsm_api::api::{Digest, ErrorCode, Request, Response};
use strongroom_runtime::nsm::{AttestRequest, Nsm, NsmError};
use strongroom_simulated::SimulatedNsm;

/// Registers of the module.
const PCRS: u16 = 32;

/// Answers one request. What is no request gets `InvalidOperation`, as from the hypervisor.
pub(crate) fn answer(nsm: &SimulatedNsm, request: &[u8]) -> Vec<u8> {
    let response = match serde_cbor::from_slice(request) {
        Ok(request) => carry_out(nsm, request).unwrap_or_else(|error| Response::Error(code(&error))),
        Err(_) => Response::Error(ErrorCode::InvalidOperation),
    };
    serde_cbor::to_vec(&response).unwrap_or_default()
}

fn carry_out(nsm: &SimulatedNsm, request: Request) -> Result<Response, NsmError> {
    Ok(match request {
        Request::GetRandom => Response::GetRandom { random: nsm.random()? },
        Request::ExtendPCR { index, data } => Response::ExtendPCR { data: nsm.extend_pcr(index, &data)? },
        Request::LockPCR { index } => {
            nsm.lock_pcr(index)?;
            Response::LockPCR
        }
        Request::LockPCRs { range } => {
            (0..range).try_for_each(|index| nsm.lock_pcr(index))?;
            Response::LockPCRs
        }
        Request::Attestation { user_data, nonce, public_key } => {
            let request = AttestRequest {
                user_data: user_data.as_ref().map(AsRef::as_ref),
                nonce: nonce.as_ref().map(AsRef::as_ref),
                public_key: public_key.as_ref().map(AsRef::as_ref),
            };
            Response::Attestation { document: nsm.attest(&request)? }
        }
        Request::DescribeNSM => Response::DescribeNSM {
            version_major: 1,
            version_minor: 0,
            version_patch: 0,
            module_id: nsm.module_id().to_owned(),
            max_pcrs: PCRS,
            locked_pcrs: (0..16).collect(),
            digest: Digest::SHA384,
        },
        _ => Response::Error(ErrorCode::InvalidOperation),
    })
}

fn code(error: &NsmError) -> ErrorCode {
    match error {
        NsmError::InvalidArgument => ErrorCode::InvalidArgument,
        NsmError::InvalidIndex => ErrorCode::InvalidIndex,
        NsmError::ReadOnlyIndex => ErrorCode::ReadOnlyIndex,
        NsmError::InvalidOperation => ErrorCode::InvalidOperation,
        NsmError::BufferTooSmall => ErrorCode::BufferTooSmall,
        NsmError::InputTooLarge => ErrorCode::InputTooLarge,
        _ => ErrorCode::InternalError,
    }
}
