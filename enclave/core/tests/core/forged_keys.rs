//! Keys computed from a signature: an ECDSA signature fits two public keys that nobody made, so that a registration proves nothing.

use p256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use ring::digest::{SHA256, digest};
use strongroom_proto::enclave::v1::{Change, request::Body as Ask};
use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::{AddPasskeyAction, Assertion, CredentialRef, NewCredential, Reason, intent::Action};

use crate::acts::{action, back_up, creation, recovery, sealed_message, sign_creation, two_shares};
use crate::device::{Passkey, Recipient, honest};
use crate::steps::{about, change, consents};
use crate::world::World;

/// The public keys, as `COSE_Key`, that an assertion's signature holds under.
fn keys_of(assertion: &Assertion) -> Vec<Vec<u8>> {
    let signed = [&assertion.authenticator_data, digest(&SHA256, &assertion.client_data_json).as_ref()].concat();
    let prehash = digest(&SHA256, &signed);
    let signature = Signature::from_der(&assertion.signature).unwrap();
    let candidate = |id| {
        let key = VerifyingKey::recover_from_prehash(prehash.as_ref(), &signature, RecoveryId::from_byte(id)?).ok()?;
        let point = key.to_sec1_point(false);
        let (x, y) = (point.x()?.to_vec(), point.y()?.to_vec());
        Some([&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], &x[..], &[0x22, 0x58, 32], &y].concat())
    };
    (0..4).filter_map(candidate).collect()
}

fn credential(public_key: &[u8]) -> (CredentialRef, NewCredential) {
    let id = b"nobody's".to_vec();
    let key_hash = ContentHash::of(public_key).0.to_vec();
    (
        CredentialRef { id: id.clone(), key_hash, label: String::new() },
        NewCredential { id, public_key: public_key.to_vec() },
    )
}

#[test]
fn a_key_computed_from_an_assertion_comes_into_no_record() {
    let world = World::new(0x98);
    let backup = back_up(&world, "wallet-1", Passkey::es256(), |_| {});
    let recipient = Recipient::new(1);
    // What a host records when the user recovers.
    let earlier = consents(&recovery(&world, &backup, &recipient), &[&backup.passkey]).assertions.remove(0);
    let keys = keys_of(&earlier);
    assert_eq!(keys.len(), 2, "the passkey's own key, and one that nobody has");
    assert!(keys.contains(&backup.passkey.cose()));
    for public_key in keys.iter().filter(|key| **key != backup.passkey.cose()) {
        let (named, registration) = credential(public_key);
        // Added to the user's record: the assertion that fits the key is over another intent.
        let add = Action::AddPasskey(AddPasskeyAction { credential: Some(named.clone()) });
        let mut act = consents(&about(&world, &backup, add), &[&backup.passkey]);
        act.assertions.push(Assertion { credential_id: named.id.clone(), ..earlier.clone() });
        let ask = Change { credential: Some(registration.clone()), ..change(&world, act, &backup) };
        world.refused("replayed assertion", Ask::Change(ask), Reason::ProofRejected, "challenge");
        // As the first credential of a new record.
        let mut intent = creation(&world, "wallet-1", &backup.passkey);
        action(&mut intent).credential = Some(named.clone());
        let message = sealed_message(&world, &intent, &two_shares());
        let mut ask = sign_creation(&world, intent, message, &backup.passkey, &honest());
        ask.credential = Some(registration);
        ask.act.as_mut().unwrap().assertions = vec![Assertion { credential_id: named.id, ..earlier.clone() }];
        world.refused("creation", Ask::CreateRecord(ask), Reason::ProofRejected, "challenge");
    }
    // A key computed from the user's assertion over the very addition: the intent names its hash before it can be computed.
    let (named, _) = credential(&keys[0]);
    let add = Action::AddPasskey(AddPasskeyAction { credential: Some(named.clone()) });
    let mut act = consents(&about(&world, &backup, add), &[&backup.passkey]);
    let own = act.assertions[0].clone();
    for public_key in keys_of(&own).iter().filter(|key| **key != backup.passkey.cose()) {
        act.assertions.truncate(1);
        act.assertions.push(Assertion { credential_id: named.id.clone(), ..own.clone() });
        let registration = NewCredential { id: named.id.clone(), public_key: public_key.clone() };
        let ask = Change { credential: Some(registration), ..change(&world, act.clone(), &backup) };
        world.refused("of this intent", Ask::Change(ask), Reason::ProofRejected, "not the one that the intent names");
    }
}
