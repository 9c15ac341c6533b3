//! What a publisher does: images are measured, the next file follows from the one before.

use super::*;
use crate::image::{self, Measured, Module, boot};

fn image(metadata: &str, application: &[u8]) -> image::Image {
    let modules = [Module { name: "nsm.ko".to_owned(), content: b"a module".to_vec() }];
    image::Image {
        default_memory: 96 << 20,
        default_cpus: 2,
        kernel: b"a kernel".to_vec(),
        command_line: "reboot=k".to_owned(),
        metadata: metadata.as_bytes().to_vec(),
        ramdisks: vec![boot(0, &modules).unwrap(), application.to_vec()],
    }
}

const METADATA: &str = r#"{"ImageName":"strongroom","ImageVersion":"0.7.0","CustomMetadata":{"BuiltWith":
    {"rustc":"1.95.0","gcc":"cc 14.2.0","libc.a":"5e1f","libc":"libc6-dev 2.41"}}}"#;

#[test]
fn an_image_is_measured_and_says_what_it_was_built_with() {
    let image = image(METADATA, b"application");
    let eif = image.to_bytes().unwrap();
    let found = Release::of_image(7, &eif).unwrap();
    let measured = Measured::of(&image);
    assert_eq!((found.number, found.version.as_str()), (7, "0.7.0"));
    assert_eq!(
        [found.image.pcr0, found.image.pcr1, found.image.pcr2],
        [measured.pcr0.0, measured.pcr1.0, measured.pcr2.0]
    );
    let sha256 = |bytes: &[u8]| ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().to_vec();
    assert_eq!((found.image_hash.to_vec(), found.kernel_hash.to_vec()), (sha256(&eif), sha256(b"a kernel")));
    let names: Vec<&str> = found.built_with.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["gcc", "libc", "libc.a", "rustc"]);
}

#[test]
fn what_is_no_image_of_ours_gets_no_number() {
    let bytes = |metadata: &str| image(metadata, b"application").to_bytes().unwrap();
    let mut changed = bytes(METADATA);
    *changed.last_mut().unwrap() ^= 1;
    for (eif, expect) in [
        (Vec::new(), "the image is malformed: not an enclave image"),
        (changed, "the image is malformed: not an enclave image: its CRC-32"),
        (bytes("{}"), "the image is malformed: its metadata does not say what it was built with"),
        (bytes("junk"), "the image is malformed: its metadata does not say"),
        (bytes(r#"{"ImageVersion":"1","CustomMetadata":{}}"#), "the image is malformed: its metadata does not say"),
        (bytes(r#"{"ImageVersion":"1","CustomMetadata":{"BuiltWith":{"gcc":1}}}"#), "the image is malformed"),
    ] {
        let error = Release::of_image(7, &eif).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{expect}: {error}");
    }
    // What a release file cannot say is refused before it is signed.
    let built_with = |text: &str| format!(r#"{{"ImageVersion":"1","CustomMetadata":{{"BuiltWith":{text}}}}}"#);
    for (text, expect) in [
        ("{}", "releases.built_with has 0 entries"),
        (r#"{"rustc":"1","libc.a":"1","clang":"1"}"#, "releases.built_with lacks gcc"),
        (r#"{"rustc":"","libc.a":"1","gcc":"1"}"#, "releases.built_with.version is not 1 to 128"),
    ] {
        let new = vec![Release::of_image(7, &bytes(&built_with(text))).unwrap()];
        let error = Draft { new, keep: Vec::new(), previous: None, serial: 1, ..draft(None) }.build().unwrap_err();
        assert!(error.to_string().contains(expect), "{expect}: {error}");
    }
}

fn draft(previous: Option<&VerifiedReleases>) -> Draft<'_> {
    Draft { previous, serial: 0, lowest: 7, date: Time::from_unix_ms(1), new: vec![release(9, 91)], keep: vec![8, 7] }
}

#[test]
fn the_next_file_follows_from_the_one_before() {
    let before = verify(&signed()).unwrap();
    let next = draft(Some(&before)).build().unwrap();
    assert_eq!((next.serial, next.lowest), (6, 7));
    assert_eq!(next.releases, [release(7, 1), release(8, 81), release(9, 91)]);
    let first = Draft { serial: 1, lowest: 9, keep: Vec::new(), ..draft(None) }.build().unwrap();
    assert_eq!((first.serial, first.releases.len()), (1, 1));
    // The same image once more, and a step back to an older release: both under a higher serial.
    let again = Draft { new: vec![release(8, 81)], keep: vec![7], ..draft(Some(&before)) }.build().unwrap();
    assert_eq!((again.serial, again.releases.len()), (6, 2));
    let back = Draft { new: Vec::new(), keep: vec![6], lowest: 6, ..draft(Some(&before)) }.build().unwrap();
    assert_eq!((back.serial, back.lowest, back.releases), (6, 6, vec![release(6, 61)]));
}

#[test]
fn what_does_not_follow_is_not_signed() {
    let before = verify(&signed()).unwrap();
    let last = verify(&ReleaseFile { serial: u64::MAX, ..file() }.sign(&release_key()).unwrap()).unwrap();
    let of = |change: fn(&mut Draft<'_>)| {
        let mut draft = draft(Some(&before));
        change(&mut draft);
        draft.build()
    };
    let first = |serial| Draft { serial, lowest: 9, keep: Vec::new(), ..draft(None) }.build();
    for (found, expect) in [
        (of(|d| d.keep = vec![5]), "release: 5 is not in the file before: give its image"),
        (of(|d| d.new = vec![release(8, 91)]), "release: 8 is another image in the file before: number it anew"),
        (of(|d| d.keep = vec![7, 7]), "the release file is malformed: releases is not sorted, or has an entry twice"),
        (of(|d| d.new = vec![release(7, 1)]), "the release file is malformed: releases is not sorted"),
        (of(|d| d.new = vec![release(5, 91)]), "release: 5 is not above 8, the highest of the file before"),
        (of(|d| d.new = vec![release(5, 81)]), "release: 5 is not above 8, the highest of the file before"),
        (of(|d| d.new = vec![release(9, 91), release(1, 11)]), "release: 1 is not above 8, the highest"),
        (of(|d| d.new = vec![release(9, 81)]), "the release file is malformed: releases has one PCR0 twice"),
        (of(|d| d.lowest = 6), "the release file is malformed: lowest_release is not among the releases"),
        (of(|d| (d.new, d.keep) = (Vec::new(), Vec::new())), "the release file is malformed: releases has 0"),
        (first(0), "the release file is malformed: serial is 0"),
        (Draft { serial: 1, ..draft(None) }.build(), "release: 8 is not in the file before"),
        (draft(Some(&last)).build(), "serial: has no number after it"),
    ] {
        let error = found.unwrap_err().to_string();
        assert!(error.starts_with(expect), "{expect}: {error}");
    }
}

#[test]
fn a_rebuilt_image_is_found_or_the_part_that_differs_is_named() {
    let file = file();
    assert_eq!(file.find(&release(0, 81)).unwrap().number, 8);
    let application = Release { image: Image { pcr2: [9; 48], ..release(8, 81).image }, ..release(8, 81) };
    let other_kernel = || Image { pcr0: [9; 48], pcr1: [8; 48], ..release(8, 81).image };
    let kernel = Release { image: other_kernel(), kernel_hash: [9; 32], ..release(8, 81) };
    let modules = Release { image: other_kernel(), ..release(8, 81) };
    for (rebuilt, expect) in [
        (application, "PCR2 is 0909"),
        (kernel, "PCR2 is that of release 8, but PCR1 is 0808"),
        (modules, "PCR2 is that of release 8, but PCR1 is 0808"),
    ] {
        let error = file.find(&rebuilt).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("the image is in no release of the file with serial 5: {expect}")),
            "{error}"
        );
        let end = match (rebuilt.image.pcr2 == [9; 48], rebuilt.kernel_hash == [9; 32]) {
            (true, _) => "another application",
            (false, true) => "with another kernel",
            (false, false) => "with another command line or modules",
        };
        assert!(error.ends_with(end), "{error}");
    }
}
