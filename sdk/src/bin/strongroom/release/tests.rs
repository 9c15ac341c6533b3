use clap::Parser;
use strongroom_sdk::image::{Image, boot};

use super::*;
use crate::{Cli, EXIT_REFUSED, EXIT_USAGE, exit_code};

const PASSPHRASE: &str = "a passphrase for this test";

fn eif(application: &[u8]) -> Vec<u8> {
    let metadata = r#"{"ImageVersion":"0.1.0","CustomMetadata":{"BuiltWith":{"gcc":"14","libc.a":"5e","rustc":"1"}}}"#;
    let image = Image {
        default_memory: 96 << 20,
        default_cpus: 2,
        kernel: b"a kernel".to_vec(),
        command_line: "reboot=k".to_owned(),
        metadata: metadata.as_bytes().to_vec(),
        ramdisks: vec![boot(0, &[]).unwrap(), application.to_vec()],
    };
    image.to_bytes().unwrap()
}

/// Runs `strongroom release ...`; gives the error's text and the exit code.
fn release(command: &str) -> Result<(), (String, u8)> {
    let cli = Cli::try_parse_from(format!("strongroom release {command}").split_whitespace());
    let cli = cli.map_err(|error| (error.to_string(), EXIT_USAGE))?;
    crate::run(cli, Show::from_environment())
        .map_err(|error| (error.to_string(), exit_code(error.downcast_ref::<Error>())))
}

/// A folder with a release key, three images, and a first file that lists the first two.
fn publisher() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let key = SigningKey::generate(KeyUse::Release).unwrap();
    let passphrase = strongroom_sdk::keys::Passphrase::new(PASSPHRASE.to_owned());
    key.write_protected(&path("release.key"), &passphrase).unwrap();
    files::write_new(&path("release.pub"), hex::encode(key.public_key()).as_bytes()).unwrap();
    for (name, application) in [("one.eif", "one"), ("two.eif", "two"), ("three.eif", "three")] {
        files::write_new(&path(name), &eif(application.as_bytes())).unwrap();
    }
    let new = [(1, "one.eif"), (2, "two.eif")].map(|(number, name)| image(number, &path(name)).unwrap());
    let draft = Draft {
        previous: None,
        serial: 1,
        lowest: 2,
        date: Time::from_unix_ms(0),
        new: new.to_vec(),
        keep: Vec::new(),
    };
    let signed = draft.build().unwrap().sign(&key).unwrap();
    files::write_new(&path("one.release"), &prost::Message::encode_to_vec(&signed)).unwrap();
    dir
}

#[test]
fn files_are_verified_offline_and_a_rebuilt_image_found() {
    let dir = publisher();
    let at = dir.path().display();
    let hex = std::fs::read_to_string(dir.path().join("release.pub")).unwrap();
    for fits in [
        format!("show {at}/one.release"),
        format!("show {at}/one.release --json"),
        format!("verify {at}/one.release --release-key {at}/release.pub"),
        format!("verify {at}/one.release --release-key {hex} --image {at}/two.eif --json"),
        format!("verify {at}/one.release --release-key {hex} --image {at}/one.eif"),
    ] {
        assert_eq!(release(&fits), Ok(()), "{fits}");
    }
    let other = "11".repeat(32);
    for (command, expect, code) in [
        (format!("verify {at}/one.release --release-key {other}"), "signature is wrong", EXIT_REFUSED),
        (format!("verify {at}/one.release --release-key {at}/one.eif"), "one.eif", EXIT_USAGE),
        (format!("verify {at}/one.release --release-key {at}/none"), "none", EXIT_USAGE),
        (format!("verify {at}/one.release"), "--release-key", EXIT_USAGE),
        (
            format!("verify {at}/one.release --release-key {hex} --image {at}/three.eif"),
            "the image is in no release of the file with serial 1: PCR2 is",
            EXIT_REFUSED,
        ),
        (format!("verify {at}/one.release --release-key {hex} --image {at}/release.pub"), "no", EXIT_USAGE),
        (format!("verify {at}/one.eif --release-key {hex}"), "one.eif: the release file is malformed", EXIT_USAGE),
        (format!("show {at}/none"), "none", EXIT_USAGE),
    ] {
        let (error, found) = release(&command).unwrap_err();
        assert!(error.contains(expect) && found == code, "{command}: {found}, {error}");
    }
}

#[test]
fn what_cannot_be_signed_is_refused_before_the_passphrase_is_asked() {
    let dir = publisher();
    let at = dir.path().display();
    let sign = |options: &str| format!("sign --key {at}/release.key --lowest-release 2 {options}");
    for (options, expect) in [
        (format!("--previous {at}/one.release --serial 2 --out {at}/x"), "cannot be used with"),
        (format!("--image 2={at}/two.eif --out {at}/x"), "--previous"),
        (format!("--serial 0 --image 2={at}/two.eif --out {at}/x"), "0 is not in 1.."),
        (format!("--serial 1 --keep 1 --out {at}/x"), "cannot be used with"),
        (format!("--serial 1 --image {at}/two.eif --out {at}/x"), "not RELEASE=FILE"),
        (format!("--serial 1 --image two={at}/two.eif --out {at}/x"), "not RELEASE=FILE"),
        (format!("--serial 1 --image 0={at}/two.eif --out {at}/x"), "the first is 1"),
        ("--serial 1 --image 2= --out x".to_owned(), "not RELEASE=FILE"),
        (format!("--serial 1 --image 2={at}/none.eif --out {at}/x"), "none.eif"),
        (format!("--serial 1 --image 2={at}/release.pub --out {at}/x"), "the image is malformed"),
        (format!("--serial 1 --image 2={at}/two.eif --out {at}/one.release"), "exists already"),
        (format!("--serial 1 --image 2={at}/two.eif --out {at}/no/x"), "no folder"),
    ] {
        let (error, code) = release(&sign(&options)).unwrap_err();
        assert!(error.contains(expect) && code == EXIT_USAGE, "{options}: {code}, {error}");
        assert!(!dir.path().join("x").exists());
    }
}

#[test]
fn an_update_takes_its_policies_or_says_that_it_has_none() {
    let update = |options: &str| {
        let service = "--dir d --host http://127.0.0.1:1 --api-key-file k";
        let command = format!("strongroom tenant update {service} {options}");
        Cli::try_parse_from(command.split_whitespace()).is_ok()
    };
    let key = "11".repeat(32);
    for (options, fits) in [
        ("--release r", true),
        (&format!("--release r --release-key {key} --accept 3 --accept 4 --manifest m"), true),
        ("--release r --key-policy client=c --key-policy custodian=d --client --custodian", true),
        ("--release r --without-key-policy --standby", true),
        ("--release r --without-key-policy --key-policy client=c", false),
        ("--release r --accept 0", false),
        ("--release r --release-key 11", false),
        ("--release r --image x", false),
        ("", false),
    ] {
        assert_eq!(update(options), fits, "{options}");
    }
}
