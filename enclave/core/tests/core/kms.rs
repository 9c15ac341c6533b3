//! A KMS in memory.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use strongroom_core::{KekContext, KekReply, KmsCall, KmsFailure};
use strongroom_proto::id::sha256;
use strongroom_proto::secret::Secret;

use super::Random;

/// KEKs by context and wrapped form.
type Keks = BTreeMap<(KekContext, Vec<u8>), [u8; 32]>;

/// A KMS that keeps its word: it unwraps only what it wrapped, and only in the same context.
#[derive(Default)]
pub(crate) struct Kms {
    keks: RefCell<Keks>,
    /// Given once in place of the next answer.
    pub(crate) instead: RefCell<Option<Result<KekReply, KmsFailure>>>,
    pub(crate) calls: Cell<usize>,
}

impl Kms {
    pub(crate) fn answer(&self, call: &KmsCall, random: &mut Random) -> Result<KekReply, KmsFailure> {
        self.calls.set(self.calls.get() + 1);
        if let Some(instead) = self.instead.take() {
            return instead;
        }
        match call {
            KmsCall::Generate(context) => {
                let wrapped = [&b"wrapped:"[..], &random.array()].concat();
                let kek = kek_of(context, &wrapped);
                self.keks.borrow_mut().insert((*context, wrapped.clone()), kek);
                Ok(KekReply { wrapped, kek: Secret::new(kek.to_vec()) })
            }
            KmsCall::Unwrap { context, wrapped } => {
                let kek = self.kek(*context, wrapped).ok_or(KmsFailure::NotUnwrapped)?;
                Ok(KekReply { wrapped: wrapped.clone(), kek: Secret::new(kek.to_vec()) })
            }
        }
    }

    /// The KEK itself, which no host ever sees.
    pub(crate) fn kek(&self, context: KekContext, wrapped: &[u8]) -> Option<[u8; 32]> {
        self.keks.borrow().get(&(context, wrapped.to_vec())).copied()
    }
}

/// The KEK that a wrapped form gives in a context: so a kept frame opens in any other world too.
pub(crate) fn kek_of(context: &KekContext, wrapped: &[u8]) -> [u8; 32] {
    sha256(&[&context.tenant.0, context.role.as_str_name().as_bytes(), &context.epoch.to_be_bytes(), wrapped])
}
