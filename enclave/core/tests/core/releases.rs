//! Refusals of `Recover`: what the host gives beside an intent that the user did sign.

use prost::Message;
use strongroom_proto::enclave::v1::{
    Generation, Record, Recover, SharePart, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::id::ContentHash;
use strongroom_proto::seal::SealKind;
use strongroom_proto::v1::{Intent, Pair, Policy, Reason, RecoverAction, intent::Action};

use crate::acts::{Backup, act, back_up, part, recover, recovery, rehearsal, rehearse};
use crate::device::{Passkey, Recipient, honest};
use crate::vault::{Spot, edit, rewrite, seal, spot_of};
use crate::world::{Case, World, told};

struct Stage {
    world: World,
    backup: Backup,
    recipient: Recipient,
}

fn stage(seed: u64) -> Stage {
    let world = World::new(seed);
    let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
    Stage { world, backup, recipient: Recipient::new(1) }
}

impl Stage {
    fn request(&self, change: impl FnOnce(&mut Intent)) -> Recover {
        let mut intent = recovery(&self.world, &self.backup, &self.recipient);
        change(&mut intent);
        let act = act(&intent, &self.backup.passkey, &honest());
        recover(&self.world, act, &self.backup, &self.recipient)
    }

    /// Refused, and no byte of a planted secret in the answer; the honest request still passes.
    fn check(&self, name: &str, request: Recover, reason: Reason, detail: &str) {
        let error = self.world.refused(name, Ask::Recover(request), reason, detail);
        assert!(!error.detail.contains("planted"), "{name}");
        self.honest_passes(name);
    }

    fn honest_passes(&self, name: &str) {
        let answer = self.world.drive(Ask::Recover(self.request(|_| {})));
        assert!(matches!(answer, Answer::Moved(_)), "{name}: {}", told(&answer));
    }
}

const GIVEN: &[Case<Recover>] = &[
    ("no act", |r| r.act = None, Reason::BadRequest, "act: missing"),
    ("no record", |r| r.record = None, Reason::BadRequest, "record: missing"),
    ("no statement", |r| r.statement = None, Reason::BadRequest, "statement: missing"),
    ("no kek", |r| r.kek = None, Reason::BadRequest, "kek: missing"),
    ("tenant of 31", |r| r.tenant.truncate(31), Reason::BadRequest, "tenant: not 32 bytes"),
    (
        "swapped recipient",
        |r| r.recipient_key = Recipient::new(2).public_key,
        Reason::RecipientNotAllowed,
        "recipient_key",
    ),
    ("altered recipient", |r| r.recipient_key[700] ^= 1, Reason::RecipientNotAllowed, "recipient_key"),
    ("short recipient", |r| r.recipient_key.truncate(1215), Reason::RecipientNotAllowed, "1,216 bytes"),
    ("no recipient", |r| r.recipient_key.clear(), Reason::RecipientNotAllowed, "1,216 bytes"),
    ("other wallet", |r| record(r).wallet = "wallet-2".into(), Reason::DecryptFailed, "record"),
    ("no wallet", |r| record(r).wallet.clear(), Reason::BadRequest, "record.wallet"),
    ("other backup", |r| record(r).backup = "backup-2".into(), Reason::DecryptFailed, "record"),
    ("backup's form", |r| record(r).backup = "b/".into(), Reason::BadRequest, "record.backup"),
    ("other record_id", |r| record(r).record_id[0] ^= 1, Reason::DecryptFailed, "record"),
    ("record_id of 31", |r| record(r).record_id.truncate(31), Reason::BadRequest, "record.id"),
    ("other epoch", |r| record(r).epoch = 2, Reason::BadRequest, "record.epoch"),
    ("no sealed record", |r| record(r).sealed.clear(), Reason::DecryptFailed, "record"),
    ("short sealed record", |r| record(r).sealed.truncate(32), Reason::DecryptFailed, "record"),
    ("sealed record too long", |r| record(r).sealed.resize(64 * 1024 + 1, 0), Reason::BadRequest, "record.sealed"),
    ("sealed record at its longest", |r| record(r).sealed.resize(64 * 1024, 0), Reason::DecryptFailed, "record"),
    ("longer sealed record", |r| record(r).sealed.push(0), Reason::DecryptFailed, "record"),
    ("a share as record", |r| record(r).sealed = r.shares[0].sealed.clone(), Reason::DecryptFailed, "record"),
    ("no shares", |r| r.shares.clear(), Reason::NoValidBackup, "pair ed"),
    ("one share less", |r| r.shares.truncate(1), Reason::NoValidBackup, "pair k1"),
    ("pairs swapped", |r| swap_sealed(r), Reason::CiphertextHashMismatch, "pair ed"),
    (
        "names swapped",
        |r| (r.shares[0].pair, r.shares[1].pair) = ("k1".into(), "ed".into()),
        Reason::CiphertextHashMismatch,
        "pair ed",
    ),
    ("other generation", |r| r.shares[0].generation = 2, Reason::NoValidBackup, "pair ed"),
    ("other pair", |r| r.shares[1].pair = "k2".into(), Reason::NoValidBackup, "pair k1"),
    ("longer share", |r| r.shares[0].sealed.push(0), Reason::CiphertextHashMismatch, "pair ed"),
    ("no share bytes", |r| r.shares[1].sealed.clear(), Reason::CiphertextHashMismatch, "pair k1"),
    (
        "a record as share",
        |r| r.shares[0].sealed = r.record.clone().unwrap().sealed,
        Reason::CiphertextHashMismatch,
        "pair ed",
    ),
];

#[test]
fn a_recovery_that_the_host_changed_is_refused() {
    let stage = stage(0x30);
    for (name, change, reason, detail) in GIVEN {
        let mut request = stage.request(|_| {});
        change(&mut request);
        stage.check(name, request, *reason, detail);
    }
}

fn record(request: &mut Recover) -> &mut strongroom_proto::enclave::v1::SealedRecord {
    request.record.as_mut().unwrap()
}

fn swap_sealed(request: &mut Recover) {
    let first = std::mem::take(&mut request.shares[0].sealed);
    request.shares[0].sealed = std::mem::replace(&mut request.shares[1].sealed, first);
}

#[test]
fn one_altered_bit_anywhere_closes_a_record_and_a_share() {
    let stage = stage(0x31);
    let len = stage.backup.record.sealed.len();
    for at in [0, 1, 17, 32, 33, 34, len / 2, len - 17, len - 16, len - 1] {
        let mut request = stage.request(|_| {});
        record(&mut request).sealed[at] ^= 1;
        stage.check("record", request, Reason::DecryptFailed, "record: does not open");
    }
    let len = stage.backup.shares[1].sealed.len();
    for at in [0, 1, 32, 33, len - 17, len - 16, len - 1] {
        let mut request = stage.request(|_| {});
        request.shares[1].sealed[at] ^= 0x80;
        stage.check("share", request, Reason::CiphertextHashMismatch, "shares: pair k1");
    }
}

#[test]
fn a_share_that_the_record_names_must_still_open_at_its_place() {
    let stage = stage(0x32);
    let good = spot_of(&stage.backup.record);
    let share = Spot { kind: SealKind::ClientShare, generation: 1, pair: "ed", ..good };
    let other_id = [9; 32];
    for (name, spot) in [
        ("kind", Spot { kind: SealKind::CustodianShare, ..share }),
        ("record", Spot { kind: SealKind::Record, ..share }),
        ("generation", Spot { generation: 2, ..share }),
        ("pair", Spot { pair: "k1", ..share }),
        ("wallet", Spot { wallet: "wallet-2", ..share }),
        ("backup", Spot { backup: "backup-2", ..share }),
        ("record_id", Spot { record_id: &other_id, ..share }),
    ] {
        let mut request = stage.request(|_| {});
        let sealed = seal(&stage.world, spot, b"planted");
        let hash = ContentHash::of(&sealed).0.to_vec();
        request.shares[0].sealed = sealed;
        edit(&stage.world, record(&mut request), |content| content.generations[0].parts[0].sealed_hash = hash);
        stage.check(name, request, Reason::DecryptFailed, "shares: pair ed does not open");
    }
    // The same by hand, at its own place, opens: the vault seals as the core does.
    let mut request = stage.request(|_| {});
    let sealed = seal(&stage.world, share, b"planted");
    let hash = ContentHash::of(&sealed).0.to_vec();
    request.shares[0].sealed = sealed;
    edit(&stage.world, record(&mut request), |content| content.generations[0].parts[0].sealed_hash = hash);
    assert!(matches!(stage.world.drive(Ask::Recover(request)), Answer::Moved(_)));
}

#[test]
fn another_format_byte_stays_closed_even_where_the_hash_fits() {
    let stage = stage(0x33);
    let mut request = stage.request(|_| {});
    request.shares[0].sealed[0] = 2;
    let hash = ContentHash::of(&request.shares[0].sealed).0.to_vec();
    edit(&stage.world, record(&mut request), |content| content.generations[0].parts[0].sealed_hash = hash);
    stage.check("format", request, Reason::DecryptFailed, "pair ed does not open");
}

#[test]
fn a_record_that_this_release_cannot_read_whole_stays_closed() {
    type Change = fn(&mut Vec<u8>);
    let stage = stage(0x34);
    let closed = "record: does not open";
    let bytes: &[(&str, Change)] = &[
        ("unknown field", |bytes| bytes.extend_from_slice(&[0xf8, 0x07, 1])),
        ("unknown open act", |bytes| bytes.extend_from_slice(&[0x72, 2, 8, 1])),
        ("trailing default", |bytes| bytes.extend_from_slice(&[0x60, 0])),
        ("truncated", |bytes| bytes.truncate(bytes.len() - 1)),
        ("empty", Vec::clear),
    ];
    for (name, change) in bytes {
        let mut request = stage.request(|_| {});
        rewrite(&stage.world, record(&mut request), change);
        stage.check(name, request, Reason::DecryptFailed, closed);
    }
    let fields: &[Case<Record>] = &[
        ("other record_id", |r| r.record_id[0] ^= 1, Reason::DecryptFailed, closed),
        ("no head", |r| r.head.clear(), Reason::DecryptFailed, closed),
        ("no policy", |r| r.policy = None, Reason::DecryptFailed, "record: has no policy"),
        ("empty policy", |r| r.policy = Some(Policy::default()), Reason::PolicyDenied, "record.policy"),
        ("delay", |r| r.policy.as_mut().unwrap().delay_seconds = 60, Reason::RecoveryDelayed, "the policy has a delay"),
        ("moved head", |r| r.head[0] ^= 1, Reason::RecordStale, "intent.head"),
        ("newer statement", |r| r.statement_serial = 6, Reason::StatementStale, "seen statement 6"),
        ("other relying party", |r| r.rp_id = "other.example".into(), Reason::ProofRejected, "rpIdHash"),
        ("no credential", |r| r.credentials.clear(), Reason::ProofRejected, "assertion.credential_id"),
        (
            "other key",
            |r| r.credentials[0].public_key = Passkey::es256().cose(),
            Reason::ProofRejected,
            "assertion.signature",
        ),
        ("broken key", |r| r.credentials[0].public_key.clear(), Reason::BadRequest, "credential.public_key"),
        ("no generation", |r| r.generations.clear(), Reason::NoValidBackup, "generation 1"),
        ("empty generation", |r| r.generations[0].parts.clear(), Reason::DecryptFailed, "shares"),
    ];
    for (name, change, reason, detail) in fields {
        let mut request = stage.request(|_| {});
        edit(&stage.world, record(&mut request), change);
        stage.check(name, request, *reason, detail);
    }
}

#[test]
fn a_generation_opens_only_with_its_own_shares() {
    let stage = stage(0x35);
    let mut request =
        stage.request(|i| i.action = Some(Action::Recover(RecoverAction { generation: 2, eject: false })));
    edit(&stage.world, record(&mut request), |content| {
        let first = &content.generations[0];
        let part = |pair: &str| SharePart {
            pair: Some(Pair { id: pair.into(), curve: 1 }),
            sealed_hash: first.parts[0].sealed_hash.clone(),
            epoch: 1,
            ..SharePart::default()
        };
        let second = Generation { generation: 2, parts: vec![part("ed")], ..first.clone() };
        content.generations.push(second);
    });
    stage.check("share of generation 1", request.clone(), Reason::NoValidBackup, "shares: none for pair ed");
    request.shares[0].generation = 2;
    stage.check("share renamed", request, Reason::DecryptFailed, "pair ed does not open");
}

#[test]
fn a_recovery_does_not_start_twice_from_one_head() {
    let mut stage = stage(0x36);
    let old = stage.request(|_| {});
    let Answer::Moved(done) = stage.world.drive(Ask::Recover(old.clone())) else { panic!("not recovered") };
    let from_new_head = Recover { record: done.record.clone(), ..old.clone() };
    let refused = stage.world.refused("replay", Ask::Recover(from_new_head), Reason::RecordStale, "intent.head");
    assert!(refused.detail.contains("version 2"), "{refused:?}");

    // On the restored record the replay gives the same recipient the same shares again, and moves no further.
    let Answer::Moved(again) = stage.world.drive(Ask::Recover(old)) else { panic!("not recovered") };
    let read = |receipt: &[u8]| strongroom_proto::v1::Receipt::decode(receipt).unwrap();
    let (first, second) = (read(&done.receipt.unwrap().receipt), read(&again.receipt.unwrap().receipt));
    assert_eq!((first.version, first.head.clone()), (second.version, second.head));

    // A device that saw the new head is not served from the restored record.
    let restored = stage.backup.record.clone();
    stage.backup.receipt = first;
    stage.backup.record = done.record.unwrap();
    let mut rolled_back = stage.request(|_| {});
    rolled_back.record = Some(restored);
    stage.check("rollback", rolled_back, Reason::RecordStale, "version 1");
}

#[test]
fn a_recipient_key_that_is_none_is_refused() {
    let stage = stage(0x37);
    // Coefficients of ML-KEM above the modulus: FIPS 203 refuses such an encapsulation key.
    let key = vec![0xff; 1216];
    let hash = strongroom_proto::signed::recipient_hash(&key).unwrap().0.to_vec();
    let mut request = stage.request(|i| part(i).recipient = hash);
    request.recipient_key = key;
    stage.check("no ML-KEM key", request, Reason::RecipientNotAllowed, "not an X-Wing public key");
}

#[test]
fn a_rehearsal_of_altered_shares_says_damaged_and_gives_none() {
    let stage = stage(0x38);
    for change in [0, 1] {
        let intent = rehearsal(&stage.world, &stage.backup);
        let mut request = rehearse(&stage.world, act(&intent, &stage.backup.passkey, &honest()), &stage.backup);
        request.shares[change].sealed[40] ^= 1;
        let Answer::Rehearsed(done) = stage.world.drive(Ask::Rehearse(request)) else { panic!("not rehearsed") };
        let told = strongroom_proto::v1::Rehearsal::decode(done.rehearsal.unwrap().rehearsal.as_slice()).unwrap();
        assert_eq!(told.result(), strongroom_proto::v1::RehearsalResult::Damaged);
    }
    let intent = rehearsal(&stage.world, &stage.backup);
    let signed = act(&intent, &stage.backup.passkey, &honest());
    for (name, change) in [("record", 0), ("record of another backup", 1)] {
        let mut request = rehearse(&stage.world, signed.clone(), &stage.backup);
        let record = request.record.as_mut().unwrap();
        if change == 0 {
            record.sealed[40] ^= 1;
        } else {
            record.backup.push('2');
        }
        stage.world.refused(name, Ask::Rehearse(request), Reason::DecryptFailed, "record");
    }
}
