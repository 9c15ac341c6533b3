//! A ciphertext under a password, byte by byte: a header that says how the key follows from the password, and AES-256-GCM.
//!
//! format (1) ‖ derivation (1) ‖ memory in KiB (4) ‖ passes (4) ‖ lanes (1) ‖ salt (16) ‖ ciphertext ‖ tag (16); numbers big-endian.
//! The whole header is in the AAD and in the info of the key, so that who changes it gets no plaintext, and it is refused outside the
//! bounds below before any work is done: a host can ask neither for a derivation that is cheaper to guess nor for one that a device
//! cannot carry.

use strongroom_proto::id::TenantId;
use strongroom_proto::limits::SHARE_BYTES_MAX;
use strongroom_proto::prefix;

use super::{Belongs, PART};
use crate::error::Error;

/// The first byte.
const FORMAT: u8 = 1;
/// Argon2id, version 0x13 (RFC 9106).
const ARGON2ID: u8 = 1;
const SALT_BYTES: usize = 16;
pub(super) const HEADER_BYTES: usize = 1 + 1 + 4 + 4 + 1 + SALT_BYTES;
pub(super) const TAG_BYTES: usize = 16;

/// Work of the derivation as this crate writes it, and the least that it takes: 64 MiB, three passes, one lane.
pub(super) const MEMORY_KIB: u32 = 64 * 1024;
pub(super) const PASSES: u32 = 3;
pub(super) const LANES: u32 = 1;
/// Most memory that a device is asked for: 256 MiB.
pub(super) const MEMORY_KIB_MAX: u32 = 256 * 1024;
/// Most passes.
pub(super) const PASSES_MAX: u32 = 10;
/// Most lanes.
pub(super) const LANES_MAX: u32 = 4;

/// How the key follows from the password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
    pub(super) salt: [u8; SALT_BYTES],
}

impl Header {
    /// What this crate writes.
    pub(super) fn new(salt: [u8; SALT_BYTES]) -> Self {
        Self { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES, salt }
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let lanes = u8::try_from(self.lanes).unwrap_or(u8::MAX);
        let fields: [&[u8]; 5] =
            [&[FORMAT, ARGON2ID], &self.memory_kib.to_be_bytes(), &self.passes.to_be_bytes(), &[lanes], &self.salt];
        for (to, from) in out.iter_mut().zip(fields.concat()) {
            *to = from;
        }
        out
    }

    /// Reads a header, with what stands after it.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, &[u8]), Error> {
        let [format, derivation, rest @ ..] = bytes else { return Err(short()) };
        if *format != FORMAT {
            return Err(refuse(format_args!("format {format} is unknown; {FORMAT} is known")));
        }
        if *derivation != ARGON2ID {
            return Err(refuse(format_args!("derivation {derivation} is unknown; {ARGON2ID}, Argon2id, is known")));
        }
        let (memory, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (passes, rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (&[lanes], rest) = rest.split_first_chunk().ok_or_else(short)?;
        let (salt, sealed) = rest.split_first_chunk().ok_or_else(short)?;
        let (memory_kib, passes) = (u32::from_be_bytes(*memory), u32::from_be_bytes(*passes));
        let header = Self { memory_kib, passes, lanes: u32::from(lanes), salt: *salt };
        for (name, value, min, max) in [
            ("memory in KiB", header.memory_kib, MEMORY_KIB, MEMORY_KIB_MAX),
            ("number of passes", header.passes, PASSES, PASSES_MAX),
            ("number of lanes", header.lanes, LANES, LANES_MAX),
        ] {
            if !(min..=max).contains(&value) {
                return Err(refuse(format_args!("its {name} is {value}; {min} to {max} are allowed")));
            }
        }
        if !(1 + TAG_BYTES..=SHARE_BYTES_MAX + TAG_BYTES).contains(&sealed.len()) {
            return Err(refuse(format_args!("a secret has 1 to {SHARE_BYTES_MAX} bytes")));
        }
        Ok((header, sealed))
    }

    /// What is authenticated, and what the key is derived for: this header and where the ciphertext belongs.
    pub(super) fn aad(self, belongs: &Belongs<'_>, pair: &str) -> Vec<u8> {
        let Belongs { tenant: TenantId(tenant), wallet, backup, method, generation } = belongs;
        let mut out = prefix::PASSWORD.to_vec();
        out.extend_from_slice(&self.to_bytes());
        out.extend_from_slice(tenant);
        for text in [wallet, backup, method] {
            push_text(&mut out, text);
        }
        out.extend_from_slice(&generation.to_be_bytes());
        push_text(&mut out, pair);
        out
    }
}

/// Its length in two bytes, and itself: names have at most 64 bytes.
fn push_text(out: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn short() -> Error {
    refuse("it is too short to be one under a password")
}

fn refuse(problem: impl std::fmt::Display) -> Error {
    Error::malformed(PART, problem)
}
