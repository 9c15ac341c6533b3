//! A new generation of shares for an existing backup: seal, sign, send, check the receipt.

use strongroom_proto::contents::Share;
use strongroom_proto::v1::{Pair, PutSharesRequest, Role};

use super::backup::check_pairs;
use super::checks::choose;
use super::{Acted, Authenticator, Device, check_shares, request_id};
use crate::error::{Error, expect};
use crate::intent;
use crate::prepare::Prepared;
use crate::role::role_name;
use crate::seal;

impl Device {
    /// Puts a new generation of client shares, one above the highest that the record has seen. The receipt names it as the active one,
    /// put by this very intent.
    ///
    /// # Errors
    /// [`Error::Input`], [`Error::WouldBeRefused`] and [`Error::EpochTooOld`] before anybody is asked; [`Error::Refused`], or what the
    /// receipt fails, after.
    pub async fn put(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        pairs: &[Pair],
        mut shares: Vec<Share>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        check_shares(&shares)?;
        let record = choose(prepared, backup)?;
        // A put names every role of the record, and a device has nothing to seal for the custodian.
        let roles: Vec<&str> = record.roles.iter().map(|role| role_name(*role)).collect();
        expect("record", "list of roles", roles.join(", ").as_str(), role_name(Role::Client))?;
        let role = prepared.role(Role::Client)?;
        let identity = &role.attested.identity;
        identity.check_sealable(prepared.statement())?;
        let intent = intent::put_shares(&prepared.base(Role::Client)?, record, pairs)?;
        shares.sort_by(|a, b| a.pair.cmp(&b.pair));
        check_pairs(&shares, pairs)?;
        let message = seal::seal_shares(identity, &record.id, &shares)?;
        let intent = intent::with_client_message(intent, &message)?;

        let signed = self.sign(prepared, record, &intent, record.policy.tenant_signature, authenticator).await?;
        let request = PutSharesRequest {
            request_id: request_id()?,
            act: Some(signed.act.clone()),
            client_message: message,
            client_epoch: identity.epoch,
        };
        let response = self.client.put_shares(&request).await?;
        self.receipted(prepared, &response.receipts, &signed.sent(&intent, record)).await
    }
}
