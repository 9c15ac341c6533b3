//! Images: built twice the same, read back, and refused with a byte changed.

use std::io::Read;

use super::*;

fn image() -> Image {
    let modules = [Module { name: "nsm.ko".to_owned(), content: b"a module".to_vec() }];
    Image {
        default_memory: 96 << 20,
        default_cpus: 2,
        kernel: b"a kernel".to_vec(),
        command_line: "reboot=k panic=1".to_owned(),
        metadata: b"{}".to_vec(),
        ramdisks: vec![boot(0, &modules).unwrap(), application(0, executable(&[1, 6])).unwrap()],
    }
}

/// An ELF header with these program headers' types.
fn executable(types: &[u32]) -> Vec<u8> {
    let mut out = vec![0; 64];
    out[..5].copy_from_slice(b"\x7fELF\x02");
    out[18] = 62;
    out[32] = 64;
    out[54] = 56;
    out[56] = u8::try_from(types.len()).unwrap();
    for kind in types {
        let at = out.len();
        out.resize(at + 56, 0);
        out[at..at + 4].copy_from_slice(&kind.to_le_bytes());
    }
    out
}

#[test]
fn an_image_reads_back_as_it_was_built_and_twice_the_same() {
    let bytes = image().to_bytes().unwrap();
    assert_eq!(bytes, image().to_bytes().unwrap());
    assert_eq!(Image::from_bytes(&bytes).unwrap(), image());
}

#[test]
fn each_register_covers_its_own_parts() {
    let base = Measured::of(&image());
    // Which of PCR0, 1, 2 move.
    let check = |change: fn(&mut Image), expect: [bool; 3]| {
        let mut changed = image();
        change(&mut changed);
        let found = Measured::of(&changed);
        assert_eq!([found.pcr0 != base.pcr0, found.pcr1 != base.pcr1, found.pcr2 != base.pcr2], expect);
    };
    check(|image| image.kernel.push(0), [true, true, false]);
    check(|image| image.command_line.push('x'), [true, true, false]);
    check(|image| image.ramdisks[0].push(0), [true, true, false]);
    check(|image| image.ramdisks[1].push(0), [true, false, true]);
    check(|image| image.ramdisks.push(vec![1]), [true, false, true]);
    check(|image| image.metadata.push(b' '), [false; 3]);
    check(|image| image.default_memory = 1, [false; 3]);
}

#[test]
fn registers_are_sha384_over_zeros_and_the_sha384_of_the_parts() {
    // Computed with Python's hashlib over b"a kernel", b"c", b"boot" and b"app".
    let image = Image { command_line: "c".to_owned(), ramdisks: vec![b"boot".to_vec(), b"app".to_vec()], ..image() };
    let found = Measured::of(&image);
    let start = |digest: Digest| digest.to_string()[..32].to_owned();
    assert_eq!([found.pcr0, found.pcr1, found.pcr2].map(start), [PCR0, PCR1, PCR2]);
}

const PCR0: &str = "9e8dd13bb0f02936a1e1ba11bc8d0b59";
const PCR1: &str = "596d1db1da18b778a5f22988fd844cfe";
const PCR2: &str = "b76036a6963404c7fe1249127a5c2fc6";

#[test]
fn no_changed_or_missing_byte_is_read() {
    let bytes = image().to_bytes().unwrap();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        assert!(Image::from_bytes(&changed).is_err(), "byte {place}");
        assert!(Image::from_bytes(&bytes[..place]).is_err(), "cut at {place}");
    }
    assert!(Image::from_bytes(&[bytes, vec![0]].concat()).is_err());
}

#[test]
fn parts_past_their_limits_are_refused_by_name() {
    let check = |change: fn(&mut Image), expect: &str| {
        let mut changed = image();
        change(&mut changed);
        let error = changed.to_bytes().unwrap_err().to_string();
        assert!(error.starts_with(expect), "{error}");
    };
    check(|image| image.kernel.clear(), "kernel: ");
    check(|image| image.command_line.clear(), "command line: ");
    check(|image| image.command_line = "x".repeat(2048), "command line: ");
    check(|image| image.command_line.push('\n'), "command line: ");
    check(|image| image.metadata.clear(), "metadata: ");
    check(|image| image.metadata = vec![b' '; METADATA_BYTES_MAX + 1], "metadata: ");
    check(|image| image.ramdisks.truncate(1), "ramdisks: ");
    check(|image| image.ramdisks = vec![vec![1]; RAMDISKS_MAX + 1], "ramdisks: ");
    check(|image| image.ramdisks[1].clear(), "ramdisk 1: ");
    let at_edge = Image { ramdisks: vec![vec![1]; RAMDISKS_MAX], ..image() };
    assert_eq!(Image::from_bytes(&at_edge.to_bytes().unwrap()).unwrap(), at_edge);
}

#[test]
fn archives_hold_plain_paths_only() {
    let file = || Entry::File { content: b"x".to_vec(), executable: false };
    for path in ["", "/init", "a/", "a//b", "../a", "./a", "TRAILER!!!", "no/parent", "a\0b", &"x".repeat(4096)] {
        assert!(Archive::new(0).add(path, file()).is_err(), "{path:?}");
    }
    let mut archive = Archive::new(0);
    archive.add("a", file()).unwrap();
    assert!(archive.add("a", file()).is_err());
    assert!(archive.add("a/b", file()).is_err(), "a file is no directory");
}

#[test]
fn an_archive_is_laid_out_as_newc() {
    let mut archive = Archive::new(7);
    archive.add("d", Entry::Directory).unwrap();
    archive.add("d/f", Entry::File { content: b"hello".to_vec(), executable: true }).unwrap();
    let bytes = archive.to_bytes();
    assert_eq!(bytes.len() % 512, 0);
    let text = String::from_utf8_lossy(&bytes);
    let directory = "07070100000001000041ed0000000000000000000000020000000700000000\
                     000000000000000000000000000000000000000200000000d\0";
    assert!(text.starts_with(directory), "{text}");
    assert!(text.contains("07070100000002000081400000000000000000000000010000000700000005"), "{text}");
    assert!(text.contains("d/f\0\0\0hello\0\0\x00070701"), "{text}");
}

#[test]
fn the_application_is_the_executable_alone_and_compressed_without_a_time() {
    let init = executable(&[1, 6]);
    let ramdisk = application(7, init.clone()).unwrap();
    // A gzip header with neither flags, time nor system.
    assert_eq!(&ramdisk[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    assert_eq!(ramdisk.len() % 4, 0, "the kernel would not find what follows");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(ramdisk.as_slice()).read_to_end(&mut unpacked).unwrap();
    let mut archive = Archive::new(7);
    archive.add("init", Entry::File { content: init, executable: true }).unwrap();
    assert_eq!(unpacked, archive.to_bytes());
}

#[test]
fn modules_and_the_application_are_what_they_must_be() {
    let module = |name: &str| Module { name: name.to_owned(), content: Vec::new() };
    for name in ["nsm", "a/b.ko", "x.ko.bz2", "", "a b.ko"] {
        assert!(boot(0, &[module(name)]).is_err(), "{name}");
    }
    assert!(boot(0, &[module("a.ko"), module("a.ko")]).is_err());
    assert!(boot(0, &[module("a.ko"), module("b.ko.xz")]).is_ok());
    for (init, why) in [
        (b"#!/bin/sh".to_vec(), "no ELF"),
        (executable(&[1, 3]), "an interpreter"),
        (executable(&[1])[..66].to_vec(), "cut short"),
        (Vec::new(), "empty"),
    ] {
        assert!(application(0, init).is_err(), "{why}");
    }
}
