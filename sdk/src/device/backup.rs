//! Backing up: draft, seal, sign, send, check the receipts.

use strongroom_proto::contents::Share;
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::{Act, CreateBackupRequest, Role};

use super::draft::{Draft, Returned};
use super::keeping::Named;
use super::{Acted, Authenticator, Device, check_shares, request_id};
use crate::ciphertext::Ciphertexts;
use crate::error::{Error, expect_bytes};
use crate::intent::{self, Creation};
use crate::prepare::Prepared;
use crate::receipt::{self, Sent};

impl Device {
    /// Backs up a wallet's client shares and, where the creation has a policy for the custodian role, the custodian's with them: the
    /// backend seals those, signs, and sends both.
    ///
    /// # Errors
    /// [`Error::Input`], [`Error::EpochTooOld`], and what the backend's seal fails, before the user is asked; [`Error::Refused`], or what
    /// a receipt fails, after.
    pub async fn backup(
        &self,
        prepared: &Prepared,
        creation: &Creation,
        shares: Vec<Share>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        self.backup_with(prepared, creation, (shares, None), authenticator).await
    }

    /// As [`Device::backup`]; where the secret is a key in escrow, with what it encrypts. Where this device has a keeper, that keeps the
    /// sealed shares in the host's place, and the host is told.
    ///
    /// # Errors
    /// As [`Device::backup`]; [`Error::Input`] for a key without ciphertexts, or ciphertexts without a key; what the keeper fails.
    pub async fn backup_with(
        &self,
        prepared: &Prepared,
        creation: &Creation,
        (shares, ciphertexts): (Vec<Share>, Option<&Ciphertexts>),
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        check_shares(&shares)?;
        check_creation(prepared, creation)?;
        let beside = self.beside(creation.secret, (&creation.pairs, &shares), ciphertexts)?;
        let roles: Vec<Role> = creation.roles().collect();
        let (intent, record_id) = intent::create_backup(&prepared.base_for(roles.clone())?, creation)?;
        let answered = Draft::new(prepared, intent, record_id)?.answered(self).await?;
        let sealed = answered.sealed(shares, &creation.pairs)?;

        let rp_id = &prepared.statement().statement().rp_id;
        let credential = &creation.credential;
        let assertion = authenticator.assert(rp_id, &sealed.intent.hash, &[&credential.id])?;
        expect_bytes("assertion", "credential", &assertion.credential_id, &credential.id)?;
        let Returned { act, receipts, client_shares } = if sealed.by_backend {
            self.send_by_backend(prepared, (&sealed, beside), &assertion, Some(credential)).await?
        } else {
            let intent = sealed.intent.bytes.clone();
            let act = Act { intent, assertions: vec![assertion], tenant_signature: None };
            let request = CreateBackupRequest {
                request_id: request_id()?,
                act: Some(act.clone()),
                credential: Some(credential.clone()),
                client_message: sealed.message.clone(),
                client_epoch: sealed.epoch,
                storage: beside.storage.into(),
                client_ciphertexts: beside.ciphertexts,
                ..CreateBackupRequest::default()
            };
            let response = self.client.create_backup(&request).await?;
            Returned { act, receipts: response.receipts, client_shares: response.client_shares }
        };
        let found = receipt::of_roles(&receipts, roles)?;
        let sent = |role| Sent {
            role,
            intent: &sealed.intent,
            record: None,
            credential_id: &credential.id,
            tenant_signature: act.tenant_signature.as_ref(),
            release: None,
        };
        let check = |role, signed: &_, statement: &_| receipt::verify(signed, statement, &sent(role));
        let acted = self.judge_all(prepared, &found, check).await?;
        let named = Named { wallet: prepared.wallet(), backup: &creation.backup, method: &creation.method };
        self.keep(&named, &acted, &creation.pairs, (client_shares, ciphertexts)).await?;
        Ok(acted)
    }
}

/// Refuses a creation that the service, as it was prepared, cannot carry out: before anything is made for it.
///
/// # Errors
/// [`Error::Input`] names the field and its limit; [`Error::RoleNotServed`] and [`Error::EpochTooOld`] say what the service lacks.
pub fn check_creation(prepared: &Prepared, creation: &Creation) -> Result<(), Error> {
    for role in creation.roles() {
        check_room_for(prepared, role, &creation.backup)?;
    }
    intent::check_creation(creation)
}

/// Refuses a backup whose name a role's view has already, and one too many.
pub(crate) fn check_room_for(prepared: &Prepared, role: Role, backup: &str) -> Result<(), Error> {
    let role = prepared.role(role)?;
    role.attested.identity.check_sealable(prepared.statement())?;
    let records = role.view.records();
    if records.iter().any(|record| record.backup == backup) {
        let problem = format!("wallet {} has a backup {backup} already", prepared.wallet());
        return Err(Error::input("backup", problem));
    }
    if records.len() >= RECORDS_MAX {
        let problem =
            format!("wallet {} has {} backups; at most {RECORDS_MAX} are allowed", prepared.wallet(), records.len());
        return Err(Error::input("backup", problem));
    }
    Ok(())
}
