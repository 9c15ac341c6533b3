//! clientDataJSON: parsed, never compared with a template, since clients may add members.

use alloc::string::String;

use serde::Deserialize;
use strongroom_proto::v1::Reason;

use super::{Expected, rejected};
use crate::refusal::{Refusal, bad, refuse};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    r#type: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    top_origin: Option<String>,
}

/// Checks type, challenge and origins.
pub(super) fn check(json: &[u8], expected: &Expected<'_>) -> Result<(), Refusal> {
    let malformed = || bad("assertion.client_data_json: not the JSON that WebAuthn defines");
    let text = core::str::from_utf8(json).map_err(|_| malformed())?;
    // The derived reader would take an array of the members too.
    if !text.starts_with('{') {
        return Err(malformed());
    }
    let data: ClientData = serde_json::from_str(text).map_err(|_| malformed())?;
    if data.r#type != "webauthn.get" {
        return Err(rejected("client_data_json.type: not webauthn.get"));
    }
    if data.challenge != base64url(expected.challenge) {
        return Err(rejected("client_data_json.challenge: not the hash of this intent"));
    }
    if !expected.origins.contains(&data.origin) {
        return Err(refuse(Reason::OriginNotAllowed, "client_data_json.origin: not in the statement"));
    }
    check_top_origin(data.cross_origin, data.top_origin.as_ref(), expected.top_origins)
}

fn check_top_origin(cross_origin: bool, top_origin: Option<&String>, listed: &[String]) -> Result<(), Refusal> {
    let refused = |detail| Err(refuse(Reason::OriginNotAllowed, detail));
    match (cross_origin, top_origin) {
        (false, None) => Ok(()),
        (false, Some(_)) => refused("client_data_json.topOrigin: present although not cross-origin"),
        (true, None) => refused("client_data_json.crossOrigin: true without a topOrigin"),
        (true, Some(top)) if listed.contains(top) => Ok(()),
        (true, Some(_)) => refused("client_data_json.topOrigin: not in the statement"),
    }
}

/// RFC 4648, section 5, without padding: the one form that clients write.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::with_capacity(bytes.len().saturating_mul(2));
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte));
        let (bits, digits) = match chunk.len() {
            3 => (bits, 4),
            2 => (bits << 8, 3),
            _ => (bits << 16, 2),
        };
        for shift in [18_u32, 12, 6, 0].into_iter().take(digits) {
            let digit = usize::try_from((bits >> shift) & 63).unwrap_or_default();
            out.extend(ALPHABET.get(digit).map(|byte| char::from(*byte)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::base64url;

    /// RFC 4648, section 10, in the alphabet of section 5.
    #[test]
    fn base64url_is_the_standards() {
        for (bytes, expect) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff, 0xfe], "-__-"),
        ] {
            assert_eq!(base64url(bytes), expect);
        }
    }
}
