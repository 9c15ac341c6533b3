//! Keeps what tests feed to the code under test, as a corpus for the fuzz targets. Without `STRONGROOM_CORPUS` it does nothing.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

/// Longest input kept, in bytes: longer ones only slow the targets down.
const INPUT_BYTES_MAX: usize = 16 * 1024;

/// Whether a corpus is wanted at all.
#[allow(dead_code, reason = "not every crate that keeps inputs prepares them")]
pub(crate) fn is_asked_for() -> bool {
    std::env::var_os("STRONGROOM_CORPUS").is_some()
}

/// Writes `input` into the target's folder, under a name that its content gives.
pub(crate) fn keep(target: &str, input: &[u8]) {
    let Some(folder) = std::env::var_os("STRONGROOM_CORPUS") else { return };
    if input.len() > INPUT_BYTES_MAX {
        return;
    }
    let folder = Path::new(&folder).join(target);
    let mut name = DefaultHasher::new();
    input.hash(&mut name);
    std::fs::create_dir_all(&folder).expect("STRONGROOM_CORPUS is a folder that can be written");
    std::fs::write(folder.join(format!("{:016x}", name.finish())), input).expect("there is room for the corpus");
}
