//! A folder of what is kept: a file for each generation of a record, and one more for each time that it was sealed anew.
//!
//! RECORD.GENERATION.NUMBER.shares or .ciphertexts; the highest number is the newest. No file is ever overwritten.

use std::path::{Path, PathBuf};

use strongroom_proto::canonical;
use strongroom_proto::id::RecordId;
use strongroom_proto::limits::{CIPHERTEXT_BYTES_MAX, PAIRS_MAX};

use super::{Keeper, Kept, KeptFile, Kind, VERSION, check_size};
use crate::error::{Error, array};
use crate::files;

/// Longest of these files in bytes.
const KEPT_FILE_BYTES_MAX: usize = PAIRS_MAX * (CIPHERTEXT_BYTES_MAX + 128) + 256;
/// Most files of one generation: each recovery that brings the newest gives up those before.
const NUMBER_MAX: u32 = 1_000;

/// The folder at a path.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at a path, which is made when something is kept.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Gives up what is older than what a release has just opened.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn opened(&self, kind: Kind, record_id: &RecordId, generation: u64) -> Result<(), Error> {
        let numbers = self.numbers(kind, record_id, generation)?;
        let Some((_, older)) = numbers.split_last() else { return Ok(()) };
        older.iter().try_for_each(|number| {
            let path = self.path(kind, record_id, generation, *number);
            std::fs::remove_file(&path).map_err(|error| Error::File { path, problem: error.to_string() })
        })
    }

    /// Where the newest of a generation is.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn newest(&self, kind: Kind, record_id: &RecordId, generation: u64) -> Result<Option<PathBuf>, Error> {
        let numbers = self.numbers(kind, record_id, generation)?;
        Ok(numbers.last().map(|number| self.path(kind, record_id, generation, *number)))
    }

    fn path(&self, kind: Kind, record_id: &RecordId, generation: u64, number: u32) -> PathBuf {
        self.0.join(format!("{record_id}.{generation}.{number}.{}", extension(kind)))
    }

    /// The numbers of a generation's files, ascending.
    fn numbers(&self, kind: Kind, record_id: &RecordId, generation: u64) -> Result<Vec<u32>, Error> {
        let failed = |error: std::io::Error| Error::File { path: self.0.clone(), problem: error.to_string() };
        if !self.0.exists() {
            return Ok(Vec::new());
        }
        let (before, after) = (format!("{record_id}.{generation}."), format!(".{}", extension(kind)));
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let number = name.to_str().and_then(|it| it.strip_prefix(&before)).and_then(|it| it.strip_suffix(&after));
            // A name that this crate does not write, such as one with a leading zero, is somebody else's.
            let number = number.and_then(|it| it.parse::<u32>().ok().filter(|number| number.to_string() == it));
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

impl Keeper for Folder {
    fn keep(&self, kept: &Kept) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::File { path: self.0.clone(), problem: error.to_string() };
        std::fs::create_dir_all(&self.0).map_err(failed)?;
        let number = self.numbers(kept.kind, &kept.record_id, kept.generation)?.last().map_or(1, |last| last + 1);
        if number > NUMBER_MAX {
            let problem = format!("there are {NUMBER_MAX} of generation {} already", kept.generation);
            return Err(Error::File { path: self.0.clone(), problem });
        }
        files::write_whole(&self.path(kept.kind, &kept.record_id, kept.generation, number), &kept.to_bytes())
    }

    fn bring(&self, kind: Kind, record_id: &RecordId, generation: u64) -> Result<Kept, Error> {
        let path = self.newest(kind, record_id, generation)?.ok_or_else(|| {
            let problem = format!("nothing of generation {generation} of record {record_id} is kept here");
            Error::File { path: self.0.clone(), problem }
        })?;
        let bytes = files::read(&path, KEPT_FILE_BYTES_MAX)?;
        read(&bytes, kind, record_id, generation).map_err(|error| Error::File { path, problem: error.to_string() })
    }
}

/// A file in its one encoding, of this record and generation.
fn read(bytes: &[u8], kind: Kind, record_id: &RecordId, generation: u64) -> Result<Kept, Error> {
    const FILE: &str = "kept file";
    let file: KeptFile =
        canonical::decode(bytes, KEPT_FILE_BYTES_MAX).map_err(|error| Error::malformed(FILE, error))?;
    let KeptFile { version, record_id: of, generation: number, shares } = file;
    crate::error::expect(FILE, "version", version, VERSION)?;
    crate::error::expect(FILE, "record", RecordId(array(FILE, "record_id", &of)?), *record_id)?;
    crate::error::expect(FILE, "generation", number, generation)?;
    let sorted = shares.is_sorted_by(|a, b| a.pair < b.pair);
    if !(1..=PAIRS_MAX).contains(&shares.len()) || !sorted || shares.iter().any(|it| it.generation != generation) {
        return Err(Error::malformed(FILE, "its shares are not one of each pair of the generation"));
    }
    shares.iter().try_for_each(check_size)?;
    Ok(Kept { kind, record_id: *record_id, generation, shares })
}

fn extension(kind: Kind) -> &'static str {
    match kind {
        Kind::Shares => "shares",
        Kind::Ciphertexts => "ciphertexts",
    }
}
