//! Files: their length, and words that must stand in none.

use std::path::Path;

use super::repository::{files, text};

/// Most lines of a source file.
const LINES_MAX: usize = 400;

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

fn is_python(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "py")
}

#[test]
fn source_files_are_short() {
    let long: Vec<String> = files()
        .into_iter()
        .filter(|path| is_rust(path) || is_python(path))
        .filter(|path| text(path).lines().count() > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines: {long:?}");
}

/// Longest line of a Python file in characters, as `rustfmt.toml` has it for Rust.
const LINE_CHARS_MAX: usize = 120;

#[test]
fn lines_of_python_are_no_longer_than_those_of_rust() {
    for path in files().into_iter().filter(|path| is_python(path)) {
        let long = text(&path).lines().position(|line| line.chars().count() > LINE_CHARS_MAX);
        assert!(long.is_none(), "{path}: line {} is longer than {LINE_CHARS_MAX}", long.unwrap_or(0) + 1);
    }
    assert!(text("rustfmt.toml").contains(&format!("max_width = {LINE_CHARS_MAX}")));
}

/// Nothing generated is committed.
#[test]
fn generated_code_stays_in_the_target_folder() {
    let generated: Vec<String> =
        files().into_iter().filter(|path| path.contains("_pb2") || path.contains("__pycache__")).collect();
    assert!(generated.is_empty(), "{generated:?}");
}

#[test]
fn no_file_names_a_registry_host() {
    let hosts = [
        concat!("crates", ".io"),
        concat!("pypi", ".org"),
        concat!("files.python", "hosted.org"),
        concat!("registry.npm", "js.org"),
        concat!("deb.", "debian.org"),
        concat!("static.", "rust-lang.org"),
    ];
    for path in files().into_iter().filter(|path| path != "Cargo.lock") {
        let text = text(&path);
        for host in hosts {
            assert!(!text.contains(host), "{path} names {host}");
        }
    }
}

/// The one crate that has `unsafe`, and the one file: requests to the kernel for which it links no safe function.
const UNSAFE: (&str, &str) = ("enclave/nitro/Cargo.toml", "enclave/nitro/src/entropy.rs");

#[test]
fn unsafe_is_forbidden_everywhere_but_in_one_file() {
    for path in files().into_iter().filter(|path| path.ends_with("Cargo.toml") && path != "Cargo.toml") {
        let takes = text(&path).contains("[lints]\nworkspace = true");
        assert!(takes != (path == UNSAFE.0), "{path}: the workspace's lints are taken by all but one");
    }
    let lints = |path: &str, prefix: &str| -> toml::Value {
        let manifest: toml::Value = toml::from_str(&text(path)).unwrap();
        prefix.split('.').filter(|key| !key.is_empty()).fold(manifest, |table, key| table[key].clone())["lints"].clone()
    };
    let (mut all, mut own) = (lints("Cargo.toml", "workspace"), lints(UNSAFE.0, ""));
    for (lints, expect) in [(&mut all, "forbid"), (&mut own, "deny")] {
        let level = lints["rust"].as_table_mut().unwrap().remove("unsafe_code");
        assert_eq!(level, Some(toml::Value::from(expect)));
    }
    assert_eq!(all, own, "{} has the workspace's other lints", UNSAFE.0);
    let allows = concat!("(unsafe", "_code");
    let allowed: Vec<String> =
        files().into_iter().filter(|path| is_rust(path) && text(path).contains(allows)).collect();
    assert_eq!(allowed, [UNSAFE.1]);
}

#[test]
fn unfinished_work_is_not_left_in_the_code() {
    let words = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("dbg", "!(")];
    for path in files().into_iter().filter(|path| is_rust(path)) {
        let text = text(&path);
        for word in words {
            assert!(!text.contains(word), "{path} has {word}");
        }
    }
}
