//! `document`: any bytes, as an attestation document, once as they are and once signed by a chain of our own. What verifies says the
//! same to a simple reader, and its canonical form says the same again.

mod authority;

use std::collections::BTreeMap;

use ring::digest::{SHA256, digest};
use strongroom_attestation::{Attested, Genuine, ImagePolicy, Pcrs, Root, Time, verify};

use crate::cbor::{self, Item, Value, bytes, head, text};
use authority::Authority;

/// Every field of a document, in the NSM's order.
const FIELDS: [&str; 9] =
    ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data", "nonce"];

thread_local! {
    static AUTHORITY: Authority = Authority::new();
}

/// One document, or the payload of one.
pub(crate) fn run(input: &[u8]) {
    check(input);
    AUTHORITY.with(|authority| {
        let payload = payload(input).unwrap_or(input);
        if let Some(ours) = with_chain(payload, authority) {
            check(&authority.sign(&ours));
        }
    });
}

/// Verifies a document under the root that it names itself, at the time that it names itself.
fn verified(document: &[u8]) -> Option<Genuine> {
    let fields = fields(payload(document)?)?;
    let cabundle = Said::of(&fields)?.cabundle;
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, cabundle.first()?).as_ref());
    let time = Said::of(&fields)?.timestamp;
    verify(document, &Root::development_by_fingerprint(fingerprint), Time::from_unix_ms(time)).ok()
}

fn check(document: &[u8]) {
    // Where a simple reader finds no document, nobody does, whatever the root.
    let Some(genuine) = verified(document) else {
        let refused = verify(document, &Root::aws(), Time::from_unix_ms(0));
        assert!(refused.is_err(), "verified at the epoch");
        return;
    };
    let fields = fields(payload(document).expect("a payload")).expect("a map of named fields");
    for (place, (name, _)) in fields.iter().enumerate() {
        assert!(FIELDS.contains(name), "an unknown field {name}");
        assert!(fields[..place].iter().all(|(before, _)| before != name), "{name} twice");
    }
    let said = Said::of(&fields).expect("every field of its type");
    let time = Time::from_unix_ms(said.timestamp);
    assert_eq!((genuine.module_id(), genuine.timestamp()), (said.module_id, time));
    assert_eq!(*genuine.pcrs(), said.pcrs, "other PCRs");
    assert!((0..=2).all(|index| said.pcrs[&index] != [0; 48]), "debug mode");
    let shown = accepted(genuine, &said.pcrs);
    assert_eq!(gives(&shown), (said.public_key, said.user_data, said.nonce), "other data");
    AUTHORITY.with(|authority| {
        let canonical = verified(&authority.sign(&said.canonical(authority)));
        let canonical = canonical.expect("the canonical form verifies");
        assert_eq!((canonical.module_id(), canonical.timestamp()), (said.module_id, time));
        assert_eq!(gives(&accepted(canonical, &said.pcrs)), gives(&shown), "the canonical form says something else");
    });
}

/// Accepted by its own PCRs; no policy names one that is all zero, and unused ones are.
fn accepted(genuine: Genuine, pcrs: &Pcrs) -> Attested {
    let used = pcrs.iter().filter(|(_, value)| **value != [0; 48]).map(|(index, value)| (*index, *value));
    genuine.accept(&ImagePolicy::exact(used.collect()).expect("PCR0 is there")).expect("its own PCRs")
}

type Given<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, Option<&'a [u8]>);

fn gives(attested: &Attested) -> Given<'_> {
    (attested.public_key(), attested.user_data(), attested.nonce())
}

/// The third member of the outer array.
fn payload(document: &[u8]) -> Option<&[u8]> {
    let item = cbor::whole(document)?;
    let inner = if let Value::Tag(_, inner) = item.value { *inner } else { item };
    if let Value::Array(members) = inner.value { members.get(2)?.bytes() } else { None }
}

fn fields(payload: &[u8]) -> Option<Vec<(&str, Item<'_>)>> {
    let Value::Map(entries) = cbor::whole(payload)?.value else { return None };
    entries.into_iter().map(|(name, value)| Some((name.text()?, value))).collect()
}

/// What a document says, as a simple reader finds it.
struct Said<'a> {
    module_id: &'a str,
    timestamp: u64,
    pcrs: BTreeMap<u8, [u8; 48]>,
    cabundle: Vec<&'a [u8]>,
    public_key: Option<&'a [u8]>,
    user_data: Option<&'a [u8]>,
    nonce: Option<&'a [u8]>,
}

impl<'a> Said<'a> {
    fn of(fields: &[(&'a str, Item<'a>)]) -> Option<Self> {
        let field = |name| fields.iter().find(|(found, _)| *found == name).map(|(_, item)| item);
        let Value::Unsigned(timestamp) = field("timestamp")?.value else { return None };
        let Value::Array(cabundle) = &field("cabundle")?.value else { return None };
        let pcrs = field("pcrs")?.map()?.iter().map(|(index, value)| {
            let Value::Unsigned(index) = index.value else { return None };
            Some((u8::try_from(index).ok()?, value.bytes()?.try_into().ok()?))
        });
        Some(Self {
            module_id: field("module_id")?.text()?,
            timestamp,
            pcrs: pcrs.collect::<Option<_>>()?,
            cabundle: cabundle.iter().map(Item::bytes).collect::<Option<_>>()?,
            public_key: field("public_key").and_then(Item::bytes),
            user_data: field("user_data").and_then(Item::bytes),
            nonce: field("nonce").and_then(Item::bytes),
        })
    }

    /// The one payload that says this, with our own chain.
    fn canonical(&self, authority: &Authority) -> Vec<u8> {
        let mut out = head(5, FIELDS.len());
        let pcrs: Vec<u8> =
            self.pcrs.iter().flat_map(|(index, value)| [head(0, (*index).into()), bytes(value)].concat()).collect();
        let optional = |field: Option<&[u8]>| field.map_or(vec![0xf6], bytes);
        let time = [&[0x1b], &self.timestamp.to_be_bytes()[..]].concat();
        let values = [
            text(self.module_id),
            text("SHA384"),
            time,
            [head(5, self.pcrs.len()), pcrs].concat(),
            authority.certificate(),
            authority.cabundle(),
            optional(self.public_key),
            optional(self.user_data),
            optional(self.nonce),
        ];
        for (name, value) in FIELDS.iter().zip(values) {
            out.extend([text(name), value].concat());
        }
        out
    }
}

/// The payload with our chain in place of its certificates, and every other byte as it was.
fn with_chain(payload: &[u8], authority: &Authority) -> Option<Vec<u8>> {
    let item = cbor::whole(payload)?;
    let entries = item.map()?;
    let first = entries.first()?.0.raw;
    let mut out = payload[..first.as_ptr().addr() - payload.as_ptr().addr()].to_vec();
    for (name, value) in entries {
        out.extend(name.raw);
        match name.text() {
            Some("certificate") => out.extend(authority.certificate()),
            Some("cabundle") => out.extend(authority.cabundle()),
            _ => out.extend(value.raw),
        }
    }
    if item.indefinite {
        out.push(0xff);
    }
    Some(out)
}
