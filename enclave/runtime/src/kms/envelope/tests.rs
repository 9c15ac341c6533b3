use std::sync::LazyLock;

use aws_lc_rs::cipher::{EncryptionContext, PaddedBlockEncryptingKey};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};

use super::*;
use keep::keep;

#[path = "../../../../../tests/fuzz-targets/src/keep.rs"]
mod keep;

static KEY: LazyLock<RecipientKey> = LazyLock::new(|| RecipientKey::generate().unwrap());
static OTHER: LazyLock<RecipientKey> = LazyLock::new(|| RecipientKey::generate().unwrap());

const IV: [u8; 16] = [9; 16];

/// Whether the outer elements have definite lengths, and in which shape the content comes.
#[derive(Clone, Copy)]
enum Shape {
    Definite,
    Primitive,
    Chunks(usize),
}

fn definite(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match content.len() {
        n @ 0..=0x7f => out.push(u8::try_from(n).unwrap()),
        n => out.extend([&[0x82][..], &u16::try_from(n).unwrap().to_be_bytes()].concat()),
    }
    [out, content].concat()
}

fn indefinite(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[tag, 0x80], parts.concat().as_slice(), &[0, 0]].concat()
}

fn oaep() -> Vec<u8> {
    let sha = definite(0x30, &[&definite(6, &[SHA_256]), &[5, 0]]);
    let mask = definite(0x30, &[&definite(6, &[MGF1]), &sha]);
    let parameters = definite(0x30, &[&definite(0xa0, &[&sha]), &definite(0xa1, &[&mask])]);
    definite(0x30, &[&definite(6, &[RSAES_OAEP]), &parameters])
}

fn recipient(id: &[u8], encrypted_key: &[u8]) -> Vec<u8> {
    definite(0x30, &[&[2, 1, 2], &definite(0x80, &[id]), &oaep(), &definite(4, &[encrypted_key])])
}

/// An answer from its parts.
fn envelope(shape: Shape, recipients: &[u8], iv: &[u8], content: &[u8]) -> Vec<u8> {
    let outer = if matches!(shape, Shape::Definite) { definite } else { indefinite };
    let content = match shape {
        Shape::Chunks(size) => {
            let chunks: Vec<u8> = content.chunks(size).flat_map(|chunk| definite(4, &[chunk])).collect();
            outer(0xa0, &[&chunks])
        }
        _ => definite(0x80, &[content]),
    };
    let algorithm = definite(0x30, &[&definite(6, &[AES_256_CBC]), &definite(4, &[iv])]);
    let content_info = outer(0x30, &[&definite(6, &[DATA]), &algorithm, &content]);
    let enveloped = outer(0x30, &[&[2, 1, 2], &definite(0x31, &[recipients]), &content_info]);
    let whole = outer(0x30, &[&definite(6, &[ENVELOPED_DATA]), &outer(0xa0, &[&enveloped])]);
    keep("cms", &whole);
    whole
}

fn encrypt_key(spki: &[u8], content_key: &[u8]) -> Vec<u8> {
    let public = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(spki).unwrap()).unwrap();
    let mut out = vec![0; 256];
    let length = public.encrypt(&OAEP_SHA256_MGF1SHA256, content_key, &mut out, None).unwrap().len();
    out.truncate(length);
    out
}

/// AES-256-CBC with PKCS#7 padding.
fn encrypt_content(content_key: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, content_key).unwrap()).unwrap();
    let mut content = plaintext.to_vec();
    cipher.less_safe_encrypt(&mut content, EncryptionContext::Iv128(FixedLength::from(IV))).unwrap();
    content
}

/// A well-formed answer to `to`.
fn seal(shape: Shape, to: &RecipientKey, plaintext: &[u8]) -> Vec<u8> {
    seal_to(shape, to.spki(), plaintext)
}

fn seal_to(shape: Shape, spki: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let id = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, spki);
    let recipients = recipient(id.as_ref(), &encrypt_key(spki, &[3; 32]));
    envelope(shape, &recipients, &IV, &encrypt_content(&[3; 32], plaintext))
}

/// What KMS would answer to the recipient with this public key.
pub(in crate::kms) fn answer_to(spki: &[u8], plaintext: &[u8]) -> Vec<u8> {
    seal_to(Shape::Chunks(16), spki, plaintext)
}

/// The same for that recipient and a second one.
pub(in crate::kms) fn answer_to_both(spki: &[u8], second: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let of = |spki: &[u8]| {
        let id = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, spki);
        recipient(id.as_ref(), &encrypt_key(spki, &[3; 32]))
    };
    envelope(Shape::Chunks(16), &[of(spki), of(second)].concat(), &IV, &encrypt_content(&[3; 32], plaintext))
}

fn check(ber: &[u8], expect: Result<&[u8], &'static str>) {
    let opened = open_envelope(ber, &KEY).map(|secret| secret.expose().to_vec());
    assert_eq!(opened, expect.map(<[u8]>::to_vec).map_err(KmsError::BadReply));
}

#[test]
fn both_shapes_open_with_definite_and_indefinite_lengths() {
    for shape in [Shape::Definite, Shape::Primitive, Shape::Chunks(48), Shape::Chunks(16), Shape::Chunks(5)] {
        check(&seal(shape, &KEY, &[7; 32]), Ok(&[7; 32]));
    }
    check(&seal(Shape::Primitive, &KEY, &[]), Ok(&[]));
    check(&seal(Shape::Primitive, &KEY, &[7; CONTENT_BYTES_MAX - 1]), Ok(&[7; CONTENT_BYTES_MAX - 1]));
}

#[test]
fn what_depends_on_the_private_key_fails_with_one_error() {
    let content = encrypt_content(&[3; 32], &[7; 32]);
    let good = encrypt_key(KEY.spki(), &[3; 32]);
    let with = |key: &[u8], content: &[u8]| envelope(Shape::Primitive, &recipient(KEY.id(), key), &IV, content);
    check(&with(&good, &content), Ok(&[7; 32]));
    check(&with(&encrypt_key(OTHER.spki(), &[3; 32]), &content), Err("CMS: does not open"));
    check(&with(&encrypt_key(KEY.spki(), &[3; 16]), &content), Err("CMS: does not open"));
    check(&with(&encrypt_key(KEY.spki(), &[]), &content), Err("CMS: does not open"));
    check(&with(&[0xff; 256], &content), Err("CMS: does not open"));
    check(&with(&[0; 256], &content), Err("CMS: does not open"));
    // Cut before the padding: the last block then ends with a byte that no padding has.
    check(&with(&good, &encrypt_content(&[3; 32], &[0x55; 32])[..32]), Err("CMS: does not open"));
    check(&with(&encrypt_key(KEY.spki(), &[4; 32]), &content), Err("CMS: does not open"));
}

#[test]
fn another_recipient_and_more_than_one_are_refused() {
    check(&seal(Shape::Primitive, &OTHER, &[7; 32]), Err("CMS: another recipient"));
    let content = encrypt_content(&[3; 32], &[7; 32]);
    let one = recipient(KEY.id(), &encrypt_key(KEY.spki(), &[3; 32]));
    let of = |recipients: &[u8]| envelope(Shape::Chunks(16), recipients, &IV, &content);
    check(&of(&one), Ok(&[7; 32]));
    check(&of(&[one.clone(), one.clone()].concat()), Err("CMS: more than one recipient"));
    check(&of(&[]), Err("BER: truncated"));
}

#[test]
fn lengths_hold_at_their_limits() {
    let key = [1; 256];
    let of =
        |id: &[u8], key: &[u8], iv: &[u8], content: &[u8]| envelope(Shape::Primitive, &recipient(id, key), iv, content);
    let check =
        |ber: Vec<u8>, expect: Option<&'static str>| assert_eq!(parse(&ber).err(), expect.map(KmsError::BadReply));
    check(of(&[1; 32], &key, &IV, &[0; CONTENT_BYTES_MAX]), None);
    check(of(&[1; 32], &key, &IV, &[0; CONTENT_BYTES_MAX + 16]), Some("CMS: length of the content"));
    check(of(&[1; 32], &key, &IV, &[0; 47]), Some("CMS: length of the content"));
    check(of(&[1; 32], &key, &IV, &[]), Some("CMS: length of the content"));
    check(of(&[1; 31], &key, &IV, &[0; 48]), Some("CMS: length of subjectKeyIdentifier"));
    check(of(&[1; 33], &key, &IV, &[0; 48]), Some("CMS: length of subjectKeyIdentifier"));
    check(of(&[1; 32], &key[1..], &IV, &[0; 48]), Some("CMS: length of encryptedKey"));
    check(of(&[1; 32], &[1; 257], &IV, &[0; 48]), Some("CMS: length of encryptedKey"));
    check(of(&[1; 32], &key, &IV[1..], &[0; 48]), Some("CMS: length of the IV"));
    check(of(&[1; 32], &key, &[9; 17], &[0; 48]), Some("CMS: length of the IV"));
    check(vec![0x30; ENVELOPE_BYTES_MAX + 1], Some("CMS: too long"));
    check(vec![0x30; ENVELOPE_BYTES_MAX], Some("BER: unexpected tag"));
}

#[test]
fn chunks_have_a_limit_and_are_never_nested() {
    let chunked = |size, content: &[u8]| envelope(Shape::Chunks(size), &recipient(&[1; 32], &[1; 256]), &IV, content);
    assert!(parse(&chunked(1, &[0; CHUNKS_MAX])).is_ok());
    assert_eq!(parse(&chunked(1, &[0; 32])).unwrap_err(), KmsError::BadReply("BER: bytes left in an element"));
    assert_eq!(parse(&chunked(256, &[0; 272])).unwrap_err(), KmsError::BadReply("CMS: length of the content"));
    let whole = chunked(16, &[0; 48]);
    let at = whole.windows(4).rposition(|bytes| bytes == [0xa0, 0x80, 4, 16]).unwrap();
    let mut nested = whole;
    nested[at + 2] = 0x24;
    assert_eq!(parse(&nested).unwrap_err(), KmsError::BadReply("BER: unexpected tag"));
}

#[test]
fn nested_bombs_end_at_the_first_wrong_element() {
    for bomb in [
        [0x30, 0x80].repeat(3000),
        [0xa0, 0x80].repeat(3000),
        [0x24, 0x80].repeat(3000),
        vec![0; 6144],
        vec![0xff; 6144],
    ] {
        assert!(parse(&bomb).is_err());
    }
    let prefix = [&[0x30, 0x80][..], &definite(6, &[ENVELOPED_DATA])].concat();
    let deep = [prefix, [0xa0, 0x80].repeat(3100)].concat();
    assert!(parse(&deep[..6144]).is_err());
}

#[test]
fn every_truncation_and_trailing_bytes_are_refused() {
    for shape in [Shape::Definite, Shape::Primitive, Shape::Chunks(16)] {
        let whole = seal(shape, &KEY, &[7; 32]);
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "cut at {end}");
        }
        for tail in [&[0][..], &[0, 0], &[0x30, 0]] {
            assert_eq!(parse(&[&whole, tail].concat()).unwrap_err(), KmsError::BadReply("BER: trailing bytes"));
        }
    }
}

#[test]
fn every_flipped_byte_of_the_form_is_refused_and_none_gives_the_secret() {
    let whole = seal(Shape::Chunks(16), &KEY, &[7; 32]);
    let parsed = parse(&whole).unwrap();
    let of = |part: &[u8]| whole.windows(part.len()).position(|bytes| bytes == part).unwrap();
    let (key, iv) = (of(parsed.encrypted_key()), of(parsed.iv()));
    // A flipped IV changes the first block and nothing else: CBC is not authenticated, and TLS must be.
    for at in (0..whole.len()).filter(|at| !(iv..iv + 16).contains(at)) {
        // One private-key operation takes a millisecond; a few positions of the encrypted key stand for all.
        if (key..key + 256).contains(&at) && at % 64 != 0 {
            continue;
        }
        for flip in [0x01, 0x80] {
            let mut flipped = whole.clone();
            flipped[at] ^= flip;
            if let Ok(secret) = open_envelope(&flipped, &KEY) {
                assert!(at > iv, "byte {at}");
                assert_ne!(secret.expose(), [7; 32], "byte {at}");
            }
        }
    }
}

#[test]
fn other_algorithms_and_versions_are_refused() {
    let whole = seal(Shape::Primitive, &KEY, &[7; 32]);
    let check = |from: &[u8], to: &[u8], nth: usize, expect: &'static str| {
        let mut at = whole.windows(from.len()).enumerate().filter(|(_, bytes)| *bytes == from).map(|(at, _)| at);
        let at = at.nth(nth).unwrap();
        let mut other = whole.clone();
        other[at..at + to.len()].copy_from_slice(to);
        assert_eq!(parse(&other).unwrap_err(), KmsError::BadReply(expect));
    };
    check(ENVELOPED_DATA, DATA, 0, "CMS: not EnvelopedData");
    check(&[2, 1, 2], &[2, 1, 0], 0, "CMS: version of EnvelopedData");
    check(&[2, 1, 2], &[2, 1, 0], 1, "CMS: version of KeyTransRecipientInfo");
    check(RSAES_OAEP, MGF1, 0, "CMS: not RSAES-OAEP");
    check(MGF1, RSAES_OAEP, 0, "CMS: not MGF1");
    // SHA-1 (1.3.14.3.2.26) is shorter; SHA-384 stands for another hash, in both places.
    let sha_384 = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
    check(SHA_256, sha_384, 0, "CMS: OAEP without SHA-256");
    check(SHA_256, sha_384, 1, "CMS: OAEP without SHA-256");
    check(DATA, ENVELOPED_DATA, 0, "CMS: content is not data");
    // AES-128-CBC is 2.16.840.1.101.3.4.1.2.
    check(AES_256_CBC, &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02], 0, "CMS: not AES-256-CBC");
}

#[test]
fn published_answers_of_kms_open_or_parse() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors/kms-recipient/vectors.json");
    let Ok(file) = std::fs::read(path) else {
        assert!(std::env::var_os("CI").is_none(), "{path} is absent");
        println!("skipped: {path} is absent");
        return;
    };
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let field = |name: &str| vector.get(name).map(|value| hex::decode(value.as_str().unwrap()).unwrap());
        let ber = field("ciphertext_for_recipient").unwrap();
        let parsed = parse(&ber).unwrap();
        if let Some(pkcs8) = field("test_recipient_key_pkcs8") {
            let key = RecipientKey::from_pkcs8(&pkcs8).unwrap();
            assert_eq!(open_envelope(&ber, &key).unwrap().expose(), field("plaintext").unwrap());
            assert_eq!(open_envelope(&ber, &KEY).unwrap_err(), KmsError::BadReply("CMS: another recipient"));
        } else {
            assert_eq!(parsed.iv().as_slice(), field("iv").unwrap());
            assert_eq!(parsed.encrypted_key(), field("encrypted_key").unwrap());
            assert_eq!(parsed.content(), field("encrypted_content").unwrap());
        }
        for end in 0..ber.len() {
            assert!(parse(&ber[..end]).is_err(), "cut at {end}");
        }
    }
}
