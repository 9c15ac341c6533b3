//! Registrations: credential id and public key out of a WebAuthn attestation object (level 3, section 6.5).
//!
//! Reads the form only. A registration proves nothing by itself: its attestation statement is not looked at, and the credential's
//! own assertion over the creation intent is what an enclave checks.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error as CborError};
use strongroom_proto::id::sha256;
use strongroom_proto::limits::{CREDENTIAL_ID_BYTES_MAX, CREDENTIAL_KEY_BYTES_MAX};
use strongroom_proto::v1::NewCredential;

use crate::error::{Error, expect_bytes};

/// Longest attestation object in bytes; attestation statements with certificates reach some thousands.
pub const ATTESTATION_OBJECT_BYTES_MAX: usize = 16 * 1024;

/// Deepest nesting that is passed over.
const DEPTH_MAX: usize = 8;
const AT: u8 = 0x40;
const ED: u8 = 0x80;
const PART: &str = "registration";

/// What a registration holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Credential id and `COSE_Key`, as they were written.
    pub credential: NewCredential,
    /// The key's algorithm (COSE): -7 is ES256, -8 `EdDSA`, -257 RS256.
    pub algorithm: i64,
    /// Flags of the authenticator data.
    pub flags: u8,
}

/// Reads an attestation object of a credential for `rp_id`.
///
/// # Errors
/// [`Error::Malformed`] with the rule broken, [`Error::Mismatch`] for another relying party.
pub fn parse(attestation_object: &[u8], rp_id: &str) -> Result<Registration, Error> {
    if attestation_object.len() > ATTESTATION_OBJECT_BYTES_MAX {
        return Err(Error::malformed(PART, format_args!("more than {ATTESTATION_OBJECT_BYTES_MAX} bytes")));
    }
    let data = authenticator_data(attestation_object).map_err(|error| Error::malformed(PART, error))?;
    let short = || Error::malformed(PART, "its authenticator data is cut short");
    let (rp_id_hash, rest) = data.split_first_chunk::<32>().ok_or_else(short)?;
    let ([flags, ..], rest) = rest.split_first_chunk::<5>().ok_or_else(short)?;
    expect_bytes(PART, "relying party", rp_id_hash, sha256(&[rp_id.as_bytes()]))?;
    if flags & AT == 0 {
        return Err(Error::malformed(PART, "its authenticator data has no credential"));
    }
    let (_aaguid, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
    let (id_length, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let id_length = usize::from(u16::from_be_bytes(*id_length));
    if !(1..=CREDENTIAL_ID_BYTES_MAX).contains(&id_length) {
        return Err(Error::malformed(PART, format_args!("its credential id has {id_length} bytes")));
    }
    let (id, rest) = rest.split_at_checked(id_length).ok_or_else(short)?;
    let (public_key, algorithm, rest) = cose_key(rest).map_err(|error| Error::malformed(PART, error))?;
    if public_key.len() > CREDENTIAL_KEY_BYTES_MAX {
        return Err(Error::malformed(PART, format_args!("its key has more than {CREDENTIAL_KEY_BYTES_MAX} bytes")));
    }
    check_extensions(rest, flags & ED != 0).map_err(|error| Error::malformed(PART, error))?;
    let credential = NewCredential { id: id.to_vec(), public_key: public_key.to_vec() };
    Ok(Registration { credential, algorithm, flags: *flags })
}

/// `authData` of {fmt, attStmt, authData}: each once, nothing else, nothing after.
fn authenticator_data(object: &[u8]) -> Result<&[u8], CborError> {
    let mut cbor = Decoder::new(object);
    if definite(cbor.map()?)? != 3 {
        return Err(CborError::message("not a map of fmt, attStmt and authData"));
    }
    let (mut format, mut statement, mut data) = (None, None, None);
    for _ in 0..3 {
        match cbor.str()? {
            "fmt" if format.is_none() => format = Some(cbor.str()?),
            "attStmt" if statement.is_none() => {
                if cbor.datatype()? != Type::Map {
                    return Err(CborError::message("attStmt is no map"));
                }
                statement = Some(pass(&mut cbor, DEPTH_MAX)?);
            }
            "authData" if data.is_none() => data = Some(cbor.bytes()?),
            _ => return Err(CborError::message("a field is unknown or there twice")),
        }
    }
    if cbor.position() != object.len() {
        return Err(CborError::message("bytes follow its end"));
    }
    data.ok_or_else(|| CborError::message("authData is missing"))
}

/// The bytes of a `COSE_Key`, its algorithm, and what follows.
fn cose_key(bytes: &[u8]) -> Result<(&[u8], i64, &[u8]), CborError> {
    let mut cbor = Decoder::new(bytes);
    let mut labels = Vec::new();
    let mut algorithm = None;
    for _ in 0..definite(cbor.map()?)? {
        let label = cbor.i64()?;
        if labels.contains(&label) {
            return Err(CborError::message("the key has a field twice"));
        }
        labels.push(label);
        if label == 3 {
            algorithm = Some(cbor.i64()?);
        } else {
            pass(&mut cbor, DEPTH_MAX)?;
        }
    }
    let algorithm = algorithm.ok_or_else(|| CborError::message("the key names no algorithm"))?;
    let (key, rest) = bytes.split_at(cbor.position());
    Ok((key, algorithm, rest))
}

fn check_extensions(bytes: &[u8], announced: bool) -> Result<(), CborError> {
    if announced {
        let mut cbor = Decoder::new(bytes);
        if cbor.datatype()? != Type::Map {
            return Err(CborError::message("extensions are no map"));
        }
        pass(&mut cbor, DEPTH_MAX)?;
        if cbor.position() == bytes.len() {
            return Ok(());
        }
    } else if bytes.is_empty() {
        return Ok(());
    }
    Err(CborError::message("bytes follow the authenticator data"))
}

/// Passes over one item of definite length, at most `depth` deep.
fn pass(cbor: &mut Decoder<'_>, depth: usize) -> Result<(), CborError> {
    let deeper = || depth.checked_sub(1).ok_or_else(|| CborError::message("nested too deep"));
    match cbor.datatype()? {
        Type::Map => {
            let deeper = deeper()?;
            for _ in 0..definite(cbor.map()?)? {
                pass(cbor, deeper)?;
                pass(cbor, deeper)?;
            }
            Ok(())
        }
        Type::Array => {
            let deeper = deeper()?;
            (0..definite(cbor.array()?)?).try_for_each(|_| pass(cbor, deeper))
        }
        Type::Tag => {
            cbor.tag()?;
            pass(cbor, deeper()?)
        }
        Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef => {
            Err(CborError::message("an item has no definite length"))
        }
        _ => cbor.skip(),
    }
}

fn definite(length: Option<u64>) -> Result<u64, CborError> {
    length.ok_or_else(|| CborError::message("a list has no definite length"))
}

#[cfg(test)]
mod tests;
