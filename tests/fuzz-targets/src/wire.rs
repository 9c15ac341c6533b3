//! Protobuf's wire format, read without a schema.

/// One field: number, value of a varint, content of a length-delimited field.
pub(crate) struct Field<'a> {
    pub(crate) number: u64,
    pub(crate) content: Option<&'a [u8]>,
    /// Whether key, varint and length have their shortest form, and no varint is 0: proto3 leaves that out.
    pub(crate) shortest: bool,
}

/// The fields of a message, up to the first malformed one.
pub(crate) fn fields(mut rest: &[u8]) -> Vec<Field<'_>> {
    let mut out = Vec::new();
    while let Some((field, after)) = field(rest) {
        out.push(field);
        rest = after;
    }
    out
}

/// The content of the first field of this number.
pub(crate) fn content(message: &[u8], number: u64) -> Option<&[u8]> {
    fields(message).into_iter().find(|field| field.number == number)?.content
}

/// Whether a message could be written so by nobody but a canonical writer, as far as that shows without a schema: numbers ascending,
/// one field of each but of those in `repeated`, everything in its shortest form.
pub(crate) fn is_canonical(message: &[u8], repeated: &[u64]) -> bool {
    let mut before = 0;
    fields(message).into_iter().all(|field| {
        let ascends = field.number > before || (field.number == before && repeated.contains(&field.number));
        before = field.number;
        ascends && field.shortest
    })
}

fn field(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (key, short_key, rest) = varint(bytes)?;
    let number = key >> 3;
    match key & 7 {
        0 => {
            let (value, short, rest) = varint(rest)?;
            Some((Field { number, content: None, shortest: short_key && short && value != 0 }, rest))
        }
        2 => {
            let (len, short, rest) = varint(rest)?;
            let (content, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
            Some((Field { number, content: Some(content), shortest: short_key && short }, rest))
        }
        _ => None,
    }
}

/// Value, whether it has no byte too many, and what follows.
fn varint(bytes: &[u8]) -> Option<(u64, bool, &[u8])> {
    let len = bytes.iter().take(10).position(|byte| *byte < 0x80)? + 1;
    let (digits, rest) = bytes.split_at(len);
    let value = digits.iter().rev().fold(0_u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
    Some((value, len == 1 || digits[len - 1] != 0, rest))
}
