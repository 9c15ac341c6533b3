//! What the checks read: the tracked files, and what cargo says of the crates.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn output(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Paths of the files that git tracks or would track, from the root.
pub(crate) fn files() -> Vec<String> {
    let listed = output(Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]));
    listed.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect()
}

/// A tracked file's text; empty if it is not text.
pub(crate) fn text(path: &str) -> String {
    String::from_utf8(std::fs::read(root().join(path)).unwrap()).unwrap_or_default()
}

/// What a package links, a line each, by `cargo tree` for that package alone: features unify over a workspace build, so a tree of the
/// workspace would show another crate's features.
pub(crate) fn tree(package: &str, format: &str) -> Vec<String> {
    let mut lines: Vec<String> = output(Command::new(env!("CARGO")).args([
        "tree",
        "--locked",
        "--package",
        package,
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        format,
    ]))
    .lines()
    .map(|line| line.trim_end_matches(" (*)").to_owned())
    .collect();
    lines.sort();
    lines.dedup();
    lines
}

/// Everything in the lock file.
pub(crate) fn metadata() -> cargo_metadata::Metadata {
    cargo_metadata::MetadataCommand::new()
        .current_dir(root())
        .other_options(["--locked".into(), "--filter-platform".into(), "x86_64-unknown-linux-gnu".into()])
        .exec()
        .unwrap()
}
