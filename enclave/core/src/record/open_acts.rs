//! What waits in a record: at most one act of a kind, until it is carried out, cancelled or expired.

use alloc::format;

use strongroom_proto::id::IntentHash;
use strongroom_proto::limits::{DELETE_DUE_MS_MAX, DUE_MS_MAX};
use strongroom_proto::v1::{OpenAct, OpenActKind, Reason};

use super::Record;
use crate::platform::EnclaveTime;
use crate::refusal::{Refusal, bad, refuse};

/// An act that starts to wait: due after `delay_ms`, and for a bounded time.
pub(crate) fn waiting(kind: OpenActKind, intent: IntentHash, now: EnclaveTime, delay_ms: u64) -> OpenAct {
    let not_before_ms = now.0.saturating_add(delay_ms);
    let due = if kind == OpenActKind::Delete { DELETE_DUE_MS_MAX } else { DUE_MS_MAX };
    OpenAct {
        kind: kind.into(),
        intent_hash: intent.0.to_vec(),
        not_before_ms,
        expires_ms: not_before_ms.saturating_add(due),
        ..OpenAct::default()
    }
}

impl Record {
    /// What waits of a kind, expired or not.
    pub(crate) fn open_act(&self, kind: OpenActKind) -> Result<&OpenAct, Refusal> {
        if kind == OpenActKind::Unspecified {
            return Err(bad("kind: unknown"));
        }
        self.content
            .open_acts
            .iter()
            .find(|open| open.kind() == kind)
            .ok_or_else(|| refuse(Reason::StateInvalid, "record.open_acts: none of this kind waits"))
    }

    /// What waits of a kind, if that intent started it.
    pub(crate) fn open_act_of(&self, kind: OpenActKind, intent_hash: &[u8]) -> Result<&OpenAct, Refusal> {
        let open = self.open_act(kind)?;
        if open.intent_hash == intent_hash {
            Ok(open)
        } else {
            Err(refuse(Reason::StateInvalid, "record.open_acts: another intent started what waits of this kind"))
        }
    }

    /// Lets an act wait. What expired of its kind makes room.
    pub(crate) fn wait(&mut self, open: OpenAct, now: EnclaveTime) -> Result<(), Refusal> {
        let acts = &mut self.content.open_acts;
        acts.retain(|it| now.0 < it.expires_ms);
        if let Some(waiting) = acts.iter().find(|it| it.kind == open.kind) {
            return Err(refuse(
                Reason::StateInvalid,
                format!("record.open_acts: one of this kind waits until {} ms; cancel it first", waiting.not_before_ms),
            ));
        }
        acts.push(open);
        acts.sort_by_key(|it| it.kind);
        Ok(())
    }

    /// Takes out what waits of a kind.
    pub(crate) fn take_out(&mut self, kind: OpenActKind) {
        self.content.open_acts.retain(|it| it.kind() != kind);
    }
}
