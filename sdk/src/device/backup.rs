//! Backing up: draft, seal, sign, send, check the receipts.

use strongroom_proto::contents::Share;
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::{Act, CreateBackupRequest, Role};

use super::draft::{Draft, Returned};
use super::{Acted, Authenticator, Device, check_shares, request_id};
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
        check_shares(&shares)?;
        check_creation(prepared, creation)?;
        let roles: Vec<Role> = creation.roles().collect();
        let (intent, record_id) = intent::create_backup(&prepared.base_for(roles.clone())?, creation)?;
        let answered = Draft::new(prepared, intent, record_id)?.answered(self).await?;
        let sealed = answered.sealed(shares, &creation.pairs)?;

        let rp_id = &prepared.statement().statement().rp_id;
        let credential = &creation.credential;
        let assertion = authenticator.assert(rp_id, &sealed.intent.hash, &[&credential.id])?;
        expect_bytes("assertion", "credential", &assertion.credential_id, &credential.id)?;
        let Returned { act, receipts } = if sealed.by_backend {
            self.send_by_backend(prepared, &sealed, &assertion, Some(credential)).await?
        } else {
            let intent = sealed.intent.bytes.clone();
            let act = Act { intent, assertions: vec![assertion], tenant_signature: None };
            let request = CreateBackupRequest {
                request_id: request_id()?,
                act: Some(act.clone()),
                credential: Some(credential.clone()),
                client_message: sealed.message.clone(),
                client_epoch: sealed.epoch,
                ..CreateBackupRequest::default()
            };
            Returned { act, receipts: self.client.create_backup(&request).await?.receipts }
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
        self.judge_all(prepared, &found, |role, signed, statement| receipt::verify(signed, statement, &sent(role)))
            .await
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
