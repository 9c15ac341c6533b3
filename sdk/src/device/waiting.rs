//! What waits: recoveries under a delay, deletions, their release, and cancelling.

use strongroom_proto::v1::{
    Act, ActRequest, CarryOutRequest, OpenActKind, Reason, ReleaseRecoveryRequest, Role, TenantSignature,
};

use super::checks::{check_room, choose, due, openable, waiting};
use super::{Acted, Authenticator, Device, Recovered, request_id};
use crate::error::Error;
use crate::intent::{self, EncodedIntent};
use crate::prepare::Prepared;
use crate::receipt::{self, Due};
use crate::seal::{Expected, RecipientKey};
use crate::statement::VerifiedStatement;
use crate::view::{OpenAct, Record, Waiting};

/// The tenant's second intent with its signature.
type Second = Option<(EncodedIntent, TenantSignature)>;

impl Device {
    /// Starts a recovery under a policy with a delay, to a key that the caller keeps until it is due. `generation` may be left out: then
    /// it is the active one.
    ///
    /// # Errors
    /// [`Error::WouldBeRefused`] before anybody is asked; [`Error::Refused`], or what the receipt fails, after.
    pub async fn start_recovery(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        generation: Option<u64>,
        recipient: &RecipientKey,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        let record = choose(prepared, backup)?;
        let generation = openable(record, generation)?;
        if record.policy.delay_seconds == 0 {
            let detail = "start_recovery: the policy has no delay; recover at once";
            return Err(Error::would_be_refused(Reason::StateInvalid, detail));
        }
        check_room(record, OpenActKind::Recovery, prepared.role(Role::Client)?.view.time())?;
        let base = prepared.base(Role::Client)?;
        let intent = intent::start_recovery(&base, record, generation, recipient.hash())?;
        let signed = self.sign(prepared, record, &intent, record.policy.tenant_signature, authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = self.client.start_recovery(&request).await?;
        self.receipted(prepared, &response.receipts, &signed.sent(&intent, record)).await
    }

    /// Releases a recovery that is due, to the key that it was started for. No prompt: its consents were taken then. Under a policy with
    /// `newest_head` the tenant signs a second time.
    ///
    /// # Errors
    /// [`Error::WouldBeRefused`] before anybody is asked; [`Error::Refused`], or what receipt or release fail, after.
    pub async fn release_recovery(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        recipient: &RecipientKey,
    ) -> Result<Recovered, Error> {
        let record = choose(prepared, backup)?;
        let open = due(record, OpenActKind::Recovery, prepared.role(Role::Client)?.view.time())?;
        let number = match &open.waiting {
            Waiting::Recovery { generation, recipient: named } if *named == recipient.hash() => *generation,
            _ => {
                let detail = "recipient_key: not the recipient that the recovery was started for";
                return Err(Error::would_be_refused(Reason::RecipientNotAllowed, detail));
            }
        };
        let generation = openable(record, Some(number))?;
        let second = self.second(prepared, record, open).await?;
        let request = ReleaseRecoveryRequest {
            request_id: request_id()?,
            wallet: prepared.wallet().to_owned(),
            backup: record.backup.clone(),
            recovery: open.intent.0.to_vec(),
            client_recipient_key: recipient.public_key().to_vec(),
            act: second.as_ref().map(act_of),
        };
        let response = self.client.release_recovery(&request).await?;
        let signed = receipt::of_role(&response.receipts, Role::Client)?;
        let release = response.client_release.as_slice();
        let due = Due { release: Some(release), ..due_of(prepared, record, open, &second) };
        let check = |statement: &VerifiedStatement| {
            let receipt = receipt::verify_due(signed, statement, &due)?;
            let keys = statement.epoch(Role::Client, receipt.epoch)?;
            Ok((receipt, keys))
        };
        let (receipt, keys) = self.judge(prepared, check).await?;
        let shares = recipient.open(
            release,
            &Expected {
                role: Role::Client,
                tenant: &prepared.statement().tenant(),
                kek_id: &keys.kek_id,
                record_id: &record.id,
                intent: &open.intent,
                generation: number,
                pairs: &generation.pairs,
            },
        )?;
        Ok(Recovered { shares, pairs: generation.pairs.clone(), generation: number, receipt, signed: signed.clone() })
    }

    /// Carries out what waited and is due, a recovery excepted. The host does so by itself, but under a policy with `newest_head`.
    ///
    /// # Errors
    /// As [`Device::release_recovery`].
    pub async fn carry_out(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        kind: OpenActKind,
    ) -> Result<Acted, Error> {
        let record = choose(prepared, backup)?;
        let open = due(record, kind, prepared.role(Role::Client)?.view.time())?;
        let second = self.second(prepared, record, open).await?;
        let request = CarryOutRequest {
            request_id: request_id()?,
            wallet: prepared.wallet().to_owned(),
            backup: record.backup.clone(),
            kind: kind.into(),
            act: second.as_ref().map(act_of),
        };
        let response = self.client.carry_out(&request).await?;
        let signed = receipt::of_role(&response.receipts, Role::Client)?;
        let due = due_of(prepared, record, open, &second);
        let receipt = self.judge(prepared, |statement| receipt::verify_due(signed, statement, &due)).await?;
        Ok(Acted { receipt, signed: signed.clone() })
    }

    /// Cancels what waits of a kind.
    ///
    /// # Errors
    /// As [`Device::start_recovery`].
    pub async fn cancel(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        kind: OpenActKind,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        let record = choose(prepared, backup)?;
        let intent = intent::cancel(&prepared.base(Role::Client)?, record, waiting(record, kind)?)?;
        let signed = self.sign(prepared, record, &intent, false, authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = if kind == OpenActKind::Recovery {
            self.client.cancel_recovery(&request).await?
        } else {
            self.client.cancel_act(&request).await?
        };
        self.receipted(prepared, &response.receipts, &signed.sent(&intent, record)).await
    }

    /// Deletes a backup after its grace of 7 days, in which any passkey or the tenant can cancel it.
    ///
    /// # Errors
    /// As [`Device::start_recovery`].
    pub async fn delete(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        let record = choose(prepared, backup)?;
        check_room(record, OpenActKind::Delete, prepared.role(Role::Client)?.view.time())?;
        let intent = intent::delete_backup(&prepared.base(Role::Client)?, record)?;
        let signed = self.sign(prepared, record, &intent, false, authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = self.client.delete_backup(&request).await?;
        self.receipted(prepared, &response.receipts, &signed.sent(&intent, record)).await
    }

    /// The tenant's second signature, where the policy asks for the newest head.
    async fn second(&self, prepared: &Prepared, record: &Record, open: &OpenAct) -> Result<Second, Error> {
        if !record.policy.newest_head {
            return Ok(None);
        }
        let intent = intent::carry_out(&prepared.base(Role::Client)?, record, open)?;
        let signature = self.ask_tenant(prepared, record, &intent).await?;
        Ok(Some((intent, signature)))
    }
}

fn act_of((intent, signature): &(EncodedIntent, TenantSignature)) -> Act {
    Act { intent: intent.bytes.clone(), assertions: Vec::new(), tenant_signature: Some(signature.clone()) }
}

fn due_of<'a>(prepared: &'a Prepared, record: &'a Record, open: &'a OpenAct, second: &'a Second) -> Due<'a> {
    let second = second.as_ref().map(|(intent, signature)| (intent, signature));
    Due { role: Role::Client, wallet: prepared.wallet(), record, open, second, release: None }
}
