//! The floor: the cryptography that a recovery, and the storing of a share, cannot do without, in the fastest code known for each
//! (aws-lc for all of it), on one thread and with nothing around it.
//!
//! What is in it stands in [`Floor::recovery`], [`Floor::recovery_of_both`] and [`Floor::storing`], line by line; parsing, encoding, policy, frames and storage are
//! not. It calls no code of ours, so that it cannot become slower or faster with it.

use std::hint::black_box;

use anyhow::{Result, anyhow, ensure};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};

use super::xwing::{self, Recipient};

/// Bytes of the share that is kept and released.
pub const SHARE_BYTES: usize = 8 * 1024;
/// Bytes of what is around the share in an HPKE message: use, intent hash, record id, generation, pair, lengths.
const AROUND_SHARE_BYTES: usize = 108;
/// Bytes of a record with one credential and one pair.
const RECORD_BYTES: usize = 440;
/// Bytes of a receipt.
const RECEIPT_BYTES: usize = 420;
/// Bytes of an intent.
const INTENT_BYTES: usize = 250;
/// Bytes of an intent that names both roles.
const INTENT_OF_BOTH_BYTES: usize = 300;
/// Bytes before an intent in what the tenant signs.
const TENANT_PREFIX_BYTES: usize = 21;
/// Bytes of clientDataJSON.
const CLIENT_DATA_BYTES: usize = 134;
/// Bytes of authenticator data without extensions (WebAuthn level 3, section 6.1).
const AUTHENTICATOR_DATA_BYTES: usize = 37;
/// Bytes of the AAD of what is sealed at rest, and of the HPKE info.
const AAD_BYTES: usize = 170;

/// Keys and bytes of one recovery.
pub struct Floor {
    passkey: Vec<u8>,
    assertion: Vec<u8>,
    authenticator_data: Vec<u8>,
    client_data: Vec<u8>,
    intent: Vec<u8>,
    intent_of_both: Vec<u8>,
    tenant_key: Vec<u8>,
    /// Of what stands before the intent of both, and that intent.
    tenant_signed: Vec<u8>,
    tenant_signature: Vec<u8>,
    receipt_key: Ed25519KeyPair,
    receipt: Vec<u8>,
    kek: [u8; 32],
    aad: Vec<u8>,
    sealed_record: AtRest,
    sealed_share: AtRest,
    contents: Vec<u8>,
    channel: Recipient,
    recipient: Vec<u8>,
    message: Vec<u8>,
}

/// Bytes sealed at rest.
struct AtRest {
    salt: [u8; 32],
    sealed: Vec<u8>,
}

impl Floor {
    /// New keys, and everything sealed and signed once.
    pub fn new() -> Result<Self> {
        let bytes = |len: usize| -> Result<Vec<u8>> {
            let mut out = vec![0; len];
            rand::fill(&mut out).map_err(broken)?;
            Ok(out)
        };
        let passkey = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(broken)?;
        let (authenticator_data, client_data) = (bytes(AUTHENTICATOR_DATA_BYTES)?, bytes(CLIENT_DATA_BYTES)?);
        let signed = [authenticator_data.as_slice(), digest(&SHA256, &client_data).as_ref()].concat();
        let assertion = passkey.sign(&SystemRandom::new(), &signed).map_err(broken)?;
        let (channel, recipient) = (Recipient::generate().map_err(broken)?, Recipient::generate().map_err(broken)?);
        let (kek, aad) = (rand_array().map_err(broken)?, bytes(AAD_BYTES)?);
        let contents = bytes(SHARE_BYTES + AROUND_SHARE_BYTES)?;
        let message = xwing::seal(&channel.public, &aad, &contents).map_err(broken)?;
        let tenant_key = Ed25519KeyPair::generate().map_err(broken)?;
        let intent_of_both = bytes(INTENT_OF_BOTH_BYTES)?;
        let tenant_signed = [bytes(TENANT_PREFIX_BYTES)?, intent_of_both.clone()].concat();
        let tenant_signature = tenant_key.try_sign(&tenant_signed).map_err(broken)?.as_ref().to_vec();
        Ok(Self {
            intent_of_both,
            tenant_key: tenant_key.public_key().as_ref().to_vec(),
            tenant_signed,
            tenant_signature,
            passkey: passkey.public_key().as_ref().to_vec(),
            assertion: assertion.as_ref().to_vec(),
            authenticator_data,
            client_data,
            intent: bytes(INTENT_BYTES)?,
            receipt_key: Ed25519KeyPair::generate().map_err(broken)?,
            receipt: bytes(RECEIPT_BYTES)?,
            sealed_record: seal_at_rest(&kek, &aad, &bytes(RECORD_BYTES)?).map_err(broken)?,
            sealed_share: seal_at_rest(&kek, &aad, &bytes(SHARE_BYTES)?).map_err(broken)?,
            kek,
            aad,
            contents,
            channel,
            recipient: recipient.public,
            message,
        })
    }

    /// One recovery.
    pub fn recovery(&self) -> Result<()> {
        let done = || {
            black_box(digest(&SHA256, &self.intent));
            self.verify_assertion()?;
            self.release()
        };
        done().map_err(broken)
    }

    /// One recovery of both shares: the release of the client role, and that of the custodian role, whose policy asks for the passkey and
    /// for the tenant. Each role verifies for itself what its own policy asks for.
    pub fn recovery_of_both(&self) -> Result<()> {
        let done = || {
            black_box(digest(&SHA256, &self.intent_of_both));
            self.verify_assertion()?;
            self.release()?;
            black_box(digest(&SHA256, &self.intent_of_both));
            self.verify_assertion()?;
            UnparsedPublicKey::new(&ED25519, &self.tenant_key).verify(&self.tenant_signed, &self.tenant_signature)?;
            self.release()
        };
        done().map_err(broken)
    }

    /// What follows the consents of one role.
    fn release(&self) -> Result<(), Unspecified> {
        let record = self.open_at_rest(&self.sealed_record)?;
        self.open_at_rest(&self.sealed_share)?;
        xwing::seal(&self.recipient, &self.aad, &self.contents)?;
        seal_at_rest(&self.kek, &self.aad, &record)?;
        self.receipt_key.try_sign(&self.receipt)?;
        Ok(())
    }

    /// The storing of one share.
    pub fn storing(&self) -> Result<()> {
        let done = || -> Result<(), Unspecified> {
            black_box(digest(&SHA256, &self.intent));
            black_box(digest(&SHA256, &self.message));
            self.verify_assertion()?;
            let contents = xwing::open(&self.channel, &self.aad, &self.message)?;
            let share = contents.get(AROUND_SHARE_BYTES..).ok_or(Unspecified)?;
            let sealed = seal_at_rest(&self.kek, &self.aad, share)?;
            black_box(digest(&SHA256, &sealed.sealed));
            seal_at_rest(&self.kek, &self.aad, &self.contents[..RECORD_BYTES])?;
            self.receipt_key.try_sign(&self.receipt)?;
            Ok(())
        };
        done().map_err(broken)
    }

    /// Checks that what the floor does is done: a seal that is no seal would be a lower floor.
    pub fn check(&self) -> Result<()> {
        let opened = xwing::open(&self.channel, &self.aad, &self.message).map_err(broken)?;
        ensure!(opened == self.contents, "the floor's X-Wing does not open what it sealed");
        ensure!(
            self.open_at_rest(&self.sealed_share).map_err(broken)?.len() == SHARE_BYTES,
            "a share of another length"
        );
        self.recovery()?;
        self.recovery_of_both()?;
        self.storing()
    }

    fn verify_assertion(&self) -> Result<(), Unspecified> {
        let signed = [self.authenticator_data.as_slice(), digest(&SHA256, &self.client_data).as_ref()].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.passkey).verify(&signed, &self.assertion)
    }

    fn open_at_rest(&self, at_rest: &AtRest) -> Result<Vec<u8>, Unspecified> {
        let mut bytes = at_rest.sealed.clone();
        let key = key_used_once(&self.kek, &at_rest.salt, &self.aad)?;
        let len = key.open_in_place(zero_nonce(), Aad::from(&self.aad), &mut bytes)?.len();
        bytes.truncate(len);
        Ok(bytes)
    }
}

fn seal_at_rest(kek: &[u8], aad: &[u8], plaintext: &[u8]) -> Result<AtRest, Unspecified> {
    let salt = rand_array()?;
    let mut sealed = Vec::with_capacity(plaintext.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(plaintext);
    key_used_once(kek, &salt, aad)?.seal_in_place_append_tag(zero_nonce(), Aad::from(aad), &mut sealed)?;
    Ok(AtRest { salt, sealed })
}

/// HKDF-SHA256 (RFC 5869) of one block, into a key that is used once.
fn key_used_once(kek: &[u8], salt: &[u8], info: &[u8]) -> Result<LessSafeKey, Unspecified> {
    let extracted = hmac_sha256(salt, &[kek]);
    let key = hmac_sha256(extracted.as_ref(), &[info, &[1]]);
    UnboundKey::new(&AES_256_GCM, key.as_ref()).map(LessSafeKey::new)
}

/// HMAC-SHA256 over the concatenation of `parts`.
pub(super) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign()
}

fn rand_array() -> Result<[u8; 32], Unspecified> {
    let mut out = [0; 32];
    rand::fill(&mut out)?;
    Ok(out)
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn broken(_: Unspecified) -> anyhow::Error {
    anyhow!("a step of the floor failed")
}
