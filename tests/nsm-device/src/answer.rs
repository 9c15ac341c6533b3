//! The module's own protocol: CBOR in, CBOR out.

use aws_nitro_enclaves_nsm_api::api::{Digest, ErrorCode, Request, Response};
use strongroom_runtime::nsm::{AttestRequest, Nsm, NsmError};
use strongroom_simulated::SimulatedNsm;

/// Registers of the module.
const PCRS: u16 = 32;

/// Answers one request. What is no request gets `InvalidOperation`, as from the hypervisor.
pub(crate) fn answer(nsm: &SimulatedNsm, request: &[u8]) -> Vec<u8> {
    let response = match minicbor_serde::from_slice(request) {
        Ok(request) => carry_out(nsm, request).unwrap_or_else(|error| Response::Error(code(&error))),
        Err(_) => Response::Error(ErrorCode::InvalidOperation),
    };
    minicbor_serde::to_vec(&response).unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use strongroom_simulated::{Authority, Measurements};

    use super::*;

    fn nsm() -> SimulatedNsm {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(&folder.path().join("authority")).unwrap();
        SimulatedNsm::new(authority, &Measurements::of_bytes(b"image")).unwrap()
    }

    /// Asks with these bytes; gives the answer's first bytes as hex.
    fn check(nsm: &SimulatedNsm, request: &str, expect: &str) {
        let answer = hex::encode(answer(nsm, &hex::decode(request).unwrap()));
        assert!(answer.starts_with(expect), "{request}: {answer}");
    }

    #[test]
    fn requests_are_read_as_the_drivers_library_writes_them_and_nothing_else_is() {
        let nsm = nsm();
        let invalid_operation = format!("a1654572726f72{}", "70496e76616c69644f7065726174696f6e");
        // "GetRandom" as the library's own encoder writes it; a map of one for those with parameters.
        check(&nsm, "6947657452616e646f6d", "a16947657452616e646f6da16672616e646f6d590100");
        check(&nsm, "a1674c6f636b504352a165696e64657810", "674c6f636b504352");
        check(&nsm, "a1674c6f636b504352a165696e646578181f", "674c6f636b504352");
        check(&nsm, "a1674c6f636b504352a165696e6465781820", "a1654572726f726c496e76616c6964496e646578");
        for garbage in [
            "",
            "00",
            "f6",
            "9f",
            "ff",
            "6a47657452616e646f6d",
            "a1",
            "bfff",
            "a1674c6f636b504352a0",
            "9bffffffffffffffff",
        ] {
            check(&nsm, garbage, &invalid_operation);
        }
    }
}
