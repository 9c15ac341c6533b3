//! Passkeys of a record as the enemy would have them: added without their own assertion, computed from one, removed too early.

use strongroom_proto::enclave::v1::{Change, request::Body as Ask};
use strongroom_proto::id::sha256;
use strongroom_proto::limits::CREDENTIALS_MAX;
use strongroom_proto::v1::{
    AddPasskeyAction, CredentialRef, NewCredential, Policy, Reason, RemovePasskeyAction, RenamePasskeyAction,
    intent::Action,
};

use crate::acts::{Backup, PASSKEY_ONLY, action, back_up};
use crate::device::{BE, BS, Ceremony, Passkey, UP, UV, honest};
use crate::steps::{about, change, consents, countersigned, moves, named, registration, view_of};
use crate::vault::edit;
use crate::world::World;

fn add_action(passkey: &Passkey) -> Action {
    Action::AddPasskey(AddPasskeyAction { credential: Some(named(passkey)) })
}

/// The honest addition of a passkey.
fn addition(world: &World, backup: &Backup, newcomer: &Passkey) -> Change {
    let act = consents(&about(world, backup, add_action(newcomer)), &[&backup.passkey, newcomer]);
    Change { credential: Some(registration(newcomer)), ..change(world, act, backup) }
}

fn refused(world: &World, name: &str, ask: Change, reason: Reason, detail: &str) {
    world.refused(name, Ask::Change(ask), reason, detail);
}

#[test]
fn a_newcomer_proves_itself_over_the_same_bytes_after_one_that_is_there() {
    let world = World::new(0xc0);
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let (newcomer, stranger) = (Passkey::eddsa(10), Passkey::eddsa(11));
    let good = addition(&world, &backup, &newcomer);
    let intent = about(&world, &backup, add_action(&newcomer));
    let by = |passkeys: &[&Passkey]| Change { act: Some(consents(&intent, passkeys)), ..good.clone() };
    let own = &backup.passkey;
    for (name, passkeys, reason, detail) in [
        ("by the one that is there alone", &[own][..], Reason::PolicyDenied, "takes two"),
        ("by the newcomer alone", &[&newcomer], Reason::PolicyDenied, "takes two"),
        ("by nobody", &[], Reason::PolicyDenied, "takes two"),
        ("other order", &[&newcomer, own], Reason::ProofRejected, "no credential of the record"),
        ("the newcomer twice", &[&newcomer, &newcomer], Reason::ProofRejected, "no credential of the record"),
        ("the known one twice", &[own, own], Reason::ProofRejected, "no credential of the record"),
        ("a stranger second", &[own, &stranger], Reason::ProofRejected, "no credential of the record"),
        ("a stranger first", &[&stranger, &newcomer], Reason::ProofRejected, "no credential of the record"),
        ("three", &[own, &newcomer, &newcomer], Reason::PolicyDenied, "takes two"),
    ] {
        refused(&world, name, by(passkeys), reason, detail);
    }
    // The newcomer's assertion over an addition of before, and each flag that an assertion must have.
    let earlier = consents(&about(&world, &backup, add_action(&newcomer)), &[&newcomer]).assertions.remove(0);
    let mut stale = good.clone();
    stale.act.as_mut().unwrap().assertions[1] = earlier;
    refused(&world, "another intent", stale, Reason::ProofRejected, "challenge");
    let without = |flags: u8| Ceremony { flags, ..honest() };
    for (name, ceremony, reason) in [
        ("UV off", without(UP | BE | BS), Reason::UserNotVerified),
        ("UP off", without(UV | BE | BS), Reason::UserNotVerified),
        ("origin", Ceremony { origin: "https://evil-wallet.example".into(), ..honest() }, Reason::OriginNotAllowed),
        ("rp", Ceremony { rp_id: "evil.example", ..honest() }, Reason::ProofRejected),
        (
            "PRF",
            Ceremony { extension_results: r#"{"prf":{"results":{"first":"AA"}}}"#.into(), ..honest() },
            Reason::PrfResultPresent,
        ),
    ] {
        let mut ask = good.clone();
        let act = ask.act.as_mut().unwrap();
        act.assertions[1] = newcomer.assert(&act.intent, &ceremony);
        refused(&world, name, ask, reason, "");
    }
    let mut backup = backup;
    moves(&world, "good", Ask::Change(good), &mut backup);
}

#[test]
fn what_comes_beside_the_intent_is_the_credential_that_it_names() {
    let world = World::new(0xc1);
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let (newcomer, stranger) = (Passkey::eddsa(10), Passkey::eddsa(11));
    let good = addition(&world, &backup, &newcomer);
    let cases: [(&str, Option<NewCredential>, Reason, &str); 4] = [
        ("none", None, Reason::BadRequest, "credential: missing"),
        ("a stranger's", Some(registration(&stranger)), Reason::ProofRejected, "not the one"),
        (
            "a stranger's key under its id",
            Some(NewCredential { id: newcomer.id.clone(), public_key: stranger.cose() }),
            Reason::ProofRejected,
            "not the one",
        ),
        (
            "its key under another id",
            Some(NewCredential { id: b"other".to_vec(), public_key: newcomer.cose() }),
            Reason::ProofRejected,
            "not the one",
        ),
    ];
    for (name, credential, reason, detail) in cases {
        refused(&world, name, Change { credential, ..good.clone() }, reason, detail);
    }
    for (name, credential, reason, detail) in [
        ("no credential named", None, Reason::BadRequest, "add_passkey.credential: missing"),
        ("no id", Some(CredentialRef { id: vec![], ..named(&newcomer) }), Reason::BadRequest, "credential.id"),
        ("long id", Some(CredentialRef { id: vec![1; 1024], ..named(&newcomer) }), Reason::BadRequest, "credential.id"),
        ("label", Some(CredentialRef { label: "a\nb".into(), ..named(&newcomer) }), Reason::BadRequest, "label"),
        ("the record's own", Some(named(&backup.passkey)), Reason::AlreadyExists, "already"),
    ] {
        let intent = about(&world, &backup, Action::AddPasskey(AddPasskeyAction { credential: credential.clone() }));
        let public_key = if name.contains("own") { backup.passkey.cose() } else { newcomer.cose() };
        let beside = NewCredential { id: credential.map(|it| it.id).unwrap_or_default(), public_key };
        let act = consents(&intent, &[&backup.passkey, &newcomer]);
        refused(&world, name, Change { credential: Some(beside), act: Some(act), ..good.clone() }, reason, detail);
    }
}

#[test]
fn a_key_that_is_there_does_not_come_in_again_under_another_id() {
    let world = World::new(0xc2);
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let mut alias = Passkey::eddsa(9);
    alias.id = b"alias".to_vec();
    refused(&world, "alias", addition(&world, &backup, &alias), Reason::AlreadyExists, "this id or this key");
    // The same key with the members of its map in another order.
    let mut reordered = backup.passkey.cose();
    reordered[1..5].rotate_left(2);
    let named = CredentialRef { key_hash: sha256(&[&reordered]).to_vec(), ..named(&alias) };
    let intent = about(&world, &backup, Action::AddPasskey(AddPasskeyAction { credential: Some(named) }));
    let credential = Some(NewCredential { id: alias.id.clone(), public_key: reordered });
    let act = consents(&intent, &[&backup.passkey, &alias]);
    let ask = Change { credential, ..change(&world, act, &backup) };
    refused(&world, "alias, encoded anew", ask, Reason::AlreadyExists, "this id or this key");
    let mut twin = Passkey::eddsa(10);
    twin.id.clone_from(&backup.passkey.id);
    refused(&world, "same id", addition(&world, &backup, &twin), Reason::AlreadyExists, "this id or this key");
}

#[test]
fn a_record_takes_sixteen_passkeys() {
    let world = World::new(0xc3);
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    for seed in 0..u8::try_from(CREDENTIALS_MAX).unwrap() - 1 {
        let ask = addition(&world, &backup, &Passkey::eddsa(100 + seed));
        moves(&world, "one more", Ask::Change(ask), &mut backup);
    }
    assert_eq!(view_of(&world, &backup.record).credentials.len(), CREDENTIALS_MAX);
    let ask = addition(&world, &backup, &Passkey::eddsa(99));
    refused(&world, "17th", ask, Reason::TooManyPasskeys, "16");
}

#[test]
fn a_policy_that_asks_for_the_tenant_asks_it_for_every_passkey_act() {
    let world = World::new(0xc4);
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |intent| {
        action(intent).client_policy = Some(Policy { tenant_signature: true, ..PASSKEY_ONLY });
    });
    let newcomer = Passkey::eddsa(10);
    let ask = addition(&world, &backup, &newcomer);
    refused(&world, "add", ask.clone(), Reason::PolicyDenied, "tenant_signature");
    let act = countersigned(&world, ask.act.clone().unwrap());
    moves(&world, "add", Ask::Change(Change { act: Some(act), ..ask }), &mut backup);
    let id = backup.passkey.id.clone();
    for (name, act) in [
        ("remove", Action::RemovePasskey(RemovePasskeyAction { credential_id: id.clone() })),
        ("rename", Action::RenamePasskey(RenamePasskeyAction { credential_id: id, label: "x".into() })),
    ] {
        let intent = about(&world, &backup, act);
        let alone = change(&world, consents(&intent, &[&newcomer]), &backup);
        refused(&world, name, alone, Reason::PolicyDenied, "tenant_signature");
        let tenant = change(&world, countersigned(&world, consents(&intent, &[])), &backup);
        refused(&world, name, tenant, Reason::PolicyDenied, "passkey");
    }
}

#[test]
fn what_is_not_there_is_neither_removed_nor_renamed() {
    let world = World::new(0xc5);
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let (id, own) = (b"unknown".to_vec(), backup.passkey.id.clone());
    for (name, act, reason) in [
        ("remove", Action::RemovePasskey(RemovePasskeyAction { credential_id: id.clone() }), Reason::NotFound),
        (
            "rename",
            Action::RenamePasskey(RenamePasskeyAction { credential_id: id, label: "x".into() }),
            Reason::NotFound,
        ),
        ("last", Action::RemovePasskey(RemovePasskeyAction { credential_id: own.clone() }), Reason::LastPasskey),
        (
            "label",
            Action::RenamePasskey(RenamePasskeyAction { credential_id: own, label: "a\u{202e}b".into() }),
            Reason::BadRequest,
        ),
    ] {
        let act = consents(&about(&world, &backup, act), &[&backup.passkey]);
        refused(&world, name, change(&world, act, &backup), reason, "");
    }
}

#[test]
fn a_newcomers_backup_eligibility_is_kept() {
    let world = World::new(0xc6);
    let mut backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let newcomer = Passkey::eddsa(10);
    let mut ask = addition(&world, &backup, &newcomer);
    let act = ask.act.as_mut().unwrap();
    act.assertions[1] = newcomer.assert(&act.intent, &Ceremony { flags: UP | UV, ..honest() });
    moves(&world, "add", Ask::Change(ask), &mut backup);
    let mut kept = Vec::new();
    edit(&world, &mut backup.record, |record| kept = record.credentials.iter().map(|it| it.backup_eligible).collect());
    assert_eq!(kept, [Some(true), Some(false)]);
    let rename = RenamePasskeyAction { credential_id: newcomer.id.clone(), label: "x".into() };
    let act = consents(&about(&world, &backup, Action::RenamePasskey(rename)), &[&newcomer]);
    refused(&world, "BE turned on", change(&world, act, &backup), Reason::ProofRejected, "BE differs");
}
