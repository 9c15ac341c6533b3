//! What waits in a record of a view.

use strongroom_attestation::Time;
use strongroom_proto::id::{ContentHash, IntentHash};
use strongroom_proto::v1::{OpenAct as Fields, OpenActKind, Policy};

use super::record::is_policy;
use super::{CREDENTIAL_ID_BYTES_MAX, PART};
use crate::error::{Error, array};

/// An act that took its consents and waits for its time.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAct {
    /// What is to be done.
    pub waiting: Waiting,
    /// The intent that started it.
    pub intent: IntentHash,
    /// By the enclave's time: carried out from this moment on.
    pub not_before: Time,
    /// And before this one.
    pub expires: Time,
}

/// What is to be done, with all that was fixed when it started.
#[derive(Clone, Debug, PartialEq)]
pub enum Waiting {
    /// A release.
    Recovery {
        /// Of this generation.
        generation: u64,
        /// To this recipient.
        recipient: ContentHash,
        /// Its recipient is the user's device, in the custodian role too.
        eject: bool,
    },
    /// Another policy.
    PolicyChange(Policy),
    /// The removal of a passkey.
    PasskeyRemoval {
        /// Its WebAuthn credential id.
        credential_id: Vec<u8>,
    },
    /// The deletion of the record.
    Delete,
    /// Nothing waits: from `not_before` until `expires` a passkey can eject. It is never carried out.
    EjectWindow,
}

impl OpenAct {
    pub(super) fn read(fields: &Fields) -> Result<Self, Error> {
        let kind = fields.kind();
        let refuse = || Error::malformed(PART, format_args!("what waits of kind {}", kind.as_str_name()));
        let has = (
            fields.generation > 0,
            ContentHash::from_slice(&fields.recipient),
            fields.policy,
            fields.credential_id.as_slice(),
        );
        let waiting = match (kind, has) {
            (OpenActKind::Recovery, (true, Some(recipient), None, [])) => {
                Waiting::Recovery { generation: fields.generation, recipient, eject: fields.eject }
            }
            (OpenActKind::PolicyChange, (false, None, Some(policy), [])) if is_policy(policy) => {
                Waiting::PolicyChange(policy)
            }
            (OpenActKind::PasskeyRemoval, (false, None, None, id @ [_, ..])) if id.len() <= CREDENTIAL_ID_BYTES_MAX => {
                Waiting::PasskeyRemoval { credential_id: id.to_vec() }
            }
            (OpenActKind::Delete, (false, None, None, [])) => Waiting::Delete,
            (OpenActKind::EjectWindow, (false, None, None, [])) => Waiting::EjectWindow,
            _ => return Err(refuse()),
        };
        let recipient_is_whole = fields.recipient.is_empty() || fields.recipient.len() == 32;
        let ejects = fields.eject && kind != OpenActKind::Recovery;
        if !recipient_is_whole || ejects || fields.not_before_ms >= fields.expires_ms {
            return Err(refuse());
        }
        Ok(Self {
            waiting,
            intent: IntentHash(array(PART, "intent_hash", &fields.intent_hash)?),
            not_before: Time::from_unix_ms(fields.not_before_ms),
            expires: Time::from_unix_ms(fields.expires_ms),
        })
    }

    /// Its kind on the wire.
    #[must_use]
    pub fn kind(&self) -> OpenActKind {
        match self.waiting {
            Waiting::Recovery { .. } => OpenActKind::Recovery,
            Waiting::PolicyChange(_) => OpenActKind::PolicyChange,
            Waiting::PasskeyRemoval { .. } => OpenActKind::PasskeyRemoval,
            Waiting::Delete => OpenActKind::Delete,
            Waiting::EjectWindow => OpenActKind::EjectWindow,
        }
    }

    /// Whether it can be carried out at this time; of an eject window, whether it is open.
    #[must_use]
    pub fn is_due(&self, at: Time) -> bool {
        at >= self.not_before && !self.is_expired(at)
    }

    /// Whether it can never be carried out any more.
    #[must_use]
    pub fn is_expired(&self, at: Time) -> bool {
        at >= self.expires
    }
}
