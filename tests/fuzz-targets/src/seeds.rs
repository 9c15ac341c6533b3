//! What a frame that a test wrote holds for the other targets: its statement, its intent, its assertions, its record.

use prost::Message;
use strongroom_proto::enclave::v1::{KekRef, Request, SealedRecord};
use strongroom_proto::intent::hash;
use strongroom_proto::v1::{Act, SignedStatement};

use crate::assertion::CHALLENGE;
use crate::device::base64url;
use crate::stage::{self, body};
use crate::vault::spot_of;
use crate::wire;
use crate::world::{encode, references};

/// The field of a request's body that holds its act, in every request that has one.
const ACT: u64 = 4;

/// Inputs of the other targets, with the target's name. Empty for what is no request.
#[must_use]
pub fn of(frame: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let Some(mut body) = body(frame) else { return Vec::new() };
    let mut seeds = Vec::new();
    let (statement, kek, other) = references(&mut body);
    let signed: Option<SignedStatement> = statement.and_then(|statement| statement.signed.clone());
    seeds.extend(signed.map(|signed| ("statement", signed.statement)));
    let keks: Vec<KekRef> = [kek, other].into_iter().flatten().map(|kek| kek.clone()).collect();
    let encoded = encode(body);
    debug_assert!(Request::decode(encoded.as_slice()).is_ok());
    // The one field of a request is its body.
    let content = wire::fields(&encoded).into_iter().find_map(|field| field.content).unwrap_or_default();
    if let Some(act) = wire::content(content, ACT).and_then(|act| Act::decode(act).ok()) {
        seeds.extend(act.assertions.iter().filter_map(|assertion| {
            let ours = String::from_utf8(assertion.client_data_json.clone()).ok()?;
            let ours = ours.replace(&base64url(&hash(&act.intent).0), &base64url(&CHALLENGE));
            let len = u16::try_from(ours.len()).ok()?;
            Some(("assertion", [&len.to_be_bytes(), ours.as_bytes(), &assertion.authenticator_data].concat()))
        }));
        seeds.push(("intent", act.intent));
    }
    let tenant = wire::content(content, 1).unwrap_or_default();
    seeds.extend(records(content, tenant, &keks).into_iter().map(|record| ("record", record)));
    seeds
}

/// The content of every field that opens as a record of this tenant.
fn records(body: &[u8], tenant: &[u8], keks: &[KekRef]) -> Vec<Vec<u8>> {
    let sealed = wire::fields(body).into_iter().filter_map(|field| SealedRecord::decode(field.content?).ok());
    stage::with(|stage| {
        let known: Vec<_> = keks.iter().filter_map(|kek| stage.kek(tenant, kek)).collect();
        let open = |record: SealedRecord| known.iter().find_map(|kek| kek.open(spot_of(&record), &record.sealed));
        sealed.filter_map(open).collect()
    })
}
