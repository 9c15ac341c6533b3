//! Recovering at once and rehearsing: choose a record, sign, send, check the receipt, open.

use strongroom_proto::v1::{RecoverRequest, RehearseBackupRequest, Role};

use super::checks::{choose, openable, releasable};
use super::{Authenticator, Device, Recovered, request_id};
use crate::error::{Error, expect};
use crate::intent;
use crate::prepare::Prepared;
use crate::receipt::{self, Sent, VerifiedRehearsal};
use crate::seal::{Expected, RecipientKey};
use crate::statement::VerifiedStatement;

impl Device {
    /// Recovers the active generation of a backup to a key made for this call. `backup` may be left out where there is one only.
    ///
    /// # Errors
    /// As [`choose`] and [`releasable`], and [`Error::UnknownCredential`] before anything is sent; [`Error::Refused`], or what
    /// receipt or release fail, after.
    pub async fn recover(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Recovered, Error> {
        self.recover_generation(prepared, backup, None, authenticator).await
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
        let record = choose(prepared, backup)?;
        let generation = releasable(record, generation)?;
        let recipient = RecipientKey::generate()?;
        let base = prepared.base(Role::Client)?;
        let intent = intent::recover(&base, record, generation.number, recipient.hash())?;
        let signed_act = self.sign(prepared, record, &intent, record.policy.tenant_signature, authenticator).await?;

        let request = RecoverRequest {
            request_id: request_id()?,
            act: Some(signed_act.act.clone()),
            client_recipient_key: recipient.public_key().to_vec(),
        };
        let response = self.client.recover(&request).await?;
        let signed = receipt::of_role(&response.receipts, Role::Client)?;
        let release = response.client_release.as_slice();
        let sent = Sent { release: Some(release), ..signed_act.sent(&intent, record) };
        let check = |statement: &VerifiedStatement| {
            let receipt = receipt::verify(signed, statement, &sent)?;
            let keys = statement.epoch(Role::Client, receipt.epoch)?;
            Ok((receipt, keys))
        };
        let (receipt, keys) = self.judge(prepared, check).await?;
        let shares = recipient.open(
            release,
            &Expected {
                role: Role::Client,
                tenant: &base.tenant,
                kek_id: &keys.kek_id,
                record_id: &record.id,
                intent: &intent.hash,
                generation: generation.number,
                pairs: &generation.pairs,
            },
        )?;
        let pairs = generation.pairs.clone();
        Ok(Recovered { shares, pairs, generation: generation.number, receipt, signed: signed.clone() })
    }

    /// Asks whether the active generation of a backup would open. Nothing is released and nothing is written.
    ///
    /// # Errors
    /// As [`Device::recover`].
    pub async fn rehearse(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<VerifiedRehearsal, Error> {
        let record = choose(prepared, backup)?;
        let generation = openable(record, None)?;
        let intent = intent::rehearse(&prepared.base(Role::Client)?, record, generation.number)?;
        let signed_act = self.sign(prepared, record, &intent, record.policy.tenant_signature, authenticator).await?;
        let request = RehearseBackupRequest { act: Some(signed_act.act.clone()) };
        let response = self.client.rehearse(&request).await?;
        expect("answer", "number of rehearsals", response.rehearsals.len(), 1)?;
        let signed = response.rehearsals.first().ok_or_else(|| Error::malformed("answer", "it has no rehearsal"))?;
        let sent = signed_act.sent(&intent, record);
        self.judge(prepared, |statement| receipt::verify_rehearsal(signed, statement, &sent)).await
    }
}
