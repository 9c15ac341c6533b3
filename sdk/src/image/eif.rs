//! The enclave image format, version 4: a header with offsets and a CRC-32, then kernel, command line, metadata and ramdisks. Big-endian.
//!
//! The layout is that of `aws-nitro-enclaves-image-format`, which the tests read our images with.

use super::ImageError;

const MAGIC: &[u8; 4] = b".eif";
const VERSION: u16 = 4;
const SECTIONS_MAX: usize = 32;
/// Magic, version, flags, memory, CPUs, reserved, number of sections, offsets, sizes, unused, CRC-32.
const HEADER_BYTES: usize = 4 + 2 + 2 + 8 + 8 + 2 + 2 + SECTIONS_MAX * 16 + 4 + 4;

const KERNEL: u16 = 1;
const COMMAND_LINE: u16 = 2;
const RAMDISK: u16 = 3;
const SIGNATURE: u16 = 4;
const METADATA: u16 = 5;

/// Most ramdisks of an image.
pub const RAMDISKS_MAX: usize = SECTIONS_MAX - 4;
/// Longest metadata in bytes.
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// Longest command line of an x86-64 kernel in bytes.
const COMMAND_LINE_BYTES_MAX: usize = 2047;

/// The parts of an image for x86-64.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// What nitro-cli gives the enclave unless it is told otherwise, in bytes.
    pub default_memory: u64,
    /// And how many CPUs.
    pub default_cpus: u64,
    /// A bzImage.
    pub kernel: Vec<u8>,
    /// Its command line.
    pub command_line: String,
    /// JSON about the build. Not measured.
    pub metadata: Vec<u8>,
    /// cpio archives: the boot ramdisk, then the application's.
    pub ramdisks: Vec<Vec<u8>>,
}

impl Image {
    /// The image's bytes.
    ///
    /// # Errors
    /// [`ImageError::Part`] names the part and its limit.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ImageError> {
        self.check()?;
        let parts: Vec<(u16, &[u8])> = [
            (KERNEL, self.kernel.as_slice()),
            (COMMAND_LINE, self.command_line.as_bytes()),
            (METADATA, self.metadata.as_slice()),
        ]
        .into_iter()
        .chain(self.ramdisks.iter().map(|ramdisk| (RAMDISK, ramdisk.as_slice())))
        .collect();
        let mut body = Vec::new();
        let mut places = Vec::new();
        for (kind, part) in &parts {
            places.push((count(HEADER_BYTES + body.len()), count(part.len())));
            body.extend_from_slice(&kind.to_be_bytes());
            body.extend_from_slice(&0_u16.to_be_bytes());
            body.extend_from_slice(&count(part.len()).to_be_bytes());
            body.extend_from_slice(part);
        }
        let header = self.header(&places);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&header);
        crc.update(&body);
        Ok([header, crc.finalize().to_be_bytes().to_vec(), body].concat())
    }

    fn check(&self) -> Result<(), ImageError> {
        if self.kernel.is_empty() {
            return Err(ImageError::part("kernel", "is empty"));
        }
        if self.command_line.is_empty() || self.command_line.len() > COMMAND_LINE_BYTES_MAX {
            return Err(ImageError::part("command line", format!("is not 1 to {COMMAND_LINE_BYTES_MAX} bytes")));
        }
        if !self.command_line.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
            return Err(ImageError::part("command line", "is not printable ASCII"));
        }
        if self.metadata.is_empty() || self.metadata.len() > METADATA_BYTES_MAX {
            return Err(ImageError::part("metadata", format!("is not 1 to {METADATA_BYTES_MAX} bytes")));
        }
        if self.ramdisks.len() < 2 || self.ramdisks.len() > RAMDISKS_MAX {
            return Err(ImageError::part("ramdisks", format!("are not 2 to {RAMDISKS_MAX}")));
        }
        match self.ramdisks.iter().position(Vec::is_empty) {
            Some(place) => Err(ImageError::part(format!("ramdisk {place}"), "is empty")),
            None => Ok(()),
        }
    }

    /// The header without its CRC-32, which is its end.
    fn header(&self, places: &[(u64, u64)]) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&0_u16.to_be_bytes());
        out.extend_from_slice(&self.default_memory.to_be_bytes());
        out.extend_from_slice(&self.default_cpus.to_be_bytes());
        out.extend_from_slice(&0_u16.to_be_bytes());
        out.extend_from_slice(&u16::try_from(places.len()).unwrap_or(u16::MAX).to_be_bytes());
        let column = |of: fn(&(u64, u64)) -> u64| {
            (0..SECTIONS_MAX).flat_map(move |place| places.get(place).map_or(0, of).to_be_bytes())
        };
        out.extend(column(|place| place.0));
        out.extend(column(|place| place.1));
        out.extend_from_slice(&0_u32.to_be_bytes());
        out
    }

    /// Reads an image that has the parts which this module writes, in its order.
    ///
    /// # Errors
    /// [`ImageError::Format`] says what differs; a signed image is one of these, since PCR8 is none of ours.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        let mut header = Reader(bytes);
        if header.take(4)? != MAGIC {
            return Err(ImageError::format("it does not begin with .eif"));
        }
        let version = header.u16()?;
        if version != VERSION {
            return Err(ImageError::format(format!("version {version}, not {VERSION}")));
        }
        if header.u16()? != 0 {
            return Err(ImageError::format("it is for another architecture than x86-64"));
        }
        let (default_memory, default_cpus) = (header.u64()?, header.u64()?);
        header.u16()?;
        let sections = usize::from(header.u16()?);
        let mut places = [(0, 0); SECTIONS_MAX];
        for place in &mut places {
            place.0 = header.u64()?;
        }
        for place in &mut places {
            place.1 = header.u64()?;
        }
        header.take(4)?;
        let crc = header.u32()?;
        let (before, after) = (bytes.get(..HEADER_BYTES - 4), bytes.get(HEADER_BYTES..));
        let (Some(before), Some(after)) = (before, after) else { return Err(ImageError::format("it is cut short")) };
        let mut found = crc32fast::Hasher::new();
        found.update(before);
        found.update(after);
        if found.finalize() != crc {
            return Err(ImageError::format("its CRC-32 is of other bytes"));
        }
        let parts = read_sections(after, places.get(..sections).unwrap_or_default())?;
        let image = Self::of_parts(parts, default_memory, default_cpus)?;
        image.check().map_err(|error| ImageError::format(error.to_string()))?;
        Ok(image)
    }

    fn of_parts(parts: Vec<(u16, &[u8])>, default_memory: u64, default_cpus: u64) -> Result<Self, ImageError> {
        let mut parts = parts.into_iter();
        let mut next = |kind: u16, name: &str| match parts.next() {
            Some((found, part)) if found == kind => Ok(part.to_vec()),
            Some((SIGNATURE, _)) => Err(ImageError::format("it is signed")),
            _ => Err(ImageError::format(format!("no {name} where it should be"))),
        };
        let kernel = next(KERNEL, "kernel")?;
        let command_line = String::from_utf8(next(COMMAND_LINE, "command line")?)
            .map_err(|_| ImageError::format("its command line is not text"))?;
        let metadata = next(METADATA, "metadata")?;
        let mut ramdisks = Vec::new();
        for (kind, part) in parts {
            match kind {
                RAMDISK => ramdisks.push(part.to_vec()),
                SIGNATURE => return Err(ImageError::format("it is signed")),
                _ => return Err(ImageError::format(format!("section type {kind} among the ramdisks"))),
            }
        }
        Ok(Self { default_memory, default_cpus, kernel, command_line, metadata, ramdisks })
    }
}

/// The sections behind the header, which must lie where the header says and leave no byte out.
fn read_sections<'a>(body: &'a [u8], places: &[(u64, u64)]) -> Result<Vec<(u16, &'a [u8])>, ImageError> {
    let mut reader = Reader(body);
    let mut parts = Vec::new();
    for (offset, size) in places {
        let at = count(HEADER_BYTES + (body.len() - reader.0.len()));
        let (kind, flags, len) = (reader.u16()?, reader.u16()?, reader.u64()?);
        if at != *offset || len != *size || flags != 0 {
            return Err(ImageError::format("a section lies elsewhere than the header says"));
        }
        let len = usize::try_from(len).map_err(|_| ImageError::format("a section is too long"))?;
        parts.push((kind, reader.take(len)?));
    }
    if reader.0.is_empty() { Ok(parts) } else { Err(ImageError::format("bytes behind its last section")) }
}

/// Takes big-endian numbers off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], ImageError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(|| ImageError::format("it is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImageError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or_else(|| ImageError::format("it is cut short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, ImageError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, ImageError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, ImageError> {
        self.array().map(u64::from_be_bytes)
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
