//! The forms of ids, methods and labels.

use crate::limits::{ID_BYTES_MAX, LABEL_BYTES_MAX, METHOD_BYTES_MAX};

/// Whether `id` has the form of a wallet, backup, pair or request id: 1 to 64 bytes of `[A-Za-z0-9._-]`.
#[must_use]
pub fn is_id(id: &str) -> bool {
    within(id, ID_BYTES_MAX) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Whether `method` has the form of a method: 1 to 32 bytes of `[A-Z0-9_-]`.
#[must_use]
pub fn is_method(method: &str) -> bool {
    within(method, METHOD_BYTES_MAX)
        && method.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

/// Whether `label` may be shown to a user: at most 64 bytes, no control character, nothing that turns the order of what is shown.
#[must_use]
pub fn is_label(label: &str) -> bool {
    label.len() <= LABEL_BYTES_MAX && !label.chars().any(|c| c.is_control() || reorders(c))
}

/// Line and paragraph separators, and the bidirectional formatting characters of Unicode Standard Annex 9.
fn reorders(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn within(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_end_at_their_limit() {
        let longest = "a".repeat(ID_BYTES_MAX);
        for (id, expect) in [
            ("w", true),
            ("a.B_9-", true),
            (longest.as_str(), true),
            ("", false),
            ("a/b", false),
            ("a b", false),
            ("\u{e9}", false),
            ("a\0", false),
        ] {
            assert_eq!(is_id(id), expect, "{id:?}");
        }
        assert!(!is_id(&"a".repeat(ID_BYTES_MAX + 1)));
    }

    #[test]
    fn methods_and_labels_end_at_their_limit() {
        for (method, expect) in
            [("PASSKEY", true), ("GDRIVE-ED25519", true), ("passkey", false), ("", false), ("A B", false)]
        {
            assert_eq!(is_method(method), expect, "{method:?}");
        }
        assert!(is_method(&"A".repeat(METHOD_BYTES_MAX)));
        assert!(!is_method(&"A".repeat(METHOD_BYTES_MAX + 1)));
        assert!(is_label("") && is_label("Ann\u{e9}'s phone"));
        assert!(!is_label("a\nb") && !is_label("a\u{202e}b") && !is_label("a\u{2029}b"));
        assert!(is_label(&"a".repeat(LABEL_BYTES_MAX)));
        assert!(!is_label(&"a".repeat(LABEL_BYTES_MAX + 1)));
    }
}
