//! The manifest of an enclave, from the file of its slot. It is read when the enclave asks for one, so that a new release's manifest can be
//! put there while the host runs.

use std::path::Path;

use strongroom_proto::canonical;
use strongroom_proto::limits::MANIFEST_BYTES_MAX;
use strongroom_proto::v1::{Manifest, Role};

use crate::error::Error;

/// Reads and checks the file.
///
/// # Errors
/// Where it cannot be read, is no manifest in its one encoding, or is for another role.
pub(super) fn read(path: &Path, role: Role) -> Result<Vec<u8>, Error> {
    let refused =
        |value: String, limit: String| Err(Error::config(format!("manifest {}", path.display()), value, limit));
    let len = std::fs::metadata(path).map_err(Error::io("read manifest", path))?.len();
    if len > MANIFEST_BYTES_MAX as u64 {
        return refused(format!("{len} bytes"), format!("must be at most {MANIFEST_BYTES_MAX} bytes"));
    }
    let bytes = std::fs::read(path).map_err(Error::io("read manifest", path))?;
    match canonical::decode::<Manifest>(&bytes, MANIFEST_BYTES_MAX) {
        Err(error) => refused(error.to_string(), "must be a canonically encoded manifest".to_owned()),
        Ok(manifest) if manifest.role() != role => {
            refused(manifest.role().as_str_name().to_owned(), format!("must be for {}", role.as_str_name()))
        }
        Ok(_) => Ok(bytes),
    }
}
