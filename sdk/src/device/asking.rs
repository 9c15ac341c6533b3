//! Consents: the tenant's, where the policy asks for it, and then the user's. The tenant comes first, so that its refusal costs no prompt.

use std::fmt;
use std::pin::Pin;

use strongroom_proto::v1::{Act, Reason, Role, SignedReceipt, TenantSignature};
use strongroom_proto::{prefix, signed};

use super::{Acted, Authenticator, Device};
use crate::error::Error;
use crate::intent::EncodedIntent;
use crate::prepare::Prepared;
use crate::receipt::{self, Sent};
use crate::statement::VerifiedStatement;
use crate::view::Record;

/// A backend's answer that is still to come.
pub type Consent<'a> = Pin<Box<dyn Future<Output = Result<TenantSignature, Error>> + Send + 'a>>;

/// The way to the tenant's backend. There, [`consent`](crate::tenant::consent) reads the intent and signs it.
pub trait TenantBackend: fmt::Debug + Send + Sync {
    /// The tenant's signature over an intent's bytes.
    fn consent<'a>(&'a self, intent: &'a [u8]) -> Consent<'a>;
}

/// An act with its consents.
pub(super) struct SignedAct {
    pub(super) act: Act,
    credential_id: Vec<u8>,
}

impl SignedAct {
    /// What the receipt is compared with.
    pub(super) fn sent<'a>(&'a self, intent: &'a EncodedIntent, record: &'a Record) -> Sent<'a> {
        Sent {
            role: Role::Client,
            intent,
            record: Some(record),
            credential_id: &self.credential_id,
            tenant_signature: self.act.tenant_signature.as_ref(),
            release: None,
        }
    }
}

impl Device {
    /// Takes the consents to an act on a record: the tenant's where `tenant` says so, and a passkey's. After the prompt and before
    /// anything is sent, the credential used must be one that the enclave lists.
    pub(super) async fn sign(
        &self,
        prepared: &Prepared,
        record: &Record,
        intent: &EncodedIntent,
        tenant: bool,
        authenticator: &mut dyn Authenticator,
    ) -> Result<SignedAct, Error> {
        if record.credentials.is_empty() {
            return Err(Error::would_be_refused(Reason::PolicyDenied, "act.assertions: the record has no passkey"));
        }
        let tenant_signature = if tenant { Some(self.ask_tenant(prepared, record, intent).await?) } else { None };
        let allowed: Vec<&[u8]> = record.credentials.iter().map(|credential| credential.id.as_slice()).collect();
        let assertion = authenticator.assert(&record.rp_id, &intent.hash, &allowed)?;
        record.check_credential(&assertion.credential_id)?;
        let credential_id = assertion.credential_id.clone();
        let act = Act { intent: intent.bytes.clone(), assertions: vec![assertion], tenant_signature };
        Ok(SignedAct { act, credential_id })
    }

    /// The tenant's signature, by an operational key that the statement names and that is in force.
    pub(super) async fn ask_tenant(
        &self,
        prepared: &Prepared,
        record: &Record,
        intent: &EncodedIntent,
    ) -> Result<TenantSignature, Error> {
        let backend = self.backend.as_ref().ok_or_else(|| Error::TenantNeeded { backup: record.backup.clone() })?;
        let signature = backend.consent(&intent.bytes).await?;
        let at = prepared.role(Role::Client)?.view.time();
        if !prepared.statement().is_operational(&signature.key, at) {
            let what = "tenant signature: by no operational key of the statement that is in force";
            return Err(Error::would_be_refused(Reason::ProofRejected, what));
        }
        signed::verify(prefix::TENANT, &intent.bytes, &signature.key, &signature.signature)
            .map_err(|_| Error::Signature { part: "tenant's consent" })?;
        Ok(signature)
    }

    /// Checks the receipt of an act without a release.
    pub(super) async fn receipted(
        &self,
        prepared: &Prepared,
        receipts: &[SignedReceipt],
        sent: &Sent<'_>,
    ) -> Result<Acted, Error> {
        let signed = receipt::of_role(receipts, Role::Client)?;
        let receipt = self.judge(prepared, |statement| receipt::verify(signed, statement, sent)).await?;
        Ok(Acted { receipt, signed: signed.clone() })
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
