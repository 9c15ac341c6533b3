//! Recovering and rehearsing: choose a record, sign, send, check the receipt, open.

use strongroom_proto::v1::{Assertion, RecoverRequest, RehearseBackupRequest, Role};

use super::{Authenticator, Device, Recovered, act, request_id};
use crate::error::{Error, expect};
use crate::intent::{self, EncodedIntent};
use crate::prepare::Prepared;
use crate::receipt::{self, Sent, VerifiedRehearsal};
use crate::seal::{Expected, RecipientKey};
use crate::statement::VerifiedStatement;
use crate::view::{Generation, Record};

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
        let record = choose(prepared, backup)?;
        let generation = releasable(prepared, record)?;
        let recipient = RecipientKey::generate()?;
        let base = prepared.base(Role::Client)?;
        let intent = intent::recover(&base, record, generation.number, recipient.hash())?;
        let assertion = ask(record, &intent, authenticator)?;
        let credential_id = assertion.credential_id.clone();

        let request = RecoverRequest {
            request_id: request_id()?,
            act: Some(act(&intent, assertion)),
            client_recipient_key: recipient.public_key().to_vec(),
        };
        let response = self.client.recover(&request).await?;
        let signed = receipt::of_role(&response.receipts, Role::Client)?;
        let release = response.client_release.as_slice();
        let sent = Sent { release: Some(release), ..sent(&intent, record, &credential_id) };
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
        let generation = releasable(prepared, record)?;
        let intent = intent::rehearse(&prepared.base(Role::Client)?, record, generation.number)?;
        let assertion = ask(record, &intent, authenticator)?;
        let credential_id = assertion.credential_id.clone();
        let request = RehearseBackupRequest { act: Some(act(&intent, assertion)) };
        let response = self.client.rehearse(&request).await?;
        expect("answer", "number of rehearsals", response.rehearsals.len(), 1)?;
        let signed = response.rehearsals.first().ok_or_else(|| Error::malformed("answer", "it has no rehearsal"))?;
        let sent = sent(&intent, record, &credential_id);
        self.judge(prepared, |statement| receipt::verify_rehearsal(signed, statement, &sent)).await
    }

    /// Checks an answer by the statement that was prepared; where that does not name the epoch which signed, by the tenant's newest:
    /// the epoch may have come between the preparation and the act.
    pub(super) async fn judge<T>(
        &self,
        prepared: &Prepared,
        check: impl Fn(&VerifiedStatement) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let prepared = prepared.statement();
        let unknown = match check(prepared) {
            Err(unknown @ Error::EpochNotInStatement { .. }) => unknown,
            result => return result,
        };
        let newest = self.client.get_statement().await?.ok_or(unknown)?;
        let newest = VerifiedStatement::verify(&newest, self.tenant)?;
        newest.require_at_least(prepared.serial())?;
        check(&newest)
    }
}

/// The record of a backup in the client role, or of the only one.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::Input`] where there are several and none was named.
pub fn choose<'a>(prepared: &'a Prepared, backup: Option<&str>) -> Result<&'a Record, Error> {
    let records = prepared.role(Role::Client)?.view.records();
    let mut found = records.iter().filter(|record| backup.is_none_or(|backup| record.backup == backup));
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(record),
        (None, _) => {
            let what = backup.map_or_else(|| "backup".to_owned(), |backup| format!("backup {backup}"));
            Err(Error::NotFound { wallet: prepared.wallet().to_owned(), what })
        }
        (Some(_), Some(_)) => {
            let names: Vec<&str> = records.iter().map(|record| record.backup.as_str()).collect();
            Err(Error::input("backup", format!("there are several; name one of {}", names.join(", "))))
        }
    }
}

/// The generation of a record that a recovery releases, where a passkey alone releases it.
///
/// # Errors
/// [`Error::NotFound`] without an active one; [`Error::PasskeyNotEnough`] where the policy needs what a device cannot bring.
pub fn releasable<'a>(prepared: &Prepared, record: &'a Record) -> Result<&'a Generation, Error> {
    if record.policy.tenant_signature || record.policy.delay_seconds > 0 {
        return Err(Error::PasskeyNotEnough { backup: record.backup.clone() });
    }
    record.active().ok_or_else(|| Error::NotFound {
        wallet: prepared.wallet().to_owned(),
        what: format!("active generation in backup {}", record.backup),
    })
}

/// After the prompt and before anything is sent: the credential used must be one that the enclave lists.
fn ask(record: &Record, intent: &EncodedIntent, authenticator: &mut dyn Authenticator) -> Result<Assertion, Error> {
    let allowed: Vec<&[u8]> = record.credentials.iter().map(|credential| credential.id.as_slice()).collect();
    let assertion = authenticator.assert(&record.rp_id, &intent.hash, &allowed)?;
    record.check_credential(&assertion.credential_id)?;
    Ok(assertion)
}

fn sent<'a>(intent: &'a EncodedIntent, record: &'a Record, credential_id: &'a [u8]) -> Sent<'a> {
    Sent { role: Role::Client, intent, record: Some(record), credential_id, tenant_signature: None, release: None }
}
