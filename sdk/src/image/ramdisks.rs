//! The two ramdisks: what the kernel needs to start, and the application alone. So PCR2 does not depend on the kernel.

use std::io::Write;

use flate2::{Compression, GzBuilder};

use super::{Archive, Entry, ImageError};

/// Most modules that a kernel is given.
const MODULES_MAX: usize = 32;

/// A kernel module, as the kernel's package has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// Its file's name, such as `nsm.ko` or `nsm.ko.xz`.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// The boot ramdisk: the places to mount on, a console, and modules, which are loaded in this order. A production enclave has no console that
/// opens, and Rust's runtime takes the null device in its place.
///
/// # Errors
/// [`ImageError::Part`] for a module whose name is not plain, or that is there twice.
pub fn boot(time: u32, modules: &[Module]) -> Result<Vec<u8>, ImageError> {
    if modules.len() > MODULES_MAX {
        return Err(ImageError::part("modules", format!("are more than {MODULES_MAX}")));
    }
    let mut archive = Archive::new(time);
    for directory in ["dev", "proc", "sys", "modules"] {
        archive.add(directory, Entry::Directory)?;
    }
    archive.add("dev/console", Entry::CharacterDevice { major: 5, minor: 1 })?;
    archive.add("dev/null", Entry::CharacterDevice { major: 1, minor: 3 })?;
    for (place, module) in modules.iter().enumerate() {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_module = [".ko", ".ko.xz", ".ko.gz", ".ko.zst"].iter().any(|end| module.name.ends_with(end));
        if !is_module || !module.name.bytes().all(plain) {
            return Err(ImageError::part(
                format!("module {:?}", module.name),
                "is not NAME.ko, .ko.xz, .ko.gz or .ko.zst",
            ));
        }
        let twice = modules.iter().filter(|other| other.name == module.name).count() > 1;
        if twice {
            return Err(ImageError::part(format!("module {:?}", module.name), "is there twice"));
        }
        let file = Entry::File { content: module.content.clone(), executable: false };
        archive.add(&format!("modules/{place:02}-{}", module.name), file)?;
    }
    Ok(archive.to_bytes())
}

/// The application's ramdisk: `init`, and nothing else, compressed with gzip, which every kernel unpacks.
///
/// # Errors
/// [`ImageError::Part`] where it is not a static x86-64 executable: the image holds no loader.
pub fn application(time: u32, init: Vec<u8>) -> Result<Vec<u8>, ImageError> {
    check_static(&init)?;
    let mut archive = Archive::new(time);
    archive.add("init", Entry::File { content: init, executable: true })?;
    compressed(&archive.to_bytes())
}

/// gzip without a name or a time, filled up with zeros, since the kernel looks for what follows at a multiple of four bytes.
fn compressed(archive: &[u8]) -> Result<Vec<u8>, ImageError> {
    let failed = |error: std::io::Error| ImageError::part("init", format!("cannot be compressed: {error}"));
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::best());
    encoder.write_all(archive).map_err(failed)?;
    let mut out = encoder.finish().map_err(failed)?;
    out.resize(out.len().next_multiple_of(512), 0);
    Ok(out)
}

/// An ELF for x86-64 that asks for no interpreter.
fn check_static(init: &[u8]) -> Result<(), ImageError> {
    let refuse = |problem: &str| ImageError::part("init", problem);
    if init.get(..5) != Some(b"\x7fELF\x02") || init.get(18..20) != Some(&[62, 0]) {
        return Err(refuse("is not a 64-bit ELF for x86-64"));
    }
    let number = |at: usize, len: usize| -> Option<usize> {
        let mut bytes = [0; 8];
        bytes.get_mut(..len)?.copy_from_slice(init.get(at..at.checked_add(len)?)?);
        usize::try_from(u64::from_le_bytes(bytes)).ok()
    };
    let cut = || refuse("is cut short");
    let (start, size, entries) =
        (number(32, 8).ok_or_else(cut)?, number(54, 2).ok_or_else(cut)?, number(56, 2).ok_or_else(cut)?);
    for place in 0..entries {
        let at = size.checked_mul(place).and_then(|at| at.checked_add(start)).ok_or_else(cut)?;
        // PT_INTERP.
        if number(at, 4).ok_or_else(cut)? == 3 {
            return Err(refuse("needs a loader: build it with the target feature crt-static"));
        }
    }
    Ok(())
}
