//! Recovering at once and rehearsing: choose a backup, sign, send, check the receipts, open.

use strongroom_proto::v1::{RecoverRequest, Rehearsal, RehearseBackupRequest, Role};

use prost::Message;

use super::checks::{openable, releasable, select};
use super::keeping::resealed;
use super::release::{Keys, Released, To, Wanted, release_of};
use super::{Authenticator, Device, Recovered, request_id};
use crate::error::{Error, expect};
use crate::intent::{self, Purpose, Recipients};
use crate::kept::Kept;
use crate::prepare::Prepared;
use crate::receipt::{self, Sent, VerifiedRehearsal};
use crate::seal::{MpcRecipient, RecipientKey};
use crate::view::{Backup, Generation};

/// A recovery as its caller wants it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery<'a> {
    /// The backup; may be left out where there is one only.
    pub backup: Option<&'a str>,
    /// The generation; where it is left out, the highest that opens in every role of the backup.
    pub generation: Option<u64>,
    /// The MPC server that the custodian's share is released to by the same act; `None`: the client role releases alone.
    pub custodian: Option<&'a MpcRecipient>,
}

impl Recovery<'_> {
    /// The roles that release.
    pub(super) fn named<'b>(&self, backup: Backup<'b>) -> Result<Backup<'b>, Error> {
        if self.custodian.is_some() { backup.whole() } else { backup.only(Role::Client) }
    }

    /// The generation that the whole backup has in common: a share of the client's that has no counterpart recovers no wallet.
    pub(super) fn number(&self, backup: Backup<'_>) -> Option<u64> {
        self.generation.or_else(|| backup.common(None).map(|generation| generation.number))
    }
}

impl Device {
    /// Recovers the client's shares of a backup to a key made for this call: of the active generation. `backup` may be left out where
    /// there is one only.
    ///
    /// # Errors
    /// As [`select`] and [`releasable`], and [`Error::UnknownCredential`] before anything is sent; [`Error::Refused`], or what
    /// receipt or release fail, after.
    pub async fn recover(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Recovered, Error> {
        self.recover_with(prepared, &Recovery { backup, ..Recovery::default() }, authenticator).await
    }

    /// As [`Device::recover`], a generation by its number: the active one, or a former one that still opens.
    ///
    /// # Errors
    /// As [`Device::recover`].
    pub async fn recover_generation(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        generation: Option<u64>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Recovered, Error> {
        self.recover_with(prepared, &Recovery { backup, generation, custodian: None }, authenticator).await
    }

    /// Recovers by one assertion: the client's shares to a key made for this call and, where the recovery names an MPC server, the
    /// custodian's to that one.
    ///
    /// # Errors
    /// As [`Device::recover`], for each role that is named; [`Error::RoleNotServed`] where one is missing.
    pub async fn recover_with(
        &self,
        prepared: &Prepared,
        recovery: &Recovery<'_>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Recovered, Error> {
        let whole = select(prepared, recovery.backup)?;
        let backup = recovery.named(whole)?;
        let generation = releasable(backup, recovery.number(whole))?;
        let own = RecipientKey::generate()?;
        let keys = Keys { client: Some(&own), custodian: recovery.custodian.map(To::Mpc) };
        check_recipients(prepared, &keys.recipients(), Purpose::Recovery)?;
        let kept = self.brought(backup, generation)?;
        let base = prepared.base_for(backup.roles())?;
        let intent = intent::release(&base, backup, generation.number, keys.recipients(), Purpose::Recovery)?;
        let tenant = backup.records().any(|(_, record)| record.policy.tenant_signature);
        let signed = self.sign(prepared, backup, &intent, tenant, authenticator).await?;

        let request = RecoverRequest {
            request_id: request_id()?,
            act: Some(signed.act.clone()),
            client_recipient_key: keys.public_key(Role::Client),
            custodian_recipient_key: keys.public_key(Role::Custodian),
            client_shares: kept,
        };
        let response = self.client.recover(&request).await?;
        let wanted = Wanted { backup, generation, keys, intent: intent.hash, bytes: Some(&intent) };
        let sent = |role| Sent { release: Some(release_of(&response, role)), ..signed.sent(&intent, backup, role) };
        let check = |role, receipt: &_, statement: &_| receipt::verify(receipt, statement, &sent(role));
        let (acted, released) = self.open_releases(prepared, &response, &wanted, check).await?;
        let resealed = resealed(response.client_shares, &acted, generation)?;
        Ok(recovered(acted, released, generation, resealed))
    }

    /// Asks whether the active generation of a backup would open, in every role of it. Nothing is released and nothing is written.
    ///
    /// # Errors
    /// As [`Device::recover`].
    pub async fn rehearse(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<VerifiedRehearsal, Error> {
        let backup = select(prepared, backup)?.whole()?;
        let generation = openable(backup, None)?;
        let client_shares = self.brought(backup, generation)?;
        let intent = intent::rehearse(&prepared.base_for(backup.roles())?, backup, generation.number)?;
        let tenant = backup.records().any(|(_, record)| record.policy.tenant_signature);
        let signed = self.sign(prepared, backup, &intent, tenant, authenticator).await?;
        let request = RehearseBackupRequest { act: Some(signed.act.clone()), client_shares };
        let response = self.client.rehearse(&request).await?;
        expect("answer", "number of rehearsals", response.rehearsals.len(), backup.records().count())?;
        let mut rehearsed: Option<VerifiedRehearsal> = None;
        for role in backup.roles() {
            // Only to sort them; `verify_rehearsal` decodes strictly.
            let of_role = |it: &&_| rehearsal_role(it) == Some(role);
            let found = response.rehearsals.iter().find(of_role);
            let missing = || Error::malformed("answer", "it has not one rehearsal of each role that the act names");
            let (found, sent) = (found.ok_or_else(missing)?, signed.sent(&intent, backup, role));
            let one = self.judge(prepared, |statement| receipt::verify_rehearsal(found, statement, &sent)).await?;
            // The whole opens where every role says so.
            rehearsed = Some(match rehearsed {
                Some(before) if !before.opens => before,
                _ => one,
            });
        }
        rehearsed.ok_or_else(|| Error::malformed("answer", "it has no rehearsal"))
    }
}

fn rehearsal_role(signed: &strongroom_proto::v1::SignedRehearsal) -> Option<Role> {
    Rehearsal::decode(signed.rehearsal.as_slice()).ok().map(|rehearsal| rehearsal.role())
}

/// Refuses what the custodian's enclave would: a recovery goes to MPC recipients of the statement alone.
pub(super) fn check_recipients(prepared: &Prepared, recipients: &Recipients, purpose: Purpose) -> Result<(), Error> {
    match recipients.custodian {
        Some(recipient) if purpose == Purpose::Recovery && !prepared.statement().is_mpc_recipient(&recipient) => {
            let detail = "intent.custodian.recipient: not one of the statement's mpc_recipients";
            Err(Error::would_be_refused(strongroom_proto::v1::Reason::RecipientNotAllowed, detail))
        }
        _ => Ok(()),
    }
}

/// The client's shares, and what is for the MPC server.
pub(super) fn recovered(
    acted: super::Acted,
    released: Vec<(Role, Released)>,
    generation: &Generation,
    resealed: Option<Kept>,
) -> Recovered {
    let (mut shares, mut custodian) = (Vec::new(), None);
    for (_, released) in released {
        match released {
            Released::Shares(opened) => shares = opened,
            Released::Delivery(delivery) => custodian = Some(delivery),
        }
    }
    Recovered { shares, pairs: generation.pairs.clone(), generation: generation.number, acted, custodian, resealed }
}
