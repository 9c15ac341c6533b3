//! Forms and lengths of what callers send. A courtesy: it saves the enclave work and names the field; the enclave checks again.

use strongroom_proto::id::{RecordId, TenantId, sha256};
use strongroom_proto::limits::{
    ASSERTION_SIGNATURE_BYTES_MAX, ASSERTIONS_MAX, AUTHENTICATOR_DATA_BYTES_MAX, CIPHERTEXT_BYTES_MAX,
    CLIENT_DATA_BYTES_MAX, CREDENTIAL_ID_BYTES_MAX, CREDENTIAL_KEY_BYTES_MAX, ENCAPSULATED_KEY_BYTES,
    EXTENSION_RESULTS_BYTES_MAX, INTENT_BYTES_MAX, MESSAGE_BYTES_MAX, PAIRS_MAX,
};
use strongroom_proto::v1::{Act, ClientCiphertext, Intent, NewCredential, Pair, Role};
use strongroom_proto::{intent, names};

use super::act::{Call, Order, Work};
use super::listing::Place;
use super::{App, roles};
use crate::error::Error;
use crate::keys::Name;

/// An act whose lengths were checked, with what the host needs to find its rows.
pub(super) struct CheckedAct {
    pub(super) act: Act,
    pub(super) intent: Intent,
    pub(super) wallet: Name,
    /// Those that the intent names, in order; at least one.
    pub(super) roles: Vec<Role>,
}

impl CheckedAct {
    /// The orders to do it on the record that it names, one for each role that it names.
    pub(super) fn orders(&self, tenant: TenantId, mut work: impl FnMut(Role) -> Work) -> Result<Vec<Order>, Error> {
        let record = self.record_id()?;
        let place = |role| Place { tenant, wallet: self.wallet.clone(), role, record };
        let mut order = |role| Order { place: place(role), consents: true, work: work(role) };
        Ok(self.roles.iter().map(|role| order(*role)).collect())
    }

    /// The record that it names, the same one in every role: an act is about one backup.
    pub(super) fn record_id(&self) -> Result<RecordId, Error> {
        let mut found = None;
        for role in &self.roles {
            let fields = Fields::of(Some(role));
            let part = intent::part(&self.intent, *role).ok_or_else(|| Error::bad(fields.part, "required"))?;
            let id = RecordId::from_slice(&part.record_id);
            let id = id.ok_or_else(|| Error::bad(fields.record_id, "exactly 32 bytes"))?;
            if found.is_some_and(|other| other != id) {
                return Err(Error::bad(fields.record_id, "the record that the other role's part names"));
            }
            found = Some(id);
        }
        found.ok_or_else(|| Error::bad(Fields::of(None).part, "required"))
    }
}

/// What refusals call a role's part of an intent.
pub(super) struct Fields {
    pub(super) part: &'static str,
    pub(super) record_id: &'static str,
}

impl Fields {
    /// Of a role; of the client where there is none.
    pub(super) fn of(role: Option<&Role>) -> Self {
        match role {
            Some(Role::Custodian) => Self { part: "act.intent.custodian", record_id: "act.intent.custodian.record_id" },
            _ => Self { part: "act.intent.client", record_id: "act.intent.client.record_id" },
        }
    }
}

impl App {
    /// An act of this tenant, for this call, in roles that run here.
    pub(super) fn checked_act(&self, tenant: &TenantId, call: Call, given: Option<Act>) -> Result<CheckedAct, Error> {
        let checked = act(tenant, call, given)?;
        checked.roles.iter().try_for_each(|role| self.enclave(*role).map(drop))?;
        Ok(checked)
    }
}

/// At most `max` bytes.
pub(super) fn at_most(field: &'static str, len: usize, max: usize) -> Result<(), Error> {
    if len <= max { Ok(()) } else { Err(Error::bad(field, format!("at most {max} bytes"))) }
}

/// Exactly `expect` bytes.
pub(super) fn exactly(field: &'static str, len: usize, expect: usize) -> Result<(), Error> {
    if len == expect { Ok(()) } else { Err(Error::bad(field, format!("exactly {expect} bytes"))) }
}

/// A hash: 32 bytes.
pub(super) fn hash(field: &'static str, bytes: &[u8]) -> Result<[u8; 32], Error> {
    bytes.try_into().map_err(|_| Error::bad(field, "exactly 32 bytes"))
}

/// A label that may be shown.
pub(super) fn label(field: &'static str, text: &str) -> Result<(), Error> {
    if names::is_label(text) { Ok(()) } else { Err(Error::bad(field, "at most 64 bytes without control characters")) }
}

/// A role that exists.
pub(super) fn role(field: &'static str, role: i32) -> Result<Role, Error> {
    match Role::try_from(role) {
        Ok(Role::Unspecified) | Err(_) => Err(Error::bad(field, "a known role")),
        Ok(role) => Ok(role),
    }
}

/// An act of this tenant, for this call.
fn act(tenant: &TenantId, call: Call, act: Option<Act>) -> Result<CheckedAct, Error> {
    let act = act.ok_or_else(|| Error::bad("act", "required"))?;
    at_most("act.intent", act.intent.len(), INTENT_BYTES_MAX)?;
    if act.assertions.len() > ASSERTIONS_MAX {
        return Err(Error::bad("act.assertions", format!("at most {ASSERTIONS_MAX}")));
    }
    for assertion in &act.assertions {
        at_most("act.assertions.credential_id", assertion.credential_id.len(), CREDENTIAL_ID_BYTES_MAX)?;
        let data = &assertion.authenticator_data;
        at_most("act.assertions.authenticator_data", data.len(), AUTHENTICATOR_DATA_BYTES_MAX)?;
        at_most("act.assertions.client_data_json", assertion.client_data_json.len(), CLIENT_DATA_BYTES_MAX)?;
        at_most("act.assertions.signature", assertion.signature.len(), ASSERTION_SIGNATURE_BYTES_MAX)?;
        let results = &assertion.client_extension_results;
        at_most("act.assertions.client_extension_results", results.len(), EXTENSION_RESULTS_BYTES_MAX)?;
    }
    if let Some(signature) = &act.tenant_signature {
        exactly("act.tenant_signature.key", signature.key.len(), 32)?;
        exactly("act.tenant_signature.signature", signature.signature.len(), 64)?;
    }
    let intent = intent::decode(&act.intent).map_err(|error| Error::bad("act.intent", error.to_string()))?;
    if intent.tenant != tenant.0 {
        return Err(Error::bad("act.intent.tenant", "the tenant of the API key"));
    }
    let wallet = Name::parse("act.intent.wallet", &intent.wallet)?;
    call.check(intent.action.as_ref())?;
    let roles = roles::named(&intent)?;
    Ok(CheckedAct { act, intent, wallet, roles })
}

/// A new credential's public half.
pub(super) fn credential(credential: Option<&NewCredential>) -> Result<(), Error> {
    let Some(credential) = credential else { return Ok(()) };
    at_most("credential.id", credential.id.len(), CREDENTIAL_ID_BYTES_MAX)?;
    at_most("credential.public_key", credential.public_key.len(), CREDENTIAL_KEY_BYTES_MAX)
}

/// The fields of the messages that are sealed to the channel keys.
pub(super) const MESSAGES: [&str; 2] = ["client_message", "custodian_message"];
/// The fields of the epochs that they are sealed to.
pub(super) const EPOCHS: [&str; 2] = ["client_epoch", "custodian_epoch"];

/// A message that is sealed to a channel key.
#[expect(clippy::ptr_arg, reason = "a field is checked as it stands in its message")]
pub(super) fn message(field: &'static str, message: &Vec<u8>) -> Result<(), Error> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Error::ShareTooLarge { field, max: MESSAGE_BYTES_MAX });
    }
    if message.len() <= ENCAPSULATED_KEY_BYTES {
        return Err(Error::bad(field, format!("more than {ENCAPSULATED_KEY_BYTES} bytes")));
    }
    Ok(())
}

/// The pairs of a generation: their ids become keys of rows.
pub(super) fn pairs(field: &'static str, pairs: &[Pair]) -> Result<(), Error> {
    if !(1..=PAIRS_MAX).contains(&pairs.len()) {
        return Err(Error::bad(field, format!("1 to {PAIRS_MAX}")));
    }
    pairs.iter().try_for_each(|pair| Name::parse(field, &pair.id).map(drop))
}

/// What a device encrypted itself: one for each pair, or none at all.
pub(super) fn ciphertexts(given: &[ClientCiphertext], pairs: &[Pair]) -> Result<(), Error> {
    const FIELD: &str = "client_ciphertexts.ciphertext";
    if given.is_empty() {
        return Ok(());
    }
    if !given.iter().map(|it| &it.pair).eq(pairs.iter().map(|pair| &pair.id)) {
        return Err(Error::bad("client_ciphertexts.pair", "each pair of the intent once, sorted"));
    }
    for it in given {
        exactly("client_ciphertexts.sha256", it.sha256.len(), 32)?;
        if it.ciphertext.len() > CIPHERTEXT_BYTES_MAX {
            return Err(Error::ShareTooLarge { field: FIELD, max: CIPHERTEXT_BYTES_MAX });
        }
        if !it.ciphertext.is_empty() && sha256(&[&it.ciphertext]) != *it.sha256 {
            return Err(Error::HashMismatch { field: FIELD });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use strongroom_proto::v1::{Assertion, RecoverAction, RolePart, TenantSignature, intent::Action};

    use super::*;

    const TENANT: TenantId = TenantId([4; 32]);

    fn good() -> Act {
        let part = RolePart { record_id: vec![1; 32], ..Default::default() };
        let intent = Intent {
            tenant: TENANT.0.to_vec(),
            wallet: "w".to_owned(),
            client: Some(part),
            action: Some(Action::Recover(RecoverAction::default())),
            ..Default::default()
        };
        let assertion = Assertion {
            credential_id: vec![0; CREDENTIAL_ID_BYTES_MAX],
            authenticator_data: vec![0; AUTHENTICATOR_DATA_BYTES_MAX],
            client_data_json: vec![0; CLIENT_DATA_BYTES_MAX],
            signature: vec![0; ASSERTION_SIGNATURE_BYTES_MAX],
            client_extension_results: " ".repeat(EXTENSION_RESULTS_BYTES_MAX),
        };
        Act {
            intent: intent.encode_to_vec(),
            assertions: vec![assertion; ASSERTIONS_MAX],
            tenant_signature: Some(TenantSignature { key: vec![0; 32], signature: vec![0; 64] }),
        }
    }

    fn refuse(field: &str, change: impl FnOnce(&mut Act)) {
        let mut broken = good();
        change(&mut broken);
        match act(&TENANT, Call::Recover, Some(broken)).err() {
            Some(Error::BadRequest { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }

    fn intent(act: &mut Act, change: impl FnOnce(&mut Intent)) {
        let mut intent = Intent::decode(act.intent.as_slice()).unwrap();
        change(&mut intent);
        act.intent = intent.encode_to_vec();
    }

    #[test]
    fn an_act_at_every_limit_passes_and_one_past_each_is_named() {
        let checked = act(&TENANT, Call::Recover, Some(good())).unwrap();
        assert_eq!((checked.record_id().unwrap(), checked.roles), (RecordId([1; 32]), vec![Role::Client]));
        assert!(act(&TENANT, Call::Recover, None).is_err());
        assert!(act(&TENANT, Call::PutShares, Some(good())).is_err());
        refuse("act.intent", |act| act.intent = vec![0; INTENT_BYTES_MAX + 1]);
        refuse("act.intent", |act| act.intent.push(0));
        refuse("act.intent", |act| act.intent.extend_from_slice(&[0xf8, 0x7f, 1]));
        refuse("act.intent.tenant", |act| intent(act, |intent| intent.tenant = vec![5; 32]));
        refuse("act.intent.action", |act| intent(act, |intent| intent.action = None));
        refuse("act.intent.client", |act| intent(act, |intent| intent.client = None));
        refuse("act.intent.wallet", |act| intent(act, |intent| intent.wallet = "w/w".to_owned()));
        refuse("act.assertions", |act| act.assertions.push(Assertion::default()));
        refuse("act.assertions.credential_id", |act| act.assertions[1].credential_id.push(0));
        refuse("act.assertions.authenticator_data", |act| act.assertions[0].authenticator_data.push(0));
        refuse("act.assertions.client_data_json", |act| act.assertions[0].client_data_json.push(0));
        refuse("act.assertions.signature", |act| act.assertions[0].signature.push(0));
        refuse("act.assertions.client_extension_results", |act| act.assertions[0].client_extension_results.push(' '));
        refuse("act.tenant_signature.key", |act| act.tenant_signature.as_mut().unwrap().key.push(0));
        refuse("act.tenant_signature.signature", |act| act.tenant_signature.as_mut().unwrap().signature.clear());
    }

    #[test]
    fn an_act_is_about_one_record_whatever_roles_it_names() {
        let part = |id: &[u8]| Some(RolePart { record_id: id.to_vec(), ..Default::default() });
        let (one, other, short) = ([1; 32], [2; 32], [1; 31]);
        for (client, custodian, expect) in [
            (part(&one), None, Ok(1)),
            (None, part(&one), Ok(1)),
            (part(&one), part(&one), Ok(2)),
            (part(&one), part(&other), Err("act.intent.custodian.record_id")),
            (part(&one), part(&short), Err("act.intent.custodian.record_id")),
            (part(&short), part(&one), Err("act.intent.client.record_id")),
            (None, part(&short), Err("act.intent.custodian.record_id")),
            (part(&[]), None, Err("act.intent.client.record_id")),
        ] {
            let mut given = good();
            let named = (client.clone(), custodian.clone());
            intent(&mut given, |intent| (intent.client, intent.custodian) = (client, custodian));
            let checked = act(&TENANT, Call::Recover, Some(given)).unwrap();
            let work = |_| Work::Recover { generation: 1, recipient_key: Vec::new() };
            match checked.orders(TENANT, work) {
                Ok(orders) => {
                    assert_eq!(Ok(orders.len()), expect, "{named:?}");
                    let roles: Vec<Role> = orders.iter().map(|order| order.place.role).collect();
                    assert_eq!(roles, checked.roles);
                    assert!(orders.iter().all(|order| order.consents && order.place.record == RecordId(one)));
                }
                Err(Error::BadRequest { field, .. }) => assert_eq!(Err(field), expect, "{named:?}"),
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn other_fields_are_named_too() {
        assert!(role("role", 0).is_err() && role("role", 3).is_err() && role("role", 2).is_ok());
        assert!(label("label", "a\n").is_err() && label("label", "").is_ok());
        let longest =
            NewCredential { id: vec![0; CREDENTIAL_ID_BYTES_MAX], public_key: vec![0; CREDENTIAL_KEY_BYTES_MAX] };
        credential(Some(&longest)).unwrap();
        let longer_id = NewCredential { id: vec![0; CREDENTIAL_ID_BYTES_MAX + 1], public_key: Vec::new() };
        assert!(credential(Some(&longer_id)).is_err());
        let longer_key = NewCredential { id: Vec::new(), public_key: vec![0; CREDENTIAL_KEY_BYTES_MAX + 1] };
        assert!(credential(Some(&longer_key)).is_err());
        let of = |len: usize| message("client_message", &vec![0; len]);
        assert!(of(ENCAPSULATED_KEY_BYTES + 1).is_ok() && of(MESSAGE_BYTES_MAX).is_ok());
        assert!(matches!(of(ENCAPSULATED_KEY_BYTES), Err(Error::BadRequest { .. })));
        assert!(matches!(of(MESSAGE_BYTES_MAX + 1), Err(Error::ShareTooLarge { .. })));
        let pair = |id: &str| Pair { id: id.to_owned(), curve: 1 };
        assert!(pairs("pairs", &vec![pair("p"); PAIRS_MAX]).is_ok());
        for bad in [vec![], vec![pair("p"); PAIRS_MAX + 1], vec![pair("p"), pair("p/2")], vec![pair("")]] {
            assert!(pairs("pairs", &bad).is_err(), "{bad:?}");
        }
    }
}
