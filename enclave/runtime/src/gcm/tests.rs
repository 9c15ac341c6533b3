//! Held against `hpke`'s own AES-256-GCM: both make the same bytes, and both refuse the same.

use aws_lc_rs::rand;
use hpke::aead::{Aead, AesGcm256};

use super::*;

type Plain = <AesGcm256 as Aead>::AeadImpl;

/// Lengths around the ends of blocks, and those of shares.
const LENGTHS: [usize; 9] = [0, 1, 15, 16, 17, 257, 4096, 8300, 256 * 1024];

fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    rand::fill(&mut out).unwrap();
    out
}

fn seal<A: AeadInOut<NonceSize = U12, TagSize = U16>>(
    key: &A,
    nonce: &[u8; 12],
    aad: &[u8],
    plaintext: &[u8],
) -> (Vec<u8>, [u8; 16]) {
    let mut elsewhere = vec![0; plaintext.len()];
    let buffer = InOutBuf::new(plaintext, &mut elsewhere).unwrap();
    let tag = key.encrypt_inout_detached(nonce.into(), aad, buffer).unwrap();
    let mut in_place = plaintext.to_vec();
    let same = key.encrypt_inout_detached(nonce.into(), aad, InOutBuf::from(in_place.as_mut_slice())).unwrap();
    assert_eq!((&elsewhere, tag), (&in_place, same));
    (elsewhere, tag.into())
}

/// The plaintext, in place and elsewhere alike; `None` where it is refused.
fn open<A: AeadInOut<NonceSize = U12, TagSize = U16>>(
    key: &A,
    nonce: &[u8; 12],
    aad: &[u8],
    sealed: &(Vec<u8>, [u8; 16]),
) -> Option<Vec<u8>> {
    let (ciphertext, tag) = sealed;
    let mut elsewhere = vec![0; ciphertext.len()];
    let buffer = InOutBuf::new(ciphertext, &mut elsewhere).unwrap();
    let opened = key.decrypt_inout_detached(nonce.into(), aad, buffer, tag.into());
    let mut in_place = ciphertext.clone();
    let buffer = InOutBuf::from(in_place.as_mut_slice());
    assert_eq!(opened, key.decrypt_inout_detached(nonce.into(), aad, buffer, tag.into()));
    opened.ok().map(|()| {
        assert_eq!(elsewhere, in_place);
        elsewhere
    })
}

#[test]
fn both_make_the_same_bytes_and_open_each_others() {
    for len in LENGTHS {
        let (key, nonce, aad) = (random::<32>(), random::<12>(), random::<21>());
        println!("length {len}: key {}, nonce {}, AAD {}", hex::encode(key), hex::encode(nonce), hex::encode(aad));
        let plaintext: Vec<u8> = random::<32>().iter().copied().cycle().take(len).collect();
        let (fast, plain) = (GcmKey::new(&key.into()), <Plain as KeyInit>::new(&key.into()));
        let sealed = seal(&fast, &nonce, &aad, &plaintext);
        assert_eq!(sealed, seal(&plain, &nonce, &aad, &plaintext));
        assert_eq!(open(&fast, &nonce, &aad, &sealed), Some(plaintext.clone()));
        assert_eq!(open(&plain, &nonce, &aad, &sealed), Some(plaintext));
    }
}

#[test]
fn what_was_changed_opens_with_neither() {
    let (key, nonce, aad, plaintext) = (random::<32>(), random::<12>(), random::<21>(), random::<100>());
    let (fast, plain) = (GcmKey::new(&key.into()), <Plain as KeyInit>::new(&key.into()));
    let sealed = seal(&fast, &nonce, &aad, &plaintext);
    let refused = |nonce: &[u8; 12], aad: &[u8], sealed: &(Vec<u8>, [u8; 16])| {
        assert_eq!((open(&fast, nonce, aad, sealed), open(&plain, nonce, aad, sealed)), (None, None));
    };
    for at in 0..sealed.0.len() {
        let mut changed = sealed.clone();
        changed.0[at] ^= 1;
        refused(&nonce, &aad, &changed);
    }
    for at in 0..sealed.1.len() {
        let mut changed = sealed.clone();
        changed.1[at] ^= 0x80;
        refused(&nonce, &aad, &changed);
    }
    refused(&nonce, &aad[1..], &sealed);
    refused(&nonce, b"", &sealed);
    refused(&random(), &aad, &sealed);
    refused(&nonce, &aad, &(sealed.0[1..].to_vec(), sealed.1));
    let other = GcmKey::new(&random::<32>().into());
    assert_eq!(open(&other, &nonce, &aad, &sealed), None);
}
