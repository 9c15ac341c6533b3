//! Files: their length, and words that must stand in none.

use std::path::Path;

use super::repository::{files, text};

/// Most lines of a source file.
const LINES_MAX: usize = 400;

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

#[test]
fn source_files_are_short() {
    let long: Vec<String> = files()
        .into_iter()
        .filter(|path| is_rust(path))
        .filter(|path| text(path).lines().count() > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines: {long:?}");
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
