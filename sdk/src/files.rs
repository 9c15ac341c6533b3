//! Files: bounded reads, and writes that never overwrite and that only their owner may read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::Error;

/// Reads a file of at most `max` bytes.
///
/// # Errors
/// [`Error::File`] names the path, and the limit where it is longer.
pub fn read(path: &Path, max: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |problem: String| Error::File { path: path.to_owned(), problem };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
    if metadata.is_dir() {
        return Err(failed("is a folder, not a file".to_owned()));
    }
    if metadata.len() > max as u64 {
        return Err(failed(format!("has {} bytes; at most {max} are allowed", metadata.len())));
    }
    // Room for one byte more than allowed: the buffer never moves, so that no copy of a secret stays behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(max + 1));
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() > max { Err(failed(format!("has more than {max} bytes"))) } else { Ok(bytes) }
}

/// As [`read`], for what may be large and is no secret: takes the memory that the file needs, and not its limit's.
///
/// # Errors
/// As [`read`].
pub fn read_large(path: &Path, max: usize) -> Result<Vec<u8>, Error> {
    let failed = |problem: String| Error::File { path: path.to_owned(), problem };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    if file.metadata().map_err(|error| failed(error.to_string()))?.is_dir() {
        return Err(failed("is a folder, not a file".to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() > max { Err(failed(format!("has more than {max} bytes"))) } else { Ok(bytes) }
}

/// Refuses a path where [`write_new`] would fail, before an act that is lost without its file.
///
/// # Errors
/// [`Error::Exists`] where the path is taken, [`Error::File`] where its folder is missing.
pub fn check_new(path: &Path) -> Result<(), Error> {
    if path.exists() {
        return Err(Error::Exists(path.to_owned()));
    }
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Err(Error::File { path: path.to_owned(), problem: "is no path of a file".to_owned() }),
    };
    if folder.is_dir() {
        return Ok(());
    }
    Err(Error::File { path: path.to_owned(), problem: format!("there is no folder {}", folder.display()) })
}

/// Writes a new file that only its owner may read (mode 0600), and waits until it is on the disk.
///
/// # Errors
/// [`Error::Exists`] where the path is taken, [`Error::File`] otherwise.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::Exists(path.to_owned()),
        _ => Error::File { path: path.to_owned(), problem: error.to_string() },
    })?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // A file cut short would pass for the whole one.
        let _ = std::fs::remove_file(path);
        Error::File { path: path.to_owned(), problem: error.to_string() }
    })
}

/// Puts `bytes` in place of the file at `path` in one step, and waits until that is on the disk: whoever reads sees the old file or the
/// new one, and after this returned the new one, whatever fails.
///
/// # Errors
/// [`Error::File`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let next = path.with_extension("next");
    if next.exists() {
        std::fs::remove_file(&next).map_err(|error| Error::File { path: next.clone(), problem: error.to_string() })?;
    }
    write_new(&next, bytes)?;
    rename(&next, path)
}

/// Gives a file its name, and waits until that is on the disk.
fn rename(next: &Path, path: &Path) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::File { path: path.to_owned(), problem: error.to_string() };
    std::fs::rename(next, path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// Writes a new file in one step, and waits until it and its name are on the disk: whoever looks sees no file or the whole one.
///
/// # Errors
/// [`Error::Exists`] where the path is taken, [`Error::File`] otherwise.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::File { path: path.to_owned(), problem: error.to_string() };
    check_new(path)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    let next = std::path::PathBuf::from(name);
    if next.exists() {
        // Of a write that was cut short.
        std::fs::remove_file(&next).map_err(failed)?;
    }
    write_new(&next, bytes)?;
    rename(&next, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_private_whole_and_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert!(matches!(read(&path, 3), Err(Error::File { .. })));
        check_new(&path).unwrap();
        check_new(Path::new("files-that-nobody-made")).unwrap();
        assert!(
            matches!(check_new(&path.join("b")), Err(Error::File { problem, .. }) if problem.contains("no folder"))
        );
        assert!(matches!(check_new(Path::new("/")), Err(Error::Exists(_))));
        write_new(&path, b"abc").unwrap();
        assert!(matches!(check_new(&path), Err(Error::Exists(_))));
        assert!(matches!(check_new(&path.join("b")), Err(Error::File { .. })));
        assert!(matches!(write_new(&path, b"xyz"), Err(Error::Exists(_))));
        assert_eq!(&**read(&path, 3).unwrap(), b"abc");
        assert!(matches!(read(&path, 2), Err(Error::File { problem, .. }) if problem.contains("at most 2")));
        assert!(matches!(read(dir.path(), 9), Err(Error::File { problem, .. }) if problem.contains("folder")));
        assert_eq!(read_large(&path, 3).unwrap(), b"abc");
        for (path, max) in [(&path, 2), (&dir.path().to_owned(), 9), (&path.join("b"), 9)] {
            assert!(matches!(read_large(path, max), Err(Error::File { .. })), "{}", path.display());
        }
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        replace(&path, b"new").unwrap();
        assert_eq!(&**read(&path, 3).unwrap(), b"new");
        let whole = dir.path().join("w.1.x");
        std::fs::write(dir.path().join("w.1.x.next"), b"cut sho").unwrap();
        write_whole(&whole, b"whole").unwrap();
        assert!(!dir.path().join("w.1.x.next").exists());
        assert!(matches!(write_whole(&whole, b"other"), Err(Error::Exists(_))));
        assert_eq!(&**read(&whole, 5).unwrap(), b"whole");
        assert!(matches!(write_whole(&dir.path().join("no/w"), b"x"), Err(Error::File { .. })));
    }
}
