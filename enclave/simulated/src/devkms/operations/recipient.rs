//! `Recipient`: the attestation document of a call, and the answer that only its enclave can open.

use super::Call;
use crate::devkms::cms::envelope;
use crate::devkms::error::KmsError;
use crate::devkms::request::{ATTESTATION_BYTES_MAX, Recipient, check_length};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use strongroom_attestation::{Genuine, ImagePolicy, Pcrs, Time, verify};

const ALGORITHM: &str = "RSAES_OAEP_SHA_256";

impl Call<'_> {
    /// Verifies the document of a call that has one. The key's policy is asked about its PCRs later.
    pub(super) fn genuine(&self, recipient: Option<&Recipient>) -> Result<Option<Genuine>, KmsError> {
        let Some(recipient) = recipient else {
            return Ok(None);
        };
        if recipient.key_encryption_algorithm != ALGORITHM {
            return Err(KmsError::validation(format!("KeyEncryptionAlgorithm can only be {ALGORITHM}")));
        }
        let document = &recipient.attestation_document.0;
        check_length("AttestationDocument", document.len(), 1, ATTESTATION_BYTES_MAX)?;
        let now = Time::from_unix_ms(self.kms.now_ms());
        verify(document, self.kms.attestation_root(), now)
            .map(Some)
            .map_err(|error| KmsError::validation(format!("AttestationDocument: {error}")))
    }

    /// Puts the plaintext into an answer: encrypted to the recipient where there is one. The caller has
    /// authorized the call with this document's PCRs.
    pub(super) fn answer(
        &self,
        answer: &mut Value,
        plaintext: &[u8],
        recipient: Option<Genuine>,
    ) -> Result<(), KmsError> {
        match recipient {
            None => answer["Plaintext"] = STANDARD.encode(plaintext).into(),
            Some(genuine) => {
                let key = authorized_key(genuine)?;
                let envelope = envelope(&key, plaintext, self.kms.next_shape())?;
                answer["CiphertextForRecipient"] = STANDARD.encode(envelope).into();
            }
        }
        Ok(())
    }
}

/// The public key of a document whose image the key's policy has judged. That policy, not a list of
/// images, is what KMS trusts, so the image policy here is what the document itself says.
fn authorized_key(genuine: Genuine) -> Result<Vec<u8>, KmsError> {
    let image: Pcrs = genuine.pcrs().iter().filter(|(index, _)| **index <= 2).map(|(i, value)| (*i, *value)).collect();
    let attested = ImagePolicy::exact(image).and_then(|policy| genuine.accept(&policy));
    let attested = attested.map_err(|error| KmsError::validation(format!("AttestationDocument: {error}")))?;
    let key = attested.public_key();
    key.map(<[u8]>::to_vec).ok_or_else(|| KmsError::validation("AttestationDocument: it has no public key"))
}
