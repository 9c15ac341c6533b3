//! The measurements of a simulated image: its PCR0, PCR1 and PCR2.
//!
//! The formula is that of a real image, `PCRn = SHA384(0^48 ‖ SHA384(data))`. A simulated enclave has no
//! kernel and no RAM disks, so its data are: PCR0 `BOOT` ‖ executable, PCR1 `BOOT`, PCR2 executable.
//! Another executable is another image.

use crate::error::SimulatedError;
use crate::pcrs::{PCR_BYTES, extended};
use ring::digest::{Context, SHA384};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// What stands where a real image has its kernel, command line and first RAM disk.
const BOOT: &[u8] = b"strongroom simulated enclave: no kernel";

/// PCR0, PCR1 and PCR2 of an image, 48 bytes each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Measurements {
    /// The whole image.
    pub pcr0: [u8; PCR_BYTES],
    /// What boots it.
    pub pcr1: [u8; PCR_BYTES],
    /// The application.
    pub pcr2: [u8; PCR_BYTES],
}

impl Measurements {
    /// Measures an executable file.
    ///
    /// # Errors
    /// [`SimulatedError::File`].
    pub fn of_file(path: &Path) -> Result<Self, SimulatedError> {
        let mut file = File::open(path).map_err(SimulatedError::file(path))?;
        let mut whole = Context::new(&SHA384);
        whole.update(BOOT);
        let mut application = Context::new(&SHA384);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = file.read(&mut buffer).map_err(SimulatedError::file(path))?;
            if read == 0 {
                break;
            }
            whole.update(&buffer[..read]);
            application.update(&buffer[..read]);
        }
        Ok(Self { pcr0: pcr_of(whole), pcr1: Self::measure([BOOT]), pcr2: pcr_of(application) })
    }

    /// Measures an executable that is in memory.
    #[must_use]
    pub fn of_bytes(executable: &[u8]) -> Self {
        Self { pcr0: Self::measure([BOOT, executable]), pcr1: Self::measure([BOOT]), pcr2: Self::measure([executable]) }
    }

    /// What the hypervisor shows of an enclave in debug mode: zeros. For tests of verifiers.
    #[must_use]
    pub fn of_debug_mode() -> Self {
        Self { pcr0: [0; PCR_BYTES], pcr1: [0; PCR_BYTES], pcr2: [0; PCR_BYTES] }
    }

    /// SHA384(0^48 ‖ SHA384(the parts, one after the other)).
    pub(crate) fn measure<const N: usize>(parts: [&[u8]; N]) -> [u8; PCR_BYTES] {
        let mut context = Context::new(&SHA384);
        for part in parts {
            context.update(part);
        }
        pcr_of(context)
    }
}

fn pcr_of(data: Context) -> [u8; PCR_BYTES] {
    extended(&[0; PCR_BYTES], data.finish().as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_executable_is_another_image() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("executable");
        let content = vec![7; 200_000];
        std::fs::write(&path, &content).unwrap();
        let image = Measurements::of_file(&path).unwrap();
        assert_eq!(image, Measurements::of_bytes(&content));
        let other = Measurements::of_bytes(&content[1..]);
        assert!(image.pcr0 != other.pcr0 && image.pcr1 == other.pcr1 && image.pcr2 != other.pcr2);
        assert!(image.pcr0 != image.pcr2);
        assert!(Measurements::of_file(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn the_formula_is_that_of_a_real_image() {
        // printf abc | sha384sum, with 48 zero bytes before the binary digest, through sha384sum again.
        let expect = concat!(
            "93732e3733514a841c982cfa75ea76ab55fe011acb9cd980",
            "ef4523913c65be1b0998e04d77f8c174f81a82151619ca40"
        );
        assert_eq!(hex::encode(Measurements::of_bytes(b"abc").pcr2), expect);
    }
}
