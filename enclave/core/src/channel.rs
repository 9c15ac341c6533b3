//! HPKE (RFC 9180, base mode): opening what was sealed to the channel key, sealing releases to a recipient.

use alloc::vec::Vec;
use core::convert::Infallible;

use hpke::inout::InOutBuf;
use hpke::kdf::HkdfSha256;
use hpke::kem::Kem;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use strongroom_proto::id::RecordId;
use strongroom_proto::limits::ENCAPSULATED_KEY_BYTES;
use strongroom_proto::seal::{Direction, hpke_info};
use strongroom_proto::secret::SecretBuffer;

use crate::kek::Kek;
use crate::platform::{Platform, Unavailable};
use crate::suite::Suite;

/// Bytes of the tag of AES-256-GCM.
const TAG_BYTES: usize = 16;

/// A message does not open: for another enclave, tenant, epoch or record, or altered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct NotForUs;

/// A recipient's key that is one of the KEM.
pub(crate) struct Recipient<S: Suite>(<S::Kem as Kem>::PublicKey);

impl<S: Suite> Recipient<S> {
    /// `None` where the bytes are not a public key of the KEM.
    pub(crate) fn parse(public_key: &[u8]) -> Option<Self> {
        <S::Kem as Kem>::PublicKey::from_bytes(public_key).ok().map(Self)
    }
}

/// Opens a message to this enclave about one record.
pub(crate) fn open<S: Suite>(kek: &Kek<S>, record_id: &RecordId, message: &[u8]) -> Result<SecretBuffer, NotForUs> {
    let (encapsulated, ciphertext) = message.split_at_checked(ENCAPSULATED_KEY_BYTES).ok_or(NotForUs)?;
    let encapsulated = <S::Kem as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| NotForUs)?;
    let info = info(Direction::Request, kek, record_id);
    hpke::single_shot_open::<S::Aead, HkdfSha256, S::Kem>(
        &OpModeR::Base,
        &kek.channel,
        &encapsulated,
        &info,
        ciphertext,
        b"",
    )
    .map(SecretBuffer::new)
    .map_err(|_| NotForUs)
}

/// Seals a release of one record to its recipient.
pub(crate) fn seal<P: Platform>(
    platform: &P,
    kek: &Kek<P::Suite>,
    record_id: &RecordId,
    recipient: &Recipient<P::Suite>,
    plaintext: &[u8],
) -> Result<Vec<u8>, Unavailable> {
    let info = info(Direction::Release, kek, record_id);
    let mut random = PlatformRandom { platform, failed: None };
    // Erased where sealing fails: until then it holds the plaintext.
    let mut out = SecretBuffer::new(Vec::with_capacity(message_len(plaintext)));
    out.resize(ENCAPSULATED_KEY_BYTES, 0);
    out.extend_from_slice(plaintext);
    let (head, body) = out.split_at_mut(ENCAPSULATED_KEY_BYTES);
    let sealed = hpke::single_shot_seal_inout_detached_with_rng::<
        <P::Suite as Suite>::Aead,
        HkdfSha256,
        <P::Suite as Suite>::Kem,
    >(&OpModeS::Base, &recipient.0, &info, InOutBuf::from(body), b"", &mut random);
    if let Some(missing) = random.failed {
        return Err(missing);
    }
    let (encapsulated, tag) = sealed.map_err(|_| Unavailable("sealing failed"))?;
    encapsulated.write_exact(head);
    out.extend_from_slice(&tag.to_bytes());
    Ok(out.into_public())
}

/// Room for the whole message, so that no plaintext is left behind in a buffer that grew.
fn message_len(plaintext: &[u8]) -> usize {
    plaintext.len().saturating_add(ENCAPSULATED_KEY_BYTES).saturating_add(TAG_BYTES)
}

fn info<S: Suite>(direction: Direction, kek: &Kek<S>, record_id: &RecordId) -> Vec<u8> {
    hpke_info(direction, kek.context.role, &kek.context.tenant, &kek.id, record_id)
}

/// The platform's randomness for `hpke`, which takes no error: a failure is remembered here, and what was sealed meanwhile is
/// dropped by the caller.
struct PlatformRandom<'a, P> {
    platform: &'a P,
    failed: Option<Unavailable>,
}

impl<P: Platform> TryRng for PlatformRandom<'_, P> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        if let Err(missing) = self.platform.random(out) {
            self.failed = Some(missing);
        }
        Ok(())
    }
}

impl<P: Platform> TryCryptoRng for PlatformRandom<'_, P> {}
