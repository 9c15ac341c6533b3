//! What `deploy/` has: that it parses, that it says what it must, and that what it calls exists.

mod deploy {
    mod commands;
    mod configuration;
    mod hcl;
    mod terraform;
    mod units;

    use std::path::{Path, PathBuf};

    /// A file or folder of `deploy/`.
    fn path(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
    }

    fn text(name: &str) -> String {
        std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("deploy/{name}: {error}"))
    }
}
