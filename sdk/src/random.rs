//! Random bytes from the operating system.

use ring::rand::{SecureRandom, SystemRandom};

use crate::error::Error;

/// `N` random bytes.
///
/// # Errors
/// [`Error::Random`] where the operating system gives none.
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut out = [0; N];
    SystemRandom::new().fill(&mut out).map_err(|_| Error::Random)?;
    Ok(out)
}
