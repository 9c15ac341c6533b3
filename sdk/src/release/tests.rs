//! Release files: signed, read back, refused; the rules of the form are in `tests/forms.rs`, what a publisher does in `tests/signing.rs`.

use prost::Message;
use strongroom_proto::v1;

use super::*;
use crate::keys::{KeyUse, SigningKey};
use crate::testing::{key, role_identity};

mod forms;
mod mutations;
mod signing;

pub(super) fn release_key() -> SigningKey {
    key(KeyUse::Release, 71)
}

/// A release; its image follows from `byte`.
pub(super) fn release(number: u64, byte: u8) -> Release {
    let tool = |name: &str, version: &str| Tool { name: name.to_owned(), version: version.to_owned() };
    Release {
        number,
        version: format!("0.{number}.0"),
        image: Image { pcr0: [byte; 48], pcr1: [byte + 1; 48], pcr2: [byte + 2; 48] },
        image_hash: [byte + 3; 32],
        kernel_hash: [byte + 4; 32],
        built_with: vec![tool("gcc", "cc (Debian 14.2.0-19) 14.2.0"), tool("libc.a", "5e1f"), tool("rustc", "1.95.0")],
    }
}

/// Releases 6, 7 and 8 under serial 5; 6 is given up, 7 has the image of the tests' enclave.
pub(super) fn file() -> ReleaseFile {
    let releases = vec![release(6, 61), release(7, 1), release(8, 81)];
    ReleaseFile { serial: 5, lowest: 7, date: Time::from_unix_ms(1_800_000_000_000), releases }
}

pub(super) fn signed() -> SignedReleaseFile {
    file().sign(&release_key()).unwrap()
}

fn verify(signed: &SignedReleaseFile) -> Result<VerifiedReleases, Error> {
    VerifiedReleases::verify(signed, release_key().public_key())
}

#[test]
fn what_the_release_key_signed_reads_back() {
    let signed = signed();
    assert_eq!(verify(&signed).unwrap().file(), &file());
    assert_eq!(ReleaseFile::read(&signed).unwrap(), file());
    assert_eq!(decode(&signed.encode_to_vec()).unwrap(), signed);
    let moved = ReleaseFile { date: Time::from_unix_ms(0), ..file() }.sign(&release_key()).unwrap();
    assert_eq!(verify(&moved).unwrap().accept(&[]).unwrap().numbers(), "7, 8", "a date decides nothing");
}

/// SHA-256 of the bytes as they travel, computed apart from this code: fields put together by hand in Python, and signed by openssl with
/// the seed of 32 times 71.
#[test]
fn a_signed_file_has_these_bytes() {
    let signed = signed();
    assert_eq!(signed.release_file.len(), 920, "{}", hex::encode(&signed.release_file));
    let hash = ring::digest::digest(&ring::digest::SHA256, &signed.encode_to_vec());
    assert_eq!(hex::encode(hash), "aaf3461c6a13708bab3f722c6ea88d0538728519b9824b06f1413dca29ddd1fc");
}

type Change = fn(&mut SignedReleaseFile);

#[test]
fn what_another_key_or_another_use_signed_is_refused() {
    let changes: &[(&str, Change)] = &[
        ("not signed", |s| s.signature.clear()),
        ("signature cut short", |s| s.signature.truncate(63)),
        ("signature too long", |s| s.signature.push(0)),
        ("signature changed", |s| s.signature[0] ^= 1),
        ("signature of another file", |s| s.signature = other().signature),
        ("content changed", |s| s.release_file[1] += 1),
        ("content of another file", |s| s.release_file = other().release_file),
        ("bytes behind the content", |s| s.release_file.push(0)),
        ("another key", |s| resign(s, prefix::RELEASE_FILE, &key(KeyUse::Release, 72))),
        ("the prefix of a release's content", |s| resign(s, prefix::RELEASE, &release_key())),
        ("the prefix of a statement", |s| resign(s, prefix::STATEMENT, &release_key())),
        ("the prefix without its end", |s| resign(s, b"strongroom/v1/release-file", &release_key())),
        ("no prefix", |s| resign(s, b"", &release_key())),
    ];
    for (what, change) in changes {
        let mut signed = signed();
        change(&mut signed);
        let error = verify(&signed).unwrap_err().to_string();
        assert_eq!(
            error, "the release file's signature is wrong: its content was changed or another key signed it",
            "{what}"
        );
    }
    let mut empty = SignedReleaseFile::default();
    resign(&mut empty, prefix::RELEASE_FILE, &release_key());
    assert_eq!(verify(&empty).unwrap_err().to_string(), "the release file is malformed: serial is 0; the first is 1");
}

fn other() -> SignedReleaseFile {
    ReleaseFile { serial: 6, ..file() }.sign(&release_key()).unwrap()
}

fn resign(signed: &mut SignedReleaseFile, prefix: &[u8], key: &SigningKey) {
    signed.signature = key.sign(prefix, &signed.release_file).unwrap();
}

#[test]
fn a_file_travels_in_one_encoding() {
    let bytes = signed().encode_to_vec();
    let swapped = [bytes[bytes.len() - 66..].to_vec(), bytes[..bytes.len() - 66].to_vec()].concat();
    let cases: &[(Vec<u8>, &str)] = &[
        ([&bytes[..], &[0]].concat(), "malformed protobuf"),
        ([&bytes[..], &[0x18, 1]].concat(), "unknown field"),
        ([&bytes[..], &bytes[..]].concat(), "not in canonical encoding"),
        (swapped, "not in canonical encoding"),
        (bytes[..bytes.len() - 1].to_vec(), "malformed protobuf"),
        (vec![0; SIGNED_RELEASE_BYTES_MAX + 1], "longer than 32896 bytes"),
    ];
    for (bytes, expect) in cases {
        let error = decode(bytes).unwrap_err().to_string();
        assert!(error.starts_with("the release file is malformed: ") && error.contains(expect), "{expect}: {error}");
    }
    let mut long = SignedReleaseFile { release_file: vec![0; RELEASE_FILE_BYTES_MAX + 1], signature: Vec::new() };
    resign(&mut long, prefix::RELEASE_FILE, &release_key());
    assert_eq!(verify(&long).unwrap_err().to_string(), "the release file is malformed: longer than 32768 bytes");
    long.release_file.pop();
    resign(&mut long, prefix::RELEASE_FILE, &release_key());
    assert!(verify(&long).unwrap_err().to_string().contains("malformed protobuf"));
}

#[test]
fn what_is_accepted_is_listed_and_not_given_up() {
    let verified = verify(&signed()).unwrap();
    for (chosen, expect) in [(&[][..], "7, 8"), (&[7], "7"), (&[8], "8"), (&[8, 7], "7, 8")] {
        let accepted = verified.accept(chosen).unwrap();
        assert_eq!((accepted.numbers().as_str(), accepted.images().len()), (expect, expect.len().div_ceil(3)));
        assert_eq!(accepted.known_images().len(), 3);
    }
    for (chosen, expect) in [
        (&[6][..], "release 6 is below 7, the lowest that the release file allows"),
        (&[7, 6], "release 6 is below 7, the lowest that the release file allows"),
        (&[9], "release: 9 is not in the release file, which lists 6, 7, 8"),
        (&[5], "release: 5 is not in the release file, which lists 6, 7, 8"),
        (&[0], "release: 0 is not in the release file, which lists 6, 7, 8"),
        (&[7, 8, 7], "release: 7 is chosen twice"),
    ] {
        assert_eq!(verified.accept(chosen).unwrap_err().to_string(), expect);
    }
    let one = ReleaseFile { lowest: 8, ..file() }.sign(&release_key()).unwrap();
    assert_eq!(verify(&one).unwrap().accept(&[]).unwrap().numbers(), "8");
}

#[test]
fn an_enclave_is_of_an_accepted_release_and_its_manifest_names_the_same() {
    let verified = verify(&signed()).unwrap();
    let attested = |release: Release, manifest: u64| {
        let mut identity = role_identity();
        identity.manifest.release = manifest;
        AttestedIdentity { identity, checks: Vec::new(), image: release.image }
    };
    let cases = [
        (vec![], release(7, 1), 7, None),
        (vec![], release(8, 81), 8, None),
        (vec![7], release(7, 1), 7, None),
        (vec![], release(7, 1), 8, Some("the manifest's release is 8, not 7")),
        (vec![], release(8, 81), 7, Some("the manifest's release is 7, not 8")),
        (vec![], release(8, 81), 0, Some("the manifest's release is 0, not 8")),
        (vec![], release(6, 61), 6, Some("release 6 is below 7, the lowest")),
        (vec![], release(6, 61), 7, Some("release 6 is below 7, the lowest")),
        (vec![8], release(7, 1), 7, Some("release 7 is not among those to accept, which are 8")),
        (vec![], release(7, 2), 7, Some("the image is in no release of the file with serial 5: PCR0 is 0202")),
        (vec![], mixed(0), 7, Some("the image is in no release of the file with serial 5: PCR0 is 5151")),
        (vec![], mixed(1), 7, Some("the image is in no release")),
        (vec![], mixed(2), 7, Some("the image is in no release")),
    ];
    for (chosen, release, manifest, expect) in cases {
        let accepted = verified.accept(&chosen).unwrap();
        let found = accepted.check(&attested(release, manifest)).map_err(|error| error.to_string());
        match expect {
            None => assert_eq!(found, Ok(())),
            Some(expect) => assert!(found.clone().unwrap_err().starts_with(expect), "{expect}: {found:?}"),
        }
    }
}

/// Release 7 with one PCR of release 8.
fn mixed(pcr: usize) -> Release {
    let (mut mixed, other) = (release(7, 1), release(8, 81).image);
    match pcr {
        0 => mixed.image.pcr0 = other.pcr0,
        1 => mixed.image.pcr1 = other.pcr1,
        _ => mixed.image.pcr2 = other.pcr2,
    }
    mixed
}

#[test]
fn only_a_release_key_signs() {
    for purpose in [KeyUse::Root, KeyUse::Standby, KeyUse::Operational] {
        let error = file().sign(&key(purpose, 71)).unwrap_err().to_string();
        assert_eq!(error, format!("key: a {} key signs no release file", purpose.name()));
    }
    let bad = ReleaseFile { lowest: 9, ..file() };
    assert!(matches!(bad.sign(&release_key()), Err(Error::Malformed { .. })));
    assert!(release_key().sign_intent(b"intent").is_err());
    let dir = tempfile::tempdir().unwrap();
    assert!(release_key().write_plain(&dir.path().join("k")).is_err());
}

/// The fields as they are encoded, for tests that break one.
fn fields() -> v1::ReleaseFile {
    v1::ReleaseFile::decode(signed().release_file.as_slice()).unwrap()
}
