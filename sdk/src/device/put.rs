//! A new generation of shares for an existing backup: draft, seal, sign, send, check the receipts.

use strongroom_proto::contents::Share;
use strongroom_proto::v1::{Pair, PutSharesRequest, Role};

use super::asking::SignedAct;
use super::checks::select;
use super::draft::Draft;
use super::keeping::Named;
use super::{Acted, Authenticator, Device, check_shares, request_id};
use crate::ciphertext::Ciphertexts;
use crate::error::Error;
use crate::intent;
use crate::prepare::Prepared;

impl Device {
    /// Puts a new generation of shares, one above the highest that a record of the backup has seen. In a backup of one role the receipt
    /// names it as the active one, put by this very intent; in a backup of both roles the backend seals the custodian's shares, signs and
    /// sends, and the generation waits in both for [`Device::commit`].
    ///
    /// # Errors
    /// [`Error::Input`], [`Error::WouldBeRefused`], [`Error::EpochTooOld`], and what the backend's seal fails, before anybody is asked;
    /// [`Error::Refused`], or what a receipt fails, after.
    pub async fn put(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        pairs: &[Pair],
        shares: Vec<Share>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        self.put_with(prepared, (backup, pairs), (shares, None), authenticator).await
    }

    /// As [`Device::put`]; where the secret is a key in escrow, with what it encrypts. Where this device has a keeper, that keeps the sealed
    /// shares in the host's place, and the host is told.
    ///
    /// # Errors
    /// As [`Device::put`]; [`Error::Input`] for a key without ciphertexts, or ciphertexts without a key; what the keeper fails.
    pub async fn put_with(
        &self,
        prepared: &Prepared,
        (backup, pairs): (Option<&str>, &[Pair]),
        (shares, ciphertexts): (Vec<Share>, Option<&Ciphertexts>),
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        check_shares(&shares)?;
        let backup = select(prepared, backup)?;
        // A device has client shares to put, and nothing else.
        let record = backup.record(Role::Client)?;
        let beside = self.beside(record.secret, (pairs, &shares), ciphertexts)?;
        let intent = intent::put_shares(&prepared.base_for(backup.roles())?, backup, pairs)?;
        let answered = Draft::new(prepared, intent, backup.id())?.answered(self).await?;
        let sealed = answered.sealed(shares, pairs)?;

        // Where the backend sends, the tenant signs last: over what the passkey signed.
        let tenant = !sealed.by_backend && backup.records().any(|(_, record)| record.policy.tenant_signature);
        let mut signed = self.sign(prepared, backup, &sealed.intent, tenant, authenticator).await?;
        let (receipts, client_shares) = if sealed.by_backend {
            let assertion =
                signed.act.assertions.first().ok_or_else(|| Error::malformed("act", "it has no assertion"))?;
            let returned = self.send_by_backend(prepared, (&sealed, beside), assertion, None).await?;
            signed = SignedAct { act: returned.act, ..signed };
            (returned.receipts, returned.client_shares)
        } else {
            let request = PutSharesRequest {
                request_id: request_id()?,
                act: Some(signed.act.clone()),
                client_message: sealed.message.clone(),
                client_epoch: sealed.epoch,
                client_ciphertexts: beside.ciphertexts,
                ..PutSharesRequest::default()
            };
            let response = self.client.put_shares(&request).await?;
            (response.receipts, response.client_shares)
        };
        let acted = self.receipted(prepared, &receipts, (&signed, &sealed.intent, backup)).await?;
        let named = Named { wallet: prepared.wallet(), backup: &record.backup, method: &record.method };
        self.keep(&named, &acted, pairs, (client_shares, ciphertexts)).await?;
        Ok(acted)
    }
}
