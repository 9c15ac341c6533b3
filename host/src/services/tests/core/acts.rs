//! The fake core's acts: right in form, and in what moves. What a record holds stands beside it, by its version, so that an answer which
//! the host threw away leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use strongroom_proto::enclave::v1::{
    CarryOut, Change, Commit, Moved, PutShares, Recover, SealedRecord, SealedShare, request::Body as Ask,
    response::Body as Answer,
};
use strongroom_proto::id::sha256;
use strongroom_proto::intent;
use strongroom_proto::limits::{DELETE_DUE_MS_MAX, DUE_MS_MAX};
use strongroom_proto::v1::{
    ActKind, Event, GenerationRef, Intent, OpenAct, OpenActKind, Reason, Receipt, Role, SignedReceipt, intent::Action,
};

use super::{Core, stages};
use crate::testing::refusal;

/// Generations that a record of the fake names at once.
const GENERATIONS: usize = 2;

/// What a record holds beside its version.
#[derive(Clone)]
pub(super) struct Standing {
    /// Each with the hash of its put's intent; the creation's is not known here.
    pub(super) generations: Vec<(u64, Vec<u8>)>,
    active: u64,
    pending: u64,
    open_acts: Vec<OpenAct>,
    pub(super) credentials: Vec<Vec<u8>>,
    pub(super) closed: bool,
    /// By generation and pair, the hashes that open: what was brought last stands first.
    seals: BTreeMap<(u64, String), Vec<[u8; 32]>>,
}

impl Default for Standing {
    fn default() -> Self {
        let (generations, credentials) = (vec![(1, Vec::new())], vec![b"c1".to_vec()]);
        let (open_acts, seals) = (Vec::new(), BTreeMap::new());
        Self { generations, active: 1, pending: 0, open_acts, credentials, closed: false, seals }
    }
}

/// Why an act is refused, and when to try again.
type Refused = (Reason, u32);

/// What an act did.
#[derive(Default)]
struct Deed {
    kind: ActKind,
    intent: Vec<u8>,
    /// The credential that it is about.
    subject: Vec<u8>,
    generation: u64,
    not_before_ms: u64,
    /// What a cancelling names.
    cancelled: Vec<u8>,
    /// The credential whose assertion was taken.
    credential: Vec<u8>,
    shares: Vec<SealedShare>,
    release: Vec<u8>,
    /// It was in force already.
    moves_nothing: bool,
}

impl Standing {
    fn note(&mut self, shares: &[SealedShare]) {
        for share in shares {
            self.seals.insert((share.generation, share.pair.clone()), vec![sha256(&[&share.sealed])]);
        }
    }

    fn seals_of(&self, share: &SealedShare) -> &[[u8; 32]] {
        self.seals.get(&(share.generation, share.pair.clone())).map_or(&[], Vec::as_slice)
    }

    fn named(&self, number: u64) -> Option<GenerationRef> {
        let (generation, put_intent_hash) = self.generations.iter().find(|(it, _)| *it == number)?.clone();
        Some(GenerationRef { generation, put_intent_hash })
    }
}

impl Core {
    pub(super) fn act_on(&self, ask: &Ask) -> Answer {
        let (tenant, record, epoch) = match ask {
            Ask::PutShares(ask) => (&ask.tenant, &ask.record, &ask.kek),
            Ask::Change(ask) => (&ask.tenant, &ask.record, &ask.kek),
            Ask::CarryOut(ask) => (&ask.tenant, &ask.record, &ask.kek),
            Ask::Recover(ask) => (&ask.tenant, &ask.record, &ask.kek),
            Ask::Commit(ask) => (&ask.tenant, &ask.record, &ask.kek),
            other => panic!("{other:?}"),
        };
        let (record, epoch) = (record.clone().unwrap(), epoch.as_ref().unwrap().epoch);
        let mut standing = self.standing(&record);
        if standing.closed {
            return refusal(Reason::StateInvalid, 0);
        }
        let deed = match ask {
            Ask::PutShares(ask) => self.put(ask, &mut standing, epoch),
            Ask::Change(ask) => self.change(ask, &mut standing),
            Ask::CarryOut(ask) => self.carry_out_due(ask, &mut standing, epoch),
            Ask::Recover(ask) => self.recover(ask, &mut standing, epoch),
            Ask::Commit(ask) => self.commit(ask, &mut standing),
            other => panic!("{other:?}"),
        };
        deed.map_or_else(
            |(reason, retry_after_ms)| refusal(reason, retry_after_ms),
            |deed| self.moved(tenant, record, standing, epoch, deed),
        )
    }

    fn put(&self, ask: &PutShares, standing: &mut Standing, epoch: u64) -> Result<Deed, Refused> {
        let (intent, hash) = self.consented(ask.act.as_ref())?;
        let Some(Action::PutShares(action)) = intent.action else { panic!("{intent:?}") };
        let generation = action.generation;
        if standing.generations.last().is_some_and(|(last, _)| generation <= *last) {
            return Err((Reason::StateInvalid, 0));
        }
        let pending = standing.pending;
        standing.generations.retain(|(it, _)| *it != pending);
        standing.generations.push((generation, hash.clone()));
        if intent.client.is_some() && intent.custodian.is_some() {
            standing.pending = generation;
        } else {
            standing.active = generation;
            if standing.generations.len() > GENERATIONS {
                standing.generations.remove(0);
            }
        }
        let sealed = [&ask.message[..8], &generation.to_be_bytes()].concat();
        let share =
            |pair: strongroom_proto::v1::Pair| SealedShare { generation, pair: pair.id, sealed: sealed.clone(), epoch };
        let shares: Vec<SealedShare> = action.pairs.into_iter().map(share).collect();
        standing.note(&shares);
        Ok(Deed { kind: ActKind::PutShares, intent: hash, generation, shares, ..Deed::default() })
    }

    fn recover(&self, ask: &Recover, standing: &mut Standing, epoch: u64) -> Result<Deed, Refused> {
        let (intent, hash) = self.consented(ask.act.as_ref())?;
        let Some(Action::Recover(action)) = intent.action else { panic!("{intent:?}") };
        let shares = self.raise(standing, ask.record.as_ref(), &ask.shares, epoch)?;
        let release = ask.shares.iter().flat_map(|share| share.sealed.clone()).collect();
        let generation = action.generation;
        let kind = if action.eject { ActKind::Eject } else { ActKind::Recover };
        Ok(Deed { kind, intent: hash, generation, release, shares, ..Deed::default() })
    }

    /// As the core: the custodian on what waits at the client, the client on what is active at the custodian.
    fn commit(&self, ask: &Commit, standing: &mut Standing) -> Result<Deed, Refused> {
        self.acts.fetch_add(1, Ordering::Relaxed);
        let receipt = Receipt::decode(ask.receipt.as_ref().unwrap().receipt.as_slice()).unwrap();
        assert_eq!(receipt.record_id, ask.record.as_ref().unwrap().record_id);
        let (other, committed) = match self.role {
            Role::Client => (Role::Custodian, receipt.active.clone()),
            _ => (Role::Client, receipt.pending.clone()),
        };
        if receipt.role() != other {
            return Err((Reason::ProofRejected, 0));
        }
        let committed = committed.ok_or((Reason::StateInvalid, 0))?;
        let (generation, intent) = (committed.generation, committed.put_intent_hash.clone());
        let deed = Deed { kind: ActKind::Commit, generation, intent, ..Deed::default() };
        if standing.named(standing.active).as_ref() == Some(&committed) {
            return Ok(Deed { moves_nothing: true, ..deed });
        }
        if standing.named(standing.pending) != Some(committed) {
            return Err((Reason::StateInvalid, 0));
        }
        let former = standing.active;
        standing.generations.retain(|(it, _)| [generation, former].contains(it));
        (standing.active, standing.pending) = (generation, 0);
        Ok(deed)
    }

    fn change(&self, ask: &Change, standing: &mut Standing) -> Result<Deed, Refused> {
        let (intent, hash) = self.consented(ask.act.as_ref())?;
        let delayed = self.delay_ms.load(Ordering::Relaxed) > 0;
        let done = |kind| Ok(Deed { kind, intent: hash.clone(), ..Deed::default() });
        match intent.action.unwrap() {
            Action::AddPasskey(_) => {
                standing.credentials.push(ask.credential.clone().unwrap().id);
                done(ActKind::AddPasskey)
            }
            Action::RenamePasskey(_) => done(ActKind::RenamePasskey),
            Action::RemovePasskey(_) if standing.credentials.len() < 2 => Err((Reason::LastPasskey, 0)),
            Action::RemovePasskey(action) if delayed => {
                let (kind, event) = (OpenActKind::PasskeyRemoval, ActKind::StartRemovePasskey);
                let deed = self.wait(standing, &hash, kind, event, 0);
                if let Some(open) = standing.open_acts.last_mut() {
                    open.credential_id.clone_from(&action.credential_id);
                }
                Ok(Deed { subject: action.credential_id, ..deed })
            }
            Action::RemovePasskey(action) => {
                let subject = action.credential_id;
                standing.credentials.retain(|id| *id != subject);
                standing.open_acts.retain(|open| open.credential_id != subject);
                Ok(Deed { kind: ActKind::RemovePasskey, intent: hash, subject, ..Deed::default() })
            }
            Action::ChangePolicy(_) if delayed => {
                Ok(self.wait(standing, &hash, OpenActKind::PolicyChange, ActKind::StartChangePolicy, 0))
            }
            Action::ChangePolicy(_) => done(ActKind::ChangePolicy),
            Action::StartRecovery(action) => {
                let event = if action.eject { ActKind::StartEject } else { ActKind::StartRecovery };
                let deed = self.wait(standing, &hash, OpenActKind::Recovery, event, action.generation);
                if let Some(open) = standing.open_acts.last_mut() {
                    open.eject = action.eject;
                }
                Ok(deed)
            }
            Action::DeleteBackup(_) => Ok(self.wait(standing, &hash, OpenActKind::Delete, ActKind::StartDelete, 0)),
            Action::Cancel(action) => {
                let before = standing.open_acts.len();
                standing.open_acts.retain(|open| open.intent_hash != action.intent_hash || open.kind != action.kind);
                if standing.open_acts.len() == before {
                    return Err((Reason::StateInvalid, 0));
                }
                let asserted = ask.act.as_ref().is_some_and(|act| !act.assertions.is_empty());
                let credential = if asserted { b"c1".to_vec() } else { Vec::new() };
                let cancelled = action.intent_hash;
                Ok(Deed { kind: ActKind::Cancel, intent: hash.clone(), cancelled, credential, ..Deed::default() })
            }
            other => panic!("{other:?}"),
        }
    }

    fn wait(&self, standing: &mut Standing, hash: &[u8], kind: OpenActKind, event: ActKind, generation: u64) -> Deed {
        let not_before_ms = self.now_ms() + self.delay_ms.load(Ordering::Relaxed);
        let due = if kind == OpenActKind::Delete { DELETE_DUE_MS_MAX } else { DUE_MS_MAX };
        let (intent, expires_ms) = (hash.to_vec(), not_before_ms + due);
        standing.open_acts.push(OpenAct {
            kind: kind.into(),
            intent_hash: intent.clone(),
            not_before_ms,
            expires_ms,
            generation,
            ..OpenAct::default()
        });
        Deed { kind: event, intent, generation, not_before_ms, ..Deed::default() }
    }

    fn carry_out_due(&self, ask: &CarryOut, standing: &mut Standing, epoch: u64) -> Result<Deed, Refused> {
        self.acts.fetch_add(1, Ordering::Relaxed);
        if let Some(second) = &ask.act {
            let second = intent::decode(&second.intent).unwrap();
            assert!(intent::part(&second, self.role).is_some(), "consents that name the role: {second:?}");
        }
        let found = standing.open_acts.iter().position(|open| open.kind == ask.kind);
        let open = standing.open_acts.remove(found.ok_or((Reason::StateInvalid, 0))?);
        let now_ms = self.now_ms();
        if now_ms < open.not_before_ms {
            return Err((Reason::RecoveryDelayed, u32::try_from(open.not_before_ms - now_ms).unwrap()));
        }
        if now_ms >= open.expires_ms {
            return Err((Reason::StateInvalid, 0));
        }
        if self.newest_head.load(Ordering::Relaxed) && ask.act.is_none() {
            return Err((Reason::PolicyDenied, 0));
        }
        let (intent, generation) = (open.intent_hash.clone(), open.generation);
        let mut deed = Deed { intent, generation, subject: open.credential_id.clone(), ..Deed::default() };
        deed.kind = match open.kind() {
            OpenActKind::Recovery => {
                deed.shares = self.raise(standing, ask.record.as_ref(), &ask.shares, epoch)?;
                deed.release = ask.shares.iter().flat_map(|share| share.sealed.clone()).collect();
                if open.eject { ActKind::Eject } else { ActKind::Recover }
            }
            OpenActKind::PolicyChange => ActKind::ChangePolicy,
            OpenActKind::PasskeyRemoval => ActKind::RemovePasskey,
            OpenActKind::Delete => {
                standing.closed = true;
                (standing.active, standing.pending) = (0, 0);
                standing.generations.clear();
                standing.credentials.clear();
                ActKind::Delete
            }
            OpenActKind::EjectWindow | OpenActKind::Unspecified => panic!("{open:?}"),
        };
        Ok(deed)
    }

    /// Remembers which shares a creation made.
    pub(super) fn created(&self, record: &SealedRecord, shares: &[SealedShare]) {
        let mut standing = Standing::default();
        standing.note(shares);
        self.standings.lock().unwrap().insert((record.record_id.clone(), record.sealed[0]), standing);
    }

    /// Whether a record's shares are those that it names, where the fake looks at all.
    pub(super) fn opens(&self, record: &SealedRecord, shares: &[SealedShare]) -> bool {
        !self.checks_shares.load(Ordering::Relaxed)
            || shares.iter().all(|share| self.standing(record).seals_of(share).contains(&sha256(&[&share.sealed])))
    }

    /// As the core: opens what it is brought by its hash, and seals anew what lies under a lower epoch.
    fn raise(
        &self,
        standing: &mut Standing,
        record: Option<&SealedRecord>,
        shares: &[SealedShare],
        epoch: u64,
    ) -> Result<Vec<SealedShare>, Refused> {
        let mut anew = Vec::new();
        // No two seals are alike.
        let version = record.unwrap().sealed[0];
        for share in shares {
            let hash = sha256(&[&share.sealed]);
            let seals = standing.seals.entry((share.generation, share.pair.clone())).or_default();
            if self.checks_shares.load(Ordering::Relaxed) && !seals.contains(&hash) {
                return Err((Reason::CiphertextHashMismatch, 0));
            }
            let newer = seals.iter().position(|it| *it == hash).is_some_and(|at| at > 0);
            if share.epoch < epoch {
                let sealed = [share.sealed.as_slice(), b"anew", &[u8::try_from(epoch).unwrap(), version]].concat();
                *seals = vec![hash, sha256(&[&sealed])];
                anew.push(SealedShare { sealed, epoch, ..share.clone() });
            } else if newer {
                *seals = vec![hash];
            }
        }
        Ok(anew)
    }

    fn consented(&self, act: Option<&strongroom_proto::v1::Act>) -> Result<(Intent, Vec<u8>), Refused> {
        let hash = intent::hash(&act.unwrap().intent).0.to_vec();
        Ok((self.act(act).ok_or((Reason::ProofRejected, 0))?, hash))
    }

    fn moved(&self, tenant: &[u8], mut record: SealedRecord, standing: Standing, epoch: u64, deed: Deed) -> Answer {
        if !deed.moves_nothing {
            record.sealed[0] += 1;
            record.epoch = epoch;
        }
        let event = Event {
            version: record.sealed[0].into(),
            kind: deed.kind.into(),
            intent_hash: deed.intent.clone(),
            subject_credential_id: deed.subject,
            generation: deed.generation,
            not_before_ms: deed.not_before_ms,
            cancelled_intent_hash: deed.cancelled,
            credential_id: deed.credential,
            ..Event::default()
        };
        let event = if deed.moves_nothing { Vec::new() } else { event.encode_to_vec() };
        let receipt = Receipt {
            tenant: tenant.to_vec(),
            wallet: record.wallet.clone(),
            role: self.role.into(),
            record_id: record.record_id.clone(),
            version: record.sealed[0].into(),
            event,
            active: standing.named(standing.active),
            pending: standing.named(standing.pending),
            intent_hash: deed.intent,
            epoch,
            time_ms: self.now_ms(),
            stages: Some(stages()),
            ..Receipt::default()
        };
        let receipt = Some(SignedReceipt { receipt: receipt.encode_to_vec(), signature: vec![0; 64] });
        let generations = standing.generations.iter().map(|(number, _)| *number).collect();
        self.standings.lock().unwrap().insert((record.record_id.clone(), record.sealed[0]), standing);
        Answer::Moved(Moved { record: Some(record), shares: deed.shares, receipt, generations, release: deed.release })
    }

    /// Acts that change nothing here leave no entry: then the newest below holds.
    pub(super) fn standing(&self, record: &SealedRecord) -> Standing {
        let standings = self.standings.lock().unwrap();
        let up_to = (record.record_id.clone(), 0)..=(record.record_id.clone(), record.sealed[0]);
        standings.range(up_to).next_back().map(|(_, standing)| standing.clone()).unwrap_or_default()
    }

    /// The fake's clock, which a test may set.
    pub(in crate::services::tests) fn now_ms(&self) -> u64 {
        match self.clock_ms.load(Ordering::Relaxed) {
            0 => u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap(),
            set => set,
        }
    }
}
