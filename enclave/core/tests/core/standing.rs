//! How a record stands, before anybody's consent counts: every kind of request looks at it, and none takes a record that is closed, that
//! has seen a newer statement, or that this release cannot read whole.

use strongroom_proto::enclave::v1::{
    Record, Recover, Rehearse, Reseal, SealedRecord, StatementRef, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::v1::{
    DeleteBackupAction, OpenActKind, Reason, RecoverAction, RehearseAction, RenamePasskeyAction, intent::Action,
};

use crate::acts::{Backup, back_up, part, recover, rehearse, share};
use crate::commits::{CUSTODIAN, commit, custodians, sign, two_roles, waiting};
use crate::device::{Passkey, Recipient};
use crate::steps::{about, carry_out, change, consents, moves, put, put_shares, view_of};
use crate::tenant::{Tenant, key};
use crate::vault::{edit, read, rewrite};
use crate::world::{START, World, reference, references, told};

/// A record on which every kind of request may be made: a put waits for its commit, and a deletion is due.
struct Stage {
    world: World,
    backup: Backup,
    put_hash: Vec<u8>,
}

fn stage(seed: u64) -> Stage {
    let world = two_roles(seed);
    let (mut backup, put_hash) = waiting(&world, "wallet-1");
    let act = consents(&about(&world, &backup, Action::DeleteBackup(DeleteBackupAction {})), &[&backup.passkey]);
    let ask = Ask::Change(change(&world, act, &backup));
    moves(&world, "delete", ask, &mut backup);
    world.fake.now.set(START + GRACE_MS);
    Stage { world, backup, put_hash }
}

impl Stage {
    fn reseal(&self) -> Reseal {
        Reseal {
            tenant: self.world.tenant_id(),
            statement: Some(self.world.statement_ref()),
            kek: Some(self.world.epoch.kek()),
            record: Some(self.backup.record.clone()),
            shares: self.backup.shares.iter().filter(|share| share.generation == 1).cloned().collect(),
            other_kek: None,
        }
    }

    fn releases(&self) -> (Recover, Rehearse) {
        let (world, backup, recipient) = (&self.world, &self.backup, Recipient::new(1));
        let mut intent = about(world, backup, Action::Recover(RecoverAction { generation: 1, eject: false }));
        part(&mut intent).recipient = recipient.hash();
        let rehearsal = about(world, backup, Action::Rehearse(RehearseAction { generation: 1 }));
        (
            recover(world, consents(&intent, &[&backup.passkey]), backup, &recipient),
            rehearse(world, consents(&rehearsal, &[&backup.passkey]), backup),
        )
    }

    /// One honest request of each kind.
    fn requests(&self) -> Vec<(&'static str, Ask)> {
        let (world, backup) = (&self.world, &self.backup);
        let (recovery, rehearsal) = self.releases();
        let (mut intent, message) = put(world, backup, 3, &[share("ed", b"third")]);
        intent.custodian = intent.client.clone();
        let third = put_shares(world, consents(&intent, &[&backup.passkey]), message, backup);
        let credential_id = backup.passkey.id.clone();
        let rename = Action::RenamePasskey(RenamePasskeyAction { credential_id, label: "x".into() });
        let rename = change(world, consents(&about(world, backup, rename), &[&backup.passkey]), backup);
        let receipt = sign(&key(CUSTODIAN[0]), &custodians(backup, 2, &self.put_hash));
        vec![
            ("recover", Ask::Recover(recovery)),
            ("rehearse", Ask::Rehearse(rehearsal)),
            ("put", Ask::PutShares(third)),
            ("change", Ask::Change(rename)),
            ("carry out", Ask::CarryOut(carry_out(world, OpenActKind::Delete, backup))),
            ("commit", Ask::Commit(commit(world, backup, receipt))),
            ("reseal", Ask::Reseal(self.reseal())),
        ]
    }

    /// Every kind of request, each changed alike. `None` is a pass.
    fn check(&self, name: &str, change: impl Fn(&mut Ask), expect: impl Fn(&str) -> Option<(Reason, &'static str)>) {
        for (kind, mut ask) in self.requests() {
            change(&mut ask);
            match expect(kind) {
                Some((reason, detail)) => {
                    self.world.refused(&format!("{name}: {kind}"), ask, reason, detail);
                }
                None => match self.world.drive(ask) {
                    Answer::Moved(_) | Answer::Rehearsed(_) | Answer::Resealed(_) => {}
                    answer => panic!("{name}: {kind}: {}", told(&answer)),
                },
            }
        }
    }
}

fn record_of(ask: &mut Ask) -> &mut SealedRecord {
    match ask {
        Ask::Recover(ask) => ask.record.as_mut(),
        Ask::Rehearse(ask) => ask.record.as_mut(),
        Ask::PutShares(ask) => ask.record.as_mut(),
        Ask::Change(ask) => ask.record.as_mut(),
        Ask::CarryOut(ask) => ask.record.as_mut(),
        Ask::Commit(ask) => ask.record.as_mut(),
        Ask::Reseal(ask) => ask.record.as_mut(),
        _ => None,
    }
    .unwrap()
}

#[test]
fn every_request_looks_at_how_the_record_stands() {
    let stage = stage(0x110);
    stage.check("as it is", |_| {}, |_| None);
    let edited = |ask: &mut Ask, change: fn(&mut Record)| edit(&stage.world, record_of(ask), change);
    stage.check(
        "has seen a newer statement",
        |ask| edited(ask, |record| record.statement_serial = 6),
        |_| Some((Reason::StatementStale, "seen statement 6")),
    );
    stage.check("has seen this statement", |ask| edited(ask, |record| record.statement_serial = 5), |_| None);
    stage.check(
        "closed",
        |ask| edited(ask, |record| record.closed = true),
        |kind| (kind != "reseal").then_some((Reason::StateInvalid, "record: closed")),
    );
    stage.check(
        "a field of a later release",
        |ask| rewrite(&stage.world, record_of(ask), |bytes| bytes.extend_from_slice(&[0xf8, 0x07, 1])),
        |_| Some((Reason::DecryptFailed, "record: does not open")),
    );
    stage.check(
        "another record's name",
        |ask| record_of(ask).record_id[0] ^= 1,
        |_| Some((Reason::DecryptFailed, "record: does not open")),
    );
}

#[test]
fn every_request_looks_at_whose_statement_it_is_and_what_it_lets_be_sealed() {
    let stage = stage(0x111);
    let world = &stage.world;
    let stranger = Tenant::new(2);
    let strangers = world.keep(stranger.sign(&stranger.statement(&[&world.epoch.identity])));
    let mut elsewhere = world.tenant.statement(&[&world.epoch.identity]);
    elsewhere.custodian = two_roles_statement(world).custodian;
    elsewhere.client.as_mut().unwrap().epochs[0].receipt_key[0] ^= 1;
    let elsewhere = world.keep(world.tenant.sign(&elsewhere));
    stage.check(
        "another tenant's",
        |ask| *references(ask).0.unwrap() = reference(&strangers),
        |_| Some((Reason::BadRequest, "statement: of another tenant")),
    );
    stage.check(
        "names other keys",
        |ask| *references(ask).0.unwrap() = reference(&elsewhere),
        |kind| (kind != "rehearse").then_some((Reason::EpochNotInStatement, "epoch 1")),
    );
    for (name, make) in [
        ("reference", (|ask| *references(ask).0.unwrap() = StatementRef::default()) as fn(&mut Ask)),
        ("tenant of 31", |ask| tenant_of(ask).truncate(31)),
    ] {
        stage.check(name, make, |_| Some((Reason::BadRequest, "not 32 bytes")));
    }
}

fn two_roles_statement(world: &World) -> strongroom_proto::v1::Statement {
    prost::Message::decode(world.statement.statement.as_slice()).unwrap()
}

fn tenant_of(ask: &mut Ask) -> &mut Vec<u8> {
    match ask {
        Ask::Recover(ask) => &mut ask.tenant,
        Ask::Rehearse(ask) => &mut ask.tenant,
        Ask::PutShares(ask) => &mut ask.tenant,
        Ask::Change(ask) => &mut ask.tenant,
        Ask::CarryOut(ask) => &mut ask.tenant,
        Ask::Commit(ask) => &mut ask.tenant,
        Ask::Reseal(ask) => &mut ask.tenant,
        _ => panic!("no request on a record"),
    }
}

#[test]
fn a_closed_record_moves_to_a_higher_epoch_and_stays_closed() {
    let mut stage = stage(0x112);
    let shares = stage.backup.shares.clone();
    let ask = Ask::CarryOut(carry_out(&stage.world, OpenActKind::Delete, &stage.backup));
    moves(&stage.world, "delete", ask, &mut stage.backup);
    let content = read(&stage.world, &stage.backup.record);
    assert_eq!((content.active, content.pending), (0, 0), "a put waited");
    let before = view_of(&stage.world, &stage.backup.record);
    let Answer::Resealed(done) = stage.world.drive(Ask::Reseal(stage.reseal())) else { panic!("not re-sealed") };
    assert_eq!((done.shares.len(), done.epochs), (0, vec![1]));
    let after = view_of(&stage.world, &done.record.unwrap());
    assert!(after.closed && after == before);
    let restored = Ask::Reseal(Reseal { shares, ..stage.reseal() });
    stage.world.refused("its shares of before", restored, Reason::BadRequest, "shares.generation");
}

#[test]
fn what_another_record_was_signed_for_is_nothing_to_this_one() {
    let stage = stage(0x113);
    stage.world.fake.now.set(START);
    let other = back_up(&stage.world, "wallet-1", Passkey::eddsa(9), |_| {});
    stage.world.fake.now.set(START + GRACE_MS);
    stage.check(
        "another record of the wallet",
        |ask| *record_of(ask) = other.record.clone(),
        |kind| {
            Some(match kind {
                "carry out" => (Reason::StateInvalid, "none of this kind"),
                "commit" => (Reason::ProofRejected, "record"),
                "reseal" => (Reason::CiphertextHashMismatch, "shares"),
                _ => (Reason::BadRequest, "another record"),
            })
        },
    );
}
