//! What is inside an HPKE message: shares on their way to an enclave, and a release on its way to a recipient.
//!
//! Written by hand and not as protobuf, because generated messages copy and print what they hold. Big-endian; a list of shares is
//! its count (1 byte), then per share: length of the pair's id (2 bytes), the id, length of the share (4 bytes), the share.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::id::{IntentHash, RecordId};
use crate::limits::{PAIRS_MAX, SHARE_BYTES_MAX};
use crate::names::is_id;
use crate::prefix;
use crate::secret::{Secret, SecretBuffer};

/// One pair's share, or key in escrow.
#[derive(Debug)]
pub struct Share {
    /// Id of the pair.
    pub pair: String,
    /// 1 byte to 256 KiB.
    pub bytes: Secret,
}

/// A sealed release, opened: the recipient checks every field before it uses a share.
#[derive(Debug)]
pub struct Release {
    /// The intent that was carried out.
    pub intent: IntentHash,
    /// The record that the shares belong to.
    pub record_id: RecordId,
    /// Their generation.
    pub generation: u64,
    /// In the order of the pairs' ids.
    pub shares: Vec<Share>,
}

/// Why bytes are not such a content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BadContents {
    /// Another prefix: bytes of another use.
    OtherUse,
    /// The bytes end too early or too late.
    Length,
    /// No share, or more than 4.
    ShareCount,
    /// A pair's id has not the form of an id.
    PairId,
    /// Pairs out of order or twice.
    PairOrder,
    /// A share is empty or longer than 256 KiB.
    ShareLength,
}

impl fmt::Display for BadContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherUse => "sealed for another use",
            Self::Length => "shorter or longer than it says",
            Self::ShareCount => "not 1 to 4 shares",
            Self::PairId => "a pair's id is malformed",
            Self::PairOrder => "pairs are not sorted by id",
            Self::ShareLength => "a share is not 1 byte to 256 KiB",
        })
    }
}

impl core::error::Error for BadContents {}

/// The content of a message to an enclave.
///
/// # Errors
/// Where the shares break a rule that [`decode_shares`] checks.
pub fn encode_shares(shares: &[Share]) -> Result<SecretBuffer, BadContents> {
    let mut out = SecretBuffer::new(Vec::with_capacity(encoded_len(shares)));
    out.extend_from_slice(prefix::SHARES);
    push_shares(&mut out, shares)?;
    Ok(out)
}

/// Reads the content of a message to an enclave.
///
/// # Errors
/// Each rule broken has its own.
pub fn decode_shares(bytes: &[u8]) -> Result<Vec<Share>, BadContents> {
    let rest = bytes.strip_prefix(prefix::SHARES).ok_or(BadContents::OtherUse)?;
    read_shares(&mut Reader(rest))
}

impl Release {
    /// The content of a message to a recipient.
    ///
    /// # Errors
    /// Where the shares break a rule that [`Release::decode`] checks.
    pub fn encode(&self) -> Result<SecretBuffer, BadContents> {
        let mut out = SecretBuffer::new(Vec::with_capacity(encoded_len(&self.shares)));
        out.extend_from_slice(prefix::RELEASE);
        out.extend_from_slice(&self.intent.0);
        out.extend_from_slice(&self.record_id.0);
        out.extend_from_slice(&self.generation.to_be_bytes());
        push_shares(&mut out, &self.shares)?;
        Ok(out)
    }

    /// Reads the content of a message to a recipient.
    ///
    /// # Errors
    /// Each rule broken has its own.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadContents> {
        let mut reader = Reader(bytes.strip_prefix(prefix::RELEASE).ok_or(BadContents::OtherUse)?);
        Ok(Self {
            intent: IntentHash(reader.array()?),
            record_id: RecordId(reader.array()?),
            generation: u64::from_be_bytes(reader.array()?),
            shares: read_shares(&mut reader)?,
        })
    }
}

/// Room for the whole content, so that no share is left behind in a buffer that grew.
fn encoded_len(shares: &[Share]) -> usize {
    shares.iter().fold(256, |sum, share| {
        sum.saturating_add(share.pair.len()).saturating_add(share.bytes.expose().len()).saturating_add(6)
    })
}

fn push_shares(out: &mut Vec<u8>, shares: &[Share]) -> Result<(), BadContents> {
    let count = u8::try_from(shares.len()).ok().filter(|n| (1..=PAIRS_MAX).contains(&usize::from(*n)));
    out.push(count.ok_or(BadContents::ShareCount)?);
    let mut before: Option<&str> = None;
    for share in shares {
        check_pair(&share.pair, before)?;
        let pair_len = u16::try_from(share.pair.len()).map_err(|_| BadContents::PairId)?;
        out.extend_from_slice(&pair_len.to_be_bytes());
        out.extend_from_slice(share.pair.as_bytes());
        let bytes = share.bytes.expose();
        check_share(bytes)?;
        let share_len = u32::try_from(bytes.len()).map_err(|_| BadContents::ShareLength)?;
        out.extend_from_slice(&share_len.to_be_bytes());
        out.extend_from_slice(bytes);
        before = Some(&share.pair);
    }
    Ok(())
}

fn read_shares(reader: &mut Reader<'_>) -> Result<Vec<Share>, BadContents> {
    let [count] = reader.array()?;
    if !(1..=PAIRS_MAX).contains(&usize::from(count)) {
        return Err(BadContents::ShareCount);
    }
    let mut shares: Vec<Share> = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let pair_len = usize::from(u16::from_be_bytes(reader.array()?));
        let pair = core::str::from_utf8(reader.slice(pair_len)?).map_err(|_| BadContents::PairId)?;
        check_pair(pair, shares.last().map(|share| share.pair.as_str()))?;
        let share_len = usize::try_from(u32::from_be_bytes(reader.array()?)).map_err(|_| BadContents::ShareLength)?;
        let bytes = reader.slice(share_len)?;
        check_share(bytes)?;
        shares.push(Share { pair: pair.into(), bytes: Secret::new(bytes.to_vec()) });
    }
    if reader.0.is_empty() { Ok(shares) } else { Err(BadContents::Length) }
}

fn check_pair(pair: &str, before: Option<&str>) -> Result<(), BadContents> {
    if !is_id(pair) {
        return Err(BadContents::PairId);
    }
    if before.is_some_and(|before| before >= pair) { Err(BadContents::PairOrder) } else { Ok(()) }
}

fn check_share(bytes: &[u8]) -> Result<(), BadContents> {
    if (1..=SHARE_BYTES_MAX).contains(&bytes.len()) { Ok(()) } else { Err(BadContents::ShareLength) }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn slice(&mut self, len: usize) -> Result<&'a [u8], BadContents> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(BadContents::Length)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadContents> {
        let (head, tail) = self.0.split_first_chunk().ok_or(BadContents::Length)?;
        self.0 = tail;
        Ok(*head)
    }
}
