//! The backend's own store: every receipt of each record, a file each, named by record, role and version.
//!
//! A receipt is kept only if an epoch of the tenant's own statement signed it for this wallet, and if it continues the history that is
//! kept: a host that restores an older record and goes on from there is seen. The newest head that the tenant knows is what its
//! signature would vouch for in a policy with `newest_head`. Keeps no share, sealed or not, and overwrites no receipt.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use strongroom_proto::id::{Head, RecordId, TenantId};
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{Intent, Receipt, Role, SignedReceipt};
use strongroom_proto::{canonical, intent as form, prefix, signed};
use strongroom_sdk::receipt::RECEIPT_BYTES_MAX;
use strongroom_sdk::{files, role_name};

use crate::statement::Current;

/// Longest file of a receipt: it, its signature, and their tags and lengths.
const SIGNED_RECEIPT_BYTES_MAX: usize = RECEIPT_BYTES_MAX + 128;

/// Why a receipt is not taken.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    /// It is not of its form, nobody vouches for it, or it is for something else.
    Receipt,
    /// A kept receipt says otherwise: the host shows two histories of one record.
    Fork,
    /// The store failed.
    Store,
}

/// How a receipt stands to those that are kept.
enum Found {
    /// It is kept.
    Known,
    /// It continues what is kept.
    New,
    /// It and this one cannot belong to one history.
    Contradicts(SignedReceipt),
}

/// The receipts, and the statement that says who may sign them.
pub(crate) struct Store {
    folder: PathBuf,
    statement: Arc<Current>,
    /// Reading what is kept and writing the next one is one step.
    writing: Mutex<()>,
}

impl Store {
    pub(crate) fn new(folder: PathBuf, statement: Arc<Current>) -> Self {
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
            let (record, before) = start(intent, role).ok_or(Refused::Receipt)?;
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

    /// Takes a receipt of a user's wallet. It is new, or kept already; any other at its version or below the newest is a fork.
    pub(crate) fn keep(&self, signed: &SignedReceipt, wallet: &str) -> Result<(), Refused> {
        let receipt = self.check(signed, wallet)?;
        let record = RecordId::from_slice(&receipt.record_id).ok_or(Refused::Receipt)?;
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_forked(record)? {
            return Err(Refused::Fork);
        }
        match self.compare(record, signed, &receipt)? {
            Found::Known => Ok(()),
            Found::New => self.write(&name(record, receipt.role(), receipt.version), signed),
            Found::Contradicts(kept) => {
                // Both together prove the fork to anybody who has the statement.
                for proof in [&kept, signed] {
                    let told = Receipt::decode(proof.receipt.as_slice()).map_err(|_| Refused::Store)?;
                    let role = role_name(told.role());
                    let name = format!("{record}.{role}.{:020}.{}.fork", told.version, hex::encode(&told.head));
                    self.write(&name, proof)?;
                }
                Err(Refused::Fork)
            }
        }
    }

    /// The newest receipt in each role that an act is on, where one is kept.
    pub(crate) fn newest_for(&self, intent: &Intent) -> Result<Vec<SignedReceipt>, Refused> {
        let mut found = Vec::new();
        for role in [Role::Client, Role::Custodian] {
            if let Some((record, _)) = start(intent, role)
                && let Some(version) = self.newest(record, role)?
            {
                found.extend(self.read(record, role, version)?.map(|(signed, _)| signed));
            }
        }
        Ok(found)
    }

    /// Refuses an act on a record that was seen to fork: nobody knows which of its histories the act would continue.
    pub(crate) fn refuse_forked(&self, intent: &Intent) -> Result<(), Refused> {
        for role in [Role::Client, Role::Custodian] {
            if let Some((record, _)) = start(intent, role)
                && self.is_forked(record)?
            {
                return Err(Refused::Fork);
            }
        }
        Ok(())
    }

    fn compare(&self, record: RecordId, signed: &SignedReceipt, receipt: &Receipt) -> Result<Found, Refused> {
        let (role, version) = (receipt.role(), receipt.version);
        let moved = !receipt.event.is_empty();
        if let Some((kept, told)) = self.read(record, role, version)? {
            let same = kept.receipt == signed.receipt || (!moved && told.head == receipt.head);
            return Ok(if same { Found::Known } else { Found::Contradicts(kept) });
        }
        if !moved {
            // It says nothing of how the record came to this version.
            return Err(Refused::Receipt);
        }
        if let Some((kept, told)) = self.read(record, role, version.saturating_sub(1))?
            && !follows(&told, receipt)
        {
            return Ok(Found::Contradicts(kept));
        }
        let newest = self.newest(record, role)?.unwrap_or_default();
        if newest < version {
            return Ok(Found::New);
        }
        // Below the newest one, only the receipt that the next one kept follows from was there before it.
        if let Some((kept, told)) = self.read(record, role, version.saturating_add(1))? {
            return Ok(if follows(receipt, &told) { Found::New } else { Found::Contradicts(kept) });
        }
        let (kept, _) = self.read(record, role, newest)?.ok_or(Refused::Store)?;
        Ok(Found::Contradicts(kept))
    }

    fn is_forked(&self, record: RecordId) -> Result<bool, Refused> {
        let record = format!("{record}.");
        Ok(self.names()?.iter().any(|name| name.starts_with(&record) && name.strip_suffix(".fork").is_some()))
    }

    /// Highest version that a receipt is kept of.
    fn newest(&self, record: RecordId, role: Role) -> Result<Option<u64>, Refused> {
        let start = format!("{record}.{}.", role_name(role));
        let version = |name: &String| name.strip_prefix(&start)?.strip_suffix(".receipt")?.parse().ok();
        Ok(self.names()?.iter().filter_map(version).max())
    }

    fn names(&self) -> Result<Vec<String>, Refused> {
        let entries = fs::read_dir(&self.folder).map_err(|_| Refused::Store)?;
        let name = |entry: std::io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().into_string().ok());
        let names: std::io::Result<Vec<_>> = entries.map(name).collect();
        Ok(names.map_err(|_| Refused::Store)?.into_iter().flatten().collect())
    }

    fn read(&self, record: RecordId, role: Role, version: u64) -> Result<Option<(SignedReceipt, Receipt)>, Refused> {
        let path = self.folder.join(name(record, role, version));
        if !path.exists() {
            return Ok(None);
        }
        let bytes = files::read(&path, SIGNED_RECEIPT_BYTES_MAX).map_err(|_| Refused::Store)?;
        let signed = SignedReceipt::decode(bytes.as_slice()).map_err(|_| Refused::Store)?;
        let receipt = Receipt::decode(signed.receipt.as_slice()).map_err(|_| Refused::Store)?;
        Ok(Some((signed, receipt)))
    }

    fn write(&self, name: &str, signed: &SignedReceipt) -> Result<(), Refused> {
        files::replace(&self.folder.join(name), &signed.encode_to_vec()).map_err(|_| Refused::Store)
    }

    /// What an enclave of this tenant signed about this wallet.
    fn check(&self, signed: &SignedReceipt, wallet: &str) -> Result<Receipt, Refused> {
        let receipt: Receipt = canonical::decode(&signed.receipt, RECEIPT_BYTES_MAX).map_err(|_| Refused::Receipt)?;
        let statement = &self.statement.get().verified;
        let keys = statement.epoch(receipt.role(), receipt.epoch).map_err(|_| Refused::Receipt)?;
        signed::verify(prefix::RECEIPT, &signed.receipt, &keys.receipt_key, &signed.signature)
            .map_err(|_| Refused::Receipt)?;
        if receipt.tenant != self.tenant().0 || receipt.wallet != wallet {
            return Err(Refused::Receipt);
        }
        Ok(receipt)
    }
}

/// The record of a role that an act is on, and the head that the act starts from.
fn start(intent: &Intent, role: Role) -> Option<(RecordId, Head)> {
    let part = form::part(intent, role)?;
    if let Some(Action::CreateBackup(_)) = intent.action {
        let record = form::record_id(intent);
        return Some((record, Head(record.0)));
    }
    Some((RecordId::from_slice(&part.record_id)?, Head::from_slice(&part.head)?))
}

/// Whether the act of the later receipt started where that of the earlier one ended.
fn follows(earlier: &Receipt, later: &Receipt) -> bool {
    Head::from_slice(&earlier.head).is_some_and(|head| later.head == signed::next_head(&head, &later.event).0)
}

/// With leading zeros, so that names stand in the order of the versions.
fn name(record: RecordId, role: Role, version: u64) -> String {
    format!("{record}.{}.{version:020}.receipt", role_name(role))
}
