//! The kernel's pool, where the module's bytes count at once: they are credited, and the generator is seeded anew from the pool, so that
//! the first key is drawn from them.
//!
//! Here is the product's only `unsafe`: two requests of random(4), which no crate that the enclave links offers as a safe function.
#![expect(unsafe_code, reason = "the two requests to the kernel; tidy sees to it that no other file has any")]

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc::c_int;
use strongroom_runtime::RuntimeError;
use strongroom_runtime::entropy::{KERNEL_POOL, Pool};
use zeroize::Zeroize;

/// Most bytes in one request.
const REQUEST_BYTES_MAX: usize = 512;

/// The pool of the kernel that this process is the first of. It takes a privilege that only such a process has for certain.
#[derive(Debug)]
pub(crate) struct KernelPool;

impl Pool for KernelPool {
    fn mix(&self, bytes: &[u8]) -> Result<(), RuntimeError> {
        let pool = OpenOptions::new().write(true).open(KERNEL_POOL);
        take(&pool.map_err(|_| RuntimeError::Entropy("the kernel's pool does not open"))?, bytes)
    }
}

/// The kernel's random number generator.
trait Generator {
    /// Mixes in at most [`REQUEST_BYTES_MAX`] bytes, every bit of them counted as random.
    fn credit(&self, bytes: &[u8]) -> nix::Result<()>;

    /// Seeds what is drawn from the pool from here on.
    fn reseed(&self) -> nix::Result<()>;
}

/// Credits everything, then seeds anew: the other way round, the next minute's bytes would not depend on them.
fn take(generator: &impl Generator, bytes: &[u8]) -> Result<(), RuntimeError> {
    for part in bytes.chunks(REQUEST_BYTES_MAX) {
        generator.credit(part).map_err(|_| RuntimeError::Entropy("the kernel does not credit the module's bytes"))?;
    }
    generator.reseed().map_err(|_| RuntimeError::Entropy("the kernel does not seed its generator anew"))
}

/// `struct rand_pool_info` of `linux/random.h`, with room for the bytes that there follow it.
#[repr(C)]
struct RandPoolInfo {
    entropy_bits: c_int,
    buffer_bytes: c_int,
    buffer: [u8; REQUEST_BYTES_MAX],
}

impl RandPoolInfo {
    /// The bytes, every bit of them counted; nothing where they are too many.
    fn of(bytes: &[u8]) -> Option<Self> {
        let buffer_bytes = c_int::try_from(bytes.len()).ok()?;
        let mut info = Self { entropy_bits: buffer_bytes.checked_mul(8)?, buffer_bytes, buffer: [0; _] };
        info.buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(info)
    }
}

impl Drop for RandPoolInfo {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}

/// The requests, by their numbers in `linux/random.h`; that of the first is made with the size of the structure's two numbers.
mod requests {
    use super::c_int;

    nix::ioctl_write_ptr!(add_entropy, b'R', 0x03, [c_int; 2]);
    nix::ioctl_none!(reseed_crng, b'R', 0x07);
}

impl Generator for File {
    fn credit(&self, bytes: &[u8]) -> nix::Result<()> {
        let info = RandPoolInfo::of(bytes).ok_or(Errno::EINVAL)?;
        // SAFETY: the descriptor is open. The kernel reads the two numbers and then `buffer_bytes` bytes, all within `info`, whose layout
        // is C's and which lives until the call is over; it writes nothing there and keeps no pointer.
        unsafe { requests::add_entropy(self.as_raw_fd(), (&raw const info).cast()) }.map(|_| ())
    }

    fn reseed(&self) -> nix::Result<()> {
        // SAFETY: the descriptor is open, and the request has no argument.
        unsafe { requests::reseed_crng(self.as_raw_fd()) }.map(|_| ())
    }
}

#[cfg(test)]
mod tests;
