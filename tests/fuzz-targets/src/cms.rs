//! `cms`: any bytes, as an answer of KMS. What is read is what a simple reader finds, and what opens is what was encrypted in just those
//! bytes. CBC is not authenticated, so other content gives another key: that this cannot be KMS's doing is TLS's to ensure.

use std::sync::LazyLock;

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use strongroom_runtime::kms::envelope::{CONTENT_BYTES_MAX, Envelope, open_envelope, parse};
use strongroom_runtime::kms::recipient::RecipientKey;

use crate::ber::{self, Element};

static KEY: LazyLock<RecipientKey> = LazyLock::new(|| RecipientKey::generate().expect("a key"));

const CONTENT_KEY: [u8; 32] = [3; 32];

/// The content key, encrypted to [`KEY`].
static ENCRYPTED_KEY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let public = PublicEncryptingKey::from_der(KEY.spki()).and_then(|key| Ok(OaepPublicEncryptingKey::new(key)?));
    let mut out = vec![0; 256];
    let public = public.expect("the key's own form");
    public.encrypt(&OAEP_SHA256_MGF1SHA256, &CONTENT_KEY, &mut out, None).expect("32 bytes fit");
    out
});

/// Where the parts of an answer stand, from the outside in.
const RECIPIENT_ID: &[usize] = &[1, 0, 1, 0, 1];
const KEY_BYTES: &[usize] = &[1, 0, 1, 0, 3];
const IV: &[usize] = &[1, 0, 2, 1, 1];
const CONTENT: &[usize] = &[1, 0, 2, 2];

/// One answer.
pub(crate) fn run(answer: &[u8]) {
    assert!(open_envelope(answer, &KEY).is_err(), "an answer to somebody else opens");
    let Ok(envelope) = parse(answer) else { return };
    let tree = ber::whole(answer).expect("BER");
    let part = |path| tree.at(path).map(Element::joined).expect("the part is there");
    let (iv, content) = (part(IV), part(CONTENT));
    assert_eq!(part(RECIPIENT_ID), envelope.recipient_id());
    assert_eq!(part(KEY_BYTES), envelope.encrypted_key());
    assert_eq!((iv.as_slice(), content.as_slice()), (&envelope.iv()[..], envelope.content()));
    assert!(content.len() <= CONTENT_BYTES_MAX);
    let opened = open_envelope(&to_us(answer, &envelope), &KEY).ok();
    let opened = opened.map(|secret| secret.expose().to_vec());
    assert_eq!(opened, decrypt(&iv, &content), "another key than the one that was encrypted");
}

/// The answer with our key's id and our encrypted key in place of what is there, of the same lengths.
fn to_us(answer: &[u8], envelope: &Envelope<'_>) -> Vec<u8> {
    let mut out = answer.to_vec();
    for (part, ours) in [(envelope.recipient_id(), KEY.id()), (envelope.encrypted_key(), &ENCRYPTED_KEY)] {
        let at = part.as_ptr().addr() - answer.as_ptr().addr();
        out[at..at + ours.len()].copy_from_slice(ours);
    }
    out
}

/// AES-256-CBC, and PKCS#7's padding taken off by hand.
fn decrypt(iv: &[u8], content: &[u8]) -> Option<Vec<u8>> {
    let key = DecryptingKey::cbc(UnboundCipherKey::new(&AES_256, &CONTENT_KEY).ok()?).ok()?;
    let iv: [u8; 16] = iv.try_into().ok()?;
    let mut content = content.to_vec();
    let plaintext = key.decrypt(&mut content, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?;
    let padding = *plaintext.last()?;
    let len = plaintext.len().checked_sub(padding.into())?;
    let (plaintext, tail) = plaintext.split_at(len);
    ((1..=16).contains(&padding) && tail.iter().all(|byte| *byte == padding)).then(|| plaintext.to_vec())
}
