//! Against the answers of AWS in the vectors folder, byte for byte where nothing is random, and against
//! the enclave's own reader.

use super::*;
use crate::devkms::error::Kind;
use strongroom_runtime::kms::envelope::open_envelope;
use strongroom_runtime::kms::recipient::RecipientKey;

/// The parts of an envelope that differ from call to call, and those that do not.
struct Parts {
    fixed: Vec<Vec<u8>>,
}

/// Cuts an envelope of `content` bytes at its random parts.
fn parts(envelope: &[u8], content: usize) -> Parts {
    // Head, recipient's id, algorithm, encrypted key, content's head, IV, content, end.
    let mut rest = envelope;
    let mut fixed = Vec::new();
    for (keep, skip) in [(20 + 13, 32), (62 + 4, 256), (28, 16)] {
        let (head, tail) = rest.split_at(keep);
        fixed.push(head.to_vec());
        rest = &tail[skip..];
    }
    let constructed = rest[0] == CONTEXT_0_CONSTRUCTED;
    let (head, tail) = rest.split_at(if constructed { 4 } else { 2 });
    fixed.push(head.to_vec());
    fixed.push(tail[content..].to_vec());
    Parts { fixed }
}

/// The vectors' answers with the length of their encrypted content.
fn vectors() -> Vec<(Vec<u8>, Shape, usize)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/kms-recipient/vectors.json");
    let Ok(text) = std::fs::read(path) else {
        assert!(std::env::var_os("CI").is_none(), "no vectors at {path}");
        eprintln!("skipped: no vectors at {path}");
        return Vec::new();
    };
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let all = json["vectors"].as_array().unwrap().iter();
    all.map(|vector| {
        let answer = hex::decode(vector["ciphertext_for_recipient"].as_str().unwrap()).unwrap();
        let primitive = vector["shape"].as_str().unwrap().contains("primitive");
        if primitive { (answer, Shape::Primitive, 16) } else { (answer, Shape::Constructed, 48) }
    })
    .collect()
}

#[test]
fn an_envelope_has_the_bytes_of_a_real_one() {
    let key = RecipientKey::generate().unwrap();
    for (real, shape, content) in vectors() {
        // PKCS #7 padding fills up to the next multiple of 16.
        let ours = envelope(key.spki(), &vec![7; content - 1], shape).unwrap();
        assert_eq!(parts(&ours, content).fixed, parts(&real, content).fixed);
        assert_eq!(ours.len(), real.len());
    }
}

#[test]
fn the_recipient_opens_both_shapes_and_nobody_else_does() {
    let (key, other) = (RecipientKey::generate().unwrap(), RecipientKey::generate().unwrap());
    for shape in [Shape::Constructed, Shape::Primitive] {
        for length in [1, 15, 16, 32] {
            let plaintext = vec![9; length];
            let made = envelope(key.spki(), &plaintext, shape).unwrap();
            assert_eq!(open_envelope(&made, &key).unwrap().expose(), plaintext, "{shape:?} {length}");
            assert!(open_envelope(&made, &other).is_err());
        }
    }
}

#[test]
fn a_long_content_comes_in_chunks() {
    let key = RecipientKey::generate().unwrap();
    let made = envelope(key.spki(), &[9; 1024], Shape::Constructed).unwrap();
    let content = &made[33 + 32 + 66 + 256 + 28 + 16..];
    // 1024 bytes and their padding are 1040: 1000 and 40.
    assert_eq!(content[..6], [0xa0, 0x80, 0x04, 0x82, 0x03, 0xe8]);
    assert_eq!(content[6 + 1000..][..2], [0x04, 40]);
    assert_eq!(content[6 + 1000 + 2 + 40..], [0; 10]);
}

#[test]
fn two_envelopes_share_no_key() {
    let key = RecipientKey::generate().unwrap();
    let (one, two) = (envelope(key.spki(), b"x", Shape::Primitive), envelope(key.spki(), b"x", Shape::Primitive));
    assert_ne!(one.unwrap(), two.unwrap());
}

#[test]
fn a_key_that_is_not_rsa_2048_is_refused() {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rsa::{KeySize, PrivateDecryptingKey};
    let long = PrivateDecryptingKey::generate(KeySize::Rsa3072).unwrap().public_key();
    let long: PublicKeyX509Der<'_> = long.as_der().unwrap();
    let good = RecipientKey::generate().unwrap();
    for spki in [&[][..], b"key", long.as_ref(), &good.spki()[1..], &[good.spki(), &[0]].concat()] {
        assert_eq!(envelope(spki, b"x", Shape::Primitive).unwrap_err().kind, Kind::Validation);
    }
}
