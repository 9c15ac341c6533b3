//! What a request is judged by: its KEKs, its statement, its record, its intent.

use std::rc::Rc;

use prost::Message;
use strongroom_proto::enclave::v1::{Record, SealedRecord, StatementRef, request::Body as Ask};
use strongroom_proto::id::{ContentHash, TenantId};
use strongroom_proto::names::is_id;
use strongroom_proto::v1::{Act, Intent, Policy, RolePart, Statement};
use strongroom_proto::{prefix, signed};

use crate::stage::Stage;
use crate::stage::keks::Known;
use crate::vault::spot_of;
use crate::wire;
use crate::world::{START, encode, references};

/// The surroundings of an answered request.
pub(super) struct Scene<'a> {
    pub(super) stage: &'a Stage,
    pub(super) tenant: Vec<u8>,
    /// The KEK that signs and seals.
    pub(super) own: Rc<Known>,
    /// One more that opens.
    pub(super) other: Option<Rc<Known>>,
    statement: Option<Statement>,
}

/// Field 1 of every request's body.
fn tenant(asked: &Ask) -> Vec<u8> {
    let encoded = encode(asked.clone());
    let body = wire::fields(&encoded).into_iter().find_map(|field| field.content).expect("a body");
    wire::content(body, 1).expect("a tenant").to_vec()
}

impl<'a> Scene<'a> {
    pub(super) fn of(stage: &'a Stage, asked: &Ask) -> Self {
        let tenant = tenant(asked);
        let mut asked = asked.clone();
        let (statement, own, other) = references(&mut asked);
        let known = |kek: &strongroom_proto::enclave::v1::KekRef| {
            assert_eq!(ContentHash::of(&kek.wrapped).0, *kek.sha256, "another KEK than was named");
            stage.kek(&tenant, kek).expect("a KEK of a tenant")
        };
        let own = known(own.expect("what was given was asked with a KEK"));
        let other = other.map(|kek| known(kek));
        assert!(other.as_ref().is_none_or(|other| other.epoch() != own.epoch()), "two KEKs of one epoch");
        let statement = statement.map(|statement| believed(statement, &tenant));
        Self { stage, tenant, own, other, statement }
    }

    pub(super) fn statement(&self) -> &Statement {
        self.statement.as_ref().expect("an act has a statement")
    }

    /// The KEKs, the own one first.
    pub(super) fn keks(&self) -> impl Iterator<Item = &Known> {
        [Some(&self.own), self.other.as_ref()].into_iter().flatten().map(Rc::as_ref)
    }

    pub(super) fn of_epoch(&self, epoch: u64) -> Option<&Known> {
        self.keks().find(|kek| kek.epoch() == epoch)
    }

    /// Anything new may be sealed to this KEK, or under it.
    pub(super) fn check_sealing(&self, kek: &Known) {
        let client = self.statement().client.as_ref().expect("the statement names this role");
        let epoch = client.epochs.iter().find(|epoch| epoch.epoch == kek.epoch()).expect("and the epoch");
        let identity = &kek.identity;
        assert_eq!((&epoch.kek_id, &epoch.receipt_key), (&identity.kek_id, &identity.receipt_key), "other keys");
        assert_eq!(epoch.channel_key_hash, ContentHash::of(&identity.channel_key).0, "another channel key");
        assert!(kek.epoch() >= client.lowest_epoch, "an epoch that the tenant gave up");
    }

    /// A record's content, whatever its state is.
    pub(super) fn record(&self, sealed: &SealedRecord) -> Record {
        assert!(is_id(&sealed.wallet) && is_id(&sealed.backup), "names that are none");
        assert!(sealed.epoch <= self.own.epoch(), "a record of a higher epoch than the one that signs");
        let kek = self.of_epoch(sealed.epoch).expect("the KEK of the record's epoch");
        let bytes = kek.open(spot_of(sealed), &sealed.sealed).expect("what the core opened, opens");
        let content = Record::decode(bytes.as_slice()).expect("and decodes");
        assert_eq!(content.encode_to_vec(), bytes, "and has one encoding");
        assert_eq!(content.record_id, sealed.record_id, "the record is the one that it is kept as");
        for part in content.generations.iter().flat_map(|generation| &generation.parts) {
            let Some(again) = &part.resealed else { continue };
            assert!(again.epoch > part.epoch, "a share that was sealed again under an epoch that is no higher");
            assert!(again.sealed_hash.len() == 32 && again.sealed_hash != part.sealed_hash, "no hash of its own");
        }
        content
    }

    /// A record that takes acts under this statement.
    pub(super) fn subject(&self, sealed: Option<&SealedRecord>) -> Record {
        let record = self.record(sealed.expect("a record"));
        assert!(!record.closed, "a deleted record takes no act");
        assert!(self.statement().serial >= record.statement_serial, "an older statement than the record has seen");
        record
    }

    /// An intent for this tenant and role, in time, and what it says to this role.
    fn intent(&self, act: Option<&Act>) -> (Intent, RolePart) {
        let act = act.expect("an act");
        let intent = Intent::decode(act.intent.as_slice()).expect("an intent decodes");
        assert_eq!(intent.encode_to_vec(), act.intent, "an intent has one encoding");
        assert_eq!((&intent.tenant, intent.nonce.len()), (&self.tenant, 32), "another tenant, or a short nonce");
        assert!((1..=self.statement().serial).contains(&intent.statement_serial), "made under another statement");
        assert!((START + 1..=START + 15 * 60 * 1000).contains(&intent.not_after_ms), "not in time");
        let part = intent.client.clone().expect("the intent names this role");
        (intent, part)
    }

    /// An intent that makes a record.
    pub(super) fn creation(&self, act: Option<&Act>) -> (Intent, RolePart) {
        let (intent, part) = self.intent(act);
        assert!(part.record_id.is_empty() && part.head.is_empty(), "a creation starts from nothing");
        (intent, part)
    }

    /// An intent about this record at this head.
    pub(super) fn about(
        &self,
        act: Option<&Act>,
        sealed: Option<&SealedRecord>,
        record: &Record,
    ) -> (Intent, RolePart) {
        let (intent, part) = self.intent(act);
        assert_eq!((&part.record_id, &part.head), (&record.record_id, &record.head), "another record or head");
        assert_eq!(Some(&intent.wallet), sealed.map(|sealed| &sealed.wallet), "another wallet");
        (intent, part)
    }

    /// A policy that this role may keep, and that somebody can satisfy now.
    pub(super) fn check_policy(&self, policy: Policy) {
        assert!(policy.passkey, "a client record without a passkey's consent");
        assert!(policy.tenant_signature || !policy.newest_head, "a newest head that nobody names");
        assert!(policy.delay_seconds <= 30 * 24 * 3600, "a delay without end");
        assert!(!policy.tenant_signature || self.statement().operational_keys.iter().any(in_force), "no tenant's key");
    }
}

/// Whether an operational key signs now.
pub(super) fn in_force(key: &strongroom_proto::v1::OperationalKey) -> bool {
    (key.not_before_ms..=key.not_after_ms).contains(&START)
}

/// A statement that this tenant signed.
fn believed(statement: &StatementRef, tenant: &[u8]) -> Statement {
    let signed = statement.signed.as_ref().expect("a statement");
    assert_eq!(ContentHash::of(&signed.encode_to_vec()).0, *statement.sha256, "another statement than was named");
    let body = Statement::decode(signed.statement.as_slice()).expect("a statement decodes");
    assert_eq!(TenantId::of(&body.root_key, &body.standby_key).0, *tenant, "another tenant's statement");
    let holds = |key: &Vec<u8>| signed::verify(prefix::STATEMENT, &signed.statement, key, &signed.signature).is_ok();
    assert!([&body.root_key, &body.standby_key].into_iter().any(holds), "nobody signed the statement");
    body
}
