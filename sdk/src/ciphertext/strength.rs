//! Which passwords are too weak, and why: whoever keeps the ciphertext can try as many as he can pay for.
//!
//! The plain rules give the reason in words; `zxcvbn` estimates what they let pass. It makes copies that it does not erase.

use zxcvbn::{Score, zxcvbn};

use crate::error::Error;

/// Fewest characters of a new password.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Longest unit whose repetition is refused without looking further.
const UNIT_CHARS_MAX: usize = 4;
/// Shortest name that a password must not contain: shorter ones are in many words by chance.
const NAME_CHARS_MIN: usize = 4;

/// What everybody who sees the wallet knows, and so tries first.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The wallet's id.
    pub wallet: &'a str,
    /// The backup's id.
    pub backup: &'a str,
    /// The relying party's id.
    pub rp_id: &'a str,
}

/// Refuses a weak password, with the first reason.
pub(super) fn check(password: &str, known: &Known<'_>) -> Result<(), Error> {
    let refuse = |problem: String| Err(Error::input("password", problem));
    let chars: Vec<char> = password.chars().collect();
    if chars.iter().all(|c| c.is_numeric() || is_separator(*c)) {
        return refuse("a PIN or a number: digits alone are guessed in no time".to_owned());
    }
    if let Some(unit) = unit(&chars) {
        return refuse(format!(
            "the same {unit} over and over",
            unit = if unit == 1 { "character" } else { "few characters" }
        ));
    }
    if is_run(&chars) {
        return refuse("characters in a row, as in an alphabet".to_owned());
    }
    if chars.len() < PASSWORD_CHARS_MIN {
        return refuse(format!("has {} characters; at least {PASSWORD_CHARS_MIN} are needed", chars.len()));
    }
    let lower = password.to_lowercase();
    for (what, name) in
        [("wallet's id", known.wallet), ("relying party's id", known.rp_id), ("backup's id", known.backup)]
    {
        if name.chars().count() >= NAME_CHARS_MIN && lower.contains(&name.to_lowercase()) {
            return refuse(format!("contains the {what}, which others know"));
        }
    }
    let mut inputs = vec![known.wallet, known.backup, known.rp_id];
    inputs.extend(known.rp_id.split('.'));
    let estimate = zxcvbn(password, &inputs);
    if estimate.score() >= Score::Three {
        return Ok(());
    }
    let warning =
        estimate.feedback().and_then(zxcvbn::feedback::Feedback::warning).map(|warning| format!(": {warning}"));
    refuse(format!("too easy to guess{}", warning.unwrap_or_default().trim_end_matches('.')))
}

/// What stands between the digits of dates and telephone numbers.
fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | ',' | '/' | ':' | '_' | '+' | '(' | ')')
}

/// How long the unit is whose repetition is the whole.
fn unit(chars: &[char]) -> Option<usize> {
    let repeats = |unit: &usize| chars.len() > *unit && chars.iter().zip(chars.iter().skip(*unit)).all(|(a, b)| a == b);
    (1..=UNIT_CHARS_MAX).find(repeats)
}

/// Each character the next one, or the one before, by its code.
fn is_run(chars: &[char]) -> bool {
    let codes: Vec<i64> = chars.iter().map(|c| i64::from(u32::from(c.to_ascii_lowercase()))).collect();
    let all = |step: i64| codes.iter().zip(codes.iter().skip(1)).all(|(a, b)| b - a == step);
    codes.len() > 2 && (all(1) || all(-1))
}
