//! A fake core: right in form, and nothing else. Its "sealed" record is its version.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use prost::Message;
use strongroom_proto::enclave::v1::{
    IdentityProven, KekCreated, KekRef, Moved, Need, Rehearsed, SealedRecord, SealedShare, StatementRef, View,
    request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::id::sha256;
use strongroom_proto::intent;
use strongroom_proto::v1::{
    Act, Freshness, Reason, Receipt, Rehearsal, RehearsalResult, SignedReceipt, SignedRehearsal, SignedView, Stages,
    Trust, WalletView, intent::Action,
};

use crate::testing::{FakeEnclave, Reaction, refusal};

/// What the test sees of the fake, and how it meddles.
#[derive(Default)]
pub(super) struct Core {
    known: Mutex<HashSet<Vec<u8>>>,
    pub(super) identities: AtomicUsize,
    pub(super) needs: AtomicUsize,
    pub(super) acts: AtomicUsize,
    /// Before the next act is answered, another host changes the record in this store.
    pub(super) meddle: AtomicBool,
    store: PathBuf,
}

impl Core {
    pub(super) fn start(dir: &Path) -> (Arc<Self>, FakeEnclave) {
        let core = Arc::new(Self { store: dir.join("db"), ..Self::default() });
        let answering = Arc::clone(&core);
        let fake = FakeEnclave::start(&dir.join("enclave.sock"), move |ask| Reaction::Say(answering.answer(ask)));
        (core, fake)
    }

    fn answer(&self, ask: &Ask) -> Answer {
        let (statement, kek) = match ask {
            Ask::GetIdentity(ask) => (None, ask.kek.as_ref()),
            Ask::GetView(ask) => (None, ask.kek.as_ref()),
            Ask::CreateRecord(ask) => (ask.statement.as_ref(), ask.kek.as_ref()),
            Ask::Recover(ask) => (ask.statement.as_ref(), ask.kek.as_ref()),
            Ask::Rehearse(ask) => (ask.statement.as_ref(), ask.kek.as_ref()),
            _ => (None, None),
        };
        let need = Need { statement: !self.has_statement(statement), kek: !self.has_kek(kek), other_kek: false };
        if need.statement || need.kek {
            self.needs.fetch_add(1, Ordering::Relaxed);
            return Answer::Need(need);
        }
        if self.meddle.swap(false, Ordering::Relaxed) {
            let other = rusqlite::Connection::open(&self.store).unwrap();
            let records = "FROM rows WHERE substr(key, 1, 1) = x'07'";
            let mut row: Vec<u8> = other.query_row(&format!("SELECT value {records}"), [], |row| row.get(0)).unwrap();
            row.extend_from_slice(&[0xf8, 1, 1]);
            other.execute("UPDATE rows SET value = ?1 WHERE substr(key, 1, 1) = x'07'", [row]).unwrap();
        }
        self.carry_out(ask)
    }

    fn has_statement(&self, reference: Option<&StatementRef>) -> bool {
        let Some(reference) = reference else { return true };
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
            Ask::CreateKek(ask) => Answer::KekCreated(KekCreated { epoch: ask.epoch, wrapped: ask.tenant.clone() }),
            Ask::GetIdentity(ask) => {
                self.identities.fetch_add(1, Ordering::Relaxed);
                let identity = ask.kek.as_ref().unwrap().epoch.to_string().into_bytes();
                Answer::IdentityProven(IdentityProven { identity, document: ask.nonce.clone() })
            }
            Ask::GetView(ask) => {
                let view = WalletView { wallet: ask.wallet.clone(), nonce: ask.nonce.clone(), ..Default::default() };
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
                let shares = action.pairs.iter().map(|pair| share(&pair.id)).collect();
                let receipt = Some(receipt(&record));
                Answer::Moved(Moved {
                    record: Some(record),
                    shares,
                    receipt,
                    generations: vec![1],
                    release: Vec::new(),
                })
            }
            Ask::Recover(ask) => {
                if self.act(ask.act.as_ref()).is_none() {
                    return refusal(Reason::ProofRejected, 0);
                }
                let mut record = ask.record.clone().unwrap();
                record.sealed[0] += 1;
                let release = ask.shares.iter().flat_map(|share| share.sealed.clone()).collect();
                let receipt = Some(receipt(&record));
                Answer::Moved(Moved {
                    record: Some(record),
                    release,
                    receipt,
                    generations: vec![1],
                    shares: Vec::new(),
                })
            }
            Ask::Rehearse(ask) => {
                let opens = ask.shares.iter().any(|share| !share.sealed.is_empty());
                let result = if opens { RehearsalResult::Opens } else { RehearsalResult::Damaged };
                let report = Rehearsal { result: result.into(), stages: Some(stages()), ..Default::default() };
                let rehearsal = SignedRehearsal { rehearsal: report.encode_to_vec(), signature: vec![0; 64] };
                Answer::Rehearsed(Rehearsed { rehearsal: Some(rehearsal) })
            }
            other => panic!("{other:?}"),
        }
    }

    /// An act without consents is refused, as the core would.
    fn act(&self, act: Option<&Act>) -> Option<strongroom_proto::v1::Intent> {
        self.acts.fetch_add(1, Ordering::Relaxed);
        let act = act.filter(|act| !act.assertions.is_empty())?;
        Some(intent::decode(&act.intent).unwrap())
    }
}

pub(super) fn stages() -> Stages {
    Stages { trusted: vec![Trust::KeyAdmin.into()], freshness: Freshness::None.into() }
}

fn receipt(record: &SealedRecord) -> SignedReceipt {
    let receipt = Receipt {
        record_id: record.record_id.clone(),
        version: record.sealed[0].into(),
        stages: Some(stages()),
        ..Default::default()
    };
    SignedReceipt { receipt: receipt.encode_to_vec(), signature: vec![0; 64] }
}
