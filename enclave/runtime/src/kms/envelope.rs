//! `CiphertextForRecipient`: CMS `EnvelopedData` (RFC 5652) in BER, as KMS answers it, in both shapes.
//!
//! One recipient, RSAES-OAEP with SHA-256 (RFC 8017), AES-256-CBC; anything else is refused. The
//! format is not authenticated: what opens here is genuine only because TLS to KMS ends in the
//! enclave. Everything that depends on the private key fails with one and the same error.

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use strongroom_proto::secret::Secret;
use zeroize::Zeroizing;

use super::KmsError;
use super::ber::{
    CONTEXT_0, CONTEXT_0_CONSTRUCTED, CONTEXT_1_CONSTRUCTED, INTEGER, NULL, OBJECT_IDENTIFIER, OCTET_STRING, Reader,
    SEQUENCE, SET,
};
use super::recipient::RecipientKey;

/// Longest answer that is read, in bytes: the limit of the KMS API.
pub const ENVELOPE_BYTES_MAX: usize = 6144;

/// Longest encrypted content, in bytes. A data key with its padding takes 48.
pub const CONTENT_BYTES_MAX: usize = 256;

/// Most chunks that a constructed content may come in.
const CHUNKS_MAX: usize = 16;

/// Bytes of an RSA-2048 ciphertext.
const ENCRYPTED_KEY_BYTES: usize = 256;

/// Bytes of an AES block.
const BLOCK_BYTES: usize = 16;

/// 1.2.840.113549.1.7.3 (RFC 5652).
const ENVELOPED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
/// 1.2.840.113549.1.7.1 (RFC 5652).
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.1.7 (RFC 8017).
const RSAES_OAEP: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07];
/// 1.2.840.113549.1.1.8 (RFC 8017).
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08];
/// 2.16.840.1.101.3.4.2.1 (RFC 5754).
const SHA_256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// 2.16.840.1.101.3.4.1.42 (RFC 3565).
const AES_256_CBC: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];

/// The one error for whatever involves the private key, so that it says nothing of the reason.
const NOT_OPENED: KmsError = KmsError::BadReply("CMS: does not open");

/// The parts of an answer that was read but not opened.
#[derive(Debug)]
pub struct Envelope<'a> {
    recipient_id: &'a [u8],
    encrypted_key: &'a [u8],
    iv: [u8; BLOCK_BYTES],
    content: Vec<u8>,
}

impl Envelope<'_> {
    /// SHA-256 of the SPKI DER of the key that the answer is for.
    #[must_use]
    pub fn recipient_id(&self) -> &[u8] {
        self.recipient_id
    }

    /// The content key, encrypted with RSAES-OAEP: 256 bytes.
    #[must_use]
    pub fn encrypted_key(&self) -> &[u8] {
        self.encrypted_key
    }

    /// The initialisation vector of AES-256-CBC.
    #[must_use]
    pub fn iv(&self) -> &[u8; BLOCK_BYTES] {
        &self.iv
    }

    /// The encrypted content: a whole number of blocks, at least one.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.content
    }
}

/// Reads an answer and opens it with `key`.
///
/// # Errors
/// [`KmsError::BadReply`]: the form, another recipient, or (in one error) anything that the private key shows.
pub fn open_envelope(ber: &[u8], key: &RecipientKey) -> Result<Secret, KmsError> {
    let envelope = parse(ber)?;
    if envelope.recipient_id != key.id() {
        return Err(KmsError::BadReply("CMS: another recipient"));
    }
    let content_key = key.decrypt(envelope.encrypted_key).ok_or(NOT_OPENED)?;
    let cipher = UnboundCipherKey::new(&AES_256, content_key.expose())
        .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
        .map_err(|_| NOT_OPENED)?;
    // Opened in place, so that the buffer holds the secret even where the padding is refused.
    let mut content = Zeroizing::new(envelope.content);
    let plaintext = cipher
        .decrypt(&mut content, DecryptionContext::Iv128(FixedLength::from(envelope.iv)))
        .map_err(|_| NOT_OPENED)?;
    Ok(Secret::take(plaintext))
}

/// Reads an answer without opening it.
///
/// # Errors
/// [`KmsError::BadReply`] with the name of the part that has another form.
pub fn parse(ber: &[u8]) -> Result<Envelope<'_>, KmsError> {
    if ber.len() > ENVELOPE_BYTES_MAX {
        return Err(KmsError::BadReply("CMS: too long"));
    }
    let mut reader = Reader::new(ber);
    let content_info = reader.open(SEQUENCE)?;
    reader.expect(OBJECT_IDENTIFIER, ENVELOPED_DATA, "CMS: not EnvelopedData")?;
    let explicit = reader.open(CONTEXT_0_CONSTRUCTED)?;
    let enveloped = reader.open(SEQUENCE)?;
    reader.expect(INTEGER, &[2], "CMS: version of EnvelopedData")?;
    let (recipient_id, encrypted_key) = recipient_infos(&mut reader)?;
    let (iv, content) = encrypted_content(&mut reader)?;
    reader.close(&enveloped)?;
    reader.close(&explicit)?;
    reader.close(&content_info)?;
    reader.finish()?;
    Ok(Envelope { recipient_id, encrypted_key, iv, content })
}

/// The SET with exactly one `KeyTransRecipientInfo`: its key identifier and encrypted key.
fn recipient_infos<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), KmsError> {
    let set = reader.open(SET)?;
    let info = reader.open(SEQUENCE)?;
    reader.expect(INTEGER, &[2], "CMS: version of KeyTransRecipientInfo")?;
    let id = reader.primitive(CONTEXT_0)?;
    if id.len() != aws_lc_rs::digest::SHA256_OUTPUT_LEN {
        return Err(KmsError::BadReply("CMS: length of subjectKeyIdentifier"));
    }
    oaep_parameters(reader)?;
    let key = reader.primitive(OCTET_STRING)?;
    if key.len() != ENCRYPTED_KEY_BYTES {
        return Err(KmsError::BadReply("CMS: length of encryptedKey"));
    }
    reader.close(&info)?;
    if !reader.is_at_end(&set) {
        return Err(KmsError::BadReply("CMS: more than one recipient"));
    }
    reader.close(&set)?;
    Ok((id, key))
}

/// RSAES-OAEP with SHA-256, MGF1 with SHA-256, and no label.
fn oaep_parameters(reader: &mut Reader<'_>) -> Result<(), KmsError> {
    let algorithm = reader.open(SEQUENCE)?;
    reader.expect(OBJECT_IDENTIFIER, RSAES_OAEP, "CMS: not RSAES-OAEP")?;
    let parameters = reader.open(SEQUENCE)?;
    let hash = reader.open(CONTEXT_0_CONSTRUCTED)?;
    sha_256(reader)?;
    reader.close(&hash)?;
    let mask = reader.open(CONTEXT_1_CONSTRUCTED)?;
    let mask_algorithm = reader.open(SEQUENCE)?;
    reader.expect(OBJECT_IDENTIFIER, MGF1, "CMS: not MGF1")?;
    sha_256(reader)?;
    reader.close(&mask_algorithm)?;
    reader.close(&mask)?;
    reader.close(&parameters)?;
    reader.close(&algorithm)
}

/// The `AlgorithmIdentifier` of SHA-256, with NULL parameters or none.
fn sha_256(reader: &mut Reader<'_>) -> Result<(), KmsError> {
    let algorithm = reader.open(SEQUENCE)?;
    reader.expect(OBJECT_IDENTIFIER, SHA_256, "CMS: OAEP without SHA-256")?;
    if !reader.is_at_end(&algorithm) {
        reader.expect(NULL, &[], "CMS: parameters of SHA-256")?;
    }
    reader.close(&algorithm)
}

/// `EncryptedContentInfo`: the initialisation vector, and the content from either shape.
fn encrypted_content(reader: &mut Reader<'_>) -> Result<([u8; BLOCK_BYTES], Vec<u8>), KmsError> {
    let info = reader.open(SEQUENCE)?;
    reader.expect(OBJECT_IDENTIFIER, DATA, "CMS: content is not data")?;
    let algorithm = reader.open(SEQUENCE)?;
    reader.expect(OBJECT_IDENTIFIER, AES_256_CBC, "CMS: not AES-256-CBC")?;
    let iv = reader.primitive(OCTET_STRING)?;
    let iv = iv.try_into().map_err(|_| KmsError::BadReply("CMS: length of the IV"))?;
    reader.close(&algorithm)?;
    let content =
        if reader.peek() == Some(CONTEXT_0) { reader.primitive(CONTEXT_0)?.to_vec() } else { chunks(reader)? };
    reader.close(&info)?;
    if content.is_empty() || content.len() > CONTENT_BYTES_MAX || !content.len().is_multiple_of(BLOCK_BYTES) {
        return Err(KmsError::BadReply("CMS: length of the content"));
    }
    Ok((iv, content))
}

/// The constructed shape: primitive OCTET STRINGs, one after the other. Chunks in chunks are refused.
fn chunks(reader: &mut Reader<'_>) -> Result<Vec<u8>, KmsError> {
    let outer = reader.open(CONTEXT_0_CONSTRUCTED)?;
    let mut content = Vec::new();
    for _ in 0..CHUNKS_MAX {
        if reader.is_at_end(&outer) {
            break;
        }
        let chunk = reader.primitive(OCTET_STRING)?;
        if content.len() + chunk.len() > CONTENT_BYTES_MAX {
            return Err(KmsError::BadReply("CMS: length of the content"));
        }
        content.extend_from_slice(chunk);
    }
    reader.close(&outer)?;
    Ok(content)
}

#[cfg(test)]
pub(super) mod tests;
