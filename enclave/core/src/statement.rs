//! The tenant statement inside the enclave: verified once, cached by hash, asked by every act.

use alloc::format;

use prost::Message;
use strongroom_proto::enclave::v1::StatementRef;
use strongroom_proto::id::{ContentHash, TenantId};
use strongroom_proto::v1::{Reason, SignedStatement, Statement};
use strongroom_proto::{prefix, signed, statement};

use crate::kek::Kek;
use crate::platform::EnclaveTime;
use crate::refusal::{Refusal, bad, refuse};
use crate::role::RoleKind;
use crate::suite::Suite;

/// A statement whose form and signature hold.
#[derive(Debug)]
pub(crate) struct VerifiedStatement {
    pub(crate) tenant: TenantId,
    pub(crate) body: Statement,
}

impl VerifiedStatement {
    /// Checks form and signature. Whose statement it is, the caller compares.
    fn verify(signed: &SignedStatement) -> Result<Self, Refusal> {
        let body = statement::decode(&signed.statement).map_err(|error| bad(format!("statement: {error}")))?;
        [&body.root_key, &body.standby_key]
            .into_iter()
            .find(|key| signed::verify(prefix::STATEMENT, &signed.statement, key, &signed.signature).is_ok())
            .ok_or_else(|| bad("statement.signature: by neither the root nor the standby key"))?;
        Ok(Self { tenant: TenantId::of(&body.root_key, &body.standby_key), body })
    }

    /// The statement that a reference with its bytes names.
    pub(crate) fn from_ref(reference: &StatementRef, signed: &SignedStatement) -> Result<Self, Refusal> {
        if ContentHash::of(&signed.encode_to_vec()).0 != *reference.sha256 {
            return Err(bad("statement.sha256: not the hash of the bytes beside it"));
        }
        Self::verify(signed)
    }

    /// Whether `key` signs for the tenant now.
    pub(crate) fn is_operational(&self, key: &[u8], now: EnclaveTime) -> bool {
        self.body
            .operational_keys
            .iter()
            .any(|known| known.key == key && (known.not_before_ms..=known.not_after_ms).contains(&now.0))
    }

    /// Whether the tenant can sign at all now.
    pub(crate) fn has_operational_key(&self, now: EnclaveTime) -> bool {
        self.body.operational_keys.iter().any(|known| (known.not_before_ms..=known.not_after_ms).contains(&now.0))
    }

    /// Checks that anything new may be sealed under this KEK: the statement names the epoch with just these keys, and none lower
    /// than its lowest.
    pub(crate) fn check_sealing<R: RoleKind, S: Suite>(&self, kek: &Kek<S>) -> Result<(), Refusal> {
        let number = kek.context.epoch;
        let refused = |why| Err(refuse(Reason::EpochNotInStatement, format!("epoch {number}: {why}")));
        let Some(role) = R::statement(&self.body) else { return refused("the statement does not name this role") };
        let Some(epoch) = role.epochs.iter().find(|epoch| epoch.epoch == number) else {
            return refused("not in the statement");
        };
        let same = epoch.kek_id == kek.id.0
            && epoch.channel_key_hash == kek.channel_key_hash.0
            && epoch.receipt_key == kek.receipt_key();
        if !same {
            return refused("the statement names other keys");
        }
        if number < role.lowest_epoch { refused("below the statement's lowest_epoch") } else { Ok(()) }
    }
}
