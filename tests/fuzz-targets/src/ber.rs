//! BER (ITU-T X.690) read in the plainest way: a tree of elements, of definite or indefinite length.

/// One element.
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    /// Of a primitive element.
    pub(crate) content: &'a [u8],
    /// Of a constructed element.
    pub(crate) inner: Vec<Element<'a>>,
}

const CONSTRUCTED: u8 = 0x20;
const DEPTH_MAX: usize = 64;

/// The element that takes all of `bytes`.
pub(crate) fn whole(bytes: &[u8]) -> Option<Element<'_>> {
    let (element, rest) = element(bytes, DEPTH_MAX)?;
    rest.is_empty().then_some(element)
}

impl<'a> Element<'a> {
    /// The element that these positions lead to, from the outside in.
    pub(crate) fn at(&self, path: &[usize]) -> Option<&Element<'a>> {
        path.iter().try_fold(self, |element, position| element.inner.get(*position))
    }

    /// The content, or that of the chunks inside.
    pub(crate) fn joined(&self) -> Vec<u8> {
        if self.tag & CONSTRUCTED == 0 {
            return self.content.to_vec();
        }
        self.inner.iter().flat_map(Element::joined).collect()
    }
}

fn element(bytes: &[u8], depth: usize) -> Option<(Element<'_>, &[u8])> {
    let depth = depth.checked_sub(1)?;
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0x80 => {
            let (inner, rest) = until_end(rest, depth)?;
            return (tag & CONSTRUCTED != 0).then_some((Element { tag, content: &[], inner }, rest));
        }
        0..=0x7f => (usize::from(first), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let len = digits.iter().try_fold(0_usize, |len, digit| {
                len.checked_mul(256).and_then(|len| len.checked_add(usize::from(*digit)))
            })?;
            (len, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(len)?;
    if tag & CONSTRUCTED == 0 {
        return Some((Element { tag, content, inner: Vec::new() }, rest));
    }
    let (mut inner, mut left) = (Vec::new(), content);
    while !left.is_empty() {
        let (next, after) = element(left, depth)?;
        inner.push(next);
        left = after;
    }
    Some((Element { tag, content, inner }, rest))
}

fn until_end(mut rest: &[u8], depth: usize) -> Option<(Vec<Element<'_>>, &[u8])> {
    let mut inner = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(&[0, 0]) {
            return Some((inner, after));
        }
        let (next, after) = element(rest, depth)?;
        inner.push(next);
        rest = after;
    }
}
