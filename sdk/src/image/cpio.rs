//! cpio archives in the form that the kernel unpacks as its first file system: "newc", without checksums.

use super::ImageError;

const MAGIC: &str = "070701";
const TRAILER: &str = "TRAILER!!!";
/// Longest path in bytes, with the 0x00 that ends it: the kernel's `PATH_MAX`.
const PATH_BYTES_MAX: usize = 4096;

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// Something in an archive. Everything belongs to root.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A directory, mode 0755.
    Directory,
    /// A file.
    File {
        /// Its content.
        content: Vec<u8>,
        /// Whether root may run it: mode 0500, else 0400.
        executable: bool,
    },
    /// A character device, mode 0600.
    CharacterDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
}

/// An archive: entries in the order in which they are added, since a directory comes before what lies in it.
#[derive(Debug, Default)]
pub struct Archive {
    entries: Vec<(String, Entry)>,
    /// Modification time of every entry, in seconds since the Unix epoch.
    time: u32,
}

impl Archive {
    /// An empty archive whose entries all have this time.
    #[must_use]
    pub fn new(time: u32) -> Self {
        Self { entries: Vec::new(), time }
    }

    /// Adds an entry at a path without a leading slash.
    ///
    /// # Errors
    /// [`ImageError::Part`] for a path that is empty, absolute, too long, twice there, or in a directory that was not added.
    pub fn add(&mut self, path: &str, entry: Entry) -> Result<(), ImageError> {
        let refuse = |problem: &str| ImageError::part(format!("path {path:?}"), problem);
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        if path.len() >= PATH_BYTES_MAX || !path.split('/').all(plain) || path == TRAILER {
            return Err(refuse("is not relative, plain and shorter than 4,096 bytes"));
        }
        if self.entries.iter().any(|(other, _)| other == path) {
            return Err(refuse("is there twice"));
        }
        let in_directory = path.rsplit_once('/').is_none_or(|(parent, _)| {
            self.entries.iter().any(|(other, entry)| other == parent && *entry == Entry::Directory)
        });
        if !in_directory {
            return Err(refuse("lies in no directory of the archive"));
        }
        if let Entry::File { content, .. } = &entry
            && u32::try_from(content.len()).is_err()
        {
            return Err(refuse("has 4 GiB or more"));
        }
        self.entries.push((path.to_owned(), entry));
        Ok(())
    }

    /// The archive's bytes, a multiple of 512.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (inode, (path, entry)) in (1..).zip(&self.entries) {
            let (mode, device, content): (u32, (u32, u32), &[u8]) = match entry {
                Entry::Directory => (DIRECTORY | 0o755, (0, 0), &[]),
                Entry::File { content, executable } => {
                    (REGULAR | if *executable { 0o500 } else { 0o400 }, (0, 0), content)
                }
                Entry::CharacterDevice { major, minor } => (CHARACTER_DEVICE | 0o600, (*major, *minor), &[]),
            };
            let links = if *entry == Entry::Directory { 2 } else { 1 };
            write(&mut out, path, [inode, mode, links, self.time], device, content);
        }
        write(&mut out, TRAILER, [0, 0, 1, 0], (0, 0), &[]);
        pad(&mut out, 512);
        out
    }
}

/// One entry: thirteen numbers of eight hex digits, the path, the content, each padded to four bytes.
fn write(out: &mut Vec<u8>, path: &str, [inode, mode, links, time]: [u32; 4], device: (u32, u32), content: &[u8]) {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let (size, name) = (length(content.len()), length(path.len().saturating_add(1)));
    let numbers = [inode, mode, 0, 0, links, time, size, 0, 0, device.0, device.1, name, 0];
    out.extend_from_slice(MAGIC.as_bytes());
    for number in numbers {
        out.extend_from_slice(format!("{number:08x}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out, 4);
    out.extend_from_slice(content);
    pad(out, 4);
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}
