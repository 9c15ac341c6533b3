//! A fake core: right in form, and nothing else. Its "sealed" record is its version.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use prost::Message;
use strongroom_proto::enclave::v1::{
    IdentityProven, KekCreated, KekRef, Moved, Need, Rehearsed, SealedRecord, SealedShare, StatementRef, View,
    request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::id::sha256;
use strongroom_proto::intent;
use strongroom_proto::v1::{
    Act, Freshness, GenerationRef, Identity, Manifest, Reason, Receipt, Rehearsal, RehearsalResult, Role,
    SignedReceipt, SignedRehearsal, SignedStatement, SignedView, Stages, Statement, Trust, WalletView, intent::Action,
};

use crate::testing::{FakeEnclave, Reaction, refusal, socket};

mod acts;
pub(super) mod epochs;
mod view;

/// What another host's act adds to a record's row: another receipt.
pub(super) const AN_ACT: &[u8] = &[0x12, 3, 0x12, 1, b'x'];
/// What another host's re-seal adds to it: anything but a receipt.
pub(super) const A_RESEAL: &[u8] = &[0xf8, 1, 1];

/// What the test sees of the fake, and how it meddles.
#[derive(Default)]
pub(super) struct Core {
    role: Role,
    /// Refuses the next act for this reason.
    pub(super) refuse: Mutex<Option<Reason>>,
    known: Mutex<HashSet<Vec<u8>>>,
    statements: Mutex<HashMap<Vec<u8>, SignedStatement>>,
    /// Re-seals that are still carried out; the enclave is unavailable for more. 0: all are.
    pub(super) reseals_max: AtomicUsize,
    pub(super) reseals: AtomicUsize,
    /// Runs once, before the next recovery or commit is answered.
    pub(super) before: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    pub(super) identities: AtomicUsize,
    pub(super) needs: AtomicUsize,
    /// Views that were refused for a damaged record.
    pub(super) refused_views: AtomicUsize,
    pub(super) acts: AtomicUsize,
    /// Before the next act is answered, another host adds this to the records of the role in the store.
    pub(super) meddle: Mutex<&'static [u8]>,
    standings: Mutex<BTreeMap<(Vec<u8>, u8), acts::Standing>>,
    /// The delay of every policy and the grace of every deletion.
    pub(super) delay_ms: AtomicU64,
    /// Every policy asks for the newest head.
    pub(super) newest_head: AtomicBool,
    /// No policy asks for a passkey.
    pub(super) without_passkeys: AtomicBool,
    /// The enclave's time; 0: the true one.
    pub(super) clock_ms: AtomicU64,
    /// Shares are opened only by the hashes that the record names, as the core would.
    pub(super) checks_shares: AtomicBool,
    store: PathBuf,
}

impl Core {
    pub(super) fn start(dir: &Path) -> (Arc<Self>, FakeEnclave) {
        Self::start_in(Role::Client, dir)
    }

    /// An enclave of a role.
    pub(super) fn start_in(role: Role, dir: &Path) -> (Arc<Self>, FakeEnclave) {
        let core = Arc::new(Self { role, store: dir.join("db"), ..Self::default() });
        let fake = Self::serve(&core, dir);
        (core, fake)
    }

    /// An enclave that knows what this one knows.
    pub(super) fn serve(core: &Arc<Self>, dir: &Path) -> FakeEnclave {
        let answering = Arc::clone(core);
        FakeEnclave::start(&socket(dir, core.role), move |ask| Reaction::Say(answering.answer(ask)))
    }

    fn answer(&self, ask: &Ask) -> Answer {
        let (statement, kek) = match ask {
            Ask::GetIdentity(ask) => (None, ask.kek.as_ref()),
            Ask::GetView(ask) => (None, ask.kek.as_ref()),
            Ask::CreateRecord(ask) => (ask.statement.as_ref(), ask.kek.as_ref()),
            Ask::Recover(ask) => (ask.statement.as_ref(), ask.kek.as_ref()),
            Ask::Rehearse(ask) => (ask.statement.as_ref(), ask.kek.as_ref()),
            Ask::PutShares(ask) => (ask.statement.as_ref(), ask.kek.as_ref()),
            Ask::Change(ask) => (ask.statement.as_ref(), ask.kek.as_ref()),
            Ask::CarryOut(ask) => (ask.statement.as_ref(), ask.kek.as_ref()),
            Ask::Commit(ask) => (ask.statement.as_ref(), ask.kek.as_ref()),
            Ask::Reseal(ask) => (ask.statement.as_ref(), ask.kek.as_ref()),
            _ => (None, None),
        };
        let other = epochs::other_kek(ask);
        let need = Need {
            statement: !self.has_statement(statement),
            kek: !self.has_kek(kek),
            other_kek: !self.has_kek(other),
        };
        if need != Need::default() {
            self.needs.fetch_add(1, Ordering::Relaxed);
            return Answer::Need(need);
        }
        let meddle = std::mem::take(&mut *self.meddle.lock().unwrap());
        if !meddle.is_empty() {
            let other = rusqlite::Connection::open(&self.store).unwrap();
            // A record's key ends with its role and its id.
            let records = "substr(key, 1, 1) = x'07' AND substr(key, -33, 1) = ?1";
            let mut found = other.prepare(&format!("SELECT key, value FROM rows WHERE {records}")).unwrap();
            let role = [u8::try_from(i32::from(self.role)).unwrap()];
            let rows = found.query_map([role], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let rows: Vec<(Vec<u8>, Vec<u8>)> = rows.map(Result::unwrap).collect();
            for (key, value) in rows {
                let value = [&value, meddle].concat();
                other.execute("UPDATE rows SET value = ?2 WHERE key = ?1", [key, value]).unwrap();
            }
        }
        let statement = statement.and_then(|statement| self.statement(statement));
        if let Some(reason) = epochs::refuses(ask, statement, self.role) {
            return refusal(reason, 0);
        }
        let refuse = self.refuse.lock().unwrap().take();
        if let Some(reason) = refuse {
            self.acts.fetch_add(1, Ordering::Relaxed);
            return refusal(reason, 0);
        }
        self.carry_out(ask)
    }

    fn statement(&self, reference: &StatementRef) -> Option<Statement> {
        let statements = self.statements.lock().unwrap();
        statements.get(&reference.sha256).map(|signed| Statement::decode(signed.statement.as_slice()).unwrap())
    }

    fn has_statement(&self, reference: Option<&StatementRef>) -> bool {
        let Some(reference) = reference else { return true };
        if let Some(signed) = &reference.signed {
            self.statements.lock().unwrap().insert(reference.sha256.clone(), signed.clone());
        }
        self.has(&reference.sha256, reference.signed.as_ref().map(Message::encode_to_vec))
    }

    fn has_kek(&self, reference: Option<&KekRef>) -> bool {
        let Some(reference) = reference else { return true };
        self.has(&reference.sha256, Some(reference.wrapped.clone()).filter(|wrapped| !wrapped.is_empty()))
    }

    fn has(&self, hash: &[u8], bytes: Option<Vec<u8>>) -> bool {
        let mut known = self.known.lock().unwrap();
        if let Some(bytes) = bytes {
            assert_eq!(sha256(&[&bytes]), hash, "the reference names these bytes");
            known.insert(hash.to_vec());
        }
        known.contains(hash)
    }

    fn carry_out(&self, ask: &Ask) -> Answer {
        match ask {
            Ask::CreateKek(ask) => {
                let wrapped = [ask.tenant.as_slice(), &ask.epoch.to_be_bytes()].concat();
                Answer::KekCreated(KekCreated { epoch: ask.epoch, wrapped })
            }
            Ask::Reseal(ask) => {
                let done = self.reseals.fetch_add(1, Ordering::Relaxed);
                let max = self.reseals_max.load(Ordering::Relaxed);
                if max > 0 && done >= max {
                    return refusal(Reason::KmsUnavailable, 0);
                }
                epochs::reseal(ask)
            }
            Ask::GetIdentity(ask) => {
                self.identities.fetch_add(1, Ordering::Relaxed);
                let epoch = ask.kek.as_ref().unwrap().epoch;
                let identity = identity(&ask.tenant, self.role, epoch);
                Answer::IdentityProven(IdentityProven { identity, document: ask.nonce.clone() })
            }
            Ask::GetView(ask) if ask.records.iter().any(epochs::is_damaged) => {
                self.refused_views.fetch_add(1, Ordering::Relaxed);
                refusal(Reason::DecryptFailed, 0)
            }
            Ask::GetView(ask) => {
                let records = ask.records.iter().map(|record| self.view_of(record)).collect();
                let (wallet, nonce) = (ask.wallet.clone(), ask.nonce.clone());
                let view = WalletView { wallet, nonce, records, time_ms: self.now_ms(), ..Default::default() };
                let signature = ask.records.iter().flat_map(|record| record.sealed.clone()).collect();
                Answer::View(View { view: Some(SignedView { view: view.encode_to_vec(), signature }) })
            }
            Ask::CreateRecord(ask) => {
                let Some(intent) = self.act(ask.act.as_ref()) else { return refusal(Reason::ProofRejected, 0) };
                let Some(Action::CreateBackup(action)) = &intent.action else { panic!("{intent:?}") };
                let record = SealedRecord {
                    wallet: intent.wallet.clone(),
                    record_id: intent::record_id(&intent).0.to_vec(),
                    backup: action.backup.clone(),
                    epoch: ask.kek.as_ref().unwrap().epoch,
                    sealed: vec![1],
                };
                let sealed = &ask.message[..ask.message.len() / action.pairs.len()];
                let epoch = record.epoch;
                let share =
                    |id: &String| SealedShare { generation: 1, pair: id.clone(), sealed: sealed.to_vec(), epoch };
                let shares: Vec<SealedShare> = action.pairs.iter().map(|pair| share(&pair.id)).collect();
                self.created(&record, &shares);
                let receipt = Some(receipt(&ask.tenant, &record, self.role));
                Answer::Moved(Moved {
                    record: Some(record),
                    shares,
                    receipt,
                    generations: vec![1],
                    release: Vec::new(),
                })
            }
            Ask::Recover(_) | Ask::Commit(_) => {
                let before = self.before.lock().unwrap().take();
                if let Some(before) = before {
                    before();
                }
                self.act_on(ask)
            }
            Ask::Rehearse(ask) => {
                let opens = ask.shares.iter().any(|share| !share.sealed.is_empty())
                    && self.opens(ask.record.as_ref().unwrap(), &ask.shares);
                let result = if opens { RehearsalResult::Opens } else { RehearsalResult::Damaged };
                let report = Rehearsal { result: result.into(), stages: Some(stages()), ..Default::default() };
                let rehearsal = SignedRehearsal { rehearsal: report.encode_to_vec(), signature: vec![0; 64] };
                Answer::Rehearsed(Rehearsed { rehearsal: Some(rehearsal) })
            }
            other => self.act_on(other),
        }
    }

    /// An act without consents is refused, as the core would.
    fn act(&self, act: Option<&Act>) -> Option<strongroom_proto::v1::Intent> {
        self.acts.fetch_add(1, Ordering::Relaxed);
        let act = act?;
        let intent = intent::decode(&act.intent).unwrap();
        let cancels = matches!(intent.action, Some(Action::Cancel(_)));
        let tenant = (self.role == Role::Custodian || cancels) && act.tenant_signature.is_some();
        if act.assertions.is_empty() && !tenant {
            return None;
        }
        assert!(intent::part(&intent, self.role).is_some(), "consents that name the role: {intent:?}");
        Some(intent)
    }
}

pub(super) fn stages() -> Stages {
    Stages { trusted: vec![Trust::KeyAdmin.into()], freshness: Freshness::None.into() }
}

/// What an enclave of a role says of itself.
pub(super) fn identity(tenant: &[u8], role: Role, epoch: u64) -> Vec<u8> {
    let manifest = Manifest { role: role.into(), release: 1, ..Default::default() }.encode_to_vec();
    Identity { tenant: tenant.to_vec(), role: role.into(), epoch, manifest, release: 1, ..Default::default() }
        .encode_to_vec()
}

fn receipt(tenant: &[u8], record: &SealedRecord, role: Role) -> SignedReceipt {
    let receipt = Receipt {
        tenant: tenant.to_vec(),
        wallet: record.wallet.clone(),
        record_id: record.record_id.clone(),
        version: record.sealed[0].into(),
        role: role.into(),
        epoch: record.epoch,
        active: Some(GenerationRef { generation: 1, ..Default::default() }),
        stages: Some(stages()),
        ..Default::default()
    };
    SignedReceipt { receipt: receipt.encode_to_vec(), signature: vec![0; 64] }
}
