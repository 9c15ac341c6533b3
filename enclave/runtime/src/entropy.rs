//! Entropy at boot: the NSM's random bytes are mixed into the kernel's pool before any key is made.
//!
//! Mixing adds and never replaces, so the result is as good as the better of the two sources. An
//! enclave whose module gives nothing usable must not serve.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::RuntimeError;
use crate::nsm::Nsm;

/// The kernel's pool: bytes written to it are mixed in.
pub const KERNEL_POOL: &str = "/dev/urandom";

/// Fewest bytes that one answer of the module must have.
const ANSWER_BYTES_MIN: usize = 32;

/// What takes the module's random bytes, so that what is drawn from the kernel depends on them.
pub trait Pool: fmt::Debug + Send + Sync + 'static {
    /// Mixes the bytes in. They are random throughout and known to nobody else.
    ///
    /// # Errors
    /// [`RuntimeError::Entropy`] with the step that failed; then nothing may be drawn.
    fn mix(&self, bytes: &[u8]) -> Result<(), RuntimeError>;
}

/// A pool that bytes are written to as to a file. The kernel mixes them in, gives no credit, and draws from them from its next reseeding
/// on, within a minute: what a process without privileges can do.
#[derive(Debug)]
pub struct PoolFile(PathBuf);

impl PoolFile {
    /// The pool at `path`.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The kernel's own.
    #[must_use]
    pub fn kernel() -> Self {
        Self::new(Path::new(KERNEL_POOL))
    }
}

impl Pool for PoolFile {
    fn mix(&self, bytes: &[u8]) -> Result<(), RuntimeError> {
        let pool = OpenOptions::new().write(true).open(&self.0);
        let mut pool = pool.map_err(|_| RuntimeError::Entropy("the kernel's pool does not open"))?;
        pool.write_all(bytes).map_err(|_| RuntimeError::Entropy("the kernel's pool takes no bytes"))
    }
}

/// Mixes two answers of the module into the pool, before anything is drawn from it.
///
/// # Errors
/// [`RuntimeError::Entropy`] with the step that failed, or the module's own error.
pub fn mix(nsm: &dyn Nsm, pool: &dyn Pool) -> Result<(), RuntimeError> {
    let first = Zeroizing::new(nsm.random()?);
    let second = Zeroizing::new(nsm.random()?);
    if first.len() < ANSWER_BYTES_MIN || second.len() < ANSWER_BYTES_MIN {
        return Err(RuntimeError::Entropy("the module's answer is too short"));
    }
    if first == second || is_constant(&first) || is_constant(&second) {
        return Err(RuntimeError::Entropy("the module's answer repeats"));
    }
    pool.mix(&Zeroizing::new([first.as_slice(), second.as_slice()].concat()))
}

/// Whether all bytes are the same one, as a broken module answers.
fn is_constant(bytes: &[u8]) -> bool {
    bytes.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeNsm, temporary_file};

    fn check(answers: Vec<Vec<u8>>, pool: &Path, expect: Result<(), &str>) {
        let nsm = FakeNsm::with_random(answers);
        let got = mix(&nsm, &PoolFile::new(pool)).map_err(|error| error.to_string());
        assert_eq!(got.as_ref().map_err(String::as_str).copied(), expect);
    }

    #[test]
    fn a_module_that_gives_nothing_usable_is_refused() {
        let pool = temporary_file("pool");
        let counting = |start: u8, len: u8| (start..start + len).collect::<Vec<u8>>();
        check(vec![counting(0, 32), counting(1, 32)], pool.path(), Ok(()));
        assert_eq!(std::fs::read(pool.path()).unwrap(), [counting(0, 32), counting(1, 32)].concat());
        check(vec![counting(0, 31), counting(1, 32)], pool.path(), Err("entropy: the module's answer is too short"));
        check(vec![counting(0, 32), counting(1, 31)], pool.path(), Err("entropy: the module's answer is too short"));
        check(vec![counting(0, 32), counting(0, 32)], pool.path(), Err("entropy: the module's answer repeats"));
        check(vec![vec![0; 32], counting(0, 32)], pool.path(), Err("entropy: the module's answer repeats"));
        check(vec![counting(0, 32), vec![9; 32]], pool.path(), Err("entropy: the module's answer repeats"));
        check(vec![counting(0, 32)], pool.path(), Err("NSM: internal error"));
        let good = || vec![counting(0, 32), counting(1, 32)];
        check(good(), Path::new("/nonexistent/pool"), Err("entropy: the kernel's pool does not open"));
        check(good(), Path::new("/dev/full"), Err("entropy: the kernel's pool takes no bytes"));
    }
}
