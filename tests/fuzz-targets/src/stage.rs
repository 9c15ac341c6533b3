//! An enclave with records in it, whose KMS unwraps whatever it is given: to a KEK that only the same bytes in the same context give.

pub(crate) mod keks;
pub(crate) mod records;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use prost::Message;
use strongroom_core::{Incoming, KekReply, KmsCall, Step, parse};
use strongroom_proto::enclave::v1::{KekRef, Request, Response, request::Body as Ask, response::Body as Answer};
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::Act;

use crate::acts::Backup;
use crate::device::{Passkey, Recipient, honest};
use crate::world::kms::kek_of;
use crate::world::{Epoch, World, encode, references};
use keks::Known;

/// Most KMS calls of one step.
const KEK_PER_STEP_MAX: usize = 2;

/// What every input meets. Every record is of one wallet, and all but one of this role alone.
pub(crate) struct Stage {
    /// Its statement names two epochs, and the custodian role.
    pub(crate) world: World,
    pub(crate) second: Epoch,
    /// One passkey, and no delay.
    pub(crate) backup: Backup,
    /// Of both roles: a put waits for its commit.
    pub(crate) pending: Backup,
    /// Two passkeys and a delay.
    pub(crate) delayed: Backup,
    /// As `delayed`, and one act of every kind waits and is due.
    pub(crate) waiting: Backup,
    /// As `waiting`, under a policy that asks for the newest head.
    pub(crate) vouched: Backup,
    pub(crate) recipient: Recipient,
    /// In no record.
    pub(crate) newcomer: Passkey,
    /// Those that releases of the core's tests go to.
    recipients: Vec<Recipient>,
    keks: RefCell<Keks>,
}

/// KEKs by tenant, epoch and wrapped form.
type Keks = BTreeMap<(Vec<u8>, u64, Vec<u8>), Rc<Known>>;

/// Most KEKs that are remembered.
const KEKS_MAX: usize = 256;

thread_local! {
    static STAGE: Stage = Stage::new();
}

/// Runs `f` on this thread's stage. Its KEKs are cached: to derive them is most of the work.
pub(crate) fn with<T>(f: impl FnOnce(&Stage) -> T) -> T {
    STAGE.with(f)
}

impl Stage {
    fn new() -> Self {
        let (world, second) = records::world();
        Self {
            backup: records::plain(&world),
            pending: records::pending(&world),
            delayed: records::delayed(&world),
            waiting: records::waiting(&world),
            vouched: records::vouched(&world),
            world,
            second,
            recipient: Recipient::new(1),
            newcomer: Passkey::eddsa(11),
            recipients: (1..=3).map(Recipient::new).collect(),
            keks: RefCell::default(),
        }
    }

    /// The records, in no order that means anything.
    pub(crate) fn backups(&self) -> [&Backup; 5] {
        [&self.backup, &self.pending, &self.delayed, &self.waiting, &self.vouched]
    }

    /// The secret half of a recipient's key, where it is one of ours.
    pub(crate) fn recipient_of(&self, public_key: &[u8]) -> Option<&Recipient> {
        self.recipients.iter().find(|recipient| recipient.public_key == public_key)
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

    /// The request with the bytes in it of the statement and the KEKs that it names.
    pub(crate) fn whole(&self, mut ask: Ask) -> Ask {
        let (statement, kek, other) = references(&mut ask);
        if let Some(statement) = statement.filter(|statement| statement.signed.is_none()) {
            statement.signed = Some(self.world.statement.clone());
        }
        for kek in [kek, other].into_iter().flatten().filter(|kek| kek.wrapped.is_empty()) {
            let epoch = if kek.epoch == 2 { &self.second } else { &self.world.epoch };
            kek.wrapped.clone_from(&epoch.wrapped);
        }
        ask
    }

    /// A whole request, answered.
    pub(crate) fn ask(&self, ask: &Ask) -> Answer {
        self.answer(&encode(ask.clone())).expect("work for the core")
    }

    /// The intent, consented to by these passkeys and by the tenant, whatever it says.
    pub(crate) fn consent(&self, intent: &[u8], passkeys: &[&Passkey]) -> Act {
        let assertions = passkeys.iter().map(|passkey| passkey.assert(intent, &honest())).collect();
        Act { intent: intent.to_vec(), assertions, tenant_signature: Some(self.world.tenant.consent(intent)) }
    }

    /// A KEK by its wrapped form, and what follows from it.
    pub(crate) fn kek(&self, tenant: &[u8], kek: &KekRef) -> Option<Rc<Known>> {
        let name = (tenant.to_vec(), kek.epoch, kek.wrapped.clone());
        if let Some(known) = self.keks.borrow().get(&name) {
            return Some(Rc::clone(known));
        }
        let known = Rc::new(Known::derive(tenant, kek)?);
        let mut keks = self.keks.borrow_mut();
        if keks.len() >= KEKS_MAX {
            keks.clear();
        }
        keks.insert(name, Rc::clone(&known));
        Some(known)
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
