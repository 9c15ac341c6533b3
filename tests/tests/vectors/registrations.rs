//! Recorded registrations, through the sdk's reader: credential id, key and flags come out, malformed ones do not.

use serde_json::Value;
use strongroom_core::webauthn::CredentialKey;
use strongroom_sdk::Error;
use strongroom_sdk::registration::{Registration, parse};

use crate::files;
use crate::passkeys::{FILES, registrations};

/// Where rpIdHash ends in authenticator data, and the flags are (WebAuthn level 3, section 6.1).
const HASH: usize = 32;
/// Where the flags end.
const FLAGS: usize = 33;
/// Where counter and AAGUID end.
const AAGUID: usize = 53;
/// Where the length of the credential id ends.
const LENGTH: usize = 55;

struct Recorded {
    name: String,
    rp_id: String,
    object: Vec<u8>,
    /// Where the authenticator data begin in the object.
    data_at: usize,
    data: Vec<u8>,
    expect: Registration,
}

impl Recorded {
    fn read(vector: &Value) -> Self {
        let given = &vector["registration"];
        let (object, data) = (files::hex(given, "attestation_object"), files::hex(given, "authenticator_data"));
        let credential = strongroom_proto::v1::NewCredential {
            id: files::hex(given, "credential_id"),
            public_key: files::hex(given, "public_key"),
        };
        let algorithm = given["algorithm"].as_i64().unwrap();
        Self {
            name: files::text(vector, "name").to_owned(),
            rp_id: files::text(given, "rp_id").to_owned(),
            data_at: object.windows(data.len()).position(|window| window == data).unwrap(),
            expect: Registration { credential, algorithm, flags: data[HASH] },
            object,
            data,
        }
    }
}

fn recorded() -> Vec<Recorded> {
    FILES.into_iter().flat_map(registrations).map(|vector| Recorded::read(&vector)).collect()
}

/// An attestation object without a statement.
fn object(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59", &length[..], data].concat()
}

#[test]
fn each_registration_gives_the_key_that_the_browser_gave() {
    for it in recorded() {
        let got = parse(&it.object, &it.rp_id).unwrap_or_else(|error| panic!("{}: {error}", it.name));
        assert_eq!(got, it.expect, "{}", it.name);
        assert_eq!(parse(&object(&it.data), &it.rp_id).unwrap(), it.expect, "{}: without a statement", it.name);
        CredentialKey::parse(&got.credential.public_key).unwrap_or_else(|refusal| panic!("{}: {refusal:?}", it.name));
    }
}

#[test]
fn a_registration_for_another_relying_party_is_refused() {
    for it in recorded() {
        for other in ["example.com", "", "ocalhost", "localhost."] {
            let error = parse(&it.object, other).unwrap_err();
            assert!(matches!(error, Error::Mismatch { .. }), "{} for {other:?}: {error}", it.name);
        }
    }
}

#[test]
fn cut_and_longer_registrations_are_refused() {
    for it in recorded() {
        for len in 0..it.object.len() {
            assert!(parse(&it.object[..len], &it.rp_id).is_err(), "{}: {len} bytes", it.name);
        }
        for len in 0..it.data.len() {
            assert!(parse(&object(&it.data[..len]), &it.rp_id).is_err(), "{}: {len} bytes of data", it.name);
        }
        for more in [&[0][..], &[0xa0], &it.object] {
            let longer = [&it.object[..], more].concat();
            assert!(parse(&longer, &it.rp_id).is_err(), "{}: {} more bytes", it.name, more.len());
            let longer = object(&[&it.data[..], more].concat());
            assert!(parse(&longer, &it.rp_id).is_err(), "{}: {} more bytes of data", it.name, more.len());
        }
    }
}

/// A flipped bit is refused, or shows in what comes out; only counter and AAGUID are passed over.
#[test]
fn a_flipped_bit_shows() {
    for it in recorded() {
        let id_end = LENGTH + it.expect.credential.id.len();
        let key_end = id_end + it.expect.credential.public_key.len();
        for (at, bit) in (0..it.data.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut altered = it.object.clone();
            altered[it.data_at + at] ^= 1 << bit;
            let got = parse(&altered, &it.rp_id);
            let name = format!("{}: byte {at}, bit {bit}: {got:?}", it.name);
            match at {
                ..HASH => assert!(got.is_err(), "{name}"),
                // AT and ED say what follows; the others are given on.
                HASH if bit >= 6 => assert!(got.is_err(), "{name}"),
                HASH => assert_eq!(got.ok().map(|got| got.flags), Some(it.expect.flags ^ (1 << bit)), "{name}"),
                FLAGS..AAGUID => assert_eq!(got.ok().as_ref(), Some(&it.expect), "{name}"),
                AAGUID..LENGTH => assert!(got.is_err() || got.is_ok_and(|got| got != it.expect), "{name}"),
                _ if at < key_end => assert!(got.is_err() || got.is_ok_and(|got| got != it.expect), "{name}"),
                _ => assert!(got.is_err() || got.is_ok_and(|got| got == it.expect), "{name}"),
            }
        }
    }
}

#[test]
fn a_key_with_a_member_twice_is_refused() {
    for it in recorded() {
        let key_at = LENGTH + it.expect.credential.id.len();
        let key_end = key_at + it.expect.credential.public_key.len();
        for member in [&[1, 2][..], &[3, 0x26]] {
            let mut data = [&it.data[..key_end], member, &it.data[key_end..]].concat();
            data[key_at] += 1;
            assert!(parse(&object(&data), &it.rp_id).is_err(), "{}: {member:?}", it.name);
        }
    }
}

#[test]
fn an_assertions_authenticator_data_are_no_registration() {
    for vector in FILES.into_iter().flat_map(registrations) {
        let data = files::hex(&vector["assertion"], "authenticator_data");
        let rp_id = files::text(&vector["registration"], "rp_id");
        // One forged vector has a registration's data in its assertion.
        if data != files::hex(&vector["registration"], "authenticator_data") {
            assert!(parse(&object(&data), rp_id).is_err(), "{}", vector["name"]);
        }
    }
}
