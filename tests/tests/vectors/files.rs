//! The vector files: their folder, and members of their JSON.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Most bytes of all vector files together.
const BYTES_MAX: u64 = 300 * 1024;

/// The folder of all vector files.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// A vector file, by its path in the folder.
pub(crate) fn read(path: &str) -> Value {
    let path = folder().join(path);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A member that is text.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is not there in {value}"))
}

/// A member that is hex.
pub(crate) fn hex(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(value, name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_vector_files_stay_small() {
    fn bytes(path: &Path) -> u64 {
        let metadata = path.metadata().unwrap();
        if metadata.is_file() {
            return metadata.len();
        }
        path.read_dir().unwrap().map(|entry| bytes(&entry.unwrap().path())).sum()
    }
    let bytes = bytes(&folder());
    assert!((1..=BYTES_MAX).contains(&bytes), "{bytes} bytes, at most {BYTES_MAX}");
}
