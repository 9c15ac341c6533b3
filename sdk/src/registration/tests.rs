use super::*;
use std::path::Path;

/// The first W3C vector (WebAuthn level 3, "ES256 Credential with No Attestation").
const W3C: &str = "a363666d74646e6f6e656761747453746d74a068617574684461746158a4bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592\
a5e0f01452b2e4b559000000008446ccb9ab1db374750b2367ff6f3a1f0020f91f391db4c9b2fde0ea70189cba3fb63f579ba6122b33ad94ff3ec330084be4\
a5010203262001215820afefa16f97ca9b2d23eb86ccb64098d20db90856062eb249c33a9b672f26df61225820930a56b87a2fca66334b03458abf879717c1\
2cc68ed73290af2e2664796b9220";
const DATA: usize = 30;

fn vector() -> Vec<u8> {
    hex::decode(W3C).unwrap()
}

/// The object around other authenticator data.
fn around(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".as_slice(), &length, data].concat()
}

fn data() -> Vec<u8> {
    vector()[DATA..].to_vec()
}

#[test]
fn the_w3c_vector_is_read() {
    let registration = parse(&vector(), "example.org").unwrap();
    assert_eq!(hex::encode(&registration.credential.id), &W3C[170..234]);
    assert_eq!(registration.algorithm, -7);
    assert_eq!((registration.credential.public_key.len(), registration.flags), (77, 0x59));
    assert_eq!(parse(&around(&data()), "example.org").unwrap(), registration);
}

#[test]
fn every_cut_and_every_wrong_byte_of_the_frame_is_refused() {
    let good = vector();
    for cut in 0..good.len() {
        assert!(parse(&good[..cut], "example.org").is_err(), "cut at {cut}");
    }
    for at in 0..DATA {
        let mut changed = good.clone();
        changed[at] ^= 0x20;
        // The format's name is any text: it says how an attestation would be checked, and none is.
        let format = (6..10).contains(&at);
        assert_eq!(parse(&changed, "example.org").is_ok(), format, "byte {at}");
    }
}

#[test]
fn each_broken_rule_is_named() {
    let change = |change: fn(&mut Vec<u8>)| {
        let mut data = data();
        change(&mut data);
        around(&data)
    };
    let extended = |extensions: &[u8]| {
        let mut data = data();
        data[32] |= ED;
        data.extend_from_slice(extensions);
        around(&data)
    };
    let cases = [
        (change(|d| d.truncate(36)), "cut short"),
        (change(|d| d[32] &= !AT), "has no credential"),
        (change(|d| d[54] = 0xff), "cut short"),
        (change(|d| (d[53], d[54]) = (0, 0)), "its credential id has 0 bytes"),
        (change(|d| (d[53], d[54]) = (4, 0)), "its credential id has 1024 bytes"),
        (change(|d| d.push(0xa0)), "bytes follow the authenticator data"),
        (change(|d| d[32] |= ED), "malformed"),
        (extended(&[0x80]), "extensions are no map"),
        (extended(&[0xa0, 0]), "bytes follow the authenticator data"),
        (change(|d| d[87] = 0xbf), "no definite length"),
        (change(|d| d[90] = 0x01), "field twice"),
        (change(|d| d[90] = 0x04), "names no algorithm"),
        ([&vector()[..], &[0]].concat(), "bytes follow its end"),
        (vec![0; ATTESTATION_OBJECT_BYTES_MAX + 1], "more than 16384 bytes"),
        (Vec::new(), "malformed"),
        (b"\xa3\x63fmt\x64none\x63fmt\x64none\x68authData\x40".to_vec(), "unknown or there twice"),
        (b"\xa3\x63fmt\x64none\x67attStmt\x80\x68authData\x40".to_vec(), "attStmt is no map"),
        ([b"\xa3\x63fmt\x64none\x67attStmt\xa1\x00".as_slice(), &[0x81; 40]].concat(), "nested too deep"),
    ];
    for (index, (object, expect)) in cases.iter().enumerate() {
        let error = parse(object, "example.org").unwrap_err().to_string();
        assert!(error.contains(expect), "case {index}: {error}");
    }
    let other = parse(&vector(), "example.com").unwrap_err();
    assert!(matches!(other, Error::Mismatch { field: "relying party", .. }));
    assert!(parse(&extended(b"\xa1\x61a\xf5"), "example.org").is_ok());
}

#[test]
fn all_w3c_vectors_are_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/webauthn-l3/vectors.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
        println!("skipped: {} is missing", path.display());
        return;
    };
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let vectors = json["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 15);
    for vector in vectors {
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let object = hex::decode(text(&vector["registration"]["attestationObject"])).unwrap();
        let parsed = parse(&object, &text(&vector["rp_id"])).unwrap_or_else(|e| panic!("{}: {e}", vector["title"]));
        assert_eq!(hex::encode(&parsed.credential.id), text(&vector["registration"]["credential_id"]));
        assert_eq!(Some(parsed.algorithm), vector["cose_alg"].as_i64(), "{}", vector["title"]);
    }
}
