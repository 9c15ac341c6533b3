//! The path that everything else departs from: a backup is made, recovered twice and rehearsed.

use prost::Message;
use strongroom_proto::contents::Release;
use strongroom_proto::enclave::v1::{
    GetIdentity, GetView, Moved, SealedRecord, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::id::{ContentHash, Head};
use strongroom_proto::seal::{Direction, SealKind};
use strongroom_proto::v1::{
    ActKind, CredentialView, Curve, Event, Freshness, GenerationState, GenerationView, Pair, Receipt, RecordView,
    Rehearsal, RehearsalResult, Role, SecretKind, SignedReceipt, Stages, Trust, WalletView,
};
use strongroom_proto::{prefix, signed};

use crate::acts::{Backup, PASSKEY_ONLY, act, back_up, info, recover, recovery, rehearsal, rehearse, two_shares};
use crate::device::{Passkey, Recipient, honest};
use crate::vault::{Spot, open, read, spot_of};
use crate::world::{START, World};

/// What every answer here rests on.
fn stages() -> Stages {
    Stages { trusted: vec![Trust::KeyAdmin.into()], freshness: Freshness::None.into() }
}

/// A receipt whose signature, head and subject hold, and its event.
fn check_receipt(world: &World, signed: &SignedReceipt, before: &[u8]) -> (Receipt, Event) {
    let identity = &world.epoch.identity;
    signed::verify(prefix::RECEIPT, &signed.receipt, &identity.receipt_key, &signed.signature).unwrap();
    let receipt = Receipt::decode(signed.receipt.as_slice()).unwrap();
    let event = Event::decode(receipt.event.as_slice()).unwrap();
    assert_eq!(receipt.head, signed::next_head(&Head::from_slice(before).unwrap(), &receipt.event).0);
    assert_eq!(receipt.identity_hash, signed::identity_hash(&identity.encode_to_vec()).0);
    assert_eq!((receipt.tenant.clone(), receipt.role(), receipt.epoch), (world.tenant_id(), Role::Client, 1));
    assert_eq!((receipt.version, &receipt.intent_hash), (event.version, &event.intent_hash));
    assert_eq!((receipt.time_ms, event.time_ms, event.statement_serial), (START, START, 5));
    assert_eq!(receipt.stages, Some(stages()));
    assert!(receipt.pending.is_none() && receipt.active.as_ref().unwrap().generation == 1);
    (receipt, event)
}

fn view(world: &World, wallet: &str, records: &[SealedRecord]) -> WalletView {
    let nonce = world.random().to_vec();
    let ask = GetView {
        tenant: world.tenant_id(),
        kek: Some(world.epoch.kek()),
        wallet: wallet.into(),
        nonce: nonce.clone(),
        records: records.to_vec(),
        other_kek: None,
    };
    let Answer::View(answer) = world.drive(Ask::GetView(ask)) else { panic!("no view") };
    let signed = answer.view.unwrap();
    signed::verify(prefix::VIEW, &signed.view, &world.epoch.identity.receipt_key, &signed.signature).unwrap();
    let view = WalletView::decode(signed.view.as_slice()).unwrap();
    assert_eq!((&view.tenant, view.role(), view.epoch), (&world.tenant_id(), Role::Client, 1));
    assert_eq!((view.wallet.as_str(), &view.nonce, view.time_ms), (wallet, &nonce, START));
    assert_eq!(view.stages, Some(stages()));
    view
}

/// Recovers from the backup's head and leaves the backup at the next one.
fn recover_once(world: &World, backup: &mut Backup, recipient: &Recipient) -> (Moved, Receipt, Event) {
    let intent = recovery(world, backup, recipient);
    let act = act(&intent, &backup.passkey, &honest());
    let intent_hash = strongroom_proto::intent::hash(&act.intent);
    let Answer::Moved(done) = world.drive(Ask::Recover(recover(world, act, backup, recipient))) else {
        panic!("not recovered")
    };
    let (receipt, event) = check_receipt(world, done.receipt.as_ref().unwrap(), &backup.receipt.head);
    assert_eq!(receipt.sealed_hashes, [ContentHash::of(&done.release).0.to_vec()]);
    assert_eq!(event.recipient, recipient.hash());
    let info = info(Direction::Release, &world.epoch, &backup.receipt.record_id);
    let release = Release::decode(&recipient.open(&info, &done.release).unwrap()).unwrap();
    assert_eq!((release.intent, release.record_id.0.to_vec()), (intent_hash, backup.receipt.record_id.clone()));
    assert_eq!(release.generation, 1);
    for (got, expect) in release.shares.iter().zip(two_shares()) {
        assert_eq!((&got.pair, got.bytes.expose()), (&expect.pair, expect.bytes.expose()));
    }
    assert_eq!(release.shares.len(), 2);
    backup.record = done.record.clone().unwrap();
    backup.receipt = receipt.clone();
    (done, receipt, event)
}

#[test]
fn a_backup_is_made_recovered_twice_and_rehearsed() {
    let world = World::new(1);
    assert!(view(&world, "wallet-1", &[]).records.is_empty());

    let mut backup = back_up(&world, "wallet-1", Passkey::es256(), |_| {});
    assert_eq!(backup.receipt.sealed_hashes.len(), 2);
    for (share, hash) in backup.shares.iter().zip(&backup.receipt.sealed_hashes) {
        assert_eq!(ContentHash::of(&share.sealed).0, **hash);
    }

    let seen = view(&world, "wallet-1", std::slice::from_ref(&backup.record)).records;
    assert_eq!(seen, [expected_view(&backup)]);

    let (first, receipt, event) = recover_once(&world, &mut backup, &Recipient::new(1));
    assert_eq!((receipt.version, event.kind(), event.generation), (2, ActKind::Recover, 1));
    assert_eq!((event.credential_id, event.tenant_key), (backup.passkey.id.clone(), vec![]));
    let (second, receipt, _) = recover_once(&world, &mut backup, &Recipient::new(2));
    assert_eq!(receipt.version, 3);
    assert_ne!(first.record.unwrap().sealed, second.record.unwrap().sealed);
    assert_eq!(view(&world, "wallet-1", &[backup.record.clone()]).records[0].head, receipt.head);
    check_rehearsals(&world, &backup);
}

/// What a device is told of a new record.
fn expected_view(backup: &Backup) -> RecordView {
    let credential = CredentialView {
        id: backup.passkey.id.clone(),
        key_hash: backup.passkey.key_hash(),
        label: "Ann's phone".into(),
        added_ms: START,
    };
    let pair = |id: &str, curve: Curve| Pair { id: id.into(), curve: curve.into() };
    let generation = GenerationView {
        generation: 1,
        state: GenerationState::Active.into(),
        pairs: vec![pair("ed", Curve::Ed25519), pair("k1", Curve::Secp256k1)],
        put_intent_hash: backup.receipt.intent_hash.clone(),
        added_ms: START,
    };
    RecordView {
        record_id: backup.receipt.record_id.clone(),
        head: backup.receipt.head.clone(),
        version: 1,
        backup: "backup-1".into(),
        method: "PASSKEY".into(),
        secret: SecretKind::Share.into(),
        rp_id: "wallet.example".into(),
        credentials: vec![credential],
        policy: Some(PASSKEY_ONLY),
        generations: vec![generation],
        roles: vec![Role::Client.into()],
        statement_serial: 5,
        highest_generation: 1,
        open_acts: vec![],
        closed: false,
    }
}

fn check_rehearsals(world: &World, backup: &Backup) {
    for damaged in [false, true] {
        let intent = rehearsal(world, backup);
        let signed_act = act(&intent, &backup.passkey, &honest());
        let mut request = rehearse(world, signed_act.clone(), backup);
        if damaged {
            request.shares.pop();
        }
        let Answer::Rehearsed(done) = world.drive(Ask::Rehearse(request)) else { panic!("not rehearsed") };
        let signed = done.rehearsal.unwrap();
        signed::verify(prefix::REHEARSAL, &signed.rehearsal, &world.epoch.identity.receipt_key, &signed.signature)
            .unwrap();
        let told = Rehearsal::decode(signed.rehearsal.as_slice()).unwrap();
        let expect = if damaged { RehearsalResult::Damaged } else { RehearsalResult::Opens };
        assert_eq!((told.result(), told.generation, told.time_ms, told.epoch), (expect, 1, START, 1));
        assert_eq!((told.tenant, told.role, told.wallet.as_str()), (world.tenant_id(), 1, "wallet-1"));
        assert_eq!((&told.record_id, &told.head), (&backup.receipt.record_id, &backup.receipt.head));
        assert_eq!(told.intent_hash, strongroom_proto::intent::hash(&signed_act.intent).0);
        assert_eq!(told.stages, Some(stages()));
    }
}

#[test]
fn a_creation_is_receipted_and_sealed_as_the_design_says() {
    let world = World::new(2);
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let record = read(&world, &backup.record);
    assert_eq!((&record.record_id, &record.head, record.version), (&backup.receipt.record_id, &backup.receipt.head, 1));
    assert_eq!((record.active, record.highest_generation, record.statement_serial), (1, 1, 5));
    let event = Event::decode(backup.receipt.event.as_slice()).unwrap();
    let own = Event {
        version: 1,
        kind: ActKind::CreateBackup.into(),
        intent_hash: backup.receipt.intent_hash.clone(),
        time_ms: START,
        generation: 1,
        credential_id: backup.passkey.id.clone(),
        statement_serial: 5,
        ..Event::default()
    };
    assert_eq!(event, own);
    let start = Head::from_slice(&backup.receipt.record_id).unwrap();
    assert_eq!(backup.receipt.head, signed::next_head(&start, &backup.receipt.event).0);
    for (share, plain) in backup.shares.iter().zip(two_shares()) {
        let spot = Spot { kind: SealKind::ClientShare, generation: 1, pair: &plain.pair, ..spot_of(&backup.record) };
        assert_eq!(open(&world, spot, &share.sealed), plain.bytes.expose());
        assert_eq!(share.sealed.len(), plain.bytes.expose().len() + 1 + 32 + 16);
    }
    let again = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    let sealed = [&backup, &again].into_iter().flat_map(|it| it.shares.iter().map(|share| &share.sealed));
    let salts = sealed.chain([&backup.record.sealed, &again.record.sealed]).map(|sealed| &sealed[1..33]);
    assert_eq!(salts.collect::<std::collections::BTreeSet<_>>().len(), 6, "every sealing has its own salt");
}

#[test]
fn an_identity_is_attested_over_its_hash() {
    let world = World::new(3);
    let identity = world.epoch.identity.clone();
    assert_eq!((&identity.tenant, identity.role(), identity.epoch), (&world.tenant_id(), Role::Client, 1));
    assert_eq!((identity.manifest.as_slice(), identity.release), (&b"manifest"[..], 7));
    for nonce in [&b""[..], &[7; 64]] {
        let kek = Some(world.epoch.kek());
        let ask = Ask::GetIdentity(GetIdentity { tenant: world.tenant_id(), kek, nonce: nonce.to_vec() });
        let Answer::IdentityProven(proven) = world.drive(ask) else { panic!("no identity") };
        let hash = signed::identity_hash(&proven.identity).0;
        let nonce = if nonce.is_empty() { b"none" } else { nonce };
        assert_eq!(proven.document, [b"document|", &hash[..], b"|", nonce].concat());
        assert_eq!(proven.identity, identity.encode_to_vec());
    }
}
