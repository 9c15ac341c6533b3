//! The Python environment that `make` makes from `tests/python/requirements.txt`: AWS's own clients, and moto.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program of the environment. Without the environment a story fails; it never passes by doing nothing.
pub(crate) fn program(name: &str) -> PathBuf {
    let path = root().join("target/venv/bin").join(name);
    assert!(path.is_file(), "{} is not there: run `make target/venv/made` first", path.display());
    path
}

/// A script of `tests/python`, with what AWS's clients must not take from this machine set aside.
pub(crate) fn script(name: &str) -> Command {
    let mut command = clean(program("python"));
    command.arg(root().join("tests/python").join(name));
    command
}

/// A command that reads no configuration of its user's and asks no cloud for credentials.
pub(crate) fn clean(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("AWS_DEFAULT_REGION", "eu-central-1");
    command
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
