//! Protobuf with one encoding only.
//!
//! What is signed must have one meaning. Decoding, encoding again and comparing refuses whatever a decoder would pass over: unknown
//! fields, repeated fields, fields out of order, over-long numbers and explicit defaults.

use core::fmt;

use prost::Message;

/// Why bytes are not the canonical encoding of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotCanonical {
    /// Longer than the limit given here, in bytes.
    TooLong(usize),
    /// Not protobuf of this message.
    Malformed,
    /// Another encoding of the same message, or fields that this release does not know.
    OtherEncoding,
}

impl fmt::Display for NotCanonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(max) => write!(f, "longer than {max} bytes"),
            Self::Malformed => f.write_str("malformed protobuf"),
            Self::OtherEncoding => f.write_str("not in canonical encoding, or with an unknown field"),
        }
    }
}

impl core::error::Error for NotCanonical {}

/// The message that `bytes` are the canonical encoding of.
///
/// # Errors
/// Where the bytes are longer than `max`, do not decode, or encode otherwise.
pub fn decode<M: Message + Default>(bytes: &[u8], max: usize) -> Result<M, NotCanonical> {
    if bytes.len() > max {
        return Err(NotCanonical::TooLong(max));
    }
    let message = M::decode(bytes).map_err(|_| NotCanonical::Malformed)?;
    if message.encode_to_vec() == bytes { Ok(message) } else { Err(NotCanonical::OtherEncoding) }
}
