//! Makes attestation documents byte for byte as the NSM does: field order, header, signature, and
//! either encoding of the map. Decides nothing.

use crate::certificates::Chain;
use crate::pcrs::PCR_BYTES;
use minicbor::Encoder;
use std::collections::BTreeMap;
use strongroom_runtime::nsm::{AttestRequest, NsmError};

/// {1: -35}: ES384.
const ES384_HEADER: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

/// How the payload's map states its length. Both occur in documents of AWS.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MapEncoding {
    /// As documents up to 2024 have it.
    Definite,
    /// As documents of 2026 have it.
    #[default]
    Indefinite,
}

/// What one document says.
pub(crate) struct Content<'a> {
    pub(crate) module_id: &'a str,
    pub(crate) timestamp_ms: u64,
    pub(crate) pcrs: BTreeMap<u8, [u8; PCR_BYTES]>,
    pub(crate) root: &'a [u8],
    pub(crate) request: &'a AttestRequest<'a>,
}

/// Makes and signs a document.
pub(crate) fn make(content: &Content<'_>, chain: &Chain, encoding: MapEncoding) -> Result<Vec<u8>, NsmError> {
    let payload = payload(content, chain, encoding).expect("writing to a Vec cannot fail");
    let signed = signed_bytes(&payload).expect("writing to a Vec cannot fail");
    let signature = chain.sign(&signed).ok_or(NsmError::InternalError)?;
    Ok(sign1(&payload, &signature).expect("writing to a Vec cannot fail"))
}

type Encoded = Result<Vec<u8>, minicbor::encode::Error<core::convert::Infallible>>;

fn payload(content: &Content<'_>, chain: &Chain, encoding: MapEncoding) -> Encoded {
    let mut e = Encoder::new(Vec::with_capacity(8 * 1024));
    match encoding {
        MapEncoding::Definite => e.map(9)?,
        MapEncoding::Indefinite => e.begin_map()?,
    };
    e.str("module_id")?.str(content.module_id)?;
    e.str("digest")?.str("SHA384")?;
    e.str("timestamp")?.u64(content.timestamp_ms)?;
    e.str("pcrs")?.map(content.pcrs.len() as u64)?;
    for (index, value) in &content.pcrs {
        e.u8(*index)?.bytes(value)?;
    }
    e.str("certificate")?.bytes(chain.leaf())?;
    e.str("cabundle")?.array(1 + chain.authorities().len() as u64)?;
    e.bytes(content.root)?;
    for certificate in chain.authorities() {
        e.bytes(certificate)?;
    }
    let request = content.request;
    for (name, field) in
        [("public_key", request.public_key), ("user_data", request.user_data), ("nonce", request.nonce)]
    {
        e.str(name)?;
        match field {
            Some(bytes) => e.bytes(bytes)?,
            None => e.null()?,
        };
    }
    if encoding == MapEncoding::Indefinite {
        e.end()?;
    }
    Ok(e.into_writer())
}

/// `Sig_structure` (RFC 9052, section 4.4).
fn signed_bytes(payload: &[u8]) -> Encoded {
    let mut e = Encoder::new(Vec::with_capacity(payload.len() + 32));
    e.array(4)?.str("Signature1")?.bytes(&ES384_HEADER)?.bytes(&[])?.bytes(payload)?;
    Ok(e.into_writer())
}

/// `COSE_Sign1` without a tag.
fn sign1(payload: &[u8], signature: &[u8]) -> Encoded {
    let mut e = Encoder::new(Vec::with_capacity(payload.len() + signature.len() + 16));
    e.array(4)?.bytes(&ES384_HEADER)?.map(0)?.bytes(payload)?.bytes(signature)?;
    Ok(e.into_writer())
}
