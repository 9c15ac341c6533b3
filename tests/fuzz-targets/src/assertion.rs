//! `assertion`: client data and authenticator data, under a signature that holds. What is accepted says the same to simple readers.
//!
//! The input is the length of the client data (2 bytes, big-endian), the client data, and the authenticator data.

use ring::signature::{Ed25519KeyPair, KeyPair};
use strongroom_core::webauthn::{CredentialKey, Expected, verify};
use strongroom_proto::id::sha256;
use strongroom_proto::v1::Assertion;

use crate::cbor::{self, Value};
use crate::device::{AT, BE, BS, ED, UP, UV, base64url};
use crate::json::{self, Json};
use crate::tenant::{APP_ORIGIN, ORIGIN, RP_ID, TOP_ORIGIN};

/// What every input is asked for.
pub(crate) const CHALLENGE: [u8; 32] = [7; 32];

/// One input.
pub(crate) fn run(input: &[u8]) {
    let Some((len, rest)) = input.split_first_chunk() else { return };
    let Some((client_data, authenticator_data)) = rest.split_at_checked(u16::from_be_bytes(*len).into()) else {
        return;
    };
    let key = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).expect("32 bytes");
    let cose = [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], key.public_key().as_ref()].concat();
    let signed = [authenticator_data, &sha256(&[client_data])].concat();
    let assertion = Assertion {
        credential_id: b"id".to_vec(),
        authenticator_data: authenticator_data.to_vec(),
        client_data_json: client_data.to_vec(),
        signature: key.sign(&signed).as_ref().to_vec(),
        client_extension_results: String::new(),
    };
    let origins = [ORIGIN.to_owned(), APP_ORIGIN.to_owned()];
    let top_origins = [TOP_ORIGIN.to_owned()];
    let expected = Expected { challenge: &CHALLENGE, rp_id: RP_ID, origins: &origins, top_origins: &top_origins };
    let parsed = CredentialKey::parse(&cose).expect("an Ed25519 key");
    let ceremony = Ceremony { challenge: &CHALLENGE, rp_id: RP_ID, origins: &origins, top_origins: &top_origins };
    if let Ok(verified) = verify(&assertion, &parsed, &expected) {
        assert_eq!(verified.backup_eligible, ceremony.check(&assertion), "flag BE");
        let altered = Assertion { client_data_json: [client_data, b" "].concat(), ..assertion };
        assert!(verify(&altered, &parsed, &expected).is_err(), "the signature is not looked at");
    }
}

/// What an assertion that is accepted must say, apart from its signature.
pub(crate) struct Ceremony<'a> {
    pub(crate) challenge: &'a [u8],
    pub(crate) rp_id: &'a str,
    pub(crate) origins: &'a [String],
    pub(crate) top_origins: &'a [String],
}

impl Ceremony<'_> {
    /// Flag BE.
    pub(crate) fn check(&self, assertion: &Assertion) -> bool {
        self.check_client_data(&assertion.client_data_json);
        check_extension_results(&assertion.client_extension_results);
        check_authenticator_data(&assertion.authenticator_data, self.rp_id)
    }

    fn check_client_data(&self, bytes: &[u8]) {
        let data = json::whole(bytes).expect("JSON");
        let text = |name| data.only(name).and_then(Json::text);
        let is_in = |list: &[String], name| text(name).is_some_and(|text| list.iter().any(|listed| listed == text));
        assert_eq!(text("type"), Some("webauthn.get"), "type");
        assert_eq!(text("challenge"), Some(base64url(self.challenge).as_str()), "challenge");
        assert!(is_in(self.origins, "origin"), "origin");
        match data.only("crossOrigin") {
            None => assert!(!data.has("crossOrigin") && no_top_origin(&data), "crossOrigin twice, or a topOrigin"),
            Some(Json::Bool(false)) => assert!(no_top_origin(&data), "a topOrigin, and not cross-origin"),
            Some(Json::Bool(true)) => assert!(is_in(self.top_origins, "topOrigin"), "topOrigin"),
            Some(other) => panic!("crossOrigin: {other:?}"),
        }
    }
}

/// No secret of the device is in them.
fn check_extension_results(text: &str) {
    if !text.is_empty() {
        let results = json::whole(text.as_bytes()).expect("JSON");
        let absent = |object: &Json, name| !object.has(name) || object.only(name) == Some(&Json::Null);
        let prf = results.only("prf").is_none_or(|prf| *prf == Json::Null || absent(prf, "results"));
        assert!(prf && absent(&results, "hmacGetSecret"), "a secret of the device");
        assert_eq!(results.only("prf").is_some(), results.has("prf"), "prf twice");
    }
}

fn no_top_origin(data: &Json) -> bool {
    !data.has("topOrigin") || data.only("topOrigin") == Some(&Json::Null)
}

/// Flag BE.
fn check_authenticator_data(data: &[u8], rp_id: &str) -> bool {
    assert_eq!(data[..32], sha256(&[rp_id.as_bytes()]), "rpIdHash");
    let flags = data[32];
    assert_eq!(flags & (UP | UV | AT), UP | UV, "UP, UV, AT");
    assert!(flags & BS == 0 || flags & BE != 0, "BS without BE");
    let extensions = &data[37..];
    if flags & ED == 0 {
        assert!(extensions.is_empty(), "extensions without ED");
    } else if let Some(item) = cbor::whole(extensions) {
        assert!(matches!(item.value, Value::Map(_)) && !item.indefinite, "extensions are a map");
    } else {
        assert!(extensions.len() > cbor::DEPTH_MAX, "extensions are one CBOR item, unless too deep for the reader");
    }
    flags & BE != 0
}
