//! AWS Signature Version 4, the side that verifies: from a request as it came to the user who signed it.
//!
//! The canonical request, the string to sign and the signing key are those of AWS's documentation for
//! services other than S3. The signature covers the host, every `x-amz-*` header and the body, and is
//! compared in constant time. Knows nothing of what the call asks for.

use super::Place;
use super::authorization::{Authorization, Principal, incomplete};
use super::error::{Kind, KmsError};
use super::users::{AccessKey, Users};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use http::HeaderMap;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use zeroize::Zeroizing;

/// Longest time, either way, between a signature and its arrival.
pub const SKEW_MINUTES_MAX: i64 = 5;

const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// A request as it came. Its path is `/`, the only one that KMS has.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// What follows `?`, as it came.
    pub query: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
}

/// The user who signed the request.
///
/// # Errors
/// `IncompleteSignatureException` where something is not signed that must be,
/// `UnrecognizedClientException` for an unknown access key id or a wrong session token,
/// `ExpiredTokenException`, and `InvalidSignatureException` for all else.
pub fn verify(
    place: &Place,
    users: &Users,
    authorization: &Authorization,
    request: &SignedRequest<'_>,
    now_ms: u64,
) -> Result<Principal, KmsError> {
    check_coverage(authorization, request)?;
    let time = single(request.headers, "x-amz-date")
        .ok_or_else(|| incomplete("Authorization header requires existence of a 'X-Amz-Date' header.".to_owned()))?;
    check_time(authorization, time, now_ms)?;
    let (name, key) = users.get(&authorization.access_key_id).ok_or_else(unrecognized)?;
    let canonical = canonical_request(authorization, request).ok_or_else(mismatch)?;
    let scope = [authorization.date.as_str(), place.region(), "kms", "aws4_request"];
    let to_sign = string_to_sign(scope, time, &canonical);
    let signing_key = signing_key(key.secret_access_key.expose(), scope);
    hmac::verify(&signing_key, to_sign.as_bytes(), &authorization.signature).map_err(|_| mismatch())?;
    check_token(key, request.headers, now_ms)?;
    Ok(Principal::user(place, name))
}

/// What decides about a call must be signed: the host, and every header of AWS's own.
fn check_coverage(authorization: &Authorization, request: &SignedRequest<'_>) -> Result<(), KmsError> {
    let is_signed = |name: &str| authorization.signed_headers.iter().any(|signed| signed == name);
    if !is_signed("host") {
        return Err(incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.".to_owned()));
    }
    let mut names = request.headers.keys().map(http::HeaderName::as_str);
    match names.find(|name| name.starts_with("x-amz-") && !is_signed(name)) {
        Some(name) => Err(incomplete(format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."))),
        None => Ok(()),
    }
}

fn check_time(authorization: &Authorization, text: &str, now_ms: u64) -> Result<(), KmsError> {
    let invalid = |text: String| KmsError::new(Kind::InvalidSignature, text);
    let time = parse_time(text)
        .ok_or_else(|| incomplete(format!("Date must be in ISO-8601 'basic format'. Got {text:?}.")))?;
    let day = &text[..8];
    if authorization.date != day {
        return Err(invalid(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: {:?} != '{day}', from '{text}'.",
            authorization.date
        )));
    }
    let now = i64::try_from(now_ms / 1000).unwrap_or(i64::MAX);
    let skew = SKEW_MINUTES_MAX * 60;
    let show = |seconds: i64| {
        Timestamp::from_second(seconds).map(|time| time.strftime(TIME_FORMAT).to_string()).unwrap_or_default()
    };
    if time < now - skew {
        let (edge, now) = (show(now - skew), show(now));
        return Err(invalid(format!(
            "Signature expired: {text} is now earlier than {edge} ({now} - {SKEW_MINUTES_MAX} min.)"
        )));
    }
    if time > now + skew {
        let (edge, now) = (show(now + skew), show(now));
        return Err(invalid(format!(
            "Signature not yet current: {text} is still later than {edge} ({now} + {SKEW_MINUTES_MAX} min.)"
        )));
    }
    Ok(())
}

/// Seconds since 1970 of `20150830T123600Z`.
fn parse_time(text: &str) -> Option<i64> {
    let is_of_form = text.len() == 16
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    let time = DateTime::strptime(TIME_FORMAT, text).ok().filter(|_| is_of_form)?;
    time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp().as_second())
}

/// A temporary key needs its token, and a lasting one has none.
fn check_token(key: &AccessKey, headers: &HeaderMap, now_ms: u64) -> Result<(), KmsError> {
    let given = single(headers, "x-amz-security-token").unwrap_or_default();
    let wanted = key.session_token.as_ref().map_or("", |token| token.expose());
    if verify_slices_are_equal(given.as_bytes(), wanted.as_bytes()).is_err() {
        return Err(unrecognized());
    }
    if key.expires_at_ms != 0 && key.expires_at_ms <= now_ms {
        let text = "The security token included in the request is expired";
        return Err(KmsError::new(Kind::ExpiredToken, text));
    }
    Ok(())
}

/// Nothing where a signed header is missing, or where the body is not the one that a header announces.
fn canonical_request(authorization: &Authorization, request: &SignedRequest<'_>) -> Option<Vec<u8>> {
    let body_hash = hex::encode(digest(&SHA256, request.body));
    let announced = request.headers.get("x-amz-content-sha256");
    if announced.is_some_and(|announced| announced.as_bytes() != body_hash.as_bytes()) {
        return None;
    }
    let mut canonical = format!("{}\n/\n{}\n", request.method, canonical_query(request.query)).into_bytes();
    for name in &authorization.signed_headers {
        canonical.extend_from_slice(name.as_bytes());
        canonical.push(b':');
        let values = request.headers.get_all(name);
        let values: Vec<Vec<u8>> = values.iter().map(|value| canonical_value(value.as_bytes())).collect();
        if values.is_empty() {
            return None;
        }
        canonical.extend_from_slice(&values.join(&b','));
        canonical.push(b'\n');
    }
    canonical.extend_from_slice(format!("\n{}\n{body_hash}", authorization.signed_headers.join(";")).as_bytes());
    Some(canonical)
}

/// Without spaces at the ends, and with one for several.
fn canonical_value(value: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    words.join(&b' ')
}

/// Sorted by name, then by value, each percent-encoded in the one way that RFC 3986 asks for.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (percent_encode(name), percent_encode(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Encodes what may be encoded already.
fn percent_encode(text: &str) -> String {
    let (mut rest, mut out) = (text.as_bytes(), String::new());
    while let [first, tail @ ..] = rest {
        let decoded = match rest {
            [b'%', high, low, after @ ..] => hex::decode([*high, *low]).ok().map(|bytes| (bytes[0], after)),
            _ => None,
        };
        let (byte, after) = decoded.unwrap_or((*first, tail));
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
        rest = after;
    }
    out
}

fn string_to_sign(scope: [&str; 4], time: &str, canonical: &[u8]) -> String {
    let hash = hex::encode(digest(&SHA256, canonical));
    format!("AWS4-HMAC-SHA256\n{time}\n{}\n{hash}", scope.join("/"))
}

fn signing_key(secret: &str, scope: [&str; 4]) -> hmac::Key {
    let start = Zeroizing::new(format!("AWS4{secret}"));
    let key = hmac::Key::new(HMAC_SHA256, start.as_bytes());
    scope.iter().fold(key, |key, part| hmac::Key::new(HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref()))
}

/// The one value of a header, if there is exactly one.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
}

fn mismatch() -> KmsError {
    let text = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";
    KmsError::new(Kind::InvalidSignature, text)
}

fn unrecognized() -> KmsError {
    KmsError::new(Kind::UnrecognizedClient, "The security token included in the request is invalid.")
}

#[cfg(test)]
pub(super) mod tests;
