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

#[test]
fn unsafe_is_forbidden_everywhere() {
    for path in files().into_iter().filter(|path| path.ends_with("Cargo.toml") && path != "Cargo.toml") {
        assert!(text(&path).contains("[lints]\nworkspace = true"), "{path} does not take the workspace's lints");
    }
    assert!(text("Cargo.toml").contains("unsafe_code = \"forbid\""));
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
