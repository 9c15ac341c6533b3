//! The code behind the costliest primitives, chosen by the platform: what they compute is fixed, how fast is not.

use hpke::aead::{Aead, AesGcm256};
use hpke::kem::{Kem, XWing};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// X-Wing, AES-256-GCM and Ed25519 in one of their implementations.
pub trait Suite: 'static {
    /// The KEM of HPKE: X-Wing. Its private key is the 32-byte seed.
    type Kem: Kem<PrivateKey: Send + Sync, PublicKey: Send + Sync>;
    /// The AEAD of HPKE: AES-256-GCM.
    type Aead: Aead;
    /// Signs with an epoch's receipt key.
    type Signer: Signer + Send + Sync;
}

/// An Ed25519 private key (RFC 8032).
pub trait Signer: Sized {
    /// The key of a seed; `None` where the implementation fails.
    fn from_seed(seed: &[u8; 32]) -> Option<Self>;
    /// 32 bytes.
    fn public_key(&self) -> &[u8];
    /// The signature over `message`.
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// The suite as `hpke` and `ring` bring it. Faster ones are held against it.
#[derive(Debug)]
pub enum PlainSuite {}

impl Suite for PlainSuite {
    type Kem = XWing;
    type Aead = AesGcm256;
    type Signer = Ed25519KeyPair;
}

impl Signer for Ed25519KeyPair {
    fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        Self::from_seed_unchecked(seed).ok()
    }

    fn public_key(&self) -> &[u8] {
        KeyPair::public_key(self).as_ref()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(Ed25519KeyPair::sign(self, message).as_ref());
        out
    }
}
