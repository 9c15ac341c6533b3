//! Receipts: the signed proof of an act, for whoever holds it.

use alloc::vec::Vec;

use prost::Message;
use strongroom_proto::id::{ContentHash, IntentHash};
use strongroom_proto::prefix;
use strongroom_proto::v1::{Receipt, SignedReceipt, Stages};

use crate::kek::Kek;
use crate::platform::EnclaveTime;
use crate::record::Record;
use crate::suite::Suite;

/// What a receipt says beyond the record after the act.
pub(crate) struct Done<'a> {
    /// Encoded; empty where the act was in force already.
    pub(crate) event: Vec<u8>,
    pub(crate) intent: &'a IntentHash,
    /// Of each sealed byte string that the act made.
    pub(crate) sealed: Vec<ContentHash>,
    /// Of each share that a release sealed anew.
    pub(crate) resealed: Vec<ContentHash>,
    pub(crate) time: EnclaveTime,
    pub(crate) stages: Stages,
}

/// Signs the receipt of an act that led to `record`.
pub(crate) fn sign<S: Suite>(kek: &Kek<S>, record: &Record, done: Done<'_>) -> SignedReceipt {
    let receipt = Receipt {
        tenant: kek.context.tenant.0.to_vec(),
        wallet: record.wallet.clone(),
        role: kek.context.role.into(),
        record_id: record.id.0.to_vec(),
        version: record.content.version,
        head: record.head.0.to_vec(),
        event: done.event,
        active: record.reference(record.content.active),
        pending: record.reference(record.content.pending),
        intent_hash: done.intent.0.to_vec(),
        identity_hash: kek.identity_hash.0.to_vec(),
        sealed_hashes: done.sealed.iter().map(|hash| hash.0.to_vec()).collect(),
        epoch: kek.context.epoch,
        time_ms: done.time.0,
        stages: Some(done.stages),
        resealed_hashes: done.resealed.iter().map(|hash| hash.0.to_vec()).collect(),
    }
    .encode_to_vec();
    let signature = kek.sign(prefix::RECEIPT, &receipt);
    SignedReceipt { receipt, signature }
}
