//! The surroundings of a core: platform, KMS, and a host that answers `Need`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;

use hpke::rand_core::{TryCryptoRng, TryRng};
use prost::Message;
use strongroom_core::{
    Caches, Deployment, EnclaveTime, Incoming, PlainSuite, Platform, RoleCore, Step, Unavailable, parse,
};
use strongroom_proto::enclave::v1::{
    CreateKek, Error, GetIdentity, KekRef, Need, Request, Response, StatementRef, request::Body as Ask,
    response::Body as Answer,
};
use strongroom_proto::id::ContentHash;
use strongroom_proto::v1::{Identity, Reason, Role, SignedStatement};

use crate::tenant::Tenant;
use keep::keep;
use kms::Kms;

#[path = "../../../../tests/fuzz-targets/src/keep.rs"]
pub(crate) mod keep;
#[path = "kms.rs"]
pub(crate) mod kms;

/// One row of a table of refusals: what is changed, and the reason and the field that the refusal then names.
pub(crate) type Case<T> = (&'static str, fn(&mut T), Reason, &'static str);

/// Statements and wrapped KEKs by hash.
type Stored = (BTreeMap<Vec<u8>, SignedStatement>, BTreeMap<Vec<u8>, Vec<u8>>);

/// When every test starts, in milliseconds.
pub(crate) const START: u64 = 1_800_000_000_000;

/// `SplitMix64`: reproducible, and nothing more.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        println!("seed {seed:#x}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 8).unwrap() % end
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        out.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]));
    }

    pub(crate) fn array(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        self.fill(&mut out);
        out
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::try_from(self.next() >> 32).unwrap())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next())
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.fill(out);
        Ok(())
    }
}

impl TryCryptoRng for Random {}

/// A platform whose time is set by the test.
#[derive(Clone)]
pub(crate) struct Fake(Rc<State>);

pub(crate) struct State {
    pub(crate) now: Cell<u64>,
    pub(crate) random: RefCell<Random>,
    /// How often the core asked for randomness, and at which of these times it gets none.
    pub(crate) random_calls: Cell<usize>,
    pub(crate) random_fails_at: Cell<Option<usize>>,
    /// What the platform lacks, and gives as its error.
    pub(crate) lacks: Cell<&'static str>,
    caches: RefCell<Caches<PlainSuite>>,
}

impl std::ops::Deref for Fake {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl Fake {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rc::new(State {
            now: Cell::new(START),
            random: RefCell::new(Random::new(seed)),
            random_calls: Cell::new(0),
            random_fails_at: Cell::new(None),
            lacks: Cell::new(""),
            caches: RefCell::new(Caches::new()),
        }))
    }

    /// Forgets every KEK, statement and count.
    pub(crate) fn forget(&self) {
        self.caches.replace(Caches::new());
    }

    fn have(&self, what: &'static str) -> Result<(), Unavailable> {
        if self.lacks.get() == what { Err(Unavailable(what)) } else { Ok(()) }
    }
}

impl Platform for Fake {
    type Suite = PlainSuite;

    fn now(&self) -> Result<EnclaveTime, Unavailable> {
        self.have("clock").map(|()| EnclaveTime(self.now.get()))
    }

    fn random(&self, out: &mut [u8]) -> Result<(), Unavailable> {
        let call = self.random_calls.replace(self.random_calls.get() + 1);
        if self.random_fails_at.get() == Some(call) {
            return Err(Unavailable("random"));
        }
        self.random.borrow_mut().fill(out);
        Ok(())
    }

    fn attest(&self, user_data: &[u8], nonce: Option<&[u8]>) -> Result<Vec<u8>, Unavailable> {
        self.have("nsm")?;
        Ok([b"document|", user_data, b"|", nonce.unwrap_or(b"none")].concat())
    }

    fn with_caches<T>(&self, f: impl FnOnce(&mut Caches<PlainSuite>) -> T) -> T {
        if self.lacks.get() == "memory" {
            // Others push everything out at once.
            self.forget();
        }
        f(&mut self.caches.borrow_mut())
    }
}

/// One epoch of a tenant, as the host stores it and as the enclave shows it.
#[derive(Clone)]
pub(crate) struct Epoch {
    pub(crate) wrapped: Vec<u8>,
    pub(crate) identity: Identity,
}

impl Epoch {
    /// A reference without the bytes.
    pub(crate) fn kek(&self) -> KekRef {
        KekRef { epoch: self.identity.epoch, sha256: ContentHash::of(&self.wrapped).0.to_vec(), wrapped: Vec::new() }
    }
}

/// An enclave, its KMS, and a host that keeps what the enclave may ask for.
pub(crate) struct World {
    pub(crate) fake: Fake,
    pub(crate) role: Role,
    pub(crate) core: RoleCore<Fake>,
    pub(crate) kms: Kms,
    pub(crate) tenant: Tenant,
    pub(crate) epoch: Epoch,
    /// The statement in force.
    pub(crate) statement: SignedStatement,
    stored: RefCell<Stored>,
}

impl World {
    /// A tenant with one epoch and a statement that names it, in the client role.
    pub(crate) fn new(seed: u64) -> Self {
        Self::of(Tenant::new(1), seed)
    }

    /// As [`new`](Self::new), with another tenant.
    pub(crate) fn of(tenant: Tenant, seed: u64) -> Self {
        Self::in_role(Role::Client, tenant, seed)
    }

    /// As [`new`](Self::new), in the custodian role.
    pub(crate) fn custodian(seed: u64) -> Self {
        Self::in_role(Role::Custodian, Tenant::new(1), seed)
    }

    fn in_role(role: Role, tenant: Tenant, seed: u64) -> Self {
        let fake = Fake::new(seed);
        let deployment = Deployment { manifest: b"manifest".to_vec(), release: 7 };
        let core = RoleCore::new(role, fake.clone(), deployment).unwrap();
        let mut world = Self {
            fake,
            role,
            core,
            kms: Kms::default(),
            tenant,
            epoch: Epoch { wrapped: Vec::new(), identity: Identity::default() },
            statement: SignedStatement::default(),
            stored: RefCell::default(),
        };
        world.epoch = world.make_epoch(&world.tenant, 1);
        world.statement = world.keep(world.tenant.sign(&world.tenant.statement(&[&world.epoch.identity])));
        world
    }

    /// Makes the KEK of an epoch and has its identity proven.
    pub(crate) fn make_epoch(&self, tenant: &Tenant, number: u64) -> Epoch {
        let tenant = tenant.id().0.to_vec();
        let create = Ask::CreateKek(CreateKek { tenant: tenant.clone(), epoch: number });
        let Answer::KekCreated(made) = self.drive(create) else { panic!("no KEK") };
        let sha256 = ContentHash::of(&made.wrapped).0.to_vec();
        self.stored.borrow_mut().1.insert(sha256.clone(), made.wrapped.clone());
        let kek = Some(KekRef { epoch: made.epoch, sha256, wrapped: Vec::new() });
        let ask = Ask::GetIdentity(GetIdentity { tenant, kek, nonce: Vec::new() });
        let Answer::IdentityProven(proven) = self.drive(ask) else { panic!("no identity") };
        Epoch { wrapped: made.wrapped, identity: Identity::decode(proven.identity.as_slice()).unwrap() }
    }

    /// Stores a statement for when the enclave asks for it.
    pub(crate) fn keep(&self, signed: SignedStatement) -> SignedStatement {
        let sha256 = ContentHash::of(&signed.encode_to_vec()).0.to_vec();
        self.stored.borrow_mut().0.insert(sha256, signed.clone());
        signed
    }

    pub(crate) fn tenant_id(&self) -> Vec<u8> {
        self.tenant.id().0.to_vec()
    }

    pub(crate) fn statement_ref(&self) -> StatementRef {
        reference(&self.statement)
    }

    pub(crate) fn random(&self) -> [u8; 32] {
        self.fake.random.borrow_mut().array()
    }

    /// One frame, answered; `Need` is given back.
    pub(crate) fn once(&self, payload: &[u8]) -> Answer {
        self.keep_frame(payload);
        let work = match parse(payload) {
            Ok(Incoming::Work(work)) => work,
            Ok(Incoming::Control(_)) => panic!("control"),
            Err(refusal) => return Response::decode(refusal.as_slice()).unwrap().body.unwrap(),
        };
        let mut step = self.core.begin(work);
        for _ in 0..3 {
            match step {
                Step::Reply(bytes) => return Response::decode(bytes.as_slice()).unwrap().body.unwrap(),
                Step::Kms(call, pending) => {
                    let reply = self.kms.answer(&call, &mut self.fake.random.borrow_mut());
                    step = self.core.resume(pending, reply);
                }
            }
        }
        panic!("more than two KMS calls in one step");
    }

    /// A request, with the bytes that the enclave asks for.
    pub(crate) fn drive(&self, mut body: Ask) -> Answer {
        for _ in 0..3 {
            match self.once(&encode(body.clone())) {
                Answer::Need(need) => self.supply(&mut body, need),
                answer => return answer,
            }
        }
        panic!("the enclave needs what it was given");
    }

    /// Keeps a frame with the bytes in it that the enclave may ask for; one that does not decode, as it is.
    fn keep_frame(&self, payload: &[u8]) {
        if !keep::is_asked_for() {
            return;
        }
        match Request::decode(payload).ok().and_then(|request| request.body) {
            Some(mut body) if Request { body: Some(body.clone()) }.encode_to_vec() == payload => {
                let (statement, kek, other) = references(&mut body);
                let need = Need {
                    statement: statement.is_some_and(|statement| statement.signed.is_none()),
                    kek: kek.is_some_and(|kek| kek.wrapped.is_empty()),
                    other_kek: other.is_some_and(|kek| kek.wrapped.is_empty()),
                };
                self.supply(&mut body, need);
                keep("frame", &encode(body));
            }
            _ => keep("frame", payload),
        }
    }

    fn supply(&self, body: &mut Ask, need: Need) {
        let stored = self.stored.borrow();
        let (statement, kek, other) = references(body);
        if let Some(statement) = statement.filter(|_| need.statement) {
            statement.signed = stored.0.get(&statement.sha256).cloned();
        }
        for (kek, needed) in [(kek, need.kek), (other, need.other_kek)] {
            if let Some(kek) = kek.filter(|_| needed) {
                kek.wrapped = stored.1.get(&kek.sha256).cloned().unwrap_or_default();
            }
        }
    }

    /// Asks, and expects to be refused so.
    pub(crate) fn refused(&self, name: &str, body: Ask, reason: Reason, detail: &str) -> Error {
        match self.drive(body) {
            Answer::Error(error) => {
                assert_eq!(error.reason(), reason, "{name}: {error:?}");
                assert!(error.detail.contains(detail), "{name}: {error:?} does not name {detail:?}");
                error
            }
            answer => panic!("{name}: not refused: {}", told(&answer)),
        }
    }
}

pub(crate) fn encode(body: Ask) -> Vec<u8> {
    Request { body: Some(body) }.encode_to_vec()
}

/// A reference to a statement, without its bytes.
pub(crate) fn reference(signed: &SignedStatement) -> StatementRef {
    StatementRef { sha256: ContentHash::of(&signed.encode_to_vec()).0.to_vec(), signed: None }
}

/// What a request refers to: the statement, the KEK that signs and seals, and the other one.
pub(crate) fn references(body: &mut Ask) -> (Option<&mut StatementRef>, Option<&mut KekRef>, Option<&mut KekRef>) {
    match body {
        Ask::GetIdentity(ask) => (None, ask.kek.as_mut(), None),
        Ask::GetView(ask) => (None, ask.kek.as_mut(), ask.other_kek.as_mut()),
        Ask::CreateRecord(ask) => (ask.statement.as_mut(), ask.kek.as_mut(), None),
        Ask::Recover(ask) => (ask.statement.as_mut(), ask.kek.as_mut(), ask.other_kek.as_mut()),
        Ask::Rehearse(ask) => (ask.statement.as_mut(), ask.kek.as_mut(), ask.other_kek.as_mut()),
        Ask::PutShares(ask) => (ask.statement.as_mut(), ask.kek.as_mut(), ask.other_kek.as_mut()),
        Ask::Commit(ask) => (ask.statement.as_mut(), ask.kek.as_mut(), ask.other_kek.as_mut()),
        Ask::Change(ask) => (ask.statement.as_mut(), ask.kek.as_mut(), ask.other_kek.as_mut()),
        Ask::CarryOut(ask) => (ask.statement.as_mut(), ask.kek.as_mut(), ask.other_kek.as_mut()),
        Ask::Reseal(ask) => (ask.statement.as_mut(), ask.kek.as_mut(), ask.other_kek.as_mut()),
        _ => (None, None, None),
    }
}

/// An answer in few words, for when a test fails.
pub(crate) fn told(answer: &Answer) -> String {
    match answer {
        Answer::Error(error) => format!("{error:?}"),
        other => format!("{other:?}").chars().take(40).collect(),
    }
}
