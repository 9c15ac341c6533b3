//! Documents: what they point to must exist.

use super::repository::{root, text};

/// Each promise of SECURITY.md names its tests as `path::test_name`.
#[test]
fn every_promise_points_to_a_test() {
    let security = text("SECURITY.md");
    let references: Vec<(&str, &str)> =
        security.split('`').skip(1).step_by(2).filter_map(|code| code.rsplit_once(".rs::")).collect();
    assert!(references.len() >= 20, "only {} references to tests", references.len());
    for (path, test) in references {
        let path = format!("{path}.rs");
        assert!(root().join(&path).is_file(), "SECURITY.md: no file {path}");
        assert!(text(&path).contains(&format!("fn {test}(")), "SECURITY.md: no test {test} in {path}");
    }
    for line in security.lines().filter(|line| line.starts_with("| P")) {
        assert!(line.contains(".rs::"), "SECURITY.md: a promise without a test: {line}");
    }
}

/// Every document.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "SECURITY.md",
    "deploy/README.md",
    "deploy/UPGRADE.md",
    "examples/backend-rust/README.md",
    "examples/backend-python/README.md",
];

/// The documents name files in backticks with a slash, from the repository's root or from their own folder; each must be there.
#[test]
fn documents_name_files_that_exist() {
    for document in DOCUMENTS {
        let text = text(document);
        let own = root().join(document).parent().unwrap().to_path_buf();
        for code in
            text.split('`').skip(1).step_by(2).filter(|code| !code.contains([' ', '\n', ':', '<', '=', '$', '*']))
        {
            // An absolute path is one of an operator's machine.
            let is_path = !code.starts_with('/')
                && [".rs", ".md", ".proto", ".toml", ".txt"].iter().any(|ending| code.ends_with(ending))
                && code.contains('/');
            let there = root().join(code).exists() || own.join(code).exists();
            assert!(!is_path || there, "{document} names {code}, which is not there");
        }
    }
}
