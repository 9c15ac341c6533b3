//! The three things of a certificate that `webpki` does not hand out: its validity, its key usage and
//! its key. Verifies nothing; `chain` gives the same bytes to `webpki`, which is strict about the rest.

use crate::time::{Time, Window};

const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

/// id-ce-keyUsage, 2.5.29.15.
const KEY_USAGE_OID: [u8; 3] = [0x55, 0x1d, 0x0f];

/// First byte of a key usage (RFC 5280, section 4.2.1.3): `digitalSignature` is bit 0.
const DIGITAL_SIGNATURE: u8 = 0x80;
/// `keyCertSign` is bit 5.
const KEY_CERT_SIGN: u8 = 0x04;

/// Start of every P-384 `SubjectPublicKeyInfo` with an uncompressed point; 97 bytes follow.
const P384_SPKI_START: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22, 0x03, 0x62, 0x00,
];

/// What is needed of a certificate.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) window: Window,
    /// First byte of the key usage; 0 where there is none.
    key_usage: u8,
}

impl Facts {
    /// Reads a certificate; an error names the part that is malformed.
    pub(crate) fn read(der: &[u8]) -> Result<Self, &'static str> {
        let mut outer = Der(der);
        let mut certificate = Der(outer.take(SEQUENCE).ok_or("the certificate")?);
        let mut tbs = Der(certificate.take(SEQUENCE).ok_or("the signed part")?);
        for (tag, part) in [
            (VERSION, "the version"),
            (INTEGER, "the serial number"),
            (SEQUENCE, "the algorithm"),
            (SEQUENCE, "the issuer"),
        ] {
            tbs.take(tag).ok_or(part)?;
        }
        let mut validity = Der(tbs.take(SEQUENCE).ok_or("the validity")?);
        let window = Window {
            not_before: validity.time().ok_or("the validity")?,
            not_after: validity.time().ok_or("the validity")?,
        };
        tbs.take(SEQUENCE).ok_or("the subject")?;
        tbs.take(SEQUENCE).ok_or("the key")?;
        let mut tagged = Der(tbs.take(EXTENSIONS).ok_or("the extensions")?);
        let extensions = Der(tagged.take(SEQUENCE).ok_or("the extensions")?);
        let key_usage = key_usage(extensions).ok_or("the key usage")?;
        Ok(Self { window, key_usage })
    }

    pub(crate) fn may_sign_certificates(&self) -> bool {
        self.key_usage & KEY_CERT_SIGN != 0
    }

    pub(crate) fn may_sign_documents(&self) -> bool {
        self.key_usage & DIGITAL_SIGNATURE != 0
    }
}

/// The uncompressed point of a P-384 `SubjectPublicKeyInfo`, 97 bytes.
pub(crate) fn p384_point(spki: &[u8]) -> Option<&[u8]> {
    spki.strip_prefix(&P384_SPKI_START).filter(|point| point.len() == 97)
}

/// The first byte of the key usage, 0 where there is none.
fn key_usage(mut extensions: Der<'_>) -> Option<u8> {
    while !extensions.0.is_empty() {
        let mut extension = Der(extensions.take(SEQUENCE)?);
        let id = extension.take(OID)?;
        if id != KEY_USAGE_OID {
            continue;
        }
        // `critical` is left out where it is false.
        let _ = extension.take(BOOLEAN);
        let bits = Der(extension.take(OCTET_STRING)?).take(BIT_STRING)?;
        // The first byte counts the unused bits of the last.
        return bits.get(1).copied();
    }
    Some(0)
}

/// The rest of some DER. Reads forward only.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next element if it has this tag; else nothing is consumed.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&found, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => {
                let (&byte, rest) = rest.split_first()?;
                (usize::from(byte), rest)
            }
            0x82 => {
                let (bytes, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*bytes)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        if found != tag {
            return None;
        }
        self.0 = rest;
        Some(content)
    }

    /// A `UTCTime` (years 1950 to 2049) or `GeneralizedTime`.
    fn time(&mut self) -> Option<Time> {
        if let Some(text) = self.take(UTC_TIME) {
            let (year, rest) = text.split_at_checked(2)?;
            let year = decimal(year)?;
            return Time::from_x509(year + if year < 50 { 2000 } else { 1900 }, rest);
        }
        let (year, rest) = self.take(GENERALIZED_TIME)?.split_at_checked(4)?;
        Time::from_x509(decimal(year)?, rest)
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + u64::from(digit - b'0')))
}
