//! Consents: the tenant's, where a policy asks for it, and then the user's. The tenant comes first, so that its refusal costs no prompt.

use std::fmt;
use std::pin::Pin;

use strongroom_proto::v1::{Act, Reason, Role, SignedReceipt, TenantSignature};
use strongroom_proto::{prefix, signed};

use super::{Acted, Authenticator, Device, Receipted};
use crate::error::Error;
use crate::exchange::{CustodianSeal, OwnCiphertexts, SentAlone, SentDraft, SignedDraft};
use crate::intent::EncodedIntent;
use crate::prepare::Prepared;
use crate::receipt::{self, Sent, VerifiedReceipt};
use crate::statement::VerifiedStatement;
use crate::view::Backup;

/// A backend's answer that is still to come.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A backend's signature that is still to come.
pub type Consent<'a> = Answer<'a, TenantSignature>;

/// The way to the tenant's backend. There, [`consent`](crate::tenant::consent) reads an intent and signs it, and
/// [`custodian`](crate::tenant::custodian) answers drafts.
pub trait TenantBackend: fmt::Debug + Send + Sync {
    /// The tenant's signature over an intent's bytes.
    fn consent<'a>(&'a self, intent: &'a [u8]) -> Consent<'a>;

    /// What the backend seals for the custodian role of a draft: an intent with empty message hashes. A backend without custodian
    /// shares refuses.
    fn seal<'a>(&'a self, _draft: &'a [u8]) -> Answer<'a, CustodianSeal> {
        Box::pin(async { Err(Error::CustodianNeeded) })
    }

    /// Has the tenant sign what the passkey signed, and send it with both messages.
    fn send(&self, _signed: SignedDraft) -> Answer<'_, SentDraft> {
        Box::pin(async { Err(Error::CustodianNeeded) })
    }

    /// Has the tenant make the custodian's record, or its next generation, beside what the device encrypted itself, and send both.
    fn send_alone(&self, _own: OwnCiphertexts) -> Answer<'_, SentAlone> {
        Box::pin(async { Err(Error::CustodianNeeded) })
    }
}

/// An act with its consents.
pub(super) struct SignedAct {
    pub(super) act: Act,
    pub(super) credential_id: Vec<u8>,
}

impl SignedAct {
    /// What the receipt of a role is compared with.
    pub(super) fn sent<'a>(&'a self, intent: &'a EncodedIntent, backup: Backup<'a>, role: Role) -> Sent<'a> {
        Sent {
            role,
            intent,
            record: backup.record(role).ok(),
            credential_id: &self.credential_id,
            tenant_signature: self.act.tenant_signature.as_ref(),
            release: None,
        }
    }
}

impl Device {
    /// Takes the consents to an act on a backup: the tenant's where `tenant` says so, and a passkey's. After the prompt and before
    /// anything is sent, the credential used must be one that every role which the act names lists.
    pub(super) async fn sign(
        &self,
        prepared: &Prepared,
        backup: Backup<'_>,
        intent: &EncodedIntent,
        tenant: bool,
        authenticator: &mut dyn Authenticator,
    ) -> Result<SignedAct, Error> {
        let credentials = backup.credentials();
        if credentials.is_empty() {
            let detail = "act.assertions: the record has no passkey, or the roles' records have none in common";
            return Err(Error::would_be_refused(Reason::PolicyDenied, detail));
        }
        let tenant_signature = if tenant { Some(self.ask_tenant(prepared, backup, intent).await?) } else { None };
        let allowed: Vec<&[u8]> = credentials.iter().map(|credential| credential.id.as_slice()).collect();
        let assertion = authenticator.assert(&backup.any().rp_id, &intent.hash, &allowed)?;
        backup.check_credential(&assertion.credential_id)?;
        let credential_id = assertion.credential_id.clone();
        let act = Act { intent: intent.bytes.clone(), assertions: vec![assertion], tenant_signature };
        Ok(SignedAct { act, credential_id })
    }

    /// The tenant's signature, by an operational key that the statement names and that is in force.
    pub(super) async fn ask_tenant(
        &self,
        prepared: &Prepared,
        backup: Backup<'_>,
        intent: &EncodedIntent,
    ) -> Result<TenantSignature, Error> {
        let name = || backup.any().backup.clone();
        let backend = self.backend.as_ref().ok_or_else(|| Error::TenantNeeded { backup: name() })?;
        let signature = backend.consent(&intent.bytes).await?;
        check_tenant(prepared, backup.roles(), intent, &signature)?;
        Ok(signature)
    }

    /// Checks the receipts of an act without a release: one of each role that it names.
    pub(super) async fn receipted(
        &self,
        prepared: &Prepared,
        receipts: &[SignedReceipt],
        (signed, intent, backup): (&SignedAct, &EncodedIntent, Backup<'_>),
    ) -> Result<Acted, Error> {
        let found = receipt::of_roles(receipts, backup.roles())?;
        let check = |role, receipt: &SignedReceipt, statement: &VerifiedStatement| {
            receipt::verify(receipt, statement, &signed.sent(intent, backup, role))
        };
        self.judge_all(prepared, &found, check).await
    }

    /// Checks the receipt of every role.
    pub(super) async fn judge_all(
        &self,
        prepared: &Prepared,
        found: &[(Role, &SignedReceipt)],
        check: impl Fn(Role, &SignedReceipt, &VerifiedStatement) -> Result<VerifiedReceipt, Error>,
    ) -> Result<Acted, Error> {
        let mut receipted = Vec::new();
        for (role, signed) in found {
            let receipt = self.judge(prepared, |statement| check(*role, signed, statement)).await?;
            receipted.push(Receipted { role: *role, receipt, signed: (*signed).clone() });
        }
        Acted::of(receipted).ok_or_else(|| Error::malformed("answer", "it has no receipt"))
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

/// Refuses a tenant's signature that the enclaves would refuse.
pub(super) fn check_tenant(
    prepared: &Prepared,
    roles: impl IntoIterator<Item = Role>,
    intent: &EncodedIntent,
    signature: &TenantSignature,
) -> Result<(), Error> {
    for role in roles {
        let at = prepared.role(role)?.view.time();
        if !prepared.statement().is_operational(&signature.key, at) {
            let what = "tenant signature: by no operational key of the statement that is in force";
            return Err(Error::would_be_refused(Reason::ProofRejected, what));
        }
    }
    signed::verify(prefix::TENANT, &intent.bytes, &signature.key, &signature.signature)
        .map_err(|_| Error::Signature { part: "tenant's consent" })
}
