//! `CiphertextForRecipient`: CMS `EnvelopedData` (RFC 5652, section 6) byte for byte as AWS KMS writes
//! it, in BER with indefinite lengths and in its two shapes. Only writes.
//!
//! The recipient is named by SHA-256 of its SPKI, gets a new AES-256 key by RSAES-OAEP (SHA-256, MGF1
//! with SHA-256), and the content is AES-256-CBC with PKCS #7 padding. Nothing authenticates it.

use super::error::{KmsError, internal};
use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use zeroize::Zeroizing;

/// Size of a recipient's key, in bits.
const RSA_BITS: usize = 2048;

/// Longest OCTET STRING of a constructed content, in bytes.
const CHUNK_BYTES: usize = 1000;

const AES_KEY_BYTES: usize = 32;

// BER tags.
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0x80;
const CONTEXT_0_CONSTRUCTED: u8 = 0xa0;

/// Object identifier id-envelopedData, with its tag.
const ENVELOPED_DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03];
/// id-data.
const DATA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// id-RSAES-OAEP with its parameters: SHA-256, and MGF1 with SHA-256.
const RSAES_OAEP_SHA256: &[u8] = &[
    0x30, 0x3c, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x07, 0x30, 0x2f, 0xa0, 0x0f, 0x30, 0x0d,
    0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09,
    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
    0x04, 0x02, 0x01, 0x05, 0x00,
];
/// aes256-CBC, without its parameter.
const AES256_CBC: &[u8] = &[0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];

/// How the encrypted content is written. AWS's answers have both.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// `a0 80`, OCTET STRING chunks, end.
    Constructed,
    /// `80`, length, content.
    Primitive,
}

/// Encrypts `plaintext` to the RSA-2048 key `spki` (SPKI DER).
///
/// # Errors
/// `ValidationException` where the key is not RSA-2048.
pub fn envelope(spki: &[u8], plaintext: &[u8], shape: Shape) -> Result<Vec<u8>, KmsError> {
    let key = PublicEncryptingKey::from_der(spki)
        .ok()
        .filter(|key| key.key_size_bits() == RSA_BITS && is_encoding_of(key, spki))
        .and_then(|key| OaepPublicEncryptingKey::new(key).ok())
        .ok_or_else(|| KmsError::validation("the attestation document's public key is not RSA-2048 in SPKI DER"))?;
    let mut content_key = Zeroizing::new([0; AES_KEY_BYTES]);
    SystemRandom::new().fill(&mut content_key[..]).map_err(|_| internal("randomness"))?;
    let mut encrypted_key = vec![0; key.ciphertext_size()];
    let length = key
        .encrypt(&OAEP_SHA256_MGF1SHA256, &content_key[..], &mut encrypted_key, None)
        .map_err(|_| internal("RSA"))?
        .len();
    encrypted_key.truncate(length);
    let (iv, content) = encrypt_content(&content_key[..], plaintext)?;
    Ok(write(digest(&SHA256, spki).as_ref(), &encrypted_key, &iv, &content, shape))
}

/// Whether these are the key's bytes and no more: the library reads past what follows a key.
fn is_encoding_of(key: &PublicEncryptingKey, spki: &[u8]) -> bool {
    key.as_der().is_ok_and(|der: PublicKeyX509Der<'_>| der.as_ref() == spki)
}

fn encrypt_content(key: &[u8], plaintext: &[u8]) -> Result<([u8; 16], Vec<u8>), KmsError> {
    let key = UnboundCipherKey::new(&AES_256, key).and_then(PaddedBlockEncryptingKey::cbc_pkcs7);
    let key = key.map_err(|_| internal("AES"))?;
    let mut content = plaintext.to_vec();
    match key.encrypt(&mut content).map_err(|_| internal("AES"))? {
        DecryptionContext::Iv128(iv) => Ok((*iv.as_ref(), content)),
        _ => Err(internal("AES")),
    }
}

fn write(recipient: &[u8], encrypted_key: &[u8], iv: &[u8; 16], content: &[u8], shape: Shape) -> Vec<u8> {
    let recipient_info = [
        element(INTEGER, &[2]),
        element(CONTEXT_0, recipient),
        RSAES_OAEP_SHA256.to_vec(),
        element(OCTET_STRING, encrypted_key),
    ]
    .concat();
    let algorithm = [AES256_CBC, &element(OCTET_STRING, iv)].concat();
    let content = match shape {
        Shape::Constructed => {
            let chunks: Vec<_> = content.chunks(CHUNK_BYTES).map(|chunk| element(OCTET_STRING, chunk)).collect();
            indefinite(CONTEXT_0_CONSTRUCTED, &chunks.concat())
        }
        Shape::Primitive => element(CONTEXT_0, content),
    };
    let content_info = [DATA, &element(SEQUENCE, &algorithm), &content].concat();
    let enveloped = [
        element(INTEGER, &[2]),
        element(SET, &element(SEQUENCE, &recipient_info)),
        indefinite(SEQUENCE, &content_info),
    ]
    .concat();
    let explicit = indefinite(CONTEXT_0_CONSTRUCTED, &indefinite(SEQUENCE, &enveloped));
    indefinite(SEQUENCE, &[ENVELOPED_DATA, &explicit].concat())
}

/// An element of definite length.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match (content.len(), significant) {
        (0..=0x7f, _) => out.extend(length.last()),
        (_, significant) => {
            let count = u8::try_from(significant.len()).expect("a usize has at most 8 bytes");
            out.push(0x80 | count);
            out.extend(significant);
        }
    }
    out.extend(content);
    out
}

/// An element of indefinite length, with its end of contents.
fn indefinite(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x80], content, &[0, 0]].concat()
}

#[cfg(test)]
mod tests;
