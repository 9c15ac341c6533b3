//! What the tenant does by its own signature alone, to records of the custodian role: eject windows, and releases of backups without a
//! passkey.
//!
//! Each step is a type that only the step before it gives: [`Service`] -> [`Solo`] -> [`SignedSolo`]. A release goes to an MPC server that
//! the statement lists, and nothing is handed on before its receipt holds.

use strongroom_proto::v1::{
    Act, ActRequest, OpenActKind, Reason, RecoverRequest, Role, SignedReceipt, TenantSignature,
};

use super::consent::same_bytes;
use super::custodian::Service;
use crate::client::Client;
use crate::device::{Acted, Receipted, check_room, openable, releasable, select, waiting};
use crate::error::Error;
use crate::exchange::Delivery;
use crate::intent::{self, EjectWindow, EncodedIntent, Purpose, Recipients};
use crate::keys::SigningKey;
use crate::prepare::Prepared;
use crate::random;
use crate::receipt::{KnownReceipt, Sent, of_roles, verify};
use crate::seal::MpcRecipient;
use crate::view::Backup;

/// An act that waits for the tenant's signature.
#[derive(Debug)]
pub struct Solo<'a> {
    prepared: &'a Prepared,
    backup: Backup<'a>,
    intent: EncodedIntent,
    call: Call<'a>,
}

/// An act with the tenant's signature, to be sent as often as it takes.
#[derive(Debug)]
pub struct SignedSolo<'a> {
    solo: Solo<'a>,
    signature: TenantSignature,
    request_id: String,
}

#[derive(Clone, Copy, Debug)]
enum Call<'a> {
    EnableEject,
    DisableEject,
    Release(&'a MpcRecipient),
}

impl<'a> Service<'a> {
    /// Opens an eject window of a backup: until it closes, a passkey of the backup can take both roles' shares to a device.
    ///
    /// # Errors
    /// As [`select`]; [`Error::RoleNotServed`] for a backup that is not in the custodian role, `POLICY_DENIED` for one without a passkey,
    /// `STATE_INVALID` where a window is open already.
    pub fn enable_eject(self, backup: Option<&str>, window: EjectWindow) -> Result<Solo<'a>, Error> {
        let whole = select(self.prepared(), backup)?.whole()?;
        let backup = whole.only(Role::Custodian)?;
        if backup.any().credentials.is_empty() {
            let detail = "open_eject_window: the record has no passkey, and so nobody could eject";
            return Err(Error::would_be_refused(Reason::PolicyDenied, detail));
        }
        check_room(self.prepared(), Role::Custodian, backup.any(), OpenActKind::EjectWindow)?;
        let intent = intent::open_eject_window(&self.prepared().base(Role::Custodian)?, backup, window)?;
        Ok(Solo { prepared: self.prepared(), backup, intent, call: Call::EnableEject })
    }

    /// Closes an eject window before its time.
    ///
    /// # Errors
    /// As [`select`]; `STATE_INVALID` where none is open.
    pub fn disable_eject(self, backup: Option<&str>) -> Result<Solo<'a>, Error> {
        let (backup, open) = waiting(select(self.prepared(), backup)?, OpenActKind::EjectWindow)?;
        let intent = intent::cancel(&self.prepared().base(Role::Custodian)?, backup, open)?;
        Ok(Solo { prepared: self.prepared(), backup, intent, call: Call::DisableEject })
    }

    /// Releases the custodian's shares of a backup of that role alone to an MPC server: the active generation, or the one named. `newest`
    /// are the receipts of the record that the tenant has, which a policy with `newest_head` asks for: the signature vouches that there is
    /// none newer.
    ///
    /// # Errors
    /// As [`select`] and [`releasable`]; [`Error::Input`] for a backup of both roles, whose passkey signs, and without the receipts that
    /// the policy asks for; [`Error::NotExpected`] where the service shows another head than the newest receipt.
    pub fn release_alone(
        self,
        backup: Option<&str>,
        generation: Option<u64>,
        recipient: &'a MpcRecipient,
        newest: &[KnownReceipt],
    ) -> Result<Solo<'a>, Error> {
        let backup = select(self.prepared(), backup)?;
        let record = backup.any();
        if !record.is_alone_in(Role::Custodian) {
            return Err(Error::input("backup", "is of both roles: its passkey signs its recovery, on the device"));
        }
        releasable(backup, generation)?;
        let number = openable(backup, generation)?.number;
        let known = newest.iter().find(|it| it.role == Role::Custodian);
        match known {
            None if record.policy.newest_head => {
                return Err(Error::input("newest receipt", "is needed: the tenant vouches for the head"));
            }
            None => {}
            Some(known) => {
                same_bytes("record_id of the newest receipt", &known.record_id.0, record.id)?;
                same_bytes("head", &record.head.0, known.head)?;
            }
        }
        let recipients = Recipients { client: None, custodian: Some(recipient.hash()) };
        let base = self.prepared().base(Role::Custodian)?;
        let intent = intent::release(&base, backup, number, recipients, Purpose::Recovery)?;
        Ok(Solo { prepared: self.prepared(), backup, intent, call: Call::Release(recipient) })
    }
}

impl<'a> Solo<'a> {
    /// The intent, for a person to read before it is signed.
    #[must_use]
    pub fn intent(&self) -> &EncodedIntent {
        &self.intent
    }

    /// Signs for the tenant.
    ///
    /// # Errors
    /// [`Error::Input`] for a key that signs no intents; `PROOF_REJECTED` for one that the statement does not have in force;
    /// [`Error::Random`].
    pub fn sign(self, key: &SigningKey) -> Result<SignedSolo<'a>, Error> {
        let at = self.prepared.role(Role::Custodian)?.view.time();
        if !self.prepared.statement().is_operational(key.public_key(), at) {
            let what = "tenant signature: by no operational key of the statement that is in force";
            return Err(Error::would_be_refused(Reason::ProofRejected, what));
        }
        let signature = key.sign_intent(&self.intent.bytes)?;
        Ok(SignedSolo { solo: self, signature, request_id: hex::encode(random::bytes::<16>()?) })
    }
}

impl SignedSolo<'_> {
    /// Sends the act, and checks its receipt. Of a release: what is for the MPC server.
    ///
    /// # Errors
    /// [`Error::Refused`], or what the receipt fails.
    pub async fn send(&self, client: &Client) -> Result<(Acted, Option<Delivery>), Error> {
        let act = Act {
            intent: self.solo.intent.bytes.clone(),
            assertions: Vec::new(),
            tenant_signature: Some(self.signature.clone()),
        };
        let (request_id, act) = (self.request_id.clone(), Some(act));
        let request = ActRequest { request_id: request_id.clone(), act: act.clone() };
        let (receipts, release) = match self.solo.call {
            Call::EnableEject => (client.enable_eject(&request).await?.receipts, None),
            Call::DisableEject => (client.disable_eject(&request).await?.receipts, None),
            Call::Release(recipient) => {
                let custodian_recipient_key = recipient.public_key().to_vec();
                let request = RecoverRequest { request_id, act, custodian_recipient_key, ..RecoverRequest::default() };
                let response = client.release_custodian_shares(&request).await?;
                if !response.client_release.is_empty() || !response.client_shares.is_empty() {
                    let problem = "it has a release of a role that the act does not name";
                    return Err(Error::malformed("answer", problem));
                }
                (response.receipts, Some(response.custodian_release))
            }
        };
        self.check(&receipts, release)
    }

    fn check(&self, receipts: &[SignedReceipt], release: Option<Vec<u8>>) -> Result<(Acted, Option<Delivery>), Error> {
        let Solo { prepared, backup, intent, .. } = &self.solo;
        let sent = Sent {
            role: Role::Custodian,
            intent,
            record: Some(backup.record(Role::Custodian)?),
            credential_id: &[],
            tenant_signature: Some(&self.signature),
            release: release.as_deref(),
        };
        let found = of_roles(receipts, [Role::Custodian])?.into_iter().map(|(role, signed)| {
            let receipt = verify(signed, prepared.statement(), &sent)?;
            Ok(Receipted { role, receipt, signed: signed.clone() })
        });
        let acted = Acted::of(found.collect::<Result<Vec<_>, Error>>()?);
        let acted = acted.ok_or_else(|| Error::malformed("answer", "it has no receipt"))?;
        let delivery = release.map(|release| Delivery {
            intent: intent.bytes.clone(),
            receipt: Some(acted.signed().clone()),
            release,
        });
        Ok((acted, delivery))
    }
}
