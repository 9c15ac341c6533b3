//! The enclave of one role behind the host: honest, but for what it is told to say falsely.

use prost::Message;
use strongroom_proto::contents::{Release, decode_shares};
use strongroom_proto::id::{ContentHash, Head, IntentHash, RecordId, sha256};
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::seal::{Direction, hpke_info};
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{
    Act, ActKind, Event, Freshness, GenerationRef, GenerationState, OpenAct, OpenActKind, Receipt, RecordView,
    Rehearsal, RehearsalResult, Role, SignedReceipt, SignedRehearsal, Stages, StoredShare,
};
use strongroom_proto::{intent as wire, prefix, signed};

use super::Tamper;
use crate::device::tests::share;
use crate::seal::enclave;
use crate::testing::{NOW_MS, WALLET, channel_key_of, kek_id_of, receipt_key_of, sign_receipt_as, stages, tenant};

/// What an enclave says falsely, before it signs.
pub(in crate::device::tests) type Fault = fn(&mut Receipt, &mut Event);

#[derive(Clone)]
pub(super) struct Enclave {
    pub(super) role: Role,
    pub(super) record: RecordView,
    pub(super) tamper: Tamper,
    pub(super) fault: Option<Fault>,
}

/// What an act did.
pub(super) struct Deed {
    pub(super) event: Event,
    pub(super) active: Option<GenerationRef>,
    pub(super) pending: Option<GenerationRef>,
    pub(super) sealed: Vec<Vec<u8>>,
    pub(super) resealed: Vec<Vec<u8>>,
}

impl Enclave {
    /// What an enclave makes of an act on the record, by the rules of its policy.
    pub(super) fn deed(&self, act: &Act) -> Deed {
        let intent = wire::decode(&act.intent).unwrap();
        let delay = u64::from(self.record.policy.unwrap().delay_seconds) * 1000;
        let later = |now, later, delay| if delay == 0 { (now, 0) } else { (later, delay) };
        let none = Vec::new;
        let ((kind, wait), generation, subject) = match intent.action.clone().unwrap() {
            Action::CreateBackup(_) => ((ActKind::CreateBackup, 0), 1, none()),
            Action::Recover(it) => {
                ((if it.eject { ActKind::Eject } else { ActKind::Recover }, 0), it.generation, none())
            }
            Action::PutShares(it) => ((ActKind::PutShares, 0), it.generation, none()),
            Action::AddPasskey(it) => ((ActKind::AddPasskey, 0), 0, it.credential.unwrap().id),
            Action::RemovePasskey(it) => {
                let delay = if act.tenant_signature.is_some() { 0 } else { delay };
                (later(ActKind::RemovePasskey, ActKind::StartRemovePasskey, delay), 0, it.credential_id)
            }
            Action::RenamePasskey(it) => ((ActKind::RenamePasskey, 0), 0, it.credential_id),
            Action::ChangePolicy(_) => (later(ActKind::ChangePolicy, ActKind::StartChangePolicy, delay), 0, none()),
            Action::StartRecovery(it) => {
                let kind = if it.eject { ActKind::StartEject } else { ActKind::StartRecovery };
                ((kind, delay), it.generation, none())
            }
            Action::DeleteBackup(_) => ((ActKind::StartDelete, GRACE_MS), 0, none()),
            Action::Cancel(_) => ((ActKind::Cancel, 0), 0, none()),
            Action::OpenEjectWindow(_) => ((ActKind::OpenEjectWindow, 0), 0, none()),
            Action::Rehearse(_) | Action::CarryOut(_) => panic!("no act of its own here"),
        };
        let cancelled_intent_hash = match intent.action.clone().unwrap() {
            Action::Cancel(it) => it.intent_hash,
            _ => Vec::new(),
        };
        let event = Event {
            cancelled_intent_hash,
            version: self.record.version + 1,
            kind: kind.into(),
            intent_hash: wire::hash(&act.intent).0.to_vec(),
            time_ms: NOW_MS + 1,
            generation,
            recipient: wire::part(&intent, self.role).unwrap().recipient.clone(),
            credential_id: act.assertions.first().map(|it| it.credential_id.clone()).unwrap_or_default(),
            tenant_key: act.tenant_signature.as_ref().map(|it| it.key.clone()).unwrap_or_default(),
            statement_serial: 3,
            subject_credential_id: subject,
            not_before_ms: if wait == 0 && kind != ActKind::OpenEjectWindow { 0 } else { NOW_MS + 1 + wait },
        };
        let put = Some(GenerationRef { generation, put_intent_hash: event.intent_hash.clone() });
        let (active, pending) = match (kind, self.record.roles.len()) {
            (ActKind::PutShares, 1) => (put, None),
            (ActKind::PutShares, _) => (self.of(GenerationState::Active), put),
            _ => (self.of(GenerationState::Active), self.of(GenerationState::Pending)),
        };
        Deed { event, active, pending, sealed: Vec::new(), resealed: Vec::new() }
    }

    /// What an enclave makes of what waited.
    pub(super) fn due(&self, kind: OpenActKind, second: Option<&Act>) -> Option<(Deed, OpenAct)> {
        let open = self.record.open_acts.iter().find(|open| open.kind() == kind)?.clone();
        let done = match kind {
            OpenActKind::Recovery if open.eject => ActKind::Eject,
            OpenActKind::Recovery => ActKind::Recover,
            OpenActKind::PolicyChange => ActKind::ChangePolicy,
            OpenActKind::PasskeyRemoval => ActKind::RemovePasskey,
            OpenActKind::Delete => ActKind::Delete,
            OpenActKind::EjectWindow | OpenActKind::Unspecified => panic!("never carried out"),
        };
        let event = Event {
            version: self.record.version + 1,
            kind: done.into(),
            intent_hash: open.intent_hash.clone(),
            time_ms: open.not_before_ms + 1,
            generation: open.generation,
            recipient: open.recipient.clone(),
            credential_id: Vec::new(),
            tenant_key: second.map(|act| act.tenant_signature.as_ref().unwrap().key.clone()).unwrap_or_default(),
            statement_serial: 3,
            subject_credential_id: open.credential_id.clone(),
            not_before_ms: 0,
            cancelled_intent_hash: Vec::new(),
        };
        let active = self.of(GenerationState::Active).filter(|_| kind != OpenActKind::Delete);
        Some((Deed { event, active, pending: None, sealed: Vec::new(), resealed: Vec::new() }, open))
    }

    /// The commit of what was put, from the head that the put left.
    pub(super) fn commit(&self, put: &GenerationRef, (version, head): (u64, Head)) -> SignedReceipt {
        let event = Event {
            version: version + 1,
            kind: ActKind::Commit.into(),
            intent_hash: put.put_intent_hash.clone(),
            time_ms: NOW_MS + 2,
            generation: put.generation,
            statement_serial: 3,
            ..Event::default()
        };
        let deed = Deed { event, active: Some(put.clone()), pending: None, sealed: Vec::new(), resealed: Vec::new() };
        self.receipt_from(deed, RecordId::from_slice(&self.record.record_id).unwrap(), head)
    }

    fn of(&self, state: GenerationState) -> Option<GenerationRef> {
        let generation = self.record.generations.iter().find(|it| it.state() == state)?;
        let put_intent_hash = generation.put_intent_hash.clone();
        Some(GenerationRef { generation: generation.generation, put_intent_hash })
    }

    pub(super) fn head(&self) -> Head {
        Head::from_slice(&self.record.head).unwrap()
    }

    pub(super) fn receipt(&self, deed: Deed) -> SignedReceipt {
        self.receipt_from(deed, RecordId::from_slice(&self.record.record_id).unwrap(), self.head())
    }

    pub(super) fn receipt_from(&self, deed: Deed, record_id: RecordId, head: Head) -> SignedReceipt {
        let Deed { mut event, mut active, pending, sealed, resealed } = deed;
        if self.tamper == Tamper::PutByAnother {
            active.as_mut().unwrap().put_intent_hash[0] ^= 1;
        }
        let vouched = self.record.policy.unwrap().newest_head && !event.tenant_key.is_empty();
        let freshness = if vouched { Freshness::CallerReceipt } else { Freshness::None };
        let mut receipt = Receipt {
            tenant: tenant().0.to_vec(),
            wallet: WALLET.to_owned(),
            role: self.role.into(),
            record_id: record_id.0.to_vec(),
            version: event.version,
            head: Vec::new(),
            event: Vec::new(),
            active,
            pending,
            intent_hash: event.intent_hash.clone(),
            identity_hash: vec![1; 32],
            sealed_hashes: sealed,
            epoch: 2,
            time_ms: event.time_ms,
            stages: Some(Stages { freshness: freshness.into(), ..stages() }),
            resealed_hashes: resealed,
        };
        if let Some(fault) = self.fault {
            fault(&mut receipt, &mut event);
        }
        receipt.event = event.encode_to_vec();
        if receipt.head.is_empty() {
            receipt.head = signed::next_head(&head, &receipt.event).0.to_vec();
        }
        let mut signed = sign_receipt_as(self.role, receipt.encode_to_vec());
        match (self.tamper, self.role) {
            (Tamper::ReceiptSignature, _) => signed.signature[0] ^= 1,
            (Tamper::CustodianSignedByClient, Role::Custodian) => {
                signed = sign_receipt_as(Role::Client, signed.receipt);
            }
            _ => {}
        }
        signed
    }

    /// Two shares, sealed to the recipient as an answer to an intent.
    pub(super) fn release(&self, key: &[u8], intent: &[u8], generation: u64) -> (Vec<u8>, Vec<u8>) {
        let record_id = RecordId([if self.tamper == Tamper::ReleaseOfAnotherRecord { 1 } else { 10 }; 32]);
        let info = hpke_info(Direction::Release, self.role, &tenant(), &kek_id_of(self.role), &record_id);
        let longer = usize::from(self.role == Role::Custodian);
        let shares = vec![share("a", 3 + longer), share("b", 5 + longer)];
        let intent = IntentHash::from_slice(intent).unwrap();
        let contents = Release { intent, record_id, generation, shares }.encode().unwrap();
        let to_itself = channel_key_of(self.role);
        let key = if self.tamper == Tamper::ReleaseToItself { to_itself.public_key() } else { key };
        let mut release = enclave::seal(key, &info, &contents);
        let hash = ContentHash::of(&release).0.to_vec();
        if self.tamper == Tamper::Release || self.tamper == Tamper::CustodianRelease && self.role == Role::Custodian {
            release.push(0);
        }
        (release, hash)
    }

    /// Opens what was sealed to the channel key for a record; gives a hash for each share.
    pub(super) fn opened(&self, id: &RecordId, message: &[u8]) -> Vec<Vec<u8>> {
        self.sealed(id, message, 0).iter().map(|share| sha256(&[&share.sealed]).to_vec()).collect()
    }

    /// The shares of a message as this enclave "seals" them: as they are.
    pub(super) fn sealed(&self, id: &RecordId, message: &[u8], generation: u64) -> Vec<StoredShare> {
        let info = hpke_info(Direction::Request, self.role, &tenant(), &kek_id_of(self.role), id);
        let shares = decode_shares(&enclave::open(&channel_key_of(self.role), &info, message).unwrap()).unwrap();
        let stored = |it: &strongroom_proto::contents::Share| StoredShare {
            pair: it.pair.clone(),
            generation,
            sealed: it.bytes.expose().to_vec(),
        };
        shares.iter().map(stored).collect()
    }

    pub(super) fn rehearsal(&self, act: &Act) -> SignedRehearsal {
        let is_damaged = self.tamper == Tamper::CustodianDamaged && self.role == Role::Custodian;
        let result = if is_damaged { RehearsalResult::Damaged } else { RehearsalResult::Opens };
        let rehearsal = Rehearsal {
            tenant: tenant().0.to_vec(),
            wallet: WALLET.to_owned(),
            role: self.role.into(),
            record_id: self.record.record_id.clone(),
            head: self.record.head.clone(),
            generation: 1,
            intent_hash: wire::hash(&act.intent).0.to_vec(),
            result: result.into(),
            epoch: 2,
            time_ms: NOW_MS + 1,
            stages: Some(stages()),
        };
        let rehearsal = rehearsal.encode_to_vec();
        SignedRehearsal { signature: receipt_key_of(self.role).sign(prefix::REHEARSAL, &rehearsal).unwrap(), rehearsal }
    }
}
