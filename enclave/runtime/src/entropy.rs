//! Entropy at boot: the NSM's random bytes are mixed into the kernel's pool before any key is made.
//!
//! Mixing adds and never replaces, so the result is as good as the better of the two sources. An
//! enclave whose module gives nothing usable must not serve.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::RuntimeError;
use crate::nsm::Nsm;

/// The kernel's pool: bytes written to it are mixed in.
pub const KERNEL_POOL: &str = "/dev/urandom";

/// Fewest bytes that one answer of the module must have.
const ANSWER_BYTES_MIN: usize = 32;

/// Mixes two answers of the module into the pool at `pool`, before anything is drawn from it.
///
/// # Errors
/// [`RuntimeError::Entropy`] with the step that failed, or the module's own error.
pub fn mix(nsm: &dyn Nsm, pool: &Path) -> Result<(), RuntimeError> {
    let first = Zeroizing::new(nsm.random()?);
    let second = Zeroizing::new(nsm.random()?);
    if first.len() < ANSWER_BYTES_MIN || second.len() < ANSWER_BYTES_MIN {
        return Err(RuntimeError::Entropy("the module's answer is too short"));
    }
    if first == second || is_constant(&first) || is_constant(&second) {
        return Err(RuntimeError::Entropy("the module's answer repeats"));
    }
    let mut pool = OpenOptions::new()
        .write(true)
        .open(pool)
        .map_err(|_| RuntimeError::Entropy("the kernel's pool does not open"))?;
    for answer in [&first, &second] {
        pool.write_all(answer).map_err(|_| RuntimeError::Entropy("the kernel's pool takes no bytes"))?;
    }
    // The kernel takes the bytes in at its next reseeding, within a minute; on Nitro its own driver feeds it from the same module.
    Ok(())
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
        let got = mix(&nsm, pool).map_err(|error| error.to_string());
        assert_eq!(got.as_ref().map_err(String::as_str).copied(), expect);
    }

    #[test]
    fn a_module_that_gives_nothing_usable_is_refused() {
        let pool = temporary_file("pool");
        let counting = |start: u8, len: u8| (start..start + len).collect::<Vec<u8>>();
        check(vec![counting(0, 32), counting(1, 32)], pool.path(), Ok(()));
        assert_eq!(std::fs::read(pool.path()).unwrap().len(), 64);
        check(vec![counting(0, 31), counting(1, 32)], pool.path(), Err("entropy: the module's answer is too short"));
        check(vec![counting(0, 32), counting(1, 31)], pool.path(), Err("entropy: the module's answer is too short"));
        check(vec![counting(0, 32), counting(0, 32)], pool.path(), Err("entropy: the module's answer repeats"));
        check(vec![vec![0; 32], counting(0, 32)], pool.path(), Err("entropy: the module's answer repeats"));
        check(vec![counting(0, 32), vec![9; 32]], pool.path(), Err("entropy: the module's answer repeats"));
        check(vec![counting(0, 32)], pool.path(), Err("NSM: internal error"));
        check(
            vec![counting(0, 32), counting(1, 32)],
            Path::new("/nonexistent/pool"),
            Err("entropy: the kernel's pool does not open"),
        );
    }
}
