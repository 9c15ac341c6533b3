//! 32 PCRs of SHA-384 with the NSM's rules: extend, lock, and who may do neither. Signs nothing.

use crate::measurements::Measurements;
use ring::digest::{Context, SHA384};
use std::collections::BTreeMap;
use strongroom_runtime::nsm::{NsmError, PCR_COUNT};

/// Length of a PCR.
pub(crate) const PCR_BYTES: usize = 48;

/// The hypervisor measures into the PCRs below and locks them before the enclave runs.
const FIRST_USER_PCR: usize = 16;

/// Longest data of one extension, in bytes, as the NSM driver has it.
const EXTEND_BYTES_MAX: usize = 512;

/// The PCRs of one enclave.
#[derive(Debug)]
pub(crate) struct PcrBank {
    values: [[u8; PCR_BYTES]; PCR_COUNT as usize],
    locked: [bool; PCR_COUNT as usize],
}

impl PcrBank {
    /// The PCRs as an enclave finds them: PCR0-2 its image, PCR4 the instance, the other ones zero
    /// (PCR3 the instance's IAM role and PCR8 the image's signer, of which there is none).
    pub(crate) fn new(image: &Measurements, instance_id: &str) -> Self {
        let mut bank = Self { values: [[0; PCR_BYTES]; PCR_COUNT as usize], locked: [false; PCR_COUNT as usize] };
        bank.values[..3].copy_from_slice(&[image.pcr0, image.pcr1, image.pcr2]);
        bank.values[4] = Measurements::measure([instance_id.as_bytes()]);
        bank.locked[..FIRST_USER_PCR].fill(true);
        bank
    }

    pub(crate) fn extend(&mut self, index: u16, data: &[u8]) -> Result<[u8; PCR_BYTES], NsmError> {
        let index = self.writable(index)?;
        if data.len() > EXTEND_BYTES_MAX {
            return Err(NsmError::InputTooLarge);
        }
        self.values[index] = extended(&self.values[index], data);
        Ok(self.values[index])
    }

    pub(crate) fn lock(&mut self, index: u16) -> Result<(), NsmError> {
        let index = self.writable(index)?;
        self.locked[index] = true;
        Ok(())
    }

    /// The PCRs that a document lists.
    pub(crate) fn locked(&self) -> BTreeMap<u8, [u8; PCR_BYTES]> {
        let indexed = (0..).zip(self.values.iter().zip(self.locked));
        indexed.filter(|(_, (_, locked))| *locked).map(|(index, (value, _))| (index, *value)).collect()
    }

    fn writable(&self, index: u16) -> Result<usize, NsmError> {
        let index = usize::from(index);
        match self.locked.get(index) {
            None => Err(NsmError::InvalidIndex),
            Some(true) => Err(NsmError::ReadOnlyIndex),
            Some(false) => Ok(index),
        }
    }
}

/// SHA-384(old ‖ data).
pub(crate) fn extended(old: &[u8; PCR_BYTES], data: &[u8]) -> [u8; PCR_BYTES] {
    let mut context = Context::new(&SHA384);
    context.update(old);
    context.update(data);
    let mut value = [0; PCR_BYTES];
    value.copy_from_slice(context.finish().as_ref());
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extend_and_lock_follow_the_rules_of_the_nsm() {
        let image = Measurements::of_bytes(b"image");
        let mut bank = PcrBank::new(&image, "i-1");
        for index in 0..16 {
            assert_eq!(bank.extend(index, b"x"), Err(NsmError::ReadOnlyIndex));
            assert_eq!(bank.lock(index), Err(NsmError::ReadOnlyIndex));
        }
        for index in [32, 33, 256, u16::MAX] {
            assert_eq!(bank.extend(index, b"x"), Err(NsmError::InvalidIndex));
            assert_eq!(bank.lock(index), Err(NsmError::InvalidIndex));
        }
        let first = extended(&[0; 48], b"one");
        assert_eq!(bank.extend(16, b"one"), Ok(first));
        assert_eq!(bank.extend(16, b"two"), Ok(extended(&first, b"two")));
        assert_eq!(bank.extend(16, &[0; EXTEND_BYTES_MAX + 1]), Err(NsmError::InputTooLarge));
        assert!(bank.extend(31, &[0; EXTEND_BYTES_MAX]).is_ok());
        assert_eq!(bank.locked().len(), 16, "an open PCR is not listed");
        bank.lock(16).unwrap();
        assert_eq!(bank.lock(16), Err(NsmError::ReadOnlyIndex));
        assert_eq!(bank.extend(16, b"three"), Err(NsmError::ReadOnlyIndex));
        let listed = bank.locked();
        assert_eq!((listed.len(), listed[&0], listed[&16]), (17, image.pcr0, extended(&first, b"two")));
    }
}
