//! What waits: recoveries under a delay, deletions, their release, and cancelling.

use strongroom_proto::v1::{
    Act, ActRequest, CarryOutRequest, OpenActKind, Reason, ReleaseRecoveryRequest, Role, TenantSignature,
};

use super::checks::{check_delayed, check_room, due, every_due, openable, select, waiting};
use super::keeping::resealed;
use super::recover::{check_recipients, recovered};
use super::release::{Keys, Released, To, Wanted, release_of};
use super::{Acted, Authenticator, Device, Recovered, Recovery, request_id};
use crate::error::Error;
use crate::intent::{self, EncodedIntent, Purpose, Recipients};
use crate::kept::Kept;
use crate::prepare::Prepared;
use crate::receipt::{self, Due};
use crate::seal::{MpcRecipient, RecipientKey};
use crate::view::{Backup, Generation, OpenAct, Waiting};

/// The tenant's second intent with its signature.
type Second = Option<(EncodedIntent, TenantSignature)>;

impl Device {
    /// Starts a recovery of the client's shares under a policy with a delay, to a key that the caller keeps until it is due. `generation`
    /// may be left out: then it is the active one.
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
        let recovery = Recovery { backup, generation, custodian: None };
        Ok(self.start_recovery_with(prepared, &recovery, recipient, authenticator).await?.0)
    }

    /// As [`Device::start_recovery`], of both roles where the recovery names an MPC server: every policy must have a delay. Gives the
    /// intent too, which the MPC server needs when it is due.
    ///
    /// # Errors
    /// As [`Device::start_recovery`].
    pub async fn start_recovery_with(
        &self,
        prepared: &Prepared,
        recovery: &Recovery<'_>,
        recipient: &RecipientKey,
        authenticator: &mut dyn Authenticator,
    ) -> Result<(Acted, EncodedIntent), Error> {
        let whole = select(prepared, recovery.backup)?;
        let backup = recovery.named(whole)?;
        let generation = openable(backup, recovery.number(whole))?;
        for (role, record) in backup.records() {
            check_delayed(prepared, role, record)?;
        }
        let recipients =
            Recipients { client: Some(recipient.hash()), custodian: recovery.custodian.map(MpcRecipient::hash) };
        check_recipients(prepared, &recipients, Purpose::Recovery)?;
        let base = prepared.base_for(backup.roles())?;
        let intent = intent::start_release(&base, backup, generation.number, recipients, Purpose::Recovery)?;
        let tenant = backup.records().any(|(_, record)| record.policy.tenant_signature);
        let signed = self.sign(prepared, backup, &intent, tenant, authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = self.client.start_recovery(&request).await?;
        let acted = self.receipted(prepared, &response.receipts, (&signed, &intent, backup)).await?;
        Ok((acted, intent))
    }

    /// Releases a recovery of the client's shares that is due, to the key that it was started for. No prompt: its consents were taken
    /// then. Under a policy with `newest_head` the tenant signs a second time.
    ///
    /// # Errors
    /// [`Error::WouldBeRefused`] before anybody is asked; [`Error::Refused`], or what receipt or release fail, after.
    pub async fn release_recovery(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        recipient: &RecipientKey,
    ) -> Result<Recovered, Error> {
        self.release_recovery_with(prepared, backup, recipient, None, None).await
    }

    /// As [`Device::release_recovery`], from every role in which the recovery waits: `custodian` is the MPC server that it was started
    /// for, and `started` the intent that started it, which goes to that server.
    ///
    /// # Errors
    /// As [`Device::release_recovery`]; `RECIPIENT_NOT_ALLOWED` where a role waits for another recipient, or for one that is not given.
    pub async fn release_recovery_with(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        recipient: &RecipientKey,
        custodian: Option<&MpcRecipient>,
        started: Option<&EncodedIntent>,
    ) -> Result<Recovered, Error> {
        let keys = Keys { client: Some(recipient), custodian: custodian.map(To::Mpc) };
        let selected = select(prepared, backup)?;
        let (acted, released, generation, resealed) =
            self.release_due(prepared, selected, keys, started, Purpose::Recovery).await?;
        Ok(recovered(acted, released, generation, resealed))
    }

    /// Releases what waits, to the keys that it was started for, from every role in which it does.
    pub(super) async fn release_due<'a>(
        &self,
        prepared: &Prepared,
        backup: Backup<'a>,
        keys: Keys<'_>,
        started: Option<&EncodedIntent>,
        purpose: Purpose,
    ) -> Result<(Acted, Vec<(Role, Released)>, &'a Generation, Option<Kept>), Error> {
        let (backup, open) = due(prepared, backup, OpenActKind::Recovery)?;
        let number = check_fixed(prepared, backup, keys.recipients(), purpose)?;
        if started.is_some_and(|started| started.hash != open.intent) {
            return Err(Error::input("intent", "is not the one that started the recovery"));
        }
        let generation = openable(backup, Some(number))?;
        let client_shares = self.brought(backup, generation)?;
        let second = self.second(prepared, backup, open).await?;
        let request = ReleaseRecoveryRequest {
            request_id: request_id()?,
            wallet: prepared.wallet().to_owned(),
            backup: backup.any().backup.clone(),
            recovery: open.intent.0.to_vec(),
            client_recipient_key: keys.public_key(Role::Client),
            act: second.as_ref().map(act_of),
            custodian_recipient_key: keys.public_key(Role::Custodian),
            client_shares,
        };
        let response = self.client.release_recovery(&request).await?;
        let wanted = Wanted { backup, generation, keys, intent: open.intent, bytes: started };
        let check = |role, receipt: &_, statement: &_| {
            let due = due_of(prepared, backup, OpenActKind::Recovery, role, &second)?;
            receipt::verify_due(receipt, statement, &Due { release: Some(release_of(&response, role)), ..due })
        };
        let (acted, released) = self.open_releases(prepared, &response, &wanted, check).await?;
        let resealed = resealed(response.client_shares, &acted, generation)?;
        Ok((acted, released, generation, resealed))
    }

    /// Carries out what waited and is due, a recovery excepted: in every role in which it waits or, where the tenant must sign a second
    /// time, in those in which the same intent started it. The host does so by itself, but under a policy with `newest_head`.
    ///
    /// # Errors
    /// As [`Device::release_recovery`].
    pub async fn carry_out(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        kind: OpenActKind,
    ) -> Result<Acted, Error> {
        let selected = select(prepared, backup)?;
        let (same, open) = due(prepared, selected, kind)?;
        let second = self.second(prepared, same, open).await?;
        // Without a second signature nothing says which intent's act is meant: the host carries out whatever waits of this kind.
        let backup = if second.is_some() { same } else { every_due(prepared, selected, kind)? };
        let request = CarryOutRequest {
            request_id: request_id()?,
            wallet: prepared.wallet().to_owned(),
            backup: backup.any().backup.clone(),
            kind: kind.into(),
            act: second.as_ref().map(act_of),
        };
        let response = self.client.carry_out(&request).await?;
        let found = receipt::of_roles(&response.receipts, backup.roles())?;
        let check = |role, receipt: &_, statement: &_| {
            receipt::verify_due(receipt, statement, &due_of(prepared, backup, kind, role, &second)?)
        };
        self.judge_all(prepared, &found, check).await
    }

    /// Cancels what waits of a kind, in every role in which the same intent started it. Where the roles wait for two intents, it is the
    /// client's: what still waits then is cancelled by a second call.
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
        let (backup, open) = waiting(select(prepared, backup)?, kind)?;
        let intent = intent::cancel(&prepared.base_for(backup.roles())?, backup, open)?;
        let signed = self.sign(prepared, backup, &intent, false, authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = match kind {
            OpenActKind::Recovery => self.client.cancel_recovery(&request).await?,
            OpenActKind::EjectWindow => self.client.disable_eject(&request).await?,
            _ => self.client.cancel_act(&request).await?,
        };
        self.receipted(prepared, &response.receipts, (&signed, &intent, backup)).await
    }

    /// Deletes a backup, in every role of it, after its grace of 7 days, in which any passkey or the tenant can cancel it.
    ///
    /// # Errors
    /// As [`Device::start_recovery`].
    pub async fn delete(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        // Not only a whole backup: what is left of one that is closed in the other role can go too.
        let backup = select(prepared, backup)?;
        for (role, record) in backup.records() {
            check_room(prepared, role, record, OpenActKind::Delete)?;
        }
        let intent = intent::delete_backup(&prepared.base_for(backup.roles())?, backup)?;
        let signed = self.sign(prepared, backup, &intent, false, authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = self.client.delete_backup(&request).await?;
        self.receipted(prepared, &response.receipts, (&signed, &intent, backup)).await
    }

    /// The tenant's second signature, where a policy asks for the newest head.
    async fn second(&self, prepared: &Prepared, backup: Backup<'_>, open: &OpenAct) -> Result<Second, Error> {
        if !backup.records().any(|(_, record)| record.policy.newest_head) {
            return Ok(None);
        }
        let intent = intent::carry_out(&prepared.base_for(backup.roles())?, backup, open)?;
        let signature = self.ask_tenant(prepared, backup, &intent).await?;
        Ok(Some((intent, signature)))
    }
}

/// Refuses recipients that are not those which the release was started for, in every role in which it waits; gives its generation.
fn check_fixed(
    prepared: &Prepared,
    backup: Backup<'_>,
    recipients: Recipients,
    purpose: Purpose,
) -> Result<u64, Error> {
    let refused = |detail: &str| Err(Error::would_be_refused(Reason::RecipientNotAllowed, detail));
    let mut fixed = None;
    for (role, record) in backup.records() {
        match record.open_act(OpenActKind::Recovery).map(|open| &open.waiting) {
            Some(Waiting::Recovery { eject, .. }) if *eject != (purpose == Purpose::Eject) => {
                return refused("recovery: an eject waits where a recovery is meant, or the other way round");
            }
            Some(Waiting::Recovery { generation, recipient, .. })
                if recipients.of(role) == Some(*recipient) && fixed.is_none_or(|fixed| fixed == *generation) =>
            {
                fixed = Some(*generation);
            }
            _ => return refused("recipient_key: not the recipient that the recovery was started for"),
        }
    }
    let named = [recipients.client, recipients.custodian].into_iter().flatten().count();
    match fixed {
        Some(generation) if named == backup.records().count() => {
            check_recipients(prepared, &recipients, purpose)?;
            Ok(generation)
        }
        _ => refused("recipient_key: the recovery was not started for the roles whose recipients are given"),
    }
}

fn act_of((intent, signature): &(EncodedIntent, TenantSignature)) -> Act {
    Act { intent: intent.bytes.clone(), assertions: Vec::new(), tenant_signature: Some(signature.clone()) }
}

fn due_of<'a>(
    prepared: &'a Prepared,
    backup: Backup<'a>,
    kind: OpenActKind,
    role: Role,
    second: &'a Second,
) -> Result<Due<'a>, Error> {
    let record = backup.record(role)?;
    let open = record.open_act(kind).ok_or_else(|| Error::malformed("act", "it does not wait in this role"))?;
    let second = second.as_ref().map(|(intent, signature)| (intent, signature));
    Ok(Due { role, wallet: prepared.wallet(), record, open, second, release: None })
}
