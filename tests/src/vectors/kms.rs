//! `CiphertextForRecipient` of AWS KMS: opened where the recipient's key is known, else parsed.

use anyhow::Result;
use serde_json::Value;
use strongroom_runtime::kms::envelope::{open_envelope, parse};
use strongroom_runtime::kms::recipient::RecipientKey;

use super::{Decision, hex_member, text_member};

pub(super) fn decide(vector: &Value) -> Result<Decision> {
    let name = format!("KMS answer, {}", text_member(vector, "shape"));
    let ber = hex_member(vector, "ciphertext_for_recipient")?;
    let (text, expected) = if vector.get("test_recipient_key_pkcs8").is_some() {
        let key = RecipientKey::from_pkcs8(&hex_member(vector, "test_recipient_key_pkcs8")?)?;
        match open_envelope(&ber, &key) {
            Ok(secret) => {
                let same = secret.expose() == hex_member(vector, "plaintext")?;
                let text = if same { "opened to the known plaintext" } else { "opened to other bytes" };
                (text.to_owned(), same)
            }
            Err(error) => (format!("refused: {error}"), false),
        }
    } else {
        match parse(&ber) {
            Ok(envelope) => {
                let same = envelope.encrypted_key() == hex_member(vector, "encrypted_key")?
                    && envelope.iv().as_slice() == hex_member(vector, "iv")?
                    && envelope.content() == hex_member(vector, "encrypted_content")?;
                let text = if same { "parsed to the known parts" } else { "parsed to other parts" };
                (text.to_owned(), same)
            }
            Err(error) => (format!("refused: {error}"), false),
        }
    };
    Ok(Decision { name, text, expected: Some(expected) })
}
