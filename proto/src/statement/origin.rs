//! The forms of relying party ids and origins, as browsers and Android write them.
//!
//! Origins are compared whole. So one that no browser would ever write is refused here, where it is a mistake that somebody can
//! still see, instead of matching nothing later.

use crate::limits::ORIGIN_BYTES_MAX;

/// Length of a domain's label in bytes (RFC 1035).
const LABEL_BYTES_MAX: usize = 63;

/// SHA-256 in base64url without padding.
const APK_KEY_HASH_BYTES: usize = 43;

/// Whether `rp_id` is a lower-case domain in ASCII (RFC 1035, IDNA already applied) of at most 253 bytes, and no IP address.
#[must_use]
pub fn is_rp_id(rp_id: &str) -> bool {
    rp_id.len() <= ORIGIN_BYTES_MAX
        && rp_id.split('.').all(is_domain_label)
        && !rp_id.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether an assertion may name this origin: a web origin, or an Android app by the hash of its signing certificate.
#[must_use]
pub fn is_origin(origin: &str) -> bool {
    origin.strip_prefix("android:apk-key-hash:").map_or_else(
        || is_web_origin(origin),
        |hash| {
            hash.len() == APK_KEY_HASH_BYTES
                && hash.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        },
    )
}

/// Whether `origin` is `https://HOST[:PORT]` or `http://localhost[:PORT]` of at most 253 bytes, serialised as RFC 6454 has it:
/// lower case, no path, no default port.
#[must_use]
pub fn is_web_origin(origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let (scheme_allows, default_port) = match scheme {
        "https" => (is_rp_id(host), "443"),
        "http" => (host == "localhost", "80"),
        _ => return false,
    };
    origin.len() <= ORIGIN_BYTES_MAX && scheme_allows && port.is_none_or(|port| port != default_port && is_port(port))
}

fn is_domain_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && !port.starts_with('0') && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn rp_ids_are_lower_case_domains() {
        let label = "a".repeat(LABEL_BYTES_MAX);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), ORIGIN_BYTES_MAX);
        for (rp_id, expect) in [
            ("wallet.example", true),
            ("localhost", true),
            ("xn--bcher-kva.example", true),
            (longest.as_str(), true),
            (&format!("{longest}a"), false),
            (&format!("{label}a.example"), false),
            ("", false),
            ("wallet.example.", false),
            (".example", false),
            ("a..b", false),
            ("Wallet.example", false),
            ("-a.example", false),
            ("a-.example", false),
            ("b\u{fc}cher.example", false),
            ("127.0.0.1", false),
            ("wallet.example:443", false),
            ("https://wallet.example", false),
            ("a_b.example", false),
        ] {
            assert_eq!(is_rp_id(rp_id), expect, "{rp_id:?}");
        }
    }

    #[test]
    fn origins_are_as_browsers_write_them() {
        let host = format!("{}.{}.{}.{}", "a".repeat(63), "a".repeat(63), "a".repeat(63), "a".repeat(53));
        let hash = "A".repeat(APK_KEY_HASH_BYTES);
        for (origin, web, any) in [
            ("https://wallet.example", true, true),
            ("https://wallet.example:8443", true, true),
            ("http://localhost", true, true),
            ("http://localhost:5173", true, true),
            ("https://localhost:65535", true, true),
            (&format!("https://{host}"), true, true),
            (&format!("https://{host}a"), false, false),
            (&format!("android:apk-key-hash:{hash}"), false, true),
            (&format!("android:apk-key-hash:{hash}A"), false, false),
            (&format!("android:apk-key-hash:{}=", "A".repeat(42)), false, false),
            ("android:apk-key-hash:", false, false),
            ("", false, false),
            ("https://", false, false),
            ("https://wallet.example/", false, false),
            ("https://wallet.example:443", false, false),
            ("http://localhost:80", false, false),
            ("https://wallet.example:", false, false),
            ("https://wallet.example:0", false, false),
            ("https://wallet.example:08443", false, false),
            ("https://wallet.example:+8443", false, false),
            ("https://wallet.example:65536", false, false),
            ("https://user@wallet.example", false, false),
            ("https://Wallet.example", false, false),
            ("HTTPS://wallet.example", false, false),
            ("http://wallet.example", false, false),
            ("http://localhost.example", false, false),
            ("https://1.2.3.4", false, false),
            ("null", false, false),
            ("wallet.example", false, false),
        ] {
            assert_eq!((is_web_origin(origin), is_origin(origin)), (web, any), "{origin:?}");
        }
    }
}
