//! The custodian's half of a backup, as the tenant's backend makes it: check the service, check the draft, seal the custodian's shares,
//! and, once the passkey has signed, compare, sign and send.
//!
//! Each step is a type that only the step before it gives: [`Service`] -> [`Checked`] -> [`Held`] -> [`Final`] -> [`Ready`]. Nothing is
//! sealed for a draft that was not read, and nothing is signed that is not that draft with its two messages.

use strongroom_proto::contents::Share;
use strongroom_proto::id::{ContentHash, RecordId};
use strongroom_proto::intent as form;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{CreateBackupAction, Intent, Pair, PutSharesAction, Role, RolePart};

use super::consent::{self, Expected, ExpectedAct, RecordAct, not_expected, same, same_bytes, same_policy};
use crate::device::{check_pairs, check_room_for, check_shares};
use crate::error::{Error, expect};
use crate::exchange::{CustodianSeal, HeldDraft};
use crate::identity::RoleIdentity;
use crate::intent::{Alone, EncodedIntent, Policies, create_alone, sorted_pairs, with_messages};
use crate::prepare::Prepared;
use crate::receipt::KnownReceipt;
use crate::seal;
use crate::statement::VerifiedStatement;
use crate::view::Backup;

mod finish;

pub use finish::{Final, Held, Ready};

/// A service that the backend checked as a device does, under the statement that it has itself.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    prepared: &'a Prepared,
}

/// What the backend's user asked for: what the backend is willing to sign.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The wallet of the user who asks.
    pub wallet: &'a str,
    /// The pairs, in any order: each has a share of the custodian's.
    pub pairs: &'a [Pair],
    /// The act.
    pub act: OrderedAct<'a>,
    /// The newest receipts of the record that the tenant has, where a policy has `newest_head`; as in [`Expected`].
    pub newest: &'a [KnownReceipt],
}

/// A new backup, or a new generation of one.
#[derive(Clone, Copy, Debug)]
pub enum OrderedAct<'a> {
    /// A new backup in both roles.
    CreateBackup {
        /// Its id.
        backup: &'a str,
        /// Its method.
        method: &'a str,
        /// What releases will need: one policy for each role.
        policies: Policies,
    },
    /// A new generation.
    PutShares {
        /// The record.
        record_id: RecordId,
    },
}

/// A draft that says what was ordered, and nothing else.
#[derive(Debug)]
pub struct Checked<'a> {
    service: Service<'a>,
    draft: EncodedIntent,
    record_id: RecordId,
    pairs: Vec<Pair>,
}

impl<'a> Service<'a> {
    /// Takes a service that was prepared as a device prepares it, where it shows `own`: the statement that the tenant signed last.
    ///
    /// # Errors
    /// [`Error::StatementTooOld`] and [`Error::Mismatch`] for another statement; [`Error::RoleNotServed`] and [`Error::EpochTooOld`] say
    /// what the service lacks.
    pub fn new(prepared: &'a Prepared, own: &VerifiedStatement) -> Result<Self, Error> {
        let shown = prepared.statement();
        shown.require_at_least(own.serial())?;
        expect("statement", "serial", shown.serial(), own.serial())?;
        if shown.statement() != own.statement() {
            return Err(Error::malformed("statement", "it is another one than the tenant's own of this serial"));
        }
        let service = Self { prepared };
        service.identity()?.check_sealable(shown)?;
        Ok(service)
    }

    pub(super) fn prepared(self) -> &'a Prepared {
        self.prepared
    }

    fn identity(self) -> Result<&'a RoleIdentity, Error> {
        Ok(&self.prepared.role(Role::Custodian)?.attested.identity)
    }

    /// Reads a draft and compares it with what was ordered.
    ///
    /// # Errors
    /// [`Error::Malformed`] for bytes that are no intent, [`Error::NotExpected`] with the field, [`Error::NotFound`] for a record that
    /// the service does not show.
    pub fn check_draft(self, draft: &[u8], order: &Order<'_>) -> Result<Checked<'a>, Error> {
        let act = match order.act {
            OrderedAct::CreateBackup { backup, .. } => ExpectedAct::CreateBackup { backup },
            OrderedAct::PutShares { record_id } => ExpectedAct::OnRecord { record_id, act: RecordAct::PutShares },
        };
        let expected = Expected {
            tenant: self.prepared.statement().tenant(),
            wallet: order.wallet,
            act,
            statement_serial: self.prepared.statement().serial(),
            newest: order.newest,
            now: self.prepared.role(Role::Custodian)?.view.time(),
        };
        let fields = consent::check(draft, &expected)?;
        same("wallet", self.prepared.wallet(), order.wallet)?;
        let (client, custodian) = parts(&fields)?;
        let pairs = sorted_pairs(order.pairs)?;
        let record_id = match (&fields.action, order.act) {
            (Some(Action::CreateBackup(action)), OrderedAct::CreateBackup { backup, method, policies }) => {
                check_room_for(self.prepared, Role::Custodian, backup)?;
                check_creation(action, method, policies, &pairs)?;
                let bare = RolePart::default();
                for part in [client, custodian] {
                    same_bytes("head", &part.head, &bare.head)?;
                }
                form::record_id(&fields)
            }
            (Some(Action::PutShares(action)), OrderedAct::PutShares { record_id }) => {
                let backup = self.backup(record_id)?;
                check_put(action, backup, [client, custodian], &pairs)?;
                record_id
            }
            _ => return Err(not_expected("action", &"another", &"the one that was ordered")),
        };
        Ok(Checked { service: self, draft: EncodedIntent::new(fields)?, record_id, pairs })
    }

    /// A backup of the custodian role alone, for methods without a passkey: the backend makes the intent itself, and nobody else signs.
    ///
    /// # Errors
    /// [`Error::Input`] names the field and its limit.
    pub fn create_alone(self, alone: &Alone, shares: Vec<Share>) -> Result<Final, Error> {
        check_room_for(self.prepared, Role::Custodian, &alone.backup)?;
        let (intent, record_id) = create_alone(&self.prepared.base(Role::Custodian)?, alone)?;
        self.seal_alone(intent, record_id, &alone.pairs, shares)
    }

    /// A new generation of a backup of the custodian role alone.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::RoleNotServed`] for a backup of both roles, [`Error::Input`] names the field and its limit.
    pub fn put_alone(self, record_id: RecordId, pairs: &[Pair], shares: Vec<Share>) -> Result<Final, Error> {
        let backup = self.backup(record_id)?;
        if !backup.record(Role::Custodian)?.is_alone_in(Role::Custodian) {
            return Err(Error::input("backup", "is of both roles: a put names both, and starts from a draft"));
        }
        let intent = crate::intent::put_shares(&self.prepared.base(Role::Custodian)?, backup, pairs)?;
        self.seal_alone(intent, record_id, pairs, shares)
    }

    fn seal_alone(
        self,
        intent: Intent,
        record_id: RecordId,
        pairs: &[Pair],
        shares: Vec<Share>,
    ) -> Result<Final, Error> {
        let (message, epoch) = self.seal(&record_id, shares, pairs)?;
        let intent = with_messages(intent, None, Some(ContentHash::of(&message)))?;
        Ok(Final::alone(intent, message, epoch))
    }

    fn backup(self, record_id: RecordId) -> Result<Backup<'a>, Error> {
        let found = self.prepared.backups()?.into_iter().find(|backup| backup.id() == record_id);
        let none =
            || Error::NotFound { wallet: self.prepared.wallet().to_owned(), what: format!("record {record_id}") };
        found.ok_or_else(none)?.whole()
    }

    fn seal(self, record_id: &RecordId, mut shares: Vec<Share>, pairs: &[Pair]) -> Result<(Vec<u8>, u64), Error> {
        check_shares(&shares)?;
        shares.sort_by(|a, b| a.pair.cmp(&b.pair));
        check_pairs(&shares, pairs)?;
        let identity = self.identity()?;
        Ok((seal::seal_shares(identity, record_id, &shares)?, identity.epoch))
    }
}

impl Checked<'_> {
    /// The record that the draft is about.
    #[must_use]
    pub fn record_id(&self) -> RecordId {
        self.record_id
    }

    /// Every field of the draft, for a person to read.
    #[must_use]
    pub fn intent(&self) -> &Intent {
        &self.draft.intent
    }

    /// Seals the custodian's shares, one for each pair, to the checked channel key and for this record. The message stays with the backend;
    /// its hash goes to the device.
    ///
    /// # Errors
    /// [`Error::Input`] and [`Error::Mismatch`] for shares that are not one of each pair.
    pub fn seal(self, shares: Vec<Share>) -> Result<(Held, CustodianSeal), Error> {
        let (message, epoch) = self.service.seal(&self.record_id, shares, &self.pairs)?;
        let message_hash = ContentHash::of(&message).0.to_vec();
        let answer = CustodianSeal { draft: self.draft.hash.0.to_vec(), message_hash, epoch };
        Ok((Held::new(HeldDraft { draft: self.draft.bytes, message, epoch })?, answer))
    }
}

/// Both roles' parts of a draft, with no message and no recipient yet.
fn parts(fields: &Intent) -> Result<(&RolePart, &RolePart), Error> {
    let (Some(client), Some(custodian)) = (&fields.client, &fields.custodian) else {
        return Err(not_expected("list of roles", &"one role's alone", &"client, custodian"));
    };
    for part in [client, custodian] {
        same_bytes("message hash", &part.message_hash, [])?;
        same_bytes("recipient", &part.recipient, [])?;
    }
    Ok((client, custodian))
}

fn check_creation(action: &CreateBackupAction, method: &str, policies: Policies, pairs: &[Pair]) -> Result<(), Error> {
    same("method", &action.method, method)?;
    same_pairs(&action.pairs, pairs)?;
    same("generation", &action.generation.to_string(), "1")?;
    same_policy("client policy", action.client_policy.as_ref(), policies.of(Role::Client).as_ref())?;
    same_policy("custodian policy", action.custodian_policy.as_ref(), policies.of(Role::Custodian).as_ref())?;
    if action.credential.is_none() {
        return Err(not_expected("credential", &"none", &"one: the client role has a passkey"));
    }
    Ok(())
}

fn check_put(action: &PutSharesAction, backup: Backup<'_>, parts: [&RolePart; 2], pairs: &[Pair]) -> Result<(), Error> {
    for (role, part) in [Role::Client, Role::Custodian].into_iter().zip(parts) {
        same_bytes("head", &part.head, backup.record(role)?.head)?;
    }
    let highest = backup.records().map(|(_, record)| record.highest_generation).max().unwrap_or_default();
    same("generation", &action.generation.to_string(), &highest.saturating_add(1).to_string())?;
    same_pairs(&action.pairs, pairs)
}

fn same_pairs(found: &[Pair], expected: &[Pair]) -> Result<(), Error> {
    let show = |pairs: &[Pair]| {
        let names: Vec<_> =
            pairs.iter().map(|pair| format!("{}:{}", pair.id, crate::role::curve_name(pair.curve()))).collect();
        names.join(", ")
    };
    if found == expected { Ok(()) } else { Err(not_expected("list of pairs", &show(found), &show(expected))) }
}

#[cfg(test)]
mod tests;
