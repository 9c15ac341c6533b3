//! `CiphertextBlob`: what a key has wrapped, bound to the key and to the encryption context.
//!
//! Layout: version 1 (1 byte) ‖ key id (16) ‖ nonce (12) ‖ AES-256-GCM ciphertext and tag. The AAD is a
//! prefix, the first 17 bytes, and the encryption context sorted by key, each string with its length.

use super::error::{Kind, KmsError, internal};
use super::keys::{BackingKey, KeyId};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const KEY_ID_END: usize = 17;
const HEADER_BYTES: usize = KEY_ID_END + NONCE_LEN;
const AAD_PREFIX: &[u8] = b"strongroom-devkms/v1/blob\0";

/// Pairs of strings that a call binds to its ciphertext; sorted, so that every order is one context.
pub type EncryptionContext = BTreeMap<String, String>;

/// Wraps `plaintext` under a key.
///
/// # Errors
/// `KMSInternalException` where there is no randomness.
pub fn wrap(id: KeyId, key: &BackingKey, context: &EncryptionContext, plaintext: &[u8]) -> Result<Vec<u8>, KmsError> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_| internal("randomness"))?;
    let mut header = vec![VERSION];
    header.extend(id.as_bytes());
    let aad = aad(&header, context);
    let mut sealed = plaintext.to_vec();
    aes(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed)
        .map_err(|_| internal("AES"))?;
    header.extend(nonce);
    header.extend(sealed);
    Ok(header)
}

/// The key that a blob names.
///
/// # Errors
/// `InvalidCiphertextException` where it is no blob of this service.
pub fn key_id(blob: &[u8]) -> Result<KeyId, KmsError> {
    let (head, _) = blob.split_at_checked(HEADER_BYTES).ok_or_else(invalid)?;
    match head {
        [VERSION, rest @ ..] => KeyId::from_bytes(&rest[..KEY_ID_END - 1]).ok_or_else(invalid),
        _ => Err(invalid()),
    }
}

/// Unwraps a blob.
///
/// # Errors
/// `InvalidCiphertextException` where it is damaged, or of another key or context; one error for all.
pub fn unwrap(key: &BackingKey, context: &EncryptionContext, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let (head, sealed) = blob.split_at_checked(HEADER_BYTES).ok_or_else(invalid)?;
    let (header, nonce) = head.split_at(KEY_ID_END);
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| invalid())?;
    let mut plaintext = Zeroizing::new(sealed.to_vec());
    let length =
        aes(key)?.open_in_place(nonce, Aad::from(aad(header, context)), &mut plaintext).map_err(|_| invalid())?.len();
    plaintext.truncate(length);
    Ok(plaintext)
}

fn invalid() -> KmsError {
    KmsError::new(Kind::InvalidCiphertext, "the ciphertext is damaged, or the encryption context is another one")
}

fn aes(key: &BackingKey) -> Result<LessSafeKey, KmsError> {
    UnboundKey::new(&AES_256_GCM, key.expose()).map(LessSafeKey::new).map_err(|_| internal("AES"))
}

fn aad(header: &[u8], context: &EncryptionContext) -> Vec<u8> {
    let mut aad = [AAD_PREFIX, header].concat();
    for text in context.iter().flat_map(|(key, value)| [key, value]) {
        aad.extend((text.len() as u64).to_be_bytes());
        aad.extend(text.as_bytes());
    }
    aad
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_blob_opens_only_with_its_key_and_context() {
        let (id, key) = (KeyId::generate().unwrap(), BackingKey::generate().unwrap());
        let own = context(&[("tenant", "t"), ("role", "client")]);
        let blob = wrap(id, &key, &own, b"data key").unwrap();
        assert_eq!(key_id(&blob).unwrap(), id);
        assert_eq!(unwrap(&key, &own, &blob).unwrap().as_slice(), b"data key");
        let same = context(&[("role", "client"), ("tenant", "t")]);
        assert!(unwrap(&key, &same, &blob).is_ok(), "the order does not count");
        for other in [
            context(&[]),
            context(&[("tenant", "t")]),
            context(&[("tenant", "t"), ("role", "custodian")]),
            context(&[("tenant", "client"), ("role", "t")]),
            context(&[("tenant", "t"), ("role", "client"), ("more", "")]),
            context(&[("tenan", "tt"), ("role", "client")]),
            context(&[("Tenant", "t"), ("role", "client")]),
        ] {
            assert_eq!(unwrap(&key, &other, &blob).unwrap_err(), invalid());
        }
        assert!(unwrap(&BackingKey::generate().unwrap(), &own, &blob).is_err());
    }

    #[test]
    fn a_damaged_blob_is_refused() {
        let (id, key) = (KeyId::generate().unwrap(), BackingKey::generate().unwrap());
        let own = context(&[("a", "b")]);
        let blob = wrap(id, &key, &own, b"data key").unwrap();
        for position in 0..blob.len() {
            let mut flipped = blob.clone();
            flipped[position] ^= 1;
            assert!(unwrap(&key, &own, &flipped).is_err(), "byte {position}");
            assert!(unwrap(&key, &own, &blob[..position]).is_err(), "{position} bytes");
        }
        assert!(key_id(&[2; 64]).is_err() && key_id(&[]).is_err() && key_id(&blob[..28]).is_err());
    }
}
