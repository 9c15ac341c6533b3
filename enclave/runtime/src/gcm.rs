//! AES-256-GCM (NIST SP 800-38D; AEAD 0x0002 of HPKE) of aws-lc, in place of the several times slower one of `hpke`.
//!
//! A key encrypts one message here. It never gives out a byte of a ciphertext whose tag does not hold.

use std::fmt;
use std::sync::Arc;

use aead::inout::InOutBuf;
use aead::{AeadCore, AeadInOut, Error, Key, KeyInit, KeySizeUser, Nonce, Tag, TagPosition};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce as NonceOnce, UnboundKey};
use hpke::hybrid_array::typenum::{U12, U16, U32};

/// The AEAD as the core takes it.
#[derive(Clone, Copy, Debug)]
pub struct Gcm;

impl hpke::aead::Aead for Gcm {
    type AeadImpl = GcmKey;

    const AEAD_ID: u16 = 0x0002;
}

/// A key. aws-lc clears it when it frees it; clones share the one copy.
#[derive(Clone)]
pub struct GcmKey(Arc<LessSafeKey>);

impl fmt::Debug for GcmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GcmKey([redacted])")
    }
}

impl KeySizeUser for GcmKey {
    type KeySize = U32;
}

impl KeyInit for GcmKey {
    fn new(key: &Key<Self>) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes are a key unless memory is exhausted");
        Self(Arc::new(LessSafeKey::new(key)))
    }
}

impl AeadCore for GcmKey {
    type NonceSize = U12;
    type TagSize = U16;

    const TAG_POSITION: TagPosition = TagPosition::Postfix;
}

impl AeadInOut for GcmKey {
    fn encrypt_inout_detached(
        &self,
        nonce: &Nonce<Self>,
        associated_data: &[u8],
        buffer: InOutBuf<'_, '_, u8>,
    ) -> Result<Tag<Self>, Error> {
        let buffer = buffer.into_out_with_copied_in();
        let tag = self.0.seal_in_place_separate_tag(once(nonce), Aad::from(associated_data), buffer);
        let tag = tag.map_err(|_| Error)?;
        Tag::<Self>::try_from(tag.as_ref()).map_err(|_| Error)
    }

    fn decrypt_inout_detached(
        &self,
        nonce: &Nonce<Self>,
        associated_data: &[u8],
        buffer: InOutBuf<'_, '_, u8>,
        tag: &Tag<Self>,
    ) -> Result<(), Error> {
        let buffer = buffer.into_out_with_copied_in();
        let opened = self.0.open_in_place_separate_tag(once(nonce), Aad::from(associated_data), tag, buffer);
        opened.map(drop).map_err(|_| Error)
    }
}

/// HPKE's context counts its messages, so that it gives no nonce twice.
fn once(nonce: &Nonce<GcmKey>) -> NonceOnce {
    NonceOnce::assume_unique_for_key((*nonce).into())
}

#[cfg(test)]
mod tests;
