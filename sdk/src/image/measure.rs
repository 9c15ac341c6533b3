//! PCR0 to PCR2 of an image, as the Nitro hypervisor extends them: SHA-384 over 48 zero bytes and the SHA-384 of the parts.

use std::fmt;

use ring::digest::{Context, SHA384, digest};

use super::Image;

/// A SHA-384, printed in lower-case hex.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Digest(pub [u8; 48]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What KMS key policies and statements name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Measured {
    /// Kernel, command line and every ramdisk.
    pub pcr0: Digest,
    /// Kernel, command line and the boot ramdisk.
    pub pcr1: Digest,
    /// Every other ramdisk: the application.
    pub pcr2: Digest,
}

impl Measured {
    /// Measures an image.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let (kernel, command_line) = (image.kernel.as_slice(), image.command_line.as_bytes());
        let (boot, rest) = image.ramdisks.split_at(image.ramdisks.len().min(1));
        let (boot, rest) = (boot.iter().map(Vec::as_slice), rest.iter().map(Vec::as_slice));
        let start = [kernel, command_line].into_iter();
        Self {
            pcr0: extended(start.clone().chain(boot.clone()).chain(rest.clone())),
            pcr1: extended(start.chain(boot)),
            pcr2: extended(rest),
        }
    }
}

fn extended<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Digest {
    let mut content = Context::new(&SHA384);
    parts.for_each(|part| content.update(part));
    let register = digest(&SHA384, &[&[0; 48], content.finish().as_ref()].concat());
    let mut out = [0; 48];
    out.copy_from_slice(register.as_ref());
    Digest(out)
}
