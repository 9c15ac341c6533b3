//! Every byte string that both sides of the wire must build alike, written out: a change of the wire is a change of these files.
//!
//! `STRONGROOM_BLESS=1 cargo test -p strongroom-proto --test golden` writes the files anew.

use std::fmt::Write;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;
use strongroom_proto::contents::{Release, Share, encode_shares};
use strongroom_proto::enclave::v1 as frames;
use strongroom_proto::frame;
use strongroom_proto::id::{Head, IntentHash, KekId, RecordId, TenantId};
use strongroom_proto::seal::{self, Direction, Place, SealKind};
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::{Event, Identity, Intent, Role};
use strongroom_proto::{intent, prefix, signed};

#[path = "golden/samples.rs"]
mod samples;

/// One file of `tests/golden`.
struct Golden {
    name: &'static str,
    text: String,
}

impl Golden {
    fn new(name: &'static str, about: &str) -> Self {
        Self { name, text: format!("# {about}\n") }
    }

    /// A label, and the bytes as hex, 32 to a line, with the text that stands among them.
    fn bytes(&mut self, label: &str, bytes: &[u8]) {
        writeln!(self.text, "\n{label} ({} bytes)", bytes.len()).unwrap();
        for line in bytes.chunks(32) {
            let hex = line.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            let text: String = line.iter().map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '.' }).collect();
            writeln!(self.text, "  {hex:64}  {text}").unwrap();
        }
    }

    /// Compares with the file, or writes it.
    fn check(&self) {
        let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", self.name].iter().collect();
        if env::var_os("STRONGROOM_BLESS").is_some() {
            fs::write(&path, &self.text).unwrap();
            return;
        }
        let checked_in = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            checked_in == self.text,
            "{} has changed:\n{}If the wire is meant to change, write the files anew with\n  \
             STRONGROOM_BLESS=1 cargo test -p strongroom-proto --test golden\nand say why in the commit.",
            self.name,
            diff(&checked_in, &self.text)
        );
    }
}

/// The lines that differ: all between what is equal at both ends.
fn diff(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let room = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count().min(room);
    let removed = old[start..old.len() - end].iter().map(|line| format!("-{line}\n"));
    let added = new[start..new.len() - end].iter().map(|line| format!("+{line}\n"));
    removed.chain(added).collect()
}

const TENANT: TenantId = TenantId([0x11; 32]);
const KEK_ID: KekId = KekId([0x22; 32]);
const RECORD_ID: RecordId = RecordId([0x33; 32]);

#[test]
fn prefixes() {
    let mut golden = Golden::new("prefixes.txt", "Every prefix: one use each, ended by 00");
    for prefix in prefix::ALL {
        golden.bytes(std::str::from_utf8(prefix).unwrap().trim_end_matches('\0'), prefix);
    }
    golden.bytes("tenant signature's prefix before \"intent\"", &prefix::prefixed(prefix::TENANT, b"intent"));
    golden.check();
}

#[test]
fn places() {
    let mut golden = Golden::new(
        "places.txt",
        "AAD of everything at rest: prefix, kind, format, tenant, role, kek_id, wallet, record_id, backup, generation, pair",
    );
    let record = Place {
        kind: SealKind::Record,
        tenant: &TENANT,
        role: Role::Client,
        kek_id: &KEK_ID,
        wallet: "wallet-1",
        record_id: &RECORD_ID,
        backup: "backup-1",
        generation: 0,
        pair: "",
    };
    let share = Place { kind: SealKind::ClientShare, generation: 258, pair: "pair-1", ..record };
    golden.bytes("RECORD", &record.aad());
    golden.bytes("CLIENT_SHARE", &share.aad());
    golden.bytes("CUSTODIAN_SHARE", &Place { kind: SealKind::CustodianShare, role: Role::Custodian, ..share }.aad());
    golden.check();
}

#[test]
fn infos() {
    let mut golden = Golden::new("infos.txt", "Infos of HPKE and of the derivations from a KEK");
    for (label, direction, role) in [
        ("HPKE request, client", Direction::Request, Role::Client),
        ("HPKE release, client", Direction::Release, Role::Client),
        ("HPKE request, custodian", Direction::Request, Role::Custodian),
        ("HPKE release, custodian", Direction::Release, Role::Custodian),
    ] {
        golden.bytes(label, &seal::hpke_info(direction, role, &TENANT, &KEK_ID, &RECORD_ID));
    }
    golden.bytes("kek_id, client, epoch 258", &seal::kek_id_info(&TENANT, Role::Client, 258));
    golden.bytes("channel key, client, epoch 1", &seal::channel_key_info(&TENANT, Role::Client, 1, &KEK_ID));
    golden.bytes("receipt key, custodian, epoch 1", &seal::receipt_key_info(&TENANT, Role::Custodian, 1, &KEK_ID));
    golden.check();
}

#[test]
fn intents() {
    let mut golden =
        Golden::new("intents.txt", "A canonical intent of each action, its hash, and the record that a creation makes");
    let first =
        [("create_backup", samples::creation()), ("recover", samples::recovery()), ("rehearse", samples::rehearsal())];
    for (label, sample) in first.into_iter().chain(samples::changes()) {
        let bytes = sample.encode_to_vec();
        assert_eq!(intent::decode(&bytes).as_ref(), Ok(&sample));
        golden.bytes(label, &bytes);
        golden.bytes(&format!("{label}: hash"), &intent::hash(&bytes).0);
    }
    let creation = samples::creation();
    golden.bytes("create_backup: record_id", &intent::record_id(&creation).0);
    let mut bare: Intent = creation.clone();
    bare.client.as_mut().unwrap().message_hash.clear();
    bare.custodian.as_mut().unwrap().message_hash.clear();
    assert_eq!(intent::record_id(&bare), intent::record_id(&creation));
    golden.check();
}

#[test]
fn signed_and_hashed() {
    let mut golden = Golden::new(
        "signed.txt",
        "Statement, identity, recipient, one step of a head, what an enclave signs, and a release file",
    );
    let statement = samples::statement();
    let bytes = statement.encode_to_vec();
    assert_eq!(strongroom_proto::statement::decode(&bytes), Ok(statement.clone()));
    golden.bytes("tenant id", &TenantId::of(&statement.root_key, &statement.standby_key).0);
    golden.bytes("statement", &bytes);
    let identity = Identity {
        tenant: TENANT.0.to_vec(),
        role: Role::Client.into(),
        epoch: 1,
        kek_id: KEK_ID.0.to_vec(),
        channel_key: vec![0x44; 40],
        receipt_key: vec![0x55; 32],
        manifest: b"manifest".to_vec(),
        release: 7,
    }
    .encode_to_vec();
    golden.bytes("identity", &identity);
    golden.bytes("identity: hash", &signed::identity_hash(&identity).0);
    golden.bytes("recipient: hash of a key of 1,216 times 66", &signed::recipient_hash(&[0x66; 1216]).unwrap().0);
    let event: Event = samples::event();
    let event = event.encode_to_vec();
    golden.bytes("event", &event);
    golden.bytes("head after it, from 32 times 33", &signed::next_head(&Head(RECORD_ID.0), &event).0);
    golden.bytes("receipt", &samples::receipt().encode_to_vec());
    golden.bytes("view", &samples::view().encode_to_vec());
    golden.bytes("rehearsal", &samples::rehearsal_report().encode_to_vec());
    golden.bytes("manifest", &samples::manifest().encode_to_vec());
    golden.bytes("release file", &samples::release_file().encode_to_vec());
    golden.check();
}

#[test]
fn contents() {
    let mut golden = Golden::new("contents.txt", "What is inside an HPKE message");
    let shares = || {
        vec![
            Share { pair: "ed".into(), bytes: Secret::new(b"first share".to_vec()) },
            Share { pair: "k1".into(), bytes: Secret::new(b"second".to_vec()) },
        ]
    };
    golden.bytes("shares", &encode_shares(&shares()).unwrap());
    let release = Release { intent: IntentHash([0x77; 32]), record_id: RECORD_ID, generation: 258, shares: shares() };
    golden.bytes("release", &release.encode().unwrap());
    golden.check();
}

#[test]
fn records_and_frames() {
    let mut golden =
        Golden::new("frames.txt", "A record's content, and frames: length (4), id (8), Request or Response");
    golden.bytes("record", &samples::frames::record().encode_to_vec());
    for (label, id, body) in samples::frames::requests().into_iter().chain(samples::frames::changes()) {
        let mut out = Vec::new();
        frame::encode(id, &frames::Request { body: Some(body) }.encode_to_vec(), &mut out).unwrap();
        golden.bytes(label, &out);
    }
    for (label, id, body) in samples::frames::responses() {
        let mut out = Vec::new();
        frame::encode(id, &frames::Response { body: Some(body) }.encode_to_vec(), &mut out).unwrap();
        golden.bytes(label, &out);
    }
    golden.check();
}

#[test]
fn a_difference_is_shown_by_its_lines() {
    assert_eq!(diff("a\nb\nc\n", "a\nx\nc\n"), "-b\n+x\n");
    assert_eq!(diff("", "a\n"), "+a\n");
    assert_eq!(diff("a\na\n", "a\n"), "-a\n");
}
