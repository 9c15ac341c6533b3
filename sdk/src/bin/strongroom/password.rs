//! The user's password of a backup: from a file, from `STRONGROOM_PASSWORD`, or asked for on the terminal without echo.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use strongroom_sdk::ciphertext::{Known, NewPassword, PASSWORD_BYTES_MAX, Password};
use strongroom_sdk::{Error, files};
use zeroize::Zeroizing;

use crate::passphrase::{Source, ask};

const SOURCE: Source = Source { field: "password", otherwise: "give --password-file or set STRONGROOM_PASSWORD" };
const VARIABLE: &str = "STRONGROOM_PASSWORD";
/// Stands for standard input.
const STDIN: &str = "-";
/// Longest file: the password and the end of its line.
const PASSWORD_FILE_BYTES_MAX: usize = PASSWORD_BYTES_MAX + 2;

#[derive(Args, Debug)]
pub(crate) struct PasswordFlags {
    /// File with the password and nothing else, for scripts; - is standard input. Without it: `STRONGROOM_PASSWORD`, or the terminal.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordFlags {
    /// The password of an existing backup.
    pub(crate) fn existing(&self) -> Result<Password, Error> {
        match self.given()? {
            Some(password) => Ok(password),
            None => Password::new(ask("Password of the backup: ", SOURCE)?),
        }
    }

    /// A new password, asked for twice, and refused where it is weak.
    pub(crate) fn chosen(&self, known: &Known<'_>) -> Result<NewPassword, Error> {
        if let Some(password) = self.given()? {
            return NewPassword::new(password, known);
        }
        let first = Zeroizing::new(ask("New password for the backup: ", SOURCE)?);
        // A weak one is not asked for twice.
        let password = NewPassword::new(Password::new(first.as_str().to_owned())?, known)?;
        let second = Zeroizing::new(ask("The same once more: ", SOURCE)?);
        if *first != *second {
            return Err(Error::Input { field: "password".to_owned(), problem: "the two differ".to_owned() });
        }
        Ok(password)
    }

    /// Of a script.
    fn given(&self) -> Result<Option<Password>, Error> {
        let text = match &self.password_file {
            Some(path) if path == Path::new(STDIN) => line(&standard_input()?, path)?,
            Some(path) => line(&files::read(path, PASSWORD_FILE_BYTES_MAX)?, path)?,
            None => match std::env::var(VARIABLE) {
                Ok(text) => text,
                Err(_) => return Ok(None),
            },
        };
        Password::new(text).map(Some)
    }
}

fn standard_input() -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PASSWORD_FILE_BYTES_MAX + 1));
    let limit = u64::try_from(PASSWORD_FILE_BYTES_MAX + 1).unwrap_or(u64::MAX);
    let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
    read.map_err(|error| Error::File { path: STDIN.into(), problem: error.to_string() })?;
    Ok(bytes)
}

/// One line, without its end.
fn line(bytes: &[u8], path: &Path) -> Result<String, Error> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::File { path: path.to_owned(), problem: "is no text in UTF-8".to_owned() })?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(path: &Path) -> PasswordFlags {
        PasswordFlags { password_file: Some(path.to_owned()) }
    }

    #[test]
    fn a_password_file_holds_one_password_and_the_end_of_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        let known = Known { wallet: "w1", backup: "pw", rp_id: "wallet.example" };
        for (text, expect) in [
            ("violin granite otter 88\n", ""),
            ("violin granite otter 88", ""),
            ("violin granite otter 88\r\n", ""),
            ("violin granite\notter 88\n", "control character"),
            ("violin granite otter 88\n\n", "control character"),
            ("1234\n", "a PIN"),
            ("\n", "empty"),
            ("", "empty"),
        ] {
            std::fs::write(&path, text).unwrap();
            let made = flags(&path).chosen(&known);
            match made {
                Ok(_) => assert_eq!(expect, "", "{text:?}"),
                Err(error) => assert!(!expect.is_empty() && error.to_string().contains(expect), "{text:?}: {error}"),
            }
        }
        // What is weak was taken at some time, and still opens what it opened.
        std::fs::write(&path, "1234\n").unwrap();
        flags(&path).existing().unwrap();
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(flags(&path).existing().unwrap_err().to_string().contains("no text in UTF-8"));
        std::fs::write(&path, "x".repeat(PASSWORD_FILE_BYTES_MAX + 1)).unwrap();
        assert!(flags(&path).existing().unwrap_err().to_string().contains("at most 1026"));
        assert!(matches!(flags(&dir.path().join("none")).existing(), Err(Error::File { .. })));
    }
}
