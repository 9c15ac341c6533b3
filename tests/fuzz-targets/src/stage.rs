//! An enclave with one record in it, whose KMS unwraps whatever it is given: to a KEK that only the same bytes in the same context give.

use std::cell::RefCell;
use std::collections::BTreeMap;

use prost::Message;
use strongroom_core::{Incoming, KekReply, KmsCall, Step, parse};
use strongroom_proto::enclave::v1::{
    GetIdentity, KekRef, Request, Response, SealedRecord, request::Body as Ask, response::Body as Answer,
};
use strongroom_proto::id::{KekId, RecordId, TenantId};
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::{Act, Identity, Role};

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use strongroom_core::KekContext;
use strongroom_proto::seal::{Place, SealKind};

use crate::acts::{Backup, back_up};
use crate::device::{Passkey, Recipient, honest};
use crate::world::{World, encode, kek_of, references};

/// Most KMS calls of one step.
const KEK_PER_STEP_MAX: usize = 2;

/// What every input meets.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) backup: Backup,
    pub(crate) recipient: Recipient,
    identities: RefCell<Identities>,
}

/// Identities by tenant, epoch and wrapped KEK: a tenant may ask for few in a minute, and it is always the same minute.
type Identities = BTreeMap<(Vec<u8>, u64, Vec<u8>), Identity>;

/// Most identities that are remembered.
const IDENTITIES_MAX: usize = 256;

thread_local! {
    static STAGE: Stage = Stage::new();
}

/// Runs `f` on this thread's stage. Its KEK is cached: to derive it is most of the work.
pub(crate) fn with<T>(f: impl FnOnce(&Stage) -> T) -> T {
    STAGE.with(f)
}

impl Stage {
    fn new() -> Self {
        let world = World::new(0x90);
        let backup = back_up(&world, "wallet-1", Passkey::eddsa(9), |_| {});
        Self { world, backup, recipient: Recipient::new(1), identities: RefCell::default() }
    }

    /// A frame, answered; nothing for what the runtime answers.
    pub(crate) fn answer(&self, payload: &[u8]) -> Option<Answer> {
        let step = match parse(payload) {
            Ok(Incoming::Work(work)) => self.world.core.begin(work),
            Ok(Incoming::Control(_)) => return None,
            Err(refusal) => Step::Reply(refusal),
        };
        let bytes = self.finish(step);
        let response = Response::decode(bytes.as_slice()).expect("an answer decodes");
        assert_eq!(response.encode_to_vec(), bytes, "an answer has one encoding");
        Some(response.body.expect("an answer says something"))
    }

    fn finish(&self, mut step: Step) -> Vec<u8> {
        for _ in 0..=KEK_PER_STEP_MAX {
            match step {
                Step::Reply(bytes) => return bytes,
                Step::Kms(call, pending) => step = self.world.core.resume(pending, Ok(unwrapped(&call))),
            }
        }
        panic!("a step asks for more than {KEK_PER_STEP_MAX} KEKs");
    }

    /// A request with the statement's and the KEK's bytes in it.
    pub(crate) fn ask(&self, mut body: Ask) -> Answer {
        let (statement, kek) = references(&mut body);
        if let Some(statement) = statement.filter(|statement| statement.signed.is_none()) {
            statement.signed = Some(self.world.statement.clone());
        }
        if let Some(kek) = kek {
            kek.wrapped.clone_from(&self.world.epoch.wrapped);
        }
        self.answer(&encode(body)).expect("work for the core")
    }

    /// The intent, consented to by this stage's passkey and tenant, whatever it says.
    pub(crate) fn consent(&self, intent: &[u8]) -> Act {
        let assertions = vec![self.backup.passkey.assert(intent, &honest())];
        Act { intent: intent.to_vec(), assertions, tenant_signature: Some(self.world.tenant.consent(intent)) }
    }

    /// Who the enclave is for a tenant and a KEK.
    pub(crate) fn identity(&self, tenant: &[u8], kek: &KekRef) -> Option<Identity> {
        let name = (tenant.to_vec(), kek.epoch, kek.wrapped.clone());
        if let Some(known) = self.identities.borrow().get(&name) {
            return Some(known.clone());
        }
        let ask = GetIdentity { tenant: tenant.to_vec(), kek: Some(kek.clone()), nonce: Vec::new() };
        let Answer::IdentityProven(proven) = self.answer(&encode(Ask::GetIdentity(ask)))? else { return None };
        let identity = Identity::decode(proven.identity.as_slice()).ok()?;
        let mut identities = self.identities.borrow_mut();
        if identities.len() >= IDENTITIES_MAX {
            identities.clear();
        }
        identities.insert(name, identity.clone());
        Some(identity)
    }

    /// The content of a record that stands beside its KEK in a request.
    pub(crate) fn open(&self, tenant: &[u8], kek: &KekRef, record: &SealedRecord) -> Option<Vec<u8>> {
        let identity = self.identity(tenant, kek)?;
        let tenant = TenantId::from_slice(tenant)?;
        let secret = kek_of(&KekContext { tenant, role: Role::Client, epoch: kek.epoch }, &kek.wrapped);
        let place = Place {
            kind: SealKind::Record,
            tenant: &tenant,
            role: Role::Client,
            kek_id: &KekId::from_slice(&identity.kek_id)?,
            wallet: &record.wallet,
            record_id: &RecordId::from_slice(&record.record_id)?,
            backup: &record.backup,
            generation: 0,
            pair: "",
        };
        let (salt, body) = record.sealed.get(1..)?.split_at_checked(32)?;
        let mut key = [0; 32];
        let prk = Salt::new(HKDF_SHA256, salt).extract(&secret);
        prk.expand(&[&place.aad()], HKDF_SHA256).ok()?.fill(&mut key).ok()?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?);
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        Some(key.open_in_place(nonce, Aad::from(place.aad()), &mut body).ok()?.to_vec())
    }
}

fn unwrapped(call: &KmsCall) -> KekReply {
    let (context, wrapped) = match call {
        KmsCall::Generate(context) => (context, b"wrapped: new".to_vec()),
        KmsCall::Unwrap { context, wrapped } => (context, wrapped.clone()),
    };
    let kek = Secret::new(kek_of(context, &wrapped).to_vec());
    KekReply { wrapped, kek }
}

/// A request's body.
pub(crate) fn body(payload: &[u8]) -> Option<Ask> {
    Request::decode(payload).ok()?.body
}
