//! A recipient's key in a file, for a recovery that waits: whoever reads it can open what is released to it.

use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::RecipientKey;
use crate::error::Error;
use crate::files;

/// Longest file of a recipient's key in bytes.
const RECIPIENT_FILE_BYTES_MAX: usize = 1024;
const VERSION: u32 = 1;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RecipientFile {
    version: u32,
    /// X-Wing private key, hex.
    seed: Zeroizing<String>,
}

impl RecipientKey {
    /// Writes it to a new file for its owner's eyes only (mode 0600).
    ///
    /// # Errors
    /// [`Error::Exists`] or [`Error::File`].
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let file = RecipientFile { version: VERSION, seed: Zeroizing::new(hex::encode(self.seed.as_slice())) };
        let mut json = Zeroizing::new(Vec::with_capacity(RECIPIENT_FILE_BYTES_MAX));
        serde_json::to_writer_pretty(&mut *json, &file).map_err(|e| Error::malformed("recipient's key", e))?;
        json.push(b'\n');
        files::write_new(path, &json)
    }

    /// Reads a file that [`RecipientKey::write`] wrote.
    ///
    /// # Errors
    /// [`Error::File`] says what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let refuse = |problem: String| Error::File { path: path.to_owned(), problem };
        let bytes = files::read(path, RECIPIENT_FILE_BYTES_MAX)?;
        let file: RecipientFile =
            serde_json::from_slice(&bytes).map_err(|error| refuse(format!("no file of a recipient's key: {error}")))?;
        if file.version != VERSION {
            return Err(refuse(format!("version {} of the file is unknown", file.version)));
        }
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(&*file.seed, &mut *seed).map_err(|_| refuse("seed is not 32 bytes in hex".to_owned()))?;
        Self::from_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipients_key_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = RecipientKey::generate().unwrap();
        key.write(&path).unwrap();
        assert_eq!(RecipientKey::read(&path).unwrap().public_key(), key.public_key());
        assert!(matches!(key.write(&path), Err(Error::Exists(_))));
        let text = std::fs::read_to_string(&path).unwrap();
        for (from, to, expect) in [
            ("\"version\": 1", "\"version\": 2", "version 2 of the file is unknown"),
            ("\"seed\": \"", "\"seed\": \"0", "seed is not 32 bytes in hex"),
            ("{", "{\"more\": 1,", "no file of a recipient's key"),
            ("}", "", "no file of a recipient's key"),
        ] {
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            let error = RecipientKey::read(&path).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }
}
