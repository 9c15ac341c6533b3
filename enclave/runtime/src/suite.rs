//! The suite of the enclave: X-Wing, AES-256-GCM and Ed25519 over aws-lc, which are several times faster than `hpke`'s and `ring`'s.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use strongroom_core::{Signer, Suite};

use crate::gcm::Gcm;
use crate::xwing::XWing;

/// X-Wing, AES-256-GCM and Ed25519 over aws-lc.
#[derive(Debug)]
pub enum FastSuite {}

impl Suite for FastSuite {
    type Kem = XWing;
    type Aead = Gcm;
    type Signer = ReceiptKey;
}

/// An Ed25519 private key. aws-lc clears it when it frees it.
pub struct ReceiptKey(Ed25519KeyPair);

impl Signer for ReceiptKey {
    fn from_seed(seed: &[u8; 32]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    fn public_key(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.0.sign(message).as_ref());
        out
    }
}

#[cfg(test)]
mod tests {
    use strongroom_core::PlainSuite;

    use super::*;

    /// Ed25519 is deterministic, so both make the same signature.
    #[test]
    fn both_suites_make_the_same_keys_and_signatures() {
        for round in 0..100_u8 {
            let seed = [round; 32];
            let fast = ReceiptKey::from_seed(&seed).unwrap();
            let plain = <PlainSuite as Suite>::Signer::from_seed(&seed).unwrap();
            assert_eq!(fast.public_key(), Signer::public_key(&plain));
            let message = vec![round; usize::from(round) * 7];
            assert_eq!(fast.sign(&message), Signer::sign(&plain, &message));
        }
    }
}
