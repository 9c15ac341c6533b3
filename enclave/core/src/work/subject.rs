//! What every act on an existing record has in common: the record that the intent names, at the head that it names.

use alloc::format;

use strongroom_proto::enclave::v1::{Credential, SealedRecord};
use strongroom_proto::v1::{Act, Reason};

use super::Scene;
use crate::consent::{Authorized, Rule, Terms, authorize};
use crate::intent::{self, CheckedIntent};
use crate::platform::Platform;
use crate::record::Record;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;
use crate::statement::VerifiedStatement;

/// A record, and the intent that is about it. Nobody has consented yet.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) intent: CheckedIntent,
    pub(super) record: Record,
    act: &'a Act,
}

/// Opens the record of an act and compares it with what the intent says.
pub(super) fn open<'a, P: Platform, R: RoleKind>(
    scene: &Scene<'_, P>,
    act: Option<&'a Act>,
    sealed: Option<&SealedRecord>,
) -> Result<Subject<'a>, Refusal> {
    let act = act.ok_or_else(|| bad("act: missing"))?;
    let intent = intent::check::<R>(act, &scene.tenant, scene.statement()?, scene.now)?;
    let record = open_record(scene, sealed)?;
    check_subject(&intent, &record)?;
    Ok(Subject { intent, record, act })
}

/// Opens a record that takes acts, under a statement that is none lower than the record has seen.
pub(super) fn open_record<P: Platform>(scene: &Scene<'_, P>, sealed: Option<&SealedRecord>) -> Result<Record, Refusal> {
    let statement = scene.statement()?;
    if statement.tenant != scene.tenant {
        return Err(bad("statement: of another tenant"));
    }
    let record = Record::open(scene.keks(), sealed.ok_or_else(|| bad("record: missing"))?)?;
    if record.content.closed {
        return Err(refuse(Reason::StateInvalid, "record: closed, it was deleted"));
    }
    check_serial(statement, &record)?;
    Ok(record)
}

/// A statement older than one that the record has seen lists again what the tenant took out of it.
pub(super) fn check_serial(statement: &VerifiedStatement, record: &Record) -> Result<(), Refusal> {
    if statement.body.serial < record.content.statement_serial {
        return Err(refuse(
            Reason::StatementStale,
            format!(
                "the record has seen statement {}, and the host gave {}",
                record.content.statement_serial, statement.body.serial
            ),
        ));
    }
    Ok(())
}

/// Checks that the intent brings no message, and a recipient only where it releases.
pub(super) fn brings(intent: &CheckedIntent, message: bool, recipient: bool) -> Result<(), Refusal> {
    for (there, wanted, field) in [
        (intent.part.message_hash.is_some(), message, "intent.message_hash"),
        (intent.part.recipient.is_some(), recipient, "intent.recipient"),
    ] {
        match (there, wanted) {
            (true, false) => return Err(bad(format!("{field}: this act takes none"))),
            (false, true) => return Err(bad(format!("{field}: missing"))),
            _ => {}
        }
    }
    Ok(())
}

impl Subject<'_> {
    /// Takes the consents that the rule asks for, to an act on this record.
    pub(super) fn authorize<P: Platform, A>(
        self,
        scene: &Scene<'_, P>,
        rule: Rule,
        act: A,
    ) -> Result<Authorized<A>, Refusal> {
        authorize(self.record, act, &self.intent, self.act, terms(scene, rule)?)
    }

    /// As [`authorize`](Self::authorize), and the consent of a credential that the act adds.
    pub(super) fn authorize_newcomer<P: Platform>(
        self,
        scene: &Scene<'_, P>,
        newcomer: Credential,
    ) -> Result<Authorized<Credential>, Refusal> {
        let terms = Terms { newcomer: Some(&newcomer.clone()), ..terms(scene, Rule::Policy)? };
        authorize(self.record, newcomer, &self.intent, self.act, terms)
    }
}

/// What the consents to an act are compared with, beside its record.
pub(super) fn terms<'a, P: Platform>(scene: &Scene<'a, P>, rule: Rule) -> Result<Terms<'a>, Refusal> {
    Ok(Terms { rule, newcomer: None, statement: scene.statement()?, now: scene.now })
}

/// Compares record and head with the intent's.
pub(super) fn check_subject(intent: &CheckedIntent, record: &Record) -> Result<(), Refusal> {
    let (record_id, head) = intent.part.subject.ok_or_else(|| bad("intent.record_id: missing"))?;
    if record_id != record.id {
        return Err(bad("intent.record_id: another record than the one given"));
    }
    if intent.body.wallet != record.wallet {
        return Err(bad("intent.wallet: another wallet than the record's"));
    }
    if head != record.head {
        return Err(refuse(
            Reason::RecordStale,
            format!("intent.head: not the head of the record given, which is at version {}", record.content.version),
        ));
    }
    Ok(())
}
