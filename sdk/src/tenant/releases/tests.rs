//! What a tenant's folder remembers of its publisher, and manifests that are still to come.

use std::path::Path;

use strongroom_attestation::{Image, Root, Time};
use strongroom_proto::v1::Development;

use super::*;
use crate::keys::{KeyUse, SigningKey};
use crate::release::{Release, Tool};
use crate::testing::{image, key, manifest_of, role_identity};

fn release_key() -> SigningKey {
    key(KeyUse::Release, 71)
}

fn release(number: u64, byte: u8) -> Release {
    let tool = |name: &str| Tool { name: name.to_owned(), version: "1".to_owned() };
    Release {
        number,
        version: "1".to_owned(),
        image: Image { pcr0: [byte; 48], pcr1: [byte + 1; 48], pcr2: [byte + 2; 48] },
        image_hash: [byte; 32],
        kernel_hash: [byte; 32],
        built_with: vec![tool("gcc"), tool("libc.a"), tool("rustc")],
    }
}

/// Releases 7 (whose image is that of the tests' enclave) and 8, from `lowest` on.
fn file(serial: u64, lowest: u64) -> ReleaseFile {
    let date = Time::from_unix_ms(1_800_000_000_000 - serial);
    ReleaseFile { serial, lowest, date, releases: vec![release(7, 1), release(8, 81)] }
}

fn signed(serial: u64, lowest: u64) -> SignedReleaseFile {
    file(serial, lowest).sign(&release_key()).unwrap()
}

fn folder(dir: &Path) -> Folder {
    Folder::new(dir)
}

#[test]
fn serials_never_go_back_and_a_step_back_has_a_higher_one() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let public = *release_key().public_key();
    let take = |signed: &SignedReleaseFile| folder.take_release(signed, None);
    let kept = || std::fs::read(folder.release_file()).unwrap();

    let none = take(&signed(5, 8)).unwrap_err().to_string();
    assert_eq!(none, "release key: none is pinned yet: give the publisher's");
    assert!(!folder.release_file().exists() && !folder.release_key_file().exists());
    folder.take_release(&signed(5, 8), Some(&public)).unwrap();
    assert_eq!(folder.release_key().unwrap(), Some(public));
    // The same bytes again are no news and no fork.
    take(&signed(5, 8)).unwrap();

    let before = kept();
    let mut unsigned = signed(6, 8);
    unsigned.signature[63] ^= 1;
    let foreign = file(6, 8).sign(&key(KeyUse::Release, 72)).unwrap();
    for (refused, expect) in [
        (signed(4, 8), "the release file has serial 4, but 5 was accepted before: it is an old one"),
        (signed(1, 7), "the release file has serial 1, but 5 was accepted before: it is an old one"),
        (signed(5, 7), "the release file with serial 5 is not the one that was accepted before: somebody signed two"),
        (unsigned, "the release file's signature is wrong"),
        (foreign, "the release file's signature is wrong"),
        (SignedReleaseFile::default(), "the release file's signature is wrong"),
    ] {
        let error = take(&refused).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{expect}: {error}");
        assert_eq!(kept(), before, "what is refused is not remembered: {expect}");
    }

    // An emergency: release 7 again, under a higher serial.
    let back = take(&signed(6, 7)).unwrap();
    assert_eq!(back.accept(&[7]).unwrap().numbers(), "7");
    assert!(matches!(take(&signed(5, 8)), Err(Error::ReleaseFileTooOld { found: 5, known: 6 })));
}

#[test]
fn a_pinned_key_stays_until_its_owner_removes_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let (ours, other) = (*release_key().public_key(), *key(KeyUse::Release, 72).public_key());
    folder.pin_release_key(&ours).unwrap();
    folder.pin_release_key(&ours).unwrap();
    assert_eq!(std::fs::read_to_string(folder.release_key_file()).unwrap(), format!("{}\n", hex::encode(ours)));
    let foreign = file(6, 8).sign(&key(KeyUse::Release, 72)).unwrap();
    for error in [folder.pin_release_key(&other), folder.take_release(&foreign, Some(&other)).map(|_| ())] {
        let error = error.unwrap_err().to_string();
        let expect = format!("release key: {} is not {}, which is pinned in ", hex::encode(other), hex::encode(ours));
        assert!(error.starts_with(&expect), "{error}");
    }
    assert!(folder.take_release(&signed(6, 8), Some(&ours)).is_ok());

    // Another publisher by hand: the serial is remembered all the same.
    std::fs::remove_file(folder.release_key_file()).unwrap();
    let old = file(5, 8).sign(&key(KeyUse::Release, 72)).unwrap();
    let error = folder.take_release(&old, Some(&other)).unwrap_err();
    assert!(matches!(error, Error::ReleaseFileTooOld { found: 5, known: 6 }), "{error}");
    assert_eq!(folder.release_key().unwrap(), None, "nor is its key pinned");
    let next = file(7, 8).sign(&key(KeyUse::Release, 72)).unwrap();
    assert!(folder.take_release(&next, Some(&other)).is_ok());

    for text in ["", "00", &"0g".repeat(32), &"00".repeat(33), &" ".repeat(200)] {
        std::fs::write(folder.release_key_file(), text).unwrap();
        assert!(matches!(folder.release_key(), Err(Error::File { .. })), "{text:?}");
        assert!(matches!(folder.take_release(&next, Some(&other)), Err(Error::File { .. })), "{text:?}");
    }
}

#[test]
fn a_damaged_memory_is_not_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let take = || folder.take_release(&signed(6, 8), Some(release_key().public_key()));
    take().unwrap();
    let good = std::fs::read(folder.release_file()).unwrap();
    for bad in [Vec::new(), good[..good.len() - 1].to_vec(), [&good[..], &[0]].concat(), vec![0; 40_000]] {
        std::fs::write(folder.release_file(), bad).unwrap();
        let error = take().unwrap_err();
        assert!(matches!(&error, Error::File { path, .. } if *path == folder.release_file()), "{error}");
    }
    std::fs::write(folder.release_file(), good).unwrap();
    take().unwrap();
}

type Change = fn(&mut Manifest);

#[test]
fn a_manifest_to_come_differs_in_its_release_alone() {
    let trust = Trust::aws();
    let signed = signed(5, 7);
    let releases = VerifiedReleases::verify(&signed, release_key().public_key()).unwrap();
    let accepted = releases.accept(&[]).unwrap();
    let attested = [AttestedIdentity { identity: role_identity(), checks: Vec::new(), image: image() }];
    accepted.check(&attested[0]).unwrap();
    let next = |change: Change| {
        let mut manifest = Manifest { release: 8, ..manifest_of(Role::Client) };
        change(&mut manifest);
        let next = NextManifest::read(&manifest.encode_to_vec(), &trust)?;
        assert_eq!(next.pcr16, manifest_pcr16(&manifest.encode_to_vec()));
        next.check(&accepted, &attested)
    };
    next(|_| {}).unwrap();
    next(|m| m.release = 7).unwrap();
    let cases: &[(Change, &str)] = &[
        (|m| m.release = 6, "release 6 is below 7, the lowest that the release file allows"),
        (|m| m.release = 9, "release 9 is not among those to accept, which are 7, 8"),
        (|m| m.release = 0, "release 0 is below 7"),
        (|m| m.role = Role::Custodian.into(), "the host's answer has no custodian role"),
        (|m| m.role = 0, "the host's answer has no "),
        (|m| m.role = 9, "the host's answer has no "),
        (|m| m.kms_key_arn.push('0'), "the manifest's kms_key_arn is "),
        (|m| m.region.push('0'), "the manifest's region is eu-central-10, not eu-central-1"),
        (|m| m.development = Some(Development::default()), "the enclave's manifest is for development"),
    ];
    for (index, (change, expect)) in cases.iter().enumerate() {
        let error = next(*change).unwrap_err().to_string();
        assert!(error.starts_with(expect), "case {index}: {error}");
    }
    let bytes = manifest_of(Role::Client).encode_to_vec();
    for bytes in [[&bytes[..], &[0x38, 1]].concat(), bytes[..3].to_vec(), vec![0; MANIFEST_BYTES_MAX + 1]] {
        assert!(matches!(NextManifest::read(&bytes, &trust), Err(Error::Malformed { part: "manifest", .. })));
    }
    // Asked for in code, a development manifest is read, but not put beside one that is none.
    let development = Manifest { release: 8, development: Some(Development::default()), ..manifest_of(Role::Client) };
    let next =
        NextManifest::read(&development.encode_to_vec(), &Trust::development(Root::development(&[0x30]))).unwrap();
    let error = next.check(&accepted, &attested).unwrap_err().to_string();
    assert!(error.contains("development section is not that of the enclave"), "{error}");
}
