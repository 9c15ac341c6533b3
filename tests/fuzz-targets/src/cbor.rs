//! CBOR (RFC 8949) read in the plainest way: whatever is well formed, as values with the bytes that they stood in.

/// A value. Numbers keep their argument; a text need not be UTF-8.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Value<'a> {
    Unsigned(u64),
    /// -1 - n.
    Negative(u64),
    Bytes(&'a [u8]),
    Text(&'a [u8]),
    /// A string in chunks.
    Chunks,
    Array(Vec<Item<'a>>),
    Map(Vec<(Item<'a>, Item<'a>)>),
    Tag(u64, Box<Item<'a>>),
    /// A simple value, or a float.
    Simple,
    Null,
}

/// A value and its encoding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Item<'a> {
    pub(crate) value: Value<'a>,
    pub(crate) raw: &'a [u8],
    /// A container with an end marker in place of a length.
    pub(crate) indefinite: bool,
}

/// Deepest nesting that is read.
pub(crate) const DEPTH_MAX: usize = 256;

/// One item that takes all of `bytes`.
pub(crate) fn whole(bytes: &[u8]) -> Option<Item<'_>> {
    let (item, rest) = item(bytes)?;
    rest.is_empty().then_some(item)
}

/// The first item, and what follows it.
pub(crate) fn item(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    read(bytes, DEPTH_MAX)
}

impl<'a> Item<'a> {
    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        if let Value::Bytes(bytes) = self.value { Some(bytes) } else { None }
    }

    pub(crate) fn text(&self) -> Option<&'a str> {
        if let Value::Text(text) = self.value { std::str::from_utf8(text).ok() } else { None }
    }

    pub(crate) fn map(&self) -> Option<&[(Item<'a>, Item<'a>)]> {
        if let Value::Map(entries) = &self.value { Some(entries) } else { None }
    }
}

fn read(bytes: &[u8], depth: usize) -> Option<(Item<'_>, &[u8])> {
    let depth = depth.checked_sub(1)?;
    let (&first, rest) = bytes.split_first()?;
    let (major, info) = (first >> 5, first & 31);
    if info == 31 {
        let (value, rest) = indefinite(major, rest, depth)?;
        return Some((Item { value, raw: &bytes[..bytes.len() - rest.len()], indefinite: true }, rest));
    }
    let (argument, rest) = argument(info, rest)?;
    let (value, rest) = match major {
        0 => (Value::Unsigned(argument), rest),
        1 => (Value::Negative(argument), rest),
        2 | 3 => {
            let (content, rest) = rest.split_at_checked(usize::try_from(argument).ok()?)?;
            (if major == 2 { Value::Bytes(content) } else { Value::Text(content) }, rest)
        }
        4 => {
            let (items, rest) = (0..argument).try_fold((Vec::new(), rest), |(mut items, rest), _| {
                let (item, rest) = read(rest, depth)?;
                items.push(item);
                Some((items, rest))
            })?;
            (Value::Array(items), rest)
        }
        5 => {
            let (entries, rest) = (0..argument).try_fold((Vec::new(), rest), |(mut entries, rest), _| {
                let (key, rest) = read(rest, depth)?;
                let (value, rest) = read(rest, depth)?;
                entries.push((key, value));
                Some((entries, rest))
            })?;
            (Value::Map(entries), rest)
        }
        6 => {
            let (inner, rest) = read(rest, depth)?;
            (Value::Tag(argument, Box::new(inner)), rest)
        }
        _ => (if info == 22 { Value::Null } else { Value::Simple }, rest),
    };
    Some((Item { value, raw: &bytes[..bytes.len() - rest.len()], indefinite: false }, rest))
}

fn argument(info: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    let len = match info {
        0..=23 => return Some((info.into(), rest)),
        24..=27 => 1 << (info - 24),
        _ => return None,
    };
    let (bytes, rest) = rest.split_at_checked(len)?;
    Some((bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)), rest))
}

fn indefinite(major: u8, mut rest: &[u8], depth: usize) -> Option<(Value<'_>, &[u8])> {
    let mut items = Vec::new();
    while *rest.first()? != 0xff {
        let (item, after) = read(rest, depth)?;
        // A chunk is a definite string of the same kind.
        if major < 4 && (item.indefinite || item.raw[0] >> 5 != major) {
            return None;
        }
        items.push(item);
        rest = after;
    }
    let rest = &rest[1..];
    let value = match major {
        2 | 3 => Value::Chunks,
        4 => Value::Array(items),
        5 => {
            let mut entries = Vec::new();
            let mut items = items.into_iter();
            while let Some(key) = items.next() {
                entries.push((key, items.next()?));
            }
            Value::Map(entries)
        }
        _ => return None,
    };
    Some((value, rest))
}

/// The head of an item with its shortest argument.
pub(crate) fn head(major: u8, argument: usize) -> Vec<u8> {
    let major = major << 5;
    match argument {
        0..=23 => vec![major | u8::try_from(argument).expect("below 24")],
        24..=0xff => vec![major | 0x18, u8::try_from(argument).expect("a byte")],
        0x100..=0xffff => [&[major | 0x19], &u16::try_from(argument).expect("two bytes").to_be_bytes()[..]].concat(),
        _ => [&[major | 0x1b], &(argument as u64).to_be_bytes()[..]].concat(),
    }
}

/// A byte string.
pub(crate) fn bytes(content: &[u8]) -> Vec<u8> {
    [head(2, content.len()).as_slice(), content].concat()
}

/// A text.
pub(crate) fn text(content: &str) -> Vec<u8> {
    [head(3, content.len()).as_slice(), content.as_bytes()].concat()
}
