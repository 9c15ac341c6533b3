//! The payload: the map that the NSM signs, as typed values. A field more, less or twice, or a length
//! out of range, is refused. Verifies no signature.

use crate::error::AttestationError;
use crate::time::Time;
use crate::{
    CABUNDLE_CERTIFICATES_MAX, CERTIFICATE_BYTES_MAX, MODULE_ID_BYTES_MAX, PUBLIC_KEY_BYTES_MAX, USER_DATA_BYTES_MAX,
};
use minicbor::Decoder;
use minicbor::data::Type;
use std::collections::BTreeMap;

/// Length of a PCR of SHA-384.
pub(crate) const SHA384_BYTES: usize = 48;

/// The highest PCR.
pub(crate) const PCR_INDEX_MAX: u8 = 31;

/// Value of a PCR: SHA-384.
pub type Pcr = [u8; SHA384_BYTES];

/// The PCRs of a document by index, 0 to 31: only those that are locked.
pub type Pcrs = BTreeMap<u8, Pcr>;

/// What the NSM signed.
#[derive(Debug)]
pub(crate) struct Payload<'a> {
    pub(crate) module_id: &'a str,
    pub(crate) timestamp: Time,
    pub(crate) pcrs: Pcrs,
    pub(crate) certificate: &'a [u8],
    /// The root first, the issuer of `certificate` last; never empty.
    pub(crate) cabundle: Vec<&'a [u8]>,
    pub(crate) public_key: Option<&'a [u8]>,
    pub(crate) user_data: Option<&'a [u8]>,
    pub(crate) nonce: Option<&'a [u8]>,
}

/// A field that may be null.
struct Nullable<'a>(Option<&'a [u8]>);

/// The fields as they come, before it is known that all are there. A null counts as seen, so that a
/// second one is noticed.
#[derive(Default)]
struct Fields<'a> {
    module_id: Option<&'a str>,
    digest: Option<()>,
    timestamp: Option<Time>,
    pcrs: Option<Pcrs>,
    certificate: Option<&'a [u8]>,
    cabundle: Option<Vec<&'a [u8]>>,
    public_key: Option<Nullable<'a>>,
    user_data: Option<Nullable<'a>>,
    nonce: Option<Nullable<'a>>,
}

impl<'a> Payload<'a> {
    /// Reads a payload, its map of definite or indefinite length: both occur.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, AttestationError> {
        let mut d = Decoder::new(bytes);
        let mut fields = Fields::default();
        entries(&mut d, "map of fields", |d| fields.read(d))?;
        match bytes.len() - d.position() {
            0 => fields.complete(),
            bytes => Err(AttestationError::TrailingBytes { part: "payload", bytes }),
        }
    }

    /// The value of a PCR that every document has.
    fn needed_pcr(&self, index: u8) -> Result<&Pcr, AttestationError> {
        self.pcrs.get(&index).ok_or(AttestationError::PcrMissing { index })
    }

    /// The hypervisor zeroes the image's measurements in debug mode, where the parent reads the console.
    pub(crate) fn refuse_debug_mode(&self) -> Result<(), AttestationError> {
        for index in 0..=2 {
            if self.needed_pcr(index)? == &[0; SHA384_BYTES] {
                return Err(AttestationError::DebugMode { index });
            }
        }
        Ok(())
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self, d: &mut Decoder<'a>) -> Result<(), AttestationError> {
        match field(d, "field name", Decoder::str)? {
            "module_id" => set(&mut self.module_id, "module_id", module_id(d)?),
            "digest" => set(&mut self.digest, "digest", digest(d)?),
            "timestamp" => {
                let ms = field(d, "timestamp", Decoder::u64)?;
                set(&mut self.timestamp, "timestamp", Time::from_unix_ms(ms))
            }
            "pcrs" => set(&mut self.pcrs, "pcrs", pcrs(d)?),
            "certificate" => {
                set(&mut self.certificate, "certificate", bytes(d, "certificate", 1, CERTIFICATE_BYTES_MAX)?)
            }
            "cabundle" => set(&mut self.cabundle, "cabundle", cabundle(d)?),
            "public_key" => {
                set(&mut self.public_key, "public_key", nullable_bytes(d, "public_key", 1, PUBLIC_KEY_BYTES_MAX)?)
            }
            "user_data" => {
                set(&mut self.user_data, "user_data", nullable_bytes(d, "user_data", 0, USER_DATA_BYTES_MAX)?)
            }
            "nonce" => set(&mut self.nonce, "nonce", nullable_bytes(d, "nonce", 0, USER_DATA_BYTES_MAX)?),
            name => Err(AttestationError::UnknownField { name: name.chars().take(32).collect() }),
        }
    }

    fn complete(self) -> Result<Payload<'a>, AttestationError> {
        let missing = |field| AttestationError::Missing { field };
        self.digest.ok_or(missing("digest"))?;
        Ok(Payload {
            module_id: self.module_id.ok_or(missing("module_id"))?,
            timestamp: self.timestamp.ok_or(missing("timestamp"))?,
            pcrs: self.pcrs.ok_or(missing("pcrs"))?,
            certificate: self.certificate.ok_or(missing("certificate"))?,
            cabundle: self.cabundle.ok_or(missing("cabundle"))?,
            public_key: self.public_key.and_then(|field| field.0),
            user_data: self.user_data.and_then(|field| field.0),
            nonce: self.nonce.and_then(|field| field.0),
        })
    }
}

fn set<T>(slot: &mut Option<T>, field: &str, value: T) -> Result<(), AttestationError> {
    if slot.replace(value).is_some() {
        return Err(AttestationError::Duplicate { field: field.to_owned() });
    }
    Ok(())
}

fn module_id<'a>(d: &mut Decoder<'a>) -> Result<&'a str, AttestationError> {
    let at = d.position();
    let id = field(d, "module_id", Decoder::str)?;
    check_length("module_id", id.len(), 1, MODULE_ID_BYTES_MAX)?;
    // It is shown to people, so it may not carry control characters.
    if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AttestationError::Malformed { field: "module_id", at });
    }
    Ok(id)
}

fn digest(d: &mut Decoder<'_>) -> Result<(), AttestationError> {
    match field(d, "digest", Decoder::str)? {
        "SHA384" => Ok(()),
        found => Err(AttestationError::Digest { found: found.chars().take(32).collect() }),
    }
}

fn pcrs(d: &mut Decoder<'_>) -> Result<Pcrs, AttestationError> {
    let mut pcrs = Pcrs::new();
    entries(d, "pcrs", |d| {
        let found = field(d, "PCR index", Decoder::u64)?;
        let index = u8::try_from(found)
            .ok()
            .filter(|index| *index <= PCR_INDEX_MAX)
            .ok_or(AttestationError::PcrIndex { index: found })?;
        let value = field(d, "PCR", Decoder::bytes)?;
        let value = Pcr::try_from(value).map_err(|_| AttestationError::PcrLength { index, bytes: value.len() })?;
        match pcrs.insert(index, value) {
            None => Ok(()),
            Some(_) => Err(AttestationError::Duplicate { field: format!("PCR{index}") }),
        }
    })?;
    Ok(pcrs)
}

fn cabundle<'a>(d: &mut Decoder<'a>) -> Result<Vec<&'a [u8]>, AttestationError> {
    let at = d.position();
    let count = field(d, "cabundle", Decoder::array)?.ok_or(AttestationError::Malformed { field: "cabundle", at })?;
    if count == 0 || count > CABUNDLE_CERTIFICATES_MAX as u64 {
        return Err(AttestationError::CabundleLength { found: count });
    }
    (0..count).map(|_| bytes(d, "cabundle certificate", 1, CERTIFICATE_BYTES_MAX)).collect()
}

fn nullable_bytes<'a>(
    d: &mut Decoder<'a>,
    name: &'static str,
    min: usize,
    max: usize,
) -> Result<Nullable<'a>, AttestationError> {
    if d.datatype().is_ok_and(|found| found == Type::Null) {
        field(d, name, Decoder::null)?;
        return Ok(Nullable(None));
    }
    bytes(d, name, min, max).map(|bytes| Nullable(Some(bytes)))
}

fn bytes<'a>(d: &mut Decoder<'a>, name: &'static str, min: usize, max: usize) -> Result<&'a [u8], AttestationError> {
    let value = field(d, name, Decoder::bytes)?;
    check_length(name, value.len(), min, max)?;
    Ok(value)
}

fn check_length(field: &'static str, found: usize, min: usize, max: usize) -> Result<(), AttestationError> {
    if found < min || found > max {
        return Err(AttestationError::FieldLength { field, found, min, max });
    }
    Ok(())
}

/// Reads the entries of a map of definite or indefinite length.
///
/// The count that a map claims is never used to reserve memory, and an entry that is not there ends
/// the loop, so a huge claim costs nothing.
fn entries<'a>(
    d: &mut Decoder<'a>,
    name: &'static str,
    mut entry: impl FnMut(&mut Decoder<'a>) -> Result<(), AttestationError>,
) -> Result<(), AttestationError> {
    if let Some(count) = field(d, name, Decoder::map)? {
        return (0..count).try_for_each(|_| entry(d));
    }
    while field(d, name, |d| d.datatype())? != Type::Break {
        entry(d)?;
    }
    d.set_position(d.position() + 1);
    Ok(())
}

/// Reads one value, and names its field and its place where it cannot be read.
fn field<'a, T>(
    d: &mut Decoder<'a>,
    field: &'static str,
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, minicbor::decode::Error>,
) -> Result<T, AttestationError> {
    let at = d.position();
    read(d).map_err(|_| AttestationError::Malformed { field, at })
}
