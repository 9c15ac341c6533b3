//! Which receipts each backend keeps, behind a host that shows it false ones.

use prost::Message;
use strongroom_proto::id::{Head, IntentHash, RecordId};
use strongroom_proto::intent as form;
use strongroom_proto::prefix;
use strongroom_proto::signed::next_head;
use strongroom_proto::v1::backup_service_client::BackupServiceClient;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::passkey_service_client::PasskeyServiceClient;
use strongroom_proto::v1::recovery_service_client::RecoveryServiceClient;
use strongroom_proto::v1::{
    Act, Backup, CreateBackupAction, CreateBackupRequest, CreateBackupResponse, GetBackupRequest, GetBackupResponse,
    Intent, PrepareRequest, PrepareResponse, Receipt, RecoverAction, RecoverRequest, RecoverResponse, Role, RolePart,
    SignedReceipt,
};
use strongroom_sdk::receipt::RECEIPT_BYTES_MAX;
use strongroom_tests::stack::backend::{Backend, Example};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::false_host::{Answers, ReceiptKey, Tenant, serve};
use super::{bearing, channel, kept_version};

/// Ann, a backend, and the host that she does not know is false.
pub(super) struct World {
    pub(super) tenant: Tenant,
    answers: Answers,
    pub(super) backend: Backend,
    pub(super) channel: Channel,
    pub(super) session: String,
    /// The creation that she makes first.
    pub(super) creation: Intent,
    pub(super) record: RecordId,
}

impl World {
    pub(super) async fn new(folder: &std::path::Path, example: Example) -> Self {
        let (tenant, answers) = (Tenant::new(), Answers::default());
        let backend = folder.join("backend");
        tenant.settings(folder, &serve(&answers)).write(&backend).unwrap();
        let backend = example.start(&backend).unwrap();
        let (channel, session) = (channel(&backend.url).await, backend.session("ann").unwrap());
        let action = Action::CreateBackup(CreateBackupAction { backup: "main".to_owned(), ..Default::default() });
        let part = RolePart { message_hash: vec![5; 32], ..Default::default() };
        let creation = intent(&tenant, part, action);
        let record = form::record_id(&creation);
        Self { tenant, answers, backend, channel, session, creation, record }
    }

    fn recovery(&self, head: Head) -> Intent {
        let part = RolePart {
            record_id: self.record.0.to_vec(),
            head: head.0.to_vec(),
            recipient: vec![6; 32],
            ..Default::default()
        };
        intent(&self.tenant, part, Action::Recover(RecoverAction { generation: 1, eject: false }))
    }

    /// The receipt that a true enclave would give.
    pub(super) fn receipt(&self, intent: &Intent, version: u64, before: Head, event: &[u8]) -> Receipt {
        let IntentHash(intent_hash) = form::hash(&intent.encode_to_vec());
        Receipt {
            tenant: self.tenant.id.0.to_vec(),
            wallet: "w".to_owned(),
            role: Role::Client.into(),
            record_id: self.record.0.to_vec(),
            version,
            head: next_head(&before, event).0.to_vec(),
            event: event.to_vec(),
            intent_hash: intent_hash.to_vec(),
            epoch: 1,
            ..Receipt::default()
        }
    }

    fn sign(&self, receipt: &Receipt) -> SignedReceipt {
        self.tenant.sign(receipt)
    }

    pub(super) async fn create(&self, receipts: Vec<SignedReceipt>) -> Result<(), Status> {
        self.answers.set("BackupService/CreateBackup", &CreateBackupResponse { receipts, ..Default::default() });
        let request = CreateBackupRequest { act: Some(act(&self.creation)), ..Default::default() };
        let request = bearing(request, &self.session);
        BackupServiceClient::new(self.channel.clone()).create_backup(request).await.map(|_| ())
    }

    async fn recover(&self, intent: &Intent, receipts: Vec<SignedReceipt>) -> Result<(), Status> {
        self.answers.set("RecoveryService/Recover", &RecoverResponse { receipts, ..Default::default() });
        let request = bearing(RecoverRequest { act: Some(act(intent)), ..Default::default() }, &self.session);
        RecoveryServiceClient::new(self.channel.clone()).recover(request).await.map(|_| ())
    }

    /// An act of which the host is told nothing, where the backend refuses it by itself.
    async fn recover_unanswered(&self, intent: &Intent) -> Result<(), Status> {
        let request = bearing(RecoverRequest { act: Some(act(intent)), ..Default::default() }, &self.session);
        RecoveryServiceClient::new(self.channel.clone()).recover(request).await.map(|_| ())
    }

    async fn get_backup(&self, receipts: Vec<SignedReceipt>) -> Result<(), Status> {
        let backup = Some(Backup { receipts, ..Default::default() });
        self.answers.set("BackupService/GetBackup", &GetBackupResponse { backup });
        let request = GetBackupRequest { wallet: "w".to_owned(), backup: "main".to_owned() };
        let request = bearing(request, &self.session);
        BackupServiceClient::new(self.channel.clone()).get_backup(request).await.map(|_| ())
    }
}

fn intent(tenant: &Tenant, client: RolePart, action: Action) -> Intent {
    Intent {
        tenant: tenant.id.0.to_vec(),
        wallet: "w".to_owned(),
        statement_serial: 1,
        client: Some(client),
        not_after_ms: 1,
        nonce: vec![9; 32],
        action: Some(action),
        ..Intent::default()
    }
}

fn act(intent: &Intent) -> Act {
    Act { intent: intent.encode_to_vec(), ..Act::default() }
}

/// The same receipt with so many sealed byte strings that it has this length: true in all else.
fn of_length(good: &Receipt, bytes: usize) -> Receipt {
    let mut receipt = good.clone();
    // A tag, a length of two bytes, and the rest.
    let missing = bytes - receipt.encoded_len() - 3;
    receipt.sealed_hashes.push(vec![7; missing]);
    assert_eq!(receipt.encoded_len(), bytes);
    receipt
}

/// Every way in which `good` can be false, with the answer that shows it.
fn false_answers(world: &World, good: &Receipt) -> Vec<(&'static str, Vec<SignedReceipt>)> {
    type Change = fn(&mut Receipt);
    let changes: [(&str, Change); 9] = [
        ("tenant", |receipt| receipt.tenant[0] ^= 1),
        ("wallet", |receipt| "v".clone_into(&mut receipt.wallet)),
        ("role", |receipt| receipt.role = Role::Custodian.into()),
        ("no role", |receipt| receipt.role = 0),
        ("record", |receipt| receipt.record_id[0] ^= 1),
        ("intent", |receipt| receipt.intent_hash[0] ^= 1),
        ("event", |receipt| receipt.event.push(0)),
        ("head", |receipt| receipt.head[0] ^= 1),
        ("epoch", |receipt| receipt.epoch = 2),
    ];
    let mut cases: Vec<(&str, Vec<SignedReceipt>)> = changes
        .into_iter()
        .map(|(what, change)| {
            let mut receipt = good.clone();
            change(&mut receipt);
            (what, vec![world.sign(&receipt)])
        })
        .collect();
    let signed = world.sign(good);
    let mut flipped = signed.clone();
    flipped.signature[0] ^= 1;
    let mut longer = good.encode_to_vec();
    longer.extend([0xf8, 0x7f, 1]);
    let key = &world.tenant.receipts;
    cases.extend([
        ("none", vec![]),
        ("two", vec![signed.clone(), signed.clone()]),
        ("signature", vec![flipped]),
        ("signer", vec![ReceiptKey::new().sign(prefix::RECEIPT, good.encode_to_vec())]),
        ("unknown field", vec![key.sign(prefix::RECEIPT, longer)]),
        ("signed for another use", vec![key.sign(prefix::VIEW, good.encode_to_vec())]),
        ("empty", vec![SignedReceipt::default()]),
        ("too long", vec![world.sign(&of_length(good, RECEIPT_BYTES_MAX + 1))]),
    ]);
    cases
}

#[tokio::test]
async fn only_true_receipts_are_kept_and_a_fork_is_seen() {
    for example in Example::ALL {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path(), example).await;
        let start = Head(world.record.0);
        let first = world.receipt(&world.creation, 1, start, b"first");
        for (what, answer) in false_answers(&world, &first) {
            let status = world.create(answer).await.expect_err(what);
            assert_eq!(status.code(), Code::DataLoss, "{example:?} {what}: {status}");
        }
        assert!(world.backend.kept().unwrap().is_empty());
        // The longest that an enclave may sign passes.
        let first = of_length(&first, RECEIPT_BYTES_MAX);
        world.create(vec![world.sign(&first)]).await.unwrap();
        assert_eq!(kept_version(&world.backend), 1);

        let head = Head::from_slice(&first.head).unwrap();
        let recovery = world.recovery(head);
        let second = world.receipt(&recovery, 2, head, b"second");
        let mut cases = false_answers(&world, &second);
        cases.push(("the creation's", vec![world.sign(&first)]));
        for (what, answer) in cases {
            let status = world.recover(&recovery, answer).await.expect_err(what);
            assert_eq!(status.code(), Code::DataLoss, "{example:?} {what}: {status}");
            assert_eq!(kept_version(&world.backend), 1, "{example:?} {what}");
        }
        world.recover(&recovery, vec![world.sign(&second)]).await.unwrap();
        assert_eq!(kept_version(&world.backend), 2);
        world.create(vec![world.sign(&first)]).await.unwrap();
        assert_eq!(kept_version(&world.backend), 2, "the same answer again, and the newer receipt stays");

        // What anybody may ask for again is taken up only if it is this wallet's and newer.
        let third = world.receipt(&recovery, 3, Head::from_slice(&second.head).unwrap(), b"third");
        let foreign = Receipt { wallet: "v".to_owned(), ..third.clone() };
        assert_eq!(world.get_backup(vec![world.sign(&foreign)]).await.unwrap_err().code(), Code::DataLoss);
        world.get_backup(vec![world.sign(&first), world.sign(&third)]).await.unwrap();
        assert_eq!(kept_version(&world.backend), 3);

        // An older record was restored, and another third act done on it.
        let forked = world.recovery(Head::from_slice(&second.head).unwrap());
        let other = world.receipt(&forked, 3, Head::from_slice(&second.head).unwrap(), b"another third");
        let status = world.recover(&forked, vec![world.sign(&other)]).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::DataLoss, "the host shows two histories of this backup"));
        let mut expected = vec![named(&first, false), named(&second, false), named(&third, false)];
        expected.extend([named(&third, true), named(&other, true)]);
        assert_kept(&world, &expected, "both are the proof");
    }
}

/// Where a receipt is kept, or its copy in the proof of a fork.
fn named(receipt: &Receipt, proof: bool) -> (String, Receipt) {
    let (record, version) = (hex::encode(&receipt.record_id), receipt.version);
    let ending = if proof { format!("{}.fork", hex::encode(&receipt.head)) } else { "receipt".to_owned() };
    (format!("{record}.client.{version:020}.{ending}"), receipt.clone())
}

fn assert_kept(world: &World, expected: &[(String, Receipt)], what: &str) {
    let bytes = |(name, receipt): &(String, Receipt)| (name.clone(), world.sign(receipt).encode_to_vec());
    let mut expected: Vec<_> = expected.iter().map(bytes).collect();
    expected.sort();
    assert_eq!(world.backend.kept().unwrap(), expected, "{what}");
}

/// A history of `count` recoveries that starts at `before`, which has this version.
fn history(world: &World, before: Head, version: u64, count: u64, what: &str) -> Vec<(Intent, Receipt)> {
    let mut head = before;
    let act = |version: u64| {
        let intent = world.recovery(head);
        let receipt = world.receipt(&intent, version, head, format!("{what} {version}").as_bytes());
        head = Head::from_slice(&receipt.head).unwrap();
        (intent, receipt)
    };
    (version + 1..=version + count).map(act).collect()
}

#[tokio::test]
async fn a_host_that_restores_an_older_record_is_seen_and_no_act_on_it_goes_on() {
    // What the backend has seen of versions 1 to 10, the version that is restored, the acts on it of which the last is shown, and the
    // version of the receipt that contradicts it.
    let cases: [(&str, Vec<u64>, usize, u64, u64); 7] = [
        ("the next act", (1..=10).collect(), 5, 1, 6),
        ("the newest version again", (1..=10).collect(), 5, 5, 10),
        ("past the newest version", (1..=10).collect(), 5, 6, 10),
        ("below the first one seen", vec![10], 5, 1, 10),
        ("below the newest, against the one before", vec![5, 10], 4, 2, 5),
        ("below the newest, against the one after", vec![4, 7], 4, 2, 7),
        ("below the newest, after one that is shared", vec![5, 10], 5, 1, 10),
    ];
    for example in Example::ALL {
        for (what, seen, restored, acts, contradicted) in &cases {
            let folder = tempfile::tempdir().unwrap();
            let world = World::new(folder.path(), example).await;
            let what = format!("{example:?} {what}");
            let shown = history(&world, Head(world.record.0), 0, 10, "shown");
            for version in seen {
                let (intent, receipt) = &shown[usize::try_from(*version).unwrap() - 1];
                world.recover(intent, vec![world.sign(receipt)]).await.expect(&what);
            }
            let (_, old) = &shown[restored - 1];
            let other = history(&world, Head::from_slice(&old.head).unwrap(), old.version, *acts, "other");
            let (intent, forked) = other.last().unwrap();
            let status = world.recover(intent, vec![world.sign(forked)]).await.expect_err(&what);
            assert_eq!(status.code(), Code::DataLoss, "{what}: {status}");
            assert_eq!(status.message(), "the host shows two histories of this backup", "{what}");
            let at = |version: &u64| &shown[usize::try_from(*version).unwrap() - 1].1;
            let mut kept: Vec<_> = seen.iter().map(|version| named(at(version), false)).collect();
            kept.extend([named(at(contradicted), true), named(forked, true)]);
            assert_kept(&world, &kept, &what);

            // Neither history goes on: nothing more reaches the host, or the store.
            let newest = at(seen.last().unwrap());
            let next = history(&world, Head::from_slice(&newest.head).unwrap(), newest.version, 1, "next");
            world.answers.forget();
            for (intent, _) in [&next[0], &other[0]] {
                let status = world.recover_unanswered(intent).await.expect_err(&what);
                assert_eq!(status.code(), Code::DataLoss, "{what}: {status}");
            }
            let status = world.get_backup(vec![world.sign(&next[0].1)]).await.expect_err(&what);
            assert_eq!(status.code(), Code::DataLoss, "{what}: {status}");
            assert_kept(&world, &kept, &what);
        }
    }
}

#[tokio::test]
async fn receipts_that_come_late_are_taken_where_their_history_fits() {
    for example in Example::ALL {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path(), example).await;
        let shown = history(&world, Head(world.record.0), 0, 4, "shown");
        for version in [4, 3, 2, 1, 3, 1, 4] {
            let (intent, receipt) = &shown[version - 1];
            world.recover(intent, vec![world.sign(receipt)]).await.unwrap();
        }
        let kept: Vec<_> = shown.iter().map(|(_, receipt)| named(receipt, false)).collect();
        assert_kept(&world, &kept, "in any order");
        // The same act once more, of which only the receipt's own bytes differ.
        let (intent, receipt) = &shown[1];
        let again = Receipt { time_ms: 1, ..receipt.clone() };
        let status = world.recover(intent, vec![world.sign(&again)]).await.unwrap_err();
        assert_eq!(status.message(), "the host shows two histories of this backup", "{example:?}");
    }
}

#[tokio::test]
async fn a_false_hosts_statement_and_its_quarrel_with_the_backend_do_not_reach_a_device() {
    for example in Example::ALL {
        let folder = tempfile::tempdir().unwrap();
        let world = World::new(folder.path(), example).await;
        let mut passkeys = PasskeyServiceClient::new(world.channel.clone());
        let request = || bearing(PrepareRequest { wallet: "w".to_owned(), nonce: vec![1; 32] }, &world.session);
        for shown in [None, Some(Tenant::new().signed)] {
            world.answers.set("PasskeyService/Prepare", &PrepareResponse { statement: shown, roles: Vec::new() });
            let answer = passkeys.prepare(request()).await.unwrap().into_inner();
            assert_eq!(answer.statement, Some(world.tenant.signed.clone()), "{example:?}");
        }
        world.answers.forget();
        let status = passkeys.prepare(request()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Internal, "the host refuses this backend"), "{example:?}");
    }
}
