//! The backend's own store: the newest receipt of each record, a file each.
//!
//! A receipt is kept only if an epoch of the tenant's own statement signed it for this wallet. The newest head that the tenant knows
//! is what its signature would vouch for in a policy with `newest_head`. Keeps no share, sealed or not.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use prost::Message;
use strongroom_proto::id::{Head, RecordId, TenantId};
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{Intent, Receipt, Role, SignedReceipt};
use strongroom_proto::{canonical, intent as form, prefix, signed};
use strongroom_sdk::statement::VerifiedStatement;
use strongroom_sdk::{files, role_name};

/// Longest receipt in bytes.
const RECEIPT_BYTES_MAX: usize = 64 * 1024;

/// Why a receipt is not taken.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    /// It is not of its form, nobody vouches for it, or it is for something else.
    Receipt,
    /// Another receipt of the same version says otherwise: the host shows two histories of one record.
    Fork,
    /// The store failed.
    Store,
}

/// The receipts, and the statement that says who may sign them.
pub(crate) struct Store {
    folder: PathBuf,
    statement: VerifiedStatement,
    /// Reading the one kept and writing a newer one is one step.
    writing: Mutex<()>,
}

impl Store {
    pub(crate) fn new(folder: PathBuf, statement: VerifiedStatement) -> Self {
        Self { folder, statement, writing: Mutex::new(()) }
    }

    pub(crate) fn tenant(&self) -> TenantId {
        self.statement.tenant()
    }

    /// Takes the receipts of an act: one of each role that its intent names, for these very bytes.
    pub(crate) fn keep_act(&self, bytes: &[u8], intent: &Intent, receipts: &[SignedReceipt]) -> Result<(), Refused> {
        let roles = [Role::Client, Role::Custodian].into_iter().filter(|role| form::part(intent, *role).is_some());
        let mut received = receipts.iter();
        for role in roles {
            let receipt = self.check(received.next().ok_or(Refused::Receipt)?, &intent.wallet)?;
            let part = form::part(intent, role).ok_or(Refused::Receipt)?;
            let (record, before) = if let Some(Action::CreateBackup(_)) = intent.action {
                let record = form::record_id(intent);
                (record, Head(record.0))
            } else {
                let record = RecordId::from_slice(&part.record_id).ok_or(Refused::Receipt)?;
                (record, Head::from_slice(&part.head).ok_or(Refused::Receipt)?)
            };
            let fits = receipt.role() == role
                && receipt.record_id == record.0
                && receipt.intent_hash == form::hash(bytes).0
                && receipt.head == signed::next_head(&before, &receipt.event).0;
            if !fits {
                return Err(Refused::Receipt);
            }
        }
        if received.next().is_some() {
            return Err(Refused::Receipt);
        }
        receipts.iter().try_for_each(|receipt| self.keep(receipt, &intent.wallet))
    }

    /// Takes a receipt of a user's wallet if it is newer than the one kept.
    pub(crate) fn keep(&self, signed: &SignedReceipt, wallet: &str) -> Result<(), Refused> {
        let receipt = self.check(signed, wallet)?;
        let record = RecordId::from_slice(&receipt.record_id).ok_or(Refused::Receipt)?;
        let path = self.folder.join(format!("{record}.{}.receipt", role_name(receipt.role())));
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if path.exists() {
            let kept = files::read(&path, RECEIPT_BYTES_MAX).map_err(|_| Refused::Store)?;
            let kept = SignedReceipt::decode(kept.as_slice()).map_err(|_| Refused::Store)?;
            let kept = Receipt::decode(kept.receipt.as_slice()).map_err(|_| Refused::Store)?;
            if kept.version == receipt.version && kept.head != receipt.head {
                // Both together prove the fork to anybody who has the statement.
                let proof = path.with_extension("fork");
                files::replace(&proof, &signed.encode_to_vec()).map_err(|_| Refused::Store)?;
                return Err(Refused::Fork);
            }
            if kept.version >= receipt.version {
                return Ok(());
            }
        }
        files::replace(&path, &signed.encode_to_vec()).map_err(|_| Refused::Store)
    }

    /// What an enclave of this tenant signed about this wallet.
    fn check(&self, signed: &SignedReceipt, wallet: &str) -> Result<Receipt, Refused> {
        let receipt: Receipt = canonical::decode(&signed.receipt, RECEIPT_BYTES_MAX).map_err(|_| Refused::Receipt)?;
        let keys = self.statement.epoch(receipt.role(), receipt.epoch).map_err(|_| Refused::Receipt)?;
        signed::verify(prefix::RECEIPT, &signed.receipt, &keys.receipt_key, &signed.signature)
            .map_err(|_| Refused::Receipt)?;
        if receipt.tenant != self.tenant().0 || receipt.wallet != wallet {
            return Err(Refused::Receipt);
        }
        Ok(receipt)
    }
}
