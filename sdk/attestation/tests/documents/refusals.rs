//! Documents that are wrong in one place each: every one gives a named error, and none panics.

use super::parts::{Parts, bytes, cbor, genuine, vectors};
use strongroom_attestation::{
    AttestationError, CABUNDLE_CERTIFICATES_MAX, CERTIFICATE_BYTES_MAX, DOCUMENT_BYTES_MAX, MODULE_ID_BYTES_MAX,
    PUBLIC_KEY_BYTES_MAX, Root, Time, USER_DATA_BYTES_MAX, verify,
};

fn outcome(document: &[u8], own_time: u64) -> Result<(), AttestationError> {
    verify(document, &Root::aws(), Time::from_unix_ms(own_time)).map(|_| ())
}

/// Edits a genuine document; the outcome's text must contain `expect`, or be `ok`.
fn check(expect: &str, edit: impl FnOnce(&mut Parts)) {
    let Some(vector) = genuine() else { return };
    let mut parts = Parts::of(&vector.bytes);
    let own_time = parts.timestamp();
    edit(&mut parts);
    let result = outcome(&parts.document(), own_time);
    let text = result.map_or_else(|error| error.to_string(), |()| "ok".to_owned());
    assert!(text.contains(expect), "wanted {expect:?}, got {text:?}");
}

#[test]
fn every_truncation_is_refused() {
    let Some(vector) = genuine() else { return };
    let own_time = Parts::of(&vector.bytes).timestamp();
    for length in 0..vector.bytes.len() {
        assert!(outcome(&vector.bytes[..length], own_time).is_err(), "{length} bytes");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    for (offset, vector) in vectors().iter().take(3).enumerate() {
        let own_time = Parts::of(&vector.bytes).timestamp();
        let mut document = vector.bytes.clone();
        for position in (offset..document.len()).step_by(7) {
            let bit = 1 << (position % 8);
            document[position] ^= bit;
            assert!(outcome(&document, own_time).is_err(), "{} byte {position}", vector.name);
            document[position] ^= bit;
        }
    }
}

#[test]
fn the_outer_form_is_exact() {
    check("ok", |_| {});
    check("ok", |p| p.head = vec![0xd2, 0x84]);
    check("the tag", |p| p.head = vec![0xd1, 0x84]);
    check("the tag", |p| p.head = vec![0xd8, 0x62, 0x84]);
    check("the array of 4", |p| p.head = vec![0xd2, 0xd2, 0x84]);
    check("the array of 4", |p| p.head = vec![0x85]);
    check("the array of 4", |p| p.head = vec![0x83]);
    check("the array of 4", |p| p.head = vec![0x9f]);
    check("the array of 4", |p| p.head = vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    check("the protected header", |p| p.head = vec![0x84, 0x00]);
    // No signature covers these lengths, so nothing but their shortest form keeps a document from having a second one.
    for head in [&[0x98, 0x04][..], &[0x99, 0, 4], &[0xd8, 0x12, 0x84], &[0xd2, 0x98, 0x04], &[0xd9, 0, 0x12, 0x84]] {
        check("the shortest encoding", |p| p.head = head.to_vec());
    }
    check("the shortest encoding", |p| p.unprotected = vec![0xb8, 0]);
    check("1 bytes follow the end of the document", |p| p.after = vec![0]);
    check("the protected header", |p| p.head = vec![0x84, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    // QEMU's own enclaves: {1: -1} and zero bytes for a signature.
    check("header is a10120", |p| p.protected = vec![0xa1, 0x01, 0x20]);
    check("header is a10126", |p| p.protected = vec![0xa1, 0x01, 0x26]);
    check("header is a0", |p| p.protected = vec![0xa0]);
    check("header is , not", |p| p.protected = Vec::new());
    check("header is a1013822a1", |p| p.protected.push(0xa1));
    check("header is a20138220326", |p| p.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x03, 0x26]);
    check("the protected header", |p| p.head = vec![0x84, 0xff]);
    check("unprotected header is not empty", |p| p.unprotected = vec![0xa1, 0x04, 0x41, 0x00]);
    check("unprotected header is not empty", |p| p.unprotected = vec![0xbf, 0xff]);
    check("the unprotected header", |p| p.unprotected = vec![0xf6]);
    check("signature has 95 bytes", |p| p.signature.truncate(95));
    check("signature has 97 bytes", |p| p.signature.push(0));
    check("signature has 0 bytes", |p| p.signature.clear());
    check("signature is wrong", |p| p.signature = vec![0; 96]);
    check("signature is wrong", |p| p.signature = vec![0xff; 96]);
    check("signature is wrong", |p| p.signature.rotate_left(48));
}

#[test]
fn the_size_has_an_edge() {
    let Some(vector) = genuine() else { return };
    let own_time = Parts::of(&vector.bytes).timestamp();
    let mut document = vector.bytes;
    let length = document.len();
    document.resize(DOCUMENT_BYTES_MAX, 0);
    assert_eq!(
        outcome(&document, own_time),
        Err(AttestationError::TrailingBytes { part: "document", bytes: DOCUMENT_BYTES_MAX - length })
    );
    document.push(0);
    assert_eq!(outcome(&document, own_time), Err(AttestationError::DocumentTooLarge { bytes: DOCUMENT_BYTES_MAX + 1 }));
}

#[test]
fn the_map_has_each_field_once() {
    // The signature covers the payload, so an altered one that is well formed fails there.
    check("signature is wrong", |p| p.indefinite = true);
    check("signature is wrong", |p| p.fields.swap(0, 1));
    check("bytes follow the end of the payload", |p| p.after_payload = vec![0]);
    check("bytes follow the end of the payload", |p| {
        p.indefinite = true;
        p.after_payload = vec![0xff];
    });
    for name in ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"] {
        check(&format!("has no {name}"), |p| p.remove(name));
    }
    for name in ["public_key", "user_data", "nonce"] {
        check("signature is wrong", |p| p.remove(name));
    }
    for place in 0..9 {
        check("twice", |p| p.fields.push(p.fields[place].clone()));
    }
    check("unknown field \"extra\"", |p| p.fields.push(("extra".to_owned(), vec![0xf6])));
    check("unknown field \"\"", |p| p.fields.push((String::new(), vec![0xf6])));
    check("unknown field \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", |p| {
        p.fields.push(("a".repeat(400), vec![0xf6]));
    });
}

#[test]
fn field_names_are_text_and_the_payload_a_map() {
    let payload = |p: &mut Parts, content: &[u8]| {
        // All of the payload goes where only its map's head would be.
        p.fields.clear();
        p.raw_payload = Some(content.to_vec());
    };
    for (content, expect) in [
        (&[][..], "map of fields is malformed"),
        (&[0x80], "map of fields is malformed"),
        (&[0xa1, 0x00, 0x00], "field name is malformed"),
        (&[0xa1, 0x61, 0xff, 0x00], "field name is malformed"),
        (&[0xa1, 0x7f, 0xff, 0x00], "field name is malformed"),
        (&[0xbf], "map of fields is malformed"),
        (&[0xbf, 0xff], "has no digest"),
        (&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "field name is malformed"),
    ] {
        check(expect, |p| payload(p, content));
    }
}

#[test]
fn fields_have_their_types_and_lengths() {
    let text = |content: &str| {
        cbor(|e| {
            e.str(content).unwrap();
        })
    };
    let filled = |length| bytes(&vec![1; length]);
    check("has 0 bytes; 1 to 128", |p| p.set("module_id", text("")));
    check("signature is wrong", |p| p.set("module_id", text(&"i".repeat(MODULE_ID_BYTES_MAX))));
    check("has 129 bytes", |p| p.set("module_id", text(&"i".repeat(MODULE_ID_BYTES_MAX + 1))));
    check("module_id is malformed", |p| p.set("module_id", text("a\u{1b}[2J")));
    check("module_id is malformed", |p| p.set("module_id", vec![0x41, b'i']));
    check("module_id is malformed", |p| p.set("module_id", vec![0x61, 0xff]));
    check("digest is \"SHA512\"", |p| p.set("digest", text("SHA512")));
    check("digest is malformed", |p| p.set("digest", vec![0x00]));
    check("timestamp is malformed", |p| p.set("timestamp", vec![0x20]));
    check("timestamp is malformed", |p| p.set("timestamp", vec![0xfb, 0, 0, 0, 0, 0, 0, 0, 0]));
    check("in the future", |p| {
        p.set(
            "timestamp",
            cbor(|e| {
                e.u64(u64::MAX).unwrap();
            }),
        );
    });
    check("signature is wrong", |p| p.set("timestamp", vec![0x00]));
    check("certificate has 0 bytes", |p| p.set("certificate", filled(0)));
    check("leaf certificate is no X.509", |p| p.set("certificate", filled(CERTIFICATE_BYTES_MAX)));
    check("certificate has 1025 bytes", |p| p.set("certificate", filled(CERTIFICATE_BYTES_MAX + 1)));
    check("signature is wrong", |p| p.set("public_key", filled(PUBLIC_KEY_BYTES_MAX)));
    check("public_key has 1025 bytes", |p| p.set("public_key", filled(PUBLIC_KEY_BYTES_MAX + 1)));
    check("public_key has 0 bytes; 1 to", |p| p.set("public_key", filled(0)));
    for name in ["user_data", "nonce"] {
        check("signature is wrong", |p| p.set(name, filled(0)));
        check("signature is wrong", |p| p.set(name, filled(USER_DATA_BYTES_MAX)));
        check(&format!("{name} has 513 bytes"), |p| p.set(name, filled(USER_DATA_BYTES_MAX + 1)));
        check(&format!("{name} is malformed"), |p| p.set(name, vec![0xf7]));
        check(&format!("{name} is malformed"), |p| p.set(name, vec![0x5f, 0x41, 0x01, 0xff]));
        check(&format!("{name} is malformed"), |p| {
            p.set(name, vec![0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        });
        check(&format!("{name} is malformed"), |p| p.set(name, [0x81; 4000].to_vec()));
    }
}

#[test]
fn pcrs_are_of_sha384_and_listed_once() {
    let map = |entries: &[(u64, usize)]| {
        cbor(|e| {
            e.map(entries.len() as u64).unwrap();
            for (index, length) in entries {
                e.u64(*index).unwrap().bytes(&vec![1; *length]).unwrap();
            }
        })
    };
    let all: Vec<_> = (0..32).map(|index| (index, 48)).collect();
    check("signature is wrong", |p| p.set("pcrs", map(&all)));
    check("PCR32; the highest", |p| p.set("pcrs", map(&[(32, 48)])));
    check("PCR256; the highest", |p| p.set("pcrs", map(&[(256, 48)])));
    check("PCR18446744073709551615", |p| p.set("pcrs", map(&[(u64::MAX, 48)])));
    check("PCR0 twice", |p| p.set("pcrs", map(&[(0, 48), (0, 48)])));
    for length in [0, 32, 47, 49, 64] {
        let expect = format!("PCR1 of the document has {length} bytes");
        check(&expect, |p| p.set("pcrs", map(&[(0, 48), (1, length)])));
    }
    check("pcrs is malformed", |p| p.set("pcrs", vec![0x80]));
    check("pcrs is malformed", |p| p.set("pcrs", vec![0xf6]));
    check("PCR index is malformed", |p| p.set("pcrs", vec![0xa1, 0x20, 0x41, 0x00]));
    // A claim of 2^64 - 1 entries ends at the first that is not there.
    let huge = vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    check("is malformed", |p| p.set("pcrs", huge));
}

#[test]
fn the_chain_is_in_order_and_complete() {
    let others = vectors().into_iter().find(|v| v.name == "9606fab0f645517c.bin");
    let Some(other) = others.map(|v| Parts::of(&v.bytes)) else { return };
    let edit = |change: fn(&mut Vec<Vec<u8>>)| {
        move |p: &mut Parts| {
            let mut bundle = p.cabundle();
            change(&mut bundle);
            p.set_cabundle(&bundle);
        }
    };
    check("not in the order", edit(|b| b.swap(1, 2)));
    check("not in the order", edit(|b| b.swap(2, 3)));
    check("not in the order", edit(|b| b.push(b[2].clone())));
    check("not in the order", edit(|b| b.insert(1, b[0].clone())));
    check("root certificate has SHA-256", edit(|b| b.swap(0, 1)));
    check("root certificate has SHA-256", edit(|b| b.reverse()));
    check(
        "root certificate has SHA-256",
        edit(|b| {
            b.remove(0);
        }),
    );
    check(
        "make no chain",
        edit(|b| {
            b.remove(1);
        }),
    );
    check(
        "make no chain",
        edit(|b| {
            b.pop();
        }),
    );
    check("make no chain", edit(|b| b.truncate(1)));
    check("0 certificates", edit(Vec::clear));
    check("8 certificates", edit(|b| b.resize(CABUNDLE_CERTIFICATES_MAX + 1, b[3].clone())));
    check("not in the order", edit(|b| b.resize(CABUNDLE_CERTIFICATES_MAX, b[3].clone())));
    check(
        "CA certificate 3 is no X.509",
        edit(|b| {
            b[3].truncate(100);
        }),
    );
    check("CA certificate 2 expired", |p| {
        let mut bundle = p.cabundle();
        bundle[2] = Parts::of(&vectors()[0].bytes).cabundle()[2].clone();
        p.set_cabundle(&bundle);
    });
    check("is valid only in", |p| p.set("certificate", other.field("certificate").to_vec()));
    check("lacks the key usage digitalSignature", |p| {
        let issuer = p.cabundle()[3].clone();
        p.set("certificate", bytes(&issuer));
    });
    let huge = vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    check("18446744073709551615 certificates", |p| p.set("cabundle", huge));
    check("cabundle is malformed", |p| p.set("cabundle", vec![0x9f, 0xff]));
    check("cabundle certificate is malformed", |p| p.set("cabundle", vec![0x81, 0xf6]));
    check("cabundle certificate has 0 bytes", |p| p.set("cabundle", vec![0x81, 0x40]));
}
