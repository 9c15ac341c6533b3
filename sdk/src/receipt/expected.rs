//! What the receipt of an act must say: every field, from the intent, the consents and the view that the act started from.

use strongroom_proto::id::{ContentHash, Head, IntentHash, RecordId};
use strongroom_proto::intent;
use strongroom_proto::limits::GRACE_MS;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{ActKind, Freshness, GenerationRef, TenantSignature};

use super::{Due, Sent};
use crate::error::Error;
use crate::view::{Generation, Record, Waiting};

/// The fields of a receipt and its event, as they must be.
pub(super) struct Expected<'a> {
    pub(super) wallet: &'a str,
    pub(super) record_id: RecordId,
    pub(super) head_before: Head,
    pub(super) version_before: u64,
    pub(super) intent: IntentHash,
    /// The act took place at this time or before; no bound for what waited.
    pub(super) not_after_ms: Option<u64>,
    pub(super) kind: ActKind,
    pub(super) generation: u64,
    pub(super) recipient: &'a [u8],
    pub(super) credential_id: &'a [u8],
    pub(super) tenant_key: &'a [u8],
    pub(super) subject_credential_id: &'a [u8],
    /// Of a cancellation: the intent that started what it cancels.
    pub(super) cancelled: &'a [u8],
    /// Where the act starts to wait: for how long, from the enclave's time of the act.
    pub(super) delay_ms: Option<u64>,
    pub(super) active: Option<GenerationRef>,
    pub(super) pending: Option<GenerationRef>,
    pub(super) sealed: Sealed,
    /// Lowest serial of the statement in force.
    pub(super) statement_serial: u64,
    pub(super) freshness: Freshness,
}

/// What the act sealed.
#[derive(Clone, Copy)]
pub(super) enum Sealed {
    /// So many shares, into the store; 0 for acts without shares.
    Shares(usize),
    /// These bytes, to a recipient.
    Release(ContentHash),
}

/// What an action means for the event.
struct Deed<'a> {
    kind: ActKind,
    generation: u64,
    subject_credential_id: &'a [u8],
    cancelled: &'a [u8],
    delay_ms: Option<u64>,
    shares: usize,
    releases: bool,
}

impl Deed<'_> {
    fn of(kind: ActKind) -> Self {
        Self {
            kind,
            generation: 0,
            subject_credential_id: &[],
            cancelled: &[],
            delay_ms: None,
            shares: 0,
            releases: false,
        }
    }
}

impl<'a> Expected<'a> {
    /// Of an act that was sent.
    pub(super) fn of_sent(sent: &Sent<'a>) -> Result<Self, Error> {
        let fields = &sent.intent.intent;
        let action = fields.action.as_ref();
        let wrong = || Error::malformed("act", "its action gives no receipt, or it has the wrong record");
        let (record_id, head_before, version_before) = match (action.ok_or_else(wrong)?, sent.record) {
            (Action::CreateBackup(_), None) => {
                let id = intent::record_id(fields);
                (id, Head(id.0), 0)
            }
            (Action::CreateBackup(_), Some(_)) | (_, None) => return Err(wrong()),
            (_, Some(record)) => (record.id, record.head, record.version),
        };
        let deed = deed_of_action(action.ok_or_else(wrong)?, sent).ok_or_else(wrong)?;
        let (active, pending) = generations_after(&deed, sent);
        let newest_head = sent.record.is_some_and(|record| record.policy.newest_head);
        Ok(Self {
            wallet: &fields.wallet,
            record_id,
            head_before,
            version_before,
            intent: sent.intent.hash,
            not_after_ms: Some(fields.not_after_ms),
            kind: deed.kind,
            generation: deed.generation,
            recipient: intent::part(fields, sent.role).map_or(&[][..], |part| &part.recipient),
            credential_id: sent.credential_id,
            tenant_key: key(sent.tenant_signature),
            subject_credential_id: deed.subject_credential_id,
            cancelled: deed.cancelled,
            delay_ms: deed.delay_ms,
            active,
            pending,
            sealed: sealed(&deed, sent.release)?,
            statement_serial: fields.statement_serial,
            freshness: freshness(newest_head, sent.tenant_signature),
        })
    }

    /// Of what waited and was carried out.
    pub(super) fn of_due(due: &Due<'a>) -> Result<Self, Error> {
        let (open, record) = (due.open, due.record);
        let recipient: &[u8] = if let Waiting::Recovery { recipient, .. } = &open.waiting { &recipient.0 } else { &[] };
        let deed = match &open.waiting {
            Waiting::Recovery { generation, eject, .. } => {
                let kind = if *eject { ActKind::Eject } else { ActKind::Recover };
                Deed { generation: *generation, releases: true, ..Deed::of(kind) }
            }
            Waiting::PolicyChange(_) => Deed::of(ActKind::ChangePolicy),
            Waiting::PasskeyRemoval { credential_id } => {
                Deed { subject_credential_id: credential_id, ..Deed::of(ActKind::RemovePasskey) }
            }
            Waiting::Delete => Deed::of(ActKind::Delete),
            Waiting::EjectWindow => return Err(Error::malformed("act", "an eject window is never carried out")),
        };
        let signature = due.second.map(|(_, signature)| signature);
        let is_deleted = open.waiting == Waiting::Delete;
        let after = |generation: Option<&Generation>| generation.filter(|_| !is_deleted).map(reference);
        Ok(Self {
            wallet: due.wallet,
            record_id: record.id,
            head_before: record.head,
            version_before: record.version,
            intent: open.intent,
            not_after_ms: due.second.map(|(intent, _)| intent.intent.not_after_ms),
            kind: deed.kind,
            generation: deed.generation,
            recipient,
            credential_id: &[],
            tenant_key: key(signature),
            subject_credential_id: deed.subject_credential_id,
            cancelled: deed.cancelled,
            delay_ms: None,
            active: after(record.active()),
            pending: after(record.pending()),
            sealed: sealed(&deed, due.release)?,
            statement_serial: record.statement_serial,
            freshness: freshness(record.policy.newest_head, signature),
        })
    }
}

/// What the enclave makes of an action on a record under its policy. `None`: the action gives no receipt of its own.
fn deed_of_action<'a>(action: &'a Action, sent: &Sent<'a>) -> Option<Deed<'a>> {
    let delay = sent.record.map_or(0, |record| u64::from(record.policy.delay_seconds).saturating_mul(1000));
    let now_or_later = |now, later| match delay {
        0 => Deed::of(now),
        delay => Deed { delay_ms: Some(delay), ..Deed::of(later) },
    };
    Some(match action {
        Action::CreateBackup(it) => {
            Deed { generation: it.generation, shares: it.pairs.len(), ..Deed::of(ActKind::CreateBackup) }
        }
        Action::PutShares(it) => {
            Deed { generation: it.generation, shares: it.pairs.len(), ..Deed::of(ActKind::PutShares) }
        }
        Action::Recover(it) => {
            let kind = if it.eject { ActKind::Eject } else { ActKind::Recover };
            Deed { generation: it.generation, releases: true, ..Deed::of(kind) }
        }
        Action::StartRecovery(it) => {
            let kind = if it.eject { ActKind::StartEject } else { ActKind::StartRecovery };
            Deed { generation: it.generation, delay_ms: Some(delay), ..Deed::of(kind) }
        }
        Action::AddPasskey(it) => {
            Deed { subject_credential_id: &it.credential.as_ref()?.id, ..Deed::of(ActKind::AddPasskey) }
        }
        Action::RemovePasskey(it) => Deed {
            subject_credential_id: &it.credential_id,
            ..if sent.tenant_signature.is_some() {
                Deed::of(ActKind::RemovePasskey)
            } else {
                now_or_later(ActKind::RemovePasskey, ActKind::StartRemovePasskey)
            }
        },
        Action::RenamePasskey(it) => {
            Deed { subject_credential_id: &it.credential_id, ..Deed::of(ActKind::RenamePasskey) }
        }
        Action::ChangePolicy(_) => now_or_later(ActKind::ChangePolicy, ActKind::StartChangePolicy),
        Action::DeleteBackup(_) => Deed { delay_ms: Some(GRACE_MS), ..Deed::of(ActKind::StartDelete) },
        Action::Cancel(it) => Deed { cancelled: &it.intent_hash, ..Deed::of(ActKind::Cancel) },
        Action::OpenEjectWindow(_) => Deed { delay_ms: Some(0), ..Deed::of(ActKind::OpenEjectWindow) },
        Action::Rehearse(_) | Action::CarryOut(_) => return None,
    })
}

/// A creation, and a put in a record of one role, are in force at once; a put in a record of two waits for the other role's receipt.
/// No other act moves a generation.
fn generations_after(deed: &Deed<'_>, sent: &Sent<'_>) -> (Option<GenerationRef>, Option<GenerationRef>) {
    let put = || GenerationRef { generation: deed.generation, put_intent_hash: sent.intent.hash.0.to_vec() };
    match (deed.kind, sent.record) {
        (ActKind::PutShares, Some(record)) if !record.is_alone_in(sent.role) => {
            (record.active().map(reference), Some(put()))
        }
        (ActKind::PutShares, _) | (_, None) => (Some(put()), None),
        (_, Some(record)) => of_view(record),
    }
}

fn of_view(record: &Record) -> (Option<GenerationRef>, Option<GenerationRef>) {
    (record.active().map(reference), record.pending().map(reference))
}

fn reference(generation: &Generation) -> GenerationRef {
    GenerationRef { generation: generation.number, put_intent_hash: generation.put_intent.0.to_vec() }
}

fn sealed(deed: &Deed<'_>, release: Option<&[u8]>) -> Result<Sealed, Error> {
    match (deed.releases, release) {
        (true, Some(release)) => Ok(Sealed::Release(ContentHash::of(release))),
        (false, None) => Ok(Sealed::Shares(deed.shares)),
        _ => Err(Error::malformed("act", "a release came where none was asked for, or none where one was")),
    }
}

fn key(signature: Option<&TenantSignature>) -> &[u8] {
    signature.map_or(&[], |signature| &signature.key)
}

fn freshness(newest_head: bool, signature: Option<&TenantSignature>) -> Freshness {
    if newest_head && signature.is_some() { Freshness::CallerReceipt } else { Freshness::None }
}
