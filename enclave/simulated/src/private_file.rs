//! Files that hold keys of the simulation: mode 0600, replaced whole or not at all, on disk before the
//! call returns. Knows nothing of what is in them.

use crate::error::SimulatedError;
use ring::rand::{SecureRandom, SystemRandom};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes: some 10,000 keys of the development KMS.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Reads a file whole, or says that it is not there.
///
/// # Errors
/// [`SimulatedError::File`], and [`SimulatedError::Form`] past [`FILE_BYTES_MAX`].
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, SimulatedError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SimulatedError::file(path)(error)),
    };
    let mut content = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(SimulatedError::file(path))?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(SimulatedError::Form {
            path: path.to_owned(),
            reason: format!("more than {FILE_BYTES_MAX} bytes"),
        });
    }
    Ok(Some(content))
}

/// Replaces the file with `content`; a crash leaves the old or the new file, never a part.
///
/// # Errors
/// [`SimulatedError::File`].
pub fn replace(path: &Path, content: &[u8]) -> Result<(), SimulatedError> {
    let temporary = write_beside(path, content)?;
    std::fs::rename(&temporary, path).map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        SimulatedError::file(path)(error)
    })?;
    sync_folder(path)
}

/// Makes the file with `content`, or returns false where it is there already, also where another
/// process makes it at this moment.
///
/// # Errors
/// [`SimulatedError::File`].
pub fn create(path: &Path, content: &[u8]) -> Result<bool, SimulatedError> {
    let temporary = write_beside(path, content)?;
    let linked = std::fs::hard_link(&temporary, path);
    std::fs::remove_file(&temporary).map_err(SimulatedError::file(&temporary))?;
    match linked {
        Ok(()) => sync_folder(path).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(SimulatedError::file(path)(error)),
    }
}

/// Writes `content` to a new file beside `path`, under a name that no other process has.
fn write_beside(path: &Path, content: &[u8]) -> Result<PathBuf, SimulatedError> {
    let mut suffix = [0; 8];
    SystemRandom::new()
        .fill(&mut suffix)
        .map_err(|_| SimulatedError::file(path)(std::io::Error::other("no randomness")))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", hex::encode(suffix)));
    let temporary = path.with_file_name(name);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written.map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        SimulatedError::file(&temporary)(error)
    })?;
    Ok(temporary)
}

/// A new name is on disk only once its folder is.
fn sync_folder(path: &Path) -> Result<(), SimulatedError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(SimulatedError::file(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_made_once_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        assert_eq!(read(&path).unwrap(), None);
        assert!(create(&path, b"first").unwrap());
        assert!(!create(&path, b"second").unwrap());
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"first"[..]));
        replace(&path, b"third").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some(&b"third"[..]));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
    }

    #[test]
    fn a_file_that_cannot_be_written_or_is_too_large_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("missing/keys");
        assert!(create(&nowhere, b"x").is_err());
        assert!(replace(&nowhere, b"x").is_err());
        assert!(replace(folder.path(), b"x").is_err());
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(matches!(read(&large), Err(SimulatedError::Form { .. })));
    }
}
