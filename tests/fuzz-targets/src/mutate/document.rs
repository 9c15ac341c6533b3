//! Attestation documents, taken apart and put together wrongly.

use super::Mutator;
use crate::cbor::{Item, Value, bytes, head, whole};

/// A document in raw pieces of CBOR.
#[derive(Clone)]
struct Parts {
    head: Vec<u8>,
    protected: Vec<u8>,
    unprotected: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    indefinite: bool,
    signature: Vec<u8>,
    tail: Vec<u8>,
}

impl Parts {
    /// # Panics
    /// Where the document is not one.
    fn of(document: &[u8]) -> Self {
        let Some(Value::Array(members)) = whole(document).map(|item| item.value) else { panic!("not an array") };
        let payload = members[2].bytes().and_then(whole).expect("a payload");
        let fields = payload.map().expect("a map").iter();
        Self {
            head: head(4, 4),
            protected: members[0].raw.to_vec(),
            unprotected: members[1].raw.to_vec(),
            fields: fields.map(|(name, value)| (name.raw.to_vec(), value.raw.to_vec())).collect(),
            indefinite: payload.indefinite,
            signature: members[3].bytes().expect("a signature").to_vec(),
            tail: Vec::new(),
        }
    }

    fn document(&self) -> Vec<u8> {
        let mut payload = if self.indefinite { vec![0xbf] } else { head(5, self.fields.len()) };
        payload.extend(self.fields.iter().flat_map(|(name, value)| [name.as_slice(), value].concat()));
        if self.indefinite {
            payload.push(0xff);
        }
        let parts = [&self.head, &self.protected, &self.unprotected, &bytes(&payload), &bytes(&self.signature)];
        [parts.map(Vec::as_slice).concat(), self.tail.clone()].concat()
    }

    /// The value of a field; nothing where an earlier change took it.
    fn field(&self, name: &str) -> Option<&Vec<u8>> {
        self.fields.iter().find(|(raw, _)| raw.ends_with(name.as_bytes())).map(|(_, value)| value)
    }

    fn set(&mut self, name: &str, value: Vec<u8>) {
        if let Some(field) = self.fields.iter_mut().find(|(raw, _)| raw.ends_with(name.as_bytes())) {
            field.1 = value;
        }
    }
}

/// Protected headers of other algorithms, with more in them, or none; and ES384's in other encodings.
const PROTECTED: &[&[u8]] = &[
    &[0x43, 0xa1, 0x01, 0x26],
    &[0x44, 0xa1, 0x01, 0x38, 0x23],
    &[0x43, 0xa1, 0x01, 0x27],
    &[0x45, 0xa1, 0x01, 0x39, 0x00, 0x22],
    &[0x45, 0xa1, 0x18, 0x01, 0x38, 0x22],
    &[0x45, 0xbf, 0x01, 0x38, 0x22, 0xff],
    &[0x47, 0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x00],
    &[0x47, 0xa2, 0x01, 0x38, 0x22, 0x01, 0x38, 0x22],
    &[0x58, 0x04, 0xa1, 0x01, 0x38, 0x22],
    &[0x5f, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xff],
    &[0xa1, 0x01, 0x38, 0x22],
    &[0x41, 0xa0],
    &[0x40],
    &[0xf6],
];

/// Unprotected headers with content, or in other encodings than the empty map's.
const UNPROTECTED: &[&[u8]] = &[
    &[0xa1, 0x01, 0x38, 0x22],
    &[0xa1, 0x04, 0x41, 0x00],
    &[0xbf, 0xff],
    &[0xb8, 0x00],
    &[0xb9, 0x00, 0x00],
    &[0x80],
    &[0x40],
    &[0xf6],
    &[],
];

/// Starts of other structures than an untagged or once tagged array of four, and of that one in other encodings.
const HEADS: &[&[u8]] = &[
    &[0x83],
    &[0x85],
    &[0x98, 0x04],
    &[0x99, 0x00, 0x04],
    &[0x9a, 0x00, 0x00, 0x00, 0x04],
    &[0x9f],
    &[0xa4],
    &[0xd1, 0x84],
    &[0xd8, 0x12, 0x84],
    &[0xd2, 0xd2, 0x84],
    &[0xd8, 0x62, 0x84],
    &[0xd2, 0x98, 0x04],
];

/// One mutation of `document`, with pieces of `other`.
#[must_use]
pub fn mutated(random: &mut Mutator, document: &[u8], other: &[u8]) -> Vec<u8> {
    let mut out = document.to_vec();
    match random.below(24) {
        0..=3 => random.flip(&mut out),
        4..=6 => random.change(&mut out),
        7 => out.truncate(random.below(document.len())),
        8 => out.extend_from_slice(&other[..=random.below(8)]),
        kind => {
            let (mut parts, other) = (Parts::of(document), Parts::of(other));
            if kind < 18 {
                fields(random, &mut parts, &other);
            } else {
                envelope(random, &mut parts, &other);
            }
            if random.below(8) == 0 {
                fields(random, &mut parts, &other);
            }
            return parts.document();
        }
    }
    out
}

/// Changes what is signed.
fn fields(random: &mut Mutator, parts: &mut Parts, other: &Parts) {
    let (a, b) = (random.below(parts.fields.len()), random.below(parts.fields.len()));
    match random.below(13) {
        0 => parts.fields.swap(a, b),
        1 => {
            let value = parts.fields[a].1.clone();
            parts.fields[b].1 = value;
        }
        2 => parts.fields.push(parts.fields[a].clone()),
        3 => parts.fields.insert(b, (parts.fields[a].0.clone(), other.fields[a % other.fields.len()].1.clone())),
        4 if parts.fields.len() > 1 => drop(parts.fields.remove(a)),
        5 => parts.fields[a].1.clone_from(&other.fields[a % other.fields.len()].1),
        6 => random.change(&mut parts.fields[a].1),
        7 => random.change(&mut parts.fields[a].0),
        8 => parts.indefinite = !parts.indefinite,
        9 => parts.fields[a].1 = reencoded(random, &parts.fields[a].1),
        10 => {
            if let Some(pcrs) = parts.field("pcrs").and_then(|raw| pcrs(random, raw)) {
                parts.set("pcrs", pcrs);
            }
        }
        11 => {
            let name = *random.one_of(&["certificate", "cabundle"]);
            let certificates = certificates(random, parts, other);
            parts.set(name, if name == "certificate" { certificates[0].clone() } else { array(&certificates) });
        }
        _ => {
            let time = random.0.next() >> random.below(40);
            parts.set("timestamp", [&[0x1b], &time.to_be_bytes()[..]].concat());
        }
    }
}

/// Changes what stands around it.
fn envelope(random: &mut Mutator, parts: &mut Parts, other: &Parts) {
    match random.below(7) {
        0 => parts.protected = random.one_of(PROTECTED).to_vec(),
        1 => parts.unprotected = random.one_of(UNPROTECTED).to_vec(),
        2 => parts.head = random.one_of(HEADS).to_vec(),
        3 => parts.signature.clone_from(&other.signature),
        4 => random.flip(&mut parts.signature),
        5 => parts.signature.rotate_left(48),
        _ => parts.tail = vec![*random.one_of(&[0x00, 0xff, 0xf6, 0x40])],
    }
}

/// The same value with a length that is longer than it need be, in chunks, or with an end marker.
fn reencoded(random: &mut Mutator, raw: &[u8]) -> Vec<u8> {
    let Some(item) = whole(raw) else { return raw.to_vec() };
    let long = |major: u8, len: usize| [&[major << 5 | 0x1b], &(len as u64).to_be_bytes()[..]].concat();
    let entries = |items: &[&Item<'_>]| items.iter().flat_map(|item| item.raw.to_vec()).collect::<Vec<u8>>();
    match &item.value {
        Value::Bytes(content) if random.below(2) == 0 => [&[0x5f], &bytes(content)[..], &[0xff]].concat(),
        Value::Bytes(content) => [long(2, content.len()), content.to_vec()].concat(),
        Value::Text(content) => [long(3, content.len()), content.to_vec()].concat(),
        Value::Array(items) => [&[0x9f], entries(&items.iter().collect::<Vec<_>>()).as_slice(), &[0xff]].concat(),
        Value::Map(items) => {
            let items: Vec<&Item<'_>> = items.iter().flat_map(|(name, value)| [name, value]).collect();
            [&[0xbf], entries(&items).as_slice(), &[0xff]].concat()
        }
        _ => [&[0xc1], raw].concat(),
    }
}

fn pcrs(random: &mut Mutator, raw: &[u8]) -> Option<Vec<u8>> {
    let mut entries = whole(raw)?.map().filter(|entries| !entries.is_empty())?.to_vec();
    let (a, b) = (random.below(entries.len()), random.below(entries.len()));
    match random.below(4) {
        0 => entries.swap(a, b),
        1 => entries.push(entries[a].clone()),
        2 => drop(entries.remove(a)),
        _ => entries[a].1 = entries[b].1.clone(),
    }
    let content = entries.iter().flat_map(|(index, value)| [index.raw, value.raw].concat());
    Some([head(5, entries.len()), content.collect()].concat())
}

/// The bundle of one of both documents with one certificate moved, lost, doubled or taken from the other.
fn certificates(random: &mut Mutator, parts: &Parts, other: &Parts) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for from in [parts, other] {
        let bundle = from.field("cabundle").and_then(|raw| whole(raw)).map(|item| item.value);
        if let Some(Value::Array(items)) = bundle {
            all.extend(items.iter().map(|item| item.raw.to_vec()));
        }
        all.extend(from.field("certificate").cloned());
    }
    let at = random.below(all.len());
    match random.below(3) {
        0 => all.rotate_left(at),
        1 => all = vec![all[at].clone()],
        _ => all.swap(0, at),
    }
    all.truncate(1 + random.below(7));
    all
}

fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len()), items.concat()].concat()
}
