//! Backing up: seal, sign, send, check the receipt.

use strongroom_proto::contents::Share;
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::{Act, Assertion, CreateBackupRequest, Pair, Role};

use super::{Acted, Authenticator, Device, check_shares, request_id};
use crate::error::{Error, expect, expect_bytes};
use crate::intent::{self, Creation};
use crate::prepare::Prepared;
use crate::receipt::{self, Sent};
use crate::seal;

impl Device {
    /// Backs up a wallet's client shares in the client role.
    ///
    /// # Errors
    /// [`Error::Input`] and [`Error::EpochTooOld`] before the user is asked; [`Error::Refused`], or what the receipt fails, after.
    pub async fn backup(
        &self,
        prepared: &Prepared,
        creation: &Creation,
        mut shares: Vec<Share>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        check_shares(&shares)?;
        check_creation(prepared, creation)?;
        let role = prepared.role(Role::Client)?;
        let (intent, record_id) = intent::create_backup(&prepared.base(Role::Client)?, creation)?;
        shares.sort_by(|a, b| a.pair.cmp(&b.pair));
        check_pairs(&shares, &creation.pairs)?;
        let message = seal::seal_shares(&role.attested.identity, &record_id, &shares)?;
        let intent = intent::with_client_message(intent, &message)?;

        let rp_id = &prepared.statement().statement().rp_id;
        let credential = &creation.credential;
        let assertion = authenticator.assert(rp_id, &intent.hash, &[&credential.id])?;
        check_credential(&assertion, &credential.id)?;

        let request = CreateBackupRequest {
            request_id: request_id()?,
            act: Some(Act { intent: intent.bytes.clone(), assertions: vec![assertion], tenant_signature: None }),
            credential: Some(credential.clone()),
            client_message: message,
            client_epoch: role.attested.identity.epoch,
        };
        let response = self.client.create_backup(&request).await?;
        let signed = receipt::of_role(&response.receipts, Role::Client)?;
        let sent = Sent {
            role: Role::Client,
            intent: &intent,
            record: None,
            credential_id: &credential.id,
            tenant_signature: None,
            release: None,
        };
        let receipt = self.judge(prepared, |statement| receipt::verify(signed, statement, &sent)).await?;
        Ok(Acted { receipt, signed: signed.clone() })
    }
}

/// Refuses a creation that the service, as it was prepared, cannot carry out: before anything is made for it.
///
/// # Errors
/// [`Error::Input`] names the field and its limit; [`Error::RoleNotServed`] and [`Error::EpochTooOld`] say what the service lacks.
pub fn check_creation(prepared: &Prepared, creation: &Creation) -> Result<(), Error> {
    let role = prepared.role(Role::Client)?;
    role.attested.identity.check_sealable(prepared.statement())?;
    let records = role.view.records();
    if records.iter().any(|record| record.backup == creation.backup) {
        let problem = format!("wallet {} has a backup {} already", prepared.wallet(), creation.backup);
        return Err(Error::input("backup", problem));
    }
    if records.len() >= RECORDS_MAX {
        let problem =
            format!("wallet {} has {} backups; at most {RECORDS_MAX} are allowed", prepared.wallet(), records.len());
        return Err(Error::input("backup", problem));
    }
    intent::check_creation(creation)
}

/// Refuses shares that are not one of each pair. Both are sorted.
pub(super) fn check_pairs(shares: &[Share], pairs: &[Pair]) -> Result<(), Error> {
    let mut pairs: Vec<&str> = pairs.iter().map(|pair| pair.id.as_str()).collect();
    pairs.sort_unstable();
    let given: Vec<&str> = shares.iter().map(|share| share.pair.as_str()).collect();
    expect("backup", "list of shares", given.join(", "), pairs.join(", "))
}

fn check_credential(assertion: &Assertion, id: &[u8]) -> Result<(), Error> {
    expect_bytes("assertion", "credential", &assertion.credential_id, id)
}
