//! Each rule of `release.proto`, broken alone and signed again: the signature holds, and the file is refused by name.

use strongroom_proto::v1::{BuiltWith, PublishedRelease};

use super::*;

fn published(number: u64) -> PublishedRelease {
    let byte = u8::try_from(number).unwrap();
    let mut release = fields().releases.remove(1);
    release.release = number;
    release.image.as_mut().unwrap().pcr0 = vec![byte; 48];
    release
}

fn tools(names: &[&str]) -> Vec<BuiltWith> {
    names.iter().map(|name| BuiltWith { name: (*name).to_owned(), version: "1".to_owned() }).collect()
}

fn many_tools(count: usize) -> Vec<BuiltWith> {
    let names: Vec<String> = (0..count - 3).map(|number| format!("a{number:02}")).collect();
    let names = names.iter().map(String::as_str).chain(["gcc", "libc.a", "rustc"]);
    tools(&names.collect::<Vec<_>>())
}

fn verified(change: impl FnOnce(&mut v1::ReleaseFile)) -> Result<VerifiedReleases, Error> {
    let mut fields = fields();
    change(&mut fields);
    let mut signed = SignedReleaseFile { release_file: fields.encode_to_vec(), signature: Vec::new() };
    resign(&mut signed, prefix::RELEASE_FILE, &release_key());
    verify(&signed)
}

type FieldChange = fn(&mut v1::ReleaseFile);
type ReleaseChange = fn(&mut PublishedRelease);

#[test]
fn forms_at_their_limits_pass() {
    let changes: &[FieldChange] = &[
        |_| {},
        |f| f.serial = u64::MAX,
        |f| f.date_ms = 0,
        |f| f.date_ms = u64::MAX,
        |f| (f.releases, f.lowest_release) = ((1..=8).map(published).collect(), 1),
        |f| (f.releases, f.lowest_release) = (vec![published(9)], 9),
        |f| f.lowest_release = 8,
        |f| f.releases[2].release = u64::MAX,
        |f| f.releases[0].version = "v".repeat(128),
        |f| f.releases[0].built_with = many_tools(16),
        |f| f.releases[0].built_with[0].version = "~ ".repeat(64),
        |f| f.releases[1].image.as_mut().unwrap().pcr2 = f.releases[0].image.clone().unwrap().pcr2,
    ];
    for (index, change) in changes.iter().enumerate() {
        let verified = verified(change).unwrap_or_else(|error| panic!("change {index}: {error}"));
        assert_eq!(form::read(&form::write(verified.file())).unwrap(), *verified.file(), "change {index}");
    }
    // The longest file that keeps every other rule is within its bytes.
    let longest = verified(|f| {
        f.releases = (1..=8).map(published).collect();
        f.lowest_release = 8;
        for release in &mut f.releases {
            release.version = "v".repeat(128);
            release.built_with = many_tools(16);
            for (at, tool) in release.built_with.iter_mut().take(13).enumerate() {
                *tool = BuiltWith { name: format!("a{at:063}"), version: "v".repeat(128) };
            }
            release.built_with.iter_mut().for_each(|tool| tool.version = "v".repeat(128));
        }
    });
    longest.unwrap();
}

#[test]
fn each_broken_rule_of_a_file_is_named() {
    let order = "releases is not sorted, or has an entry twice";
    let cases: &[(FieldChange, &str)] = &[
        (|f| f.serial = 0, "serial is 0; the first is 1"),
        (|f| f.releases.clear(), "releases has 0 entries, not 1 to 8"),
        (|f| f.releases = (1..=9).map(published).collect(), "releases has 9 entries, not 1 to 8"),
        (|f| f.releases.swap(0, 1), order),
        (|f| f.releases[1].release = 6, order),
        (|f| f.releases[1] = f.releases[0].clone(), order),
        (|f| f.releases[2].image = f.releases[0].image.clone(), "releases has one PCR0 twice"),
        (
            |f| f.releases[2].image.as_mut().unwrap().pcr0 = f.releases[0].image.clone().unwrap().pcr0,
            "releases has one PCR0 twice",
        ),
        (|f| f.lowest_release = 0, "lowest_release is not among the releases"),
        (|f| f.lowest_release = 5, "lowest_release is not among the releases"),
        (|f| f.lowest_release = 9, "lowest_release is not among the releases"),
    ];
    for (index, (change, expect)) in cases.iter().enumerate() {
        let error = verified(change).unwrap_err().to_string();
        assert_eq!(error, format!("the release file is malformed: {expect}"), "case {index}");
    }
}

#[test]
fn each_broken_rule_of_a_release_is_named() {
    let version = "releases.version is not 1 to 128 printable ASCII characters";
    let name = "releases.built_with.name is not 1 to 64 characters of [A-Za-z0-9._-]";
    let tool = "releases.built_with.version is not 1 to 128 printable ASCII characters";
    let order = "releases.built_with is not sorted, or has an entry twice";
    let cases: &[(ReleaseChange, &str)] = &[
        (|r| r.release = 0, "releases.release is 0; the first is 1"),
        (|r| r.version.clear(), version),
        (|r| r.version = "v".repeat(129), version),
        (|r| r.version = "0.7\n".to_owned(), version),
        (|r| r.version = "0.7\u{202e}".to_owned(), version),
        (|r| r.version = "\u{7f}".to_owned(), version),
        (|r| r.image = None, "releases.image is missing"),
        (|r| r.image.as_mut().unwrap().pcr0 = vec![0; 48], "releases.image.pcr0 is all zero"),
        (|r| r.image.as_mut().unwrap().pcr1 = vec![0; 48], "releases.image.pcr1 is all zero"),
        (|r| r.image.as_mut().unwrap().pcr2 = vec![0; 48], "releases.image.pcr2 is all zero"),
        (|r| r.image.as_mut().unwrap().pcr0.clear(), "releases.image.pcr0 has 0 bytes, not 48"),
        (|r| r.image.as_mut().unwrap().pcr1.push(1), "releases.image.pcr1 has 49 bytes, not 48"),
        (|r| r.image.as_mut().unwrap().pcr2.truncate(47), "releases.image.pcr2 has 47 bytes, not 48"),
        (|r| r.image_hash.push(1), "releases.image_hash has 33 bytes, not 32"),
        (|r| r.kernel_hash.clear(), "releases.kernel_hash has 0 bytes, not 32"),
        (|r| r.built_with.clear(), "releases.built_with has 0 entries, not 3 to 16"),
        (|r| r.built_with = many_tools(17), "releases.built_with has 17 entries, not 3 to 16"),
        (|r| r.built_with = tools(&["a", "libc.a", "rustc"]), "releases.built_with lacks gcc"),
        (|r| r.built_with = tools(&["gcc", "libc", "rustc"]), "releases.built_with lacks libc.a"),
        (|r| r.built_with = tools(&["gcc", "libc.a", "rust"]), "releases.built_with lacks rustc"),
        (|r| r.built_with.swap(0, 1), order),
        (|r| r.built_with[1].name = "gcc".to_owned(), order),
        (|r| r.built_with[0].name.clear(), name),
        (|r| r.built_with[0].name = "a".repeat(65), name),
        (|r| r.built_with[0].name = "a b".to_owned(), name),
        (|r| r.built_with[0].version.clear(), tool),
        (|r| r.built_with[0].version = "v".repeat(129), tool),
        (|r| r.built_with[0].version = "1\u{1b}[2J".to_owned(), tool),
    ];
    for (index, (change, expect)) in cases.iter().enumerate() {
        let error = verified(|f| change(&mut f.releases[1])).unwrap_err().to_string();
        assert_eq!(error, format!("the release file is malformed: {expect}"), "case {index}");
    }
}

#[test]
fn another_encoding_is_refused_though_it_is_signed() {
    let bytes = signed().release_file;
    let twice = [&[8, 4][..], &bytes].concat();
    let over_long = [&[8, 0x85, 0][..], &bytes[2..]].concat();
    for (bytes, expect) in [
        ([&bytes[..], &[0x28, 1]].concat(), "not in canonical encoding, or with an unknown field"),
        ([&bytes[..], &[0xfa, 0x07, 1, 0]].concat(), "not in canonical encoding, or with an unknown field"),
        (twice, "not in canonical encoding, or with an unknown field"),
        (over_long, "not in canonical encoding, or with an unknown field"),
        ([&bytes[..], &[0]].concat(), "malformed protobuf"),
        (bytes[..bytes.len() - 1].to_vec(), "malformed protobuf"),
    ] {
        let mut signed = SignedReleaseFile { release_file: bytes, signature: Vec::new() };
        resign(&mut signed, prefix::RELEASE_FILE, &release_key());
        assert_eq!(verify(&signed).unwrap_err().to_string(), format!("the release file is malformed: {expect}"));
    }
}
