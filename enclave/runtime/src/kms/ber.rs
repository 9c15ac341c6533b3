//! A reader for BER (ITU-T X.690) with definite and indefinite lengths, as KMS answers.
//!
//! It walks forward over the input and never recurses, so no nesting can exhaust the stack; it
//! knows no types, keeps no state beyond its position, and panics on no input.

use super::KmsError;

/// Tag of an INTEGER.
pub(super) const INTEGER: u8 = 0x02;
/// Tag of an OCTET STRING.
pub(super) const OCTET_STRING: u8 = 0x04;
/// Tag of NULL.
pub(super) const NULL: u8 = 0x05;
/// Tag of an OBJECT IDENTIFIER.
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
/// Tag of a SEQUENCE, which is always constructed.
pub(super) const SEQUENCE: u8 = 0x30;
/// Tag of a SET, which is always constructed.
pub(super) const SET: u8 = 0x31;
/// Tag `[0]`, primitive.
pub(super) const CONTEXT_0: u8 = 0x80;
/// Tags `[0]` and `[1]`, constructed.
pub(super) const CONTEXT_0_CONSTRUCTED: u8 = 0xa0;
pub(super) const CONTEXT_1_CONSTRUCTED: u8 = 0xa1;

/// Most bytes that a length may take after its first one.
const LENGTH_BYTES_MAX: usize = 4;

/// The first byte of an indefinite length.
const INDEFINITE: u8 = 0x80;

/// A position in the input, bounded by the innermost element of definite length that is open.
pub(super) struct Reader<'a> {
    input: &'a [u8],
    position: usize,
    limit: usize,
}

/// An open constructed element. It must be closed, by [`Reader::close`], before its parent is.
#[must_use]
pub(super) struct Open {
    /// Where the content ends, or nothing where an end-of-contents marker says so.
    end: Option<usize>,
    /// The limit that holds again when the element is closed.
    outer_limit: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0, limit: input.len() }
    }

    /// The next element's tag, without moving; nothing at the end of the innermost definite element.
    pub(super) fn peek(&self) -> Option<u8> {
        self.input.get(self.position..self.limit)?.first().copied()
    }

    /// Opens a constructed element with this tag.
    pub(super) fn open(&mut self, tag: u8) -> Result<Open, KmsError> {
        self.tag(tag)?;
        let outer_limit = self.limit;
        let end = match self.length()? {
            None => None,
            Some(length) => {
                let end = self.end_of(length)?;
                self.limit = end;
                Some(end)
            }
        };
        Ok(Open { end, outer_limit })
    }

    /// Whether nothing is left inside `open`, which must be the innermost open element.
    pub(super) fn is_at_end(&self, open: &Open) -> bool {
        match open.end {
            Some(end) => self.position == end,
            None => self.input.get(self.position..self.limit).is_some_and(|rest| rest.starts_with(&[0, 0])),
        }
    }

    /// Closes the innermost open element; refuses what is left inside it.
    pub(super) fn close(&mut self, open: &Open) -> Result<(), KmsError> {
        if !self.is_at_end(open) {
            return Err(KmsError::BadReply("BER: bytes left in an element"));
        }
        if open.end.is_none() {
            self.position += 2;
        }
        self.limit = open.outer_limit;
        Ok(())
    }

    /// The content of a primitive element with this tag.
    pub(super) fn primitive(&mut self, tag: u8) -> Result<&'a [u8], KmsError> {
        self.tag(tag)?;
        let length = self.length()?.ok_or(KmsError::BadReply("BER: primitive of indefinite length"))?;
        let end = self.end_of(length)?;
        let content = self.input.get(self.position..end).ok_or(KmsError::BadReply("BER: truncated"))?;
        self.position = end;
        Ok(content)
    }

    /// Reads a primitive element that must have exactly this content.
    pub(super) fn expect(&mut self, tag: u8, content: &[u8], name: &'static str) -> Result<(), KmsError> {
        if self.primitive(tag)? == content { Ok(()) } else { Err(KmsError::BadReply(name)) }
    }

    /// Refuses trailing bytes after the outermost element.
    pub(super) fn finish(&self) -> Result<(), KmsError> {
        if self.position == self.input.len() { Ok(()) } else { Err(KmsError::BadReply("BER: trailing bytes")) }
    }

    fn tag(&mut self, tag: u8) -> Result<(), KmsError> {
        if self.byte()? == tag { Ok(()) } else { Err(KmsError::BadReply("BER: unexpected tag")) }
    }

    /// A definite length, or nothing for an indefinite one.
    fn length(&mut self) -> Result<Option<usize>, KmsError> {
        let first = self.byte()?;
        if first == INDEFINITE {
            return Ok(None);
        }
        if first < INDEFINITE {
            return Ok(Some(usize::from(first)));
        }
        let count = usize::from(first & !INDEFINITE);
        if count > LENGTH_BYTES_MAX {
            return Err(KmsError::BadReply("BER: length too long"));
        }
        let mut length = 0_usize;
        for _ in 0..count {
            // Four bytes at most, so that nothing is shifted out where usize has 64 bits.
            length = (length << 8) | usize::from(self.byte()?);
        }
        Ok(Some(length))
    }

    fn end_of(&self, length: usize) -> Result<usize, KmsError> {
        self.position.checked_add(length).filter(|end| *end <= self.limit).ok_or(KmsError::BadReply("BER: truncated"))
    }

    fn byte(&mut self) -> Result<u8, KmsError> {
        let byte = self.peek().ok_or(KmsError::BadReply("BER: truncated"))?;
        self.position += 1;
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a SEQUENCE of one OCTET STRING.
    fn read(input: &[u8]) -> Result<Vec<u8>, KmsError> {
        let mut reader = Reader::new(input);
        let open = reader.open(SEQUENCE)?;
        let content = reader.primitive(OCTET_STRING)?.to_vec();
        reader.close(&open)?;
        reader.finish()?;
        Ok(content)
    }

    fn check(input: &[u8], expect: Result<&[u8], &'static str>) {
        assert_eq!(read(input), expect.map(<[u8]>::to_vec).map_err(KmsError::BadReply), "{input:02x?}");
    }

    #[test]
    fn every_form_of_length_is_read() {
        check(&[0x30, 3, 4, 1, 9], Ok(&[9]));
        check(&[0x30, 0x80, 4, 1, 9, 0, 0], Ok(&[9]));
        check(&[0x30, 0x81, 3, 4, 1, 9], Ok(&[9]));
        check(&[0x30, 0x84, 0, 0, 0, 3, 4, 1, 9], Ok(&[9]));
        check(&[0x30, 2, 4, 0], Ok(&[]));
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        check(&[], Err("BER: truncated"));
        check(&[0x30], Err("BER: truncated"));
        check(&[0x31, 3, 4, 1, 9], Err("BER: unexpected tag"));
        check(&[0x30, 4, 4, 1, 9], Err("BER: truncated"));
        check(&[0x30, 3, 4, 2, 9, 9], Err("BER: truncated"));
        check(&[0x30, 4, 4, 1, 9, 7], Err("BER: bytes left in an element"));
        check(&[0x30, 3, 4, 1, 9, 7], Err("BER: trailing bytes"));
        check(&[0x30, 0x80, 4, 1, 9, 0], Err("BER: bytes left in an element"));
        check(&[0x30, 0x80, 4, 1, 9, 0, 1], Err("BER: bytes left in an element"));
        check(&[0x30, 0x80, 4, 0x80, 9, 0, 0, 0, 0], Err("BER: primitive of indefinite length"));
        check(&[0x30, 0x85, 0, 0, 0, 0, 3, 4, 1, 9], Err("BER: length too long"));
        check(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 4, 1, 9], Err("BER: truncated"));
        check(&[0x30, 0xff, 4, 1, 9], Err("BER: length too long"));
    }
}
