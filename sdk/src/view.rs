//! Views: the records of a wallet, as a live enclave opened them in answer to this device's nonce.
//!
//! A view proves that an enclave with the epoch's KEK answers now. It does not prove that the host showed it the newest record.

use strongroom_attestation::{Span, Time};
use strongroom_proto::canonical;
use strongroom_proto::id::{ContentHash, Head, IntentHash, RecordId};
use strongroom_proto::limits::{CREDENTIAL_ID_BYTES_MAX, CREDENTIALS_MAX, FRAME_BYTES_MAX, PAIRS_MAX, RECORDS_MAX};
use strongroom_proto::names::{is_id, is_label, is_method};
use strongroom_proto::v1::{Curve, GenerationState, Pair, Policy, Role, SecretKind, SignedView, Stages, WalletView};
use strongroom_proto::{prefix, signed};

use crate::error::{Error, expect, expect_bytes};
use crate::identity::RoleIdentity;
use crate::role::role_name;

mod backup;
mod open_act;
mod record;

pub use backup::{Backup, Difference};
pub use open_act::{OpenAct, Waiting};
pub use record::{Credential, Generation, Record};

/// Farthest that the device's clock may be from the enclave's: 15 minutes.
pub const CLOCK_OFF_MS_MAX: u64 = 15 * 60 * 1000;

const PART: &str = "view";

/// What a device asked for, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The wallet.
    pub wallet: &'a str,
    /// The nonce sent with the question.
    pub nonce: &'a [u8; 32],
    /// The device's time.
    pub at: Time,
}

/// A view that the epoch's receipt key signed in answer to the question.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedView {
    time: Time,
    records: Vec<Record>,
    stages: Stages,
}

impl VerifiedView {
    /// Checks a view: signature by the attested identity's receipt key, every field against the question, and the clock.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::Malformed`], [`Error::Mismatch`] or [`Error::ClockOff`].
    pub fn verify(signed: &SignedView, identity: &RoleIdentity, asked: &Asked<'_>) -> Result<Self, Error> {
        signed::verify(prefix::VIEW, &signed.view, &identity.receipt_key, &signed.signature)
            .map_err(|_| Error::Signature { part: PART })?;
        let view: WalletView =
            canonical::decode(&signed.view, FRAME_BYTES_MAX).map_err(|error| Error::malformed(PART, error))?;
        expect_bytes(PART, "tenant", &view.tenant, identity.tenant)?;
        expect(PART, "role", role_name(view.role()), role_name(identity.role))?;
        expect(PART, "epoch", view.epoch, identity.epoch)?;
        expect(PART, "wallet", view.wallet.as_str(), asked.wallet)?;
        expect_bytes(PART, "nonce", &view.nonce, asked.nonce)?;
        check_clock(Time::from_unix_ms(view.time_ms), asked.at)?;
        let stages = view.stages.ok_or_else(|| Error::malformed(PART, "stages are missing"))?;
        if view.records.len() > RECORDS_MAX {
            return Err(Error::malformed(PART, format_args!("more than {RECORDS_MAX} records")));
        }
        let records = view.records.into_iter().map(Record::read).collect::<Result<Vec<_>, _>>()?;
        if let Some(stray) = records.iter().find(|record| !record.roles.contains(&identity.role)) {
            let role = role_name(identity.role);
            return Err(Error::malformed(PART, format_args!("record {} was not made for the {role} role", stray.id)));
        }
        if !records.is_sorted_by(|a, b| a.id < b.id) {
            return Err(Error::malformed(PART, "records are not sorted, or one is there twice"));
        }
        Ok(Self { time: Time::from_unix_ms(view.time_ms), records, stages })
    }

    /// The records of the wallet, sorted by id.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The enclave's time when it answered.
    #[must_use]
    pub fn time(&self) -> Time {
        self.time
    }

    /// Who must be trusted for the answer, and how fresh it is.
    #[must_use]
    pub fn stages(&self) -> &Stages {
        &self.stages
    }
}

/// Refuses where the two clocks are apart: certificates were judged by the device's.
pub(crate) fn check_clock(enclave: Time, device: Time) -> Result<(), Error> {
    let apart = enclave.unix_ms().abs_diff(device.unix_ms());
    if apart <= CLOCK_OFF_MS_MAX {
        return Ok(());
    }
    Err(Error::ClockOff { by: Span::from_ms(apart), here: device.to_string(), there: enclave.to_string() })
}

#[cfg(test)]
mod tests;
