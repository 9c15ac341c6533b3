use super::*;
use crate::exchange::{EXCHANGE_BYTES_MAX, read};
use crate::intent::{self, Purpose, Recipients};
use crate::prepare::Prepared;
use crate::seal::enclave;
use crate::statement::sign;
use crate::testing::{
    CREDENTIAL, NOW_MS, WALLET, channel_key_of, custodian_view, kek_id_of, mpc_key, pairs, record_view_of_both, root,
    sign_receipt_as, stages, statement_of_both, tenant, verified_statement_of_both,
};
use prost::Message;
use std::fs;
use strongroom_proto::contents::Release;
use strongroom_proto::id::IntentHash;
use strongroom_proto::seal::{Direction, hpke_info};
use strongroom_proto::secret::Secret;
use strongroom_proto::signed::next_head;
use strongroom_proto::v1::{ActKind, Event, GenerationRef, Receipt, RolePart, SignedReceipt};

const PASSPHRASE: &str = "correct horse battery";
const RECORD: RecordId = RecordId([10; 32]);

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

fn never() -> Result<Passphrase, Error> {
    panic!("no passphrase is asked for")
}

#[test]
fn an_mpc_servers_key_is_read_as_it_was_written_and_by_its_use_only() {
    let dir = tempfile::tempdir().unwrap();
    let (protected, plain) = (dir.path().join("mpc.key"), dir.path().join("plain.key"));
    let key = mpc_key();
    assert!(matches!(key.write_protected(&protected, &passphrase("short")), Err(Error::Input { .. })));
    key.write_protected(&protected, &passphrase(PASSPHRASE)).unwrap();
    key.write_plain(&plain).unwrap();
    assert!(matches!(key.write_plain(&plain), Err(Error::Exists(_))));
    assert_eq!(MpcKey::read(&plain, never).unwrap().hash(), key.hash());
    let read = MpcKey::read(&protected, || Ok(passphrase(PASSPHRASE))).unwrap();
    assert_eq!((read.public_key(), read.hash()), (key.public_key(), key.hash()));
    let wrong = MpcKey::read(&protected, || Ok(passphrase("another passphrase"))).unwrap_err();
    assert!(matches!(wrong, Error::Passphrase(_)), "{wrong}");
    assert_eq!(format!("{key:?}"), format!("MpcKey({}, [redacted])", key.hash()));
    assert!(!fs::read_to_string(&protected).unwrap().contains(&hex::encode([44; 32])));

    let text = fs::read_to_string(&plain).unwrap();
    for (from, to, expect) in [
        ("\"mpc\"", "\"operational\"", "holds a \"operational\" key, not a mpc key"),
        ("\"version\": 1", "\"version\": 2", "version 2 of the key file is unknown"),
        ("\"seed\": \"", "\"seed\": \"0", "seed is not 32 bytes in hex"),
        ("\"seed\": \"2c", "\"seed\": \"2d", "public_key does not belong to the key"),
        ("\"public_key\": \"", "\"public_key\": \"x", "public_key is not hex"),
        ("\"seed\"", "\"sead\"", "no key file"),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&plain, text.replacen(from, to, 1)).unwrap();
        let error = MpcKey::read(&plain, never).unwrap_err().to_string();
        assert!(error.contains(expect), "{from} -> {to}: {error}");
    }
}

/// A release of the custodian role as an honest enclave gives it, to be broken in one place.
struct World {
    intent: EncodedIntent,
    event: Event,
    receipt: Receipt,
    contents: Release,
    info: Vec<u8>,
}

fn share(pair: &str) -> Share {
    Share { pair: pair.to_owned(), bytes: Secret::new(vec![7; 3]) }
}

fn world(purpose: Purpose, at_once: bool) -> World {
    let prepared = Prepared::of_both(vec![record_view_of_both()], vec![custodian_view()]);
    let backup = prepared.backups().unwrap()[0];
    let base = prepared.base_for(backup.roles()).unwrap();
    let recipients = Recipients { client: Some(ContentHash([9; 32])), custodian: Some(mpc_key().hash()) };
    let make = if at_once { intent::release } else { intent::start_release };
    let intent = make(&base, backup, 1, recipients, purpose).unwrap();
    let event = Event {
        version: 10,
        kind: if purpose == Purpose::Eject { ActKind::Eject } else { ActKind::Recover }.into(),
        intent_hash: intent.hash.0.to_vec(),
        time_ms: NOW_MS + 1,
        generation: 1,
        recipient: mpc_key().hash().0.to_vec(),
        credential_id: CREDENTIAL.to_vec(),
        statement_serial: 3,
        ..Event::default()
    };
    let receipt = Receipt {
        tenant: tenant().0.to_vec(),
        wallet: WALLET.to_owned(),
        role: Role::Custodian.into(),
        record_id: RECORD.0.to_vec(),
        version: 10,
        active: Some(GenerationRef { generation: 1, put_intent_hash: vec![13; 32] }),
        intent_hash: intent.hash.0.to_vec(),
        identity_hash: vec![1; 32],
        epoch: 2,
        time_ms: NOW_MS + 1,
        stages: Some(stages()),
        ..Receipt::default()
    };
    let contents =
        Release { intent: intent.hash, record_id: RECORD, generation: 1, shares: vec![share("a"), share("b")] };
    let info = hpke_info(Direction::Release, Role::Custodian, &tenant(), &kek_id_of(Role::Custodian), &RECORD);
    World { intent, event, receipt, contents, info }
}

impl World {
    fn delivery(mut self, signer: Role, change: impl FnOnce(&mut Receipt)) -> Delivery {
        let release = enclave::seal(mpc_key().public_key(), &self.info, &self.contents.encode().unwrap());
        self.receipt.sealed_hashes = vec![ContentHash::of(&release).0.to_vec()];
        self.receipt.event = self.event.encode_to_vec();
        self.receipt.head = next_head(&strongroom_proto::id::Head([111; 32]), &self.receipt.event).0.to_vec();
        change(&mut self.receipt);
        let receipt = Some(sign_receipt_as(signer, self.receipt.encode_to_vec()));
        Delivery { intent: self.intent.bytes, receipt, release }
    }
}

type EventChange = fn(&mut Event);

fn open(delivery: &Delivery) -> Result<Vec<Share>, Error> {
    let bytes = delivery.encode_to_vec();
    let delivery: Delivery = read("delivery", &bytes)?;
    mpc_key().open(&delivery, &verified_statement_of_both(), WALLET, RECORD, &pairs())
}

fn refuse(delivery: &Delivery, expect: &str) {
    let error = open(delivery).unwrap_err().to_string();
    assert!(error.contains(expect), "{expect}: {error}");
}

#[test]
fn a_release_opens_for_the_server_that_its_receipt_names() {
    for (purpose, at_once) in [(Purpose::Recovery, true), (Purpose::Recovery, false), (Purpose::Eject, true)] {
        let shares = open(&world(purpose, at_once).delivery(Role::Custodian, |_| {})).unwrap();
        assert_eq!(shares.iter().map(|it| it.pair.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }
    // The custodian's shares may have been sealed anew on this occasion.
    open(&world(Purpose::Recovery, true).delivery(Role::Custodian, |it| it.resealed_hashes = vec![vec![1; 32]; 2]))
        .unwrap();
    // A release that waited is carried out long after its intent's time, from a head that nobody knew.
    let mut late = world(Purpose::Recovery, false);
    (late.event.time_ms, late.receipt.time_ms) = (NOW_MS + 86_400_000, NOW_MS + 86_400_000);
    open(&late.delivery(Role::Custodian, |it| it.head = vec![1; 32])).unwrap();
}

#[test]
fn nothing_is_opened_before_its_receipt_holds() {
    type Change = fn(&mut Receipt);
    let cases: [(Change, &str); 16] = [
        (|r| r.tenant[0] ^= 1, "receipt's tenant is"),
        (|r| r.wallet.push('x'), "receipt's wallet is"),
        (|r| r.role = 1, "receipt's role is client, not custodian"),
        (|r| r.record_id[0] ^= 1, "receipt's record_id is"),
        (|r| r.intent_hash[0] ^= 1, "receipt's intent_hash is"),
        (|r| r.sealed_hashes[0][0] ^= 1, "receipt's hash of the release is"),
        (|r| r.sealed_hashes.clear(), "number of sealed_hashes is 0, not 1"),
        (|r| r.sealed_hashes.push(vec![1; 32]), "number of sealed_hashes is 2, not 1"),
        (|r| r.resealed_hashes = vec![vec![1; 32]; 5], "number of resealed_hashes is 5, at most 4"),
        (|r| r.resealed_hashes = vec![vec![1; 31]], "an entry of resealed_hashes has 31 bytes"),
        (|r| r.epoch = 1, "epoch 1 of the custodian role is older than 2"),
        (|r| r.epoch = 3, "does not name epoch 3 of the custodian role"),
        (|r| r.event.clear(), "event's version is 0, not 10"),
        (|r| r.head = vec![1; 32], "receipt's head is"),
        (|r| r.version = 11, "event's version is 10, not 11"),
        (|r| r.time_ms += 1, "event's time_ms is"),
    ];
    for (change, expect) in cases {
        refuse(&world(Purpose::Recovery, true).delivery(Role::Custodian, change), expect);
    }
    let events: [(EventChange, &str); 5] = [
        (|e| e.kind = ActKind::Eject.into(), "event's kind is ACT_KIND_EJECT, not ACT_KIND_RECOVER"),
        (|e| e.intent_hash[0] ^= 1, "event's intent_hash is"),
        (|e| e.generation = 2, "event's generation is 2, not 1"),
        (|e| e.recipient[0] ^= 1, "event's recipient is"),
        (|e| e.recipient.clear(), "event's recipient is empty"),
    ];
    for (change, expect) in events {
        let mut world = world(Purpose::Recovery, true);
        change(&mut world.event);
        refuse(&world.delivery(Role::Custodian, |_| {}), expect);
    }
    let mut late = world(Purpose::Recovery, true);
    (late.event.time_ms, late.receipt.time_ms) = (NOW_MS + 600_001, NOW_MS + 600_001);
    refuse(&late.delivery(Role::Custodian, |_| {}), "after the intent's not_after");
    // By the client role's receipt key.
    refuse(&world(Purpose::Recovery, true).delivery(Role::Client, |_| {}), "the receipt's signature is wrong");
}

#[test]
fn every_field_inside_a_delivery_is_checked() {
    type Change = fn(&mut Release);
    let cases: [(Change, &str); 4] = [
        (|r| r.intent.0[0] ^= 1, "release's intent is"),
        (|r| r.record_id.0[0] ^= 1, "release's record_id is"),
        (|r| r.generation = 2, "release's generation is 2, not 1"),
        (|r| _ = r.shares.pop(), "release's list of pairs is a, not a, b"),
    ];
    for (change, expect) in cases {
        let mut world = world(Purpose::Recovery, true);
        change(&mut world.contents);
        refuse(&world.delivery(Role::Custodian, |_| {}), expect);
    }
    // Sealed as the client role seals, or for another record.
    let of = |role, record| hpke_info(Direction::Release, role, &tenant(), &kek_id_of(role), &record);
    for info in [of(Role::Client, RECORD), of(Role::Custodian, RecordId([1; 32]))] {
        let world = World { info, ..world(Purpose::Recovery, true) };
        refuse(&world.delivery(Role::Custodian, |_| {}), "the release does not open");
    }
    let good = world(Purpose::Recovery, true).delivery(Role::Custodian, |_| {});
    refuse(&Delivery { receipt: None, ..good.clone() }, "it has no receipt");
    refuse(&Delivery { intent: Vec::new(), ..good.clone() }, "intent's tenant is empty");
    refuse(&Delivery { release: good.release[1..].to_vec(), ..good.clone() }, "hash of the release is");
    let forged = SignedReceipt { signature: vec![0; 64], ..good.receipt.clone().unwrap() };
    refuse(&Delivery { receipt: Some(forged), ..good.clone() }, "the receipt's signature is wrong");
    assert!(read::<Delivery>("delivery", &vec![0; EXCHANGE_BYTES_MAX + 1]).is_err());
    let wallet = mpc_key().open(&good, &verified_statement_of_both(), "other", RECORD, &pairs()).unwrap_err();
    assert!(wallet.to_string().contains("intent's wallet is wallet-1, not other"), "{wallet}");
    let record = RecordId([1; 32]);
    let other = mpc_key().open(&good, &verified_statement_of_both(), WALLET, record, &pairs()).unwrap_err();
    assert!(other.to_string().contains("intent's record_id is"), "{other}");
}

#[test]
fn the_intent_beside_a_release_must_ask_for_it_from_the_custodian_to_this_server() {
    type Change = fn(&mut strongroom_proto::v1::Intent);
    let cases: [(Change, &str); 5] = [
        (|i| i.custodian = None, "it does not name the role that releases"),
        (|i| i.tenant[0] ^= 1, "intent's tenant is"),
        (|i| part(i).recipient = vec![9; 32], "intent's recipient is"),
        (|i| part(i).record_id = vec![9; 32], "intent's record_id is"),
        (
            |i| {
                i.action = Some(strongroom_proto::v1::intent::Action::DeleteBackup(
                    strongroom_proto::v1::DeleteBackupAction {},
                ));
            },
            "no release",
        ),
    ];
    for (change, expect) in cases {
        let mut world = world(Purpose::Recovery, true);
        let mut fields = world.intent.intent.clone();
        change(&mut fields);
        world.intent = EncodedIntent::new(fields).unwrap();
        let hash: IntentHash = world.intent.hash;
        (world.event.intent_hash, world.receipt.intent_hash) = (hash.0.to_vec(), hash.0.to_vec());
        world.contents.intent = hash;
        refuse(&world.delivery(Role::Custodian, |_| {}), expect);
    }
    let client_only = crate::testing::verified_statement();
    let good = world(Purpose::Recovery, true).delivery(Role::Custodian, |_| {});
    let error = mpc_key().open(&good, &client_only, WALLET, RECORD, &pairs()).unwrap_err().to_string();
    assert!(error.contains("the statement names no custodian role"), "{error}");
    assert_ne!(channel_key_of(Role::Client).hash(), channel_key_of(Role::Custodian).hash());
    sign(&statement_of_both(), &root()).unwrap();
}

fn part(intent: &mut strongroom_proto::v1::Intent) -> &mut RolePart {
    intent.custodian.as_mut().unwrap()
}
