//! Passkeys of a backup: added in two halves, which may be two devices, removed, renamed. And the policy, which says what they do.

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::id::ContentHash;
use strongroom_proto::limits::INTENT_BYTES_MAX;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{ActRequest, AddPasskeyRequest, NewCredential, OpenActKind, Reason, Role};

use super::checks::{check_newcomer, check_room, check_satisfiable, choose, known, removable};
use super::{Acted, Authenticator, Device, request_id};
use crate::error::{Error, expect, expect_bytes};
use crate::intent::{self, ClientPolicy, EncodedIntent, Newcomer};
use crate::prepare::Prepared;
use crate::receipt::Sent;
use crate::view::Record;

/// Longest file of an [`Addition`] in bytes: an intent, one assertion, a tenant signature and a registration.
pub const ADDITION_BYTES_MAX: usize = INTENT_BYTES_MAX + 16 * 1024;

const PART: &str = "addition";

/// A passkey on its way into a backup: signed by one that is there, not yet by the one that is added. No secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Addition(AddPasskeyRequest);

/// Whether a removal waits for the policy's delay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pace {
    /// It waits where the policy has a delay.
    AsThePolicySays,
    /// The tenant signs too, and then it need not wait.
    WithTheTenant,
}

impl Addition {
    /// As it is handed to the newcomer's device.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    /// Reads what another device handed over. [`Device::finish_adding`] checks it.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        canonical::decode(bytes, ADDITION_BYTES_MAX).map(Self).map_err(|error| Error::malformed(PART, error))
    }

    /// The registration that is added.
    ///
    /// # Errors
    /// [`Error::Malformed`] without one.
    pub fn credential(&self) -> Result<&NewCredential, Error> {
        self.0.credential.as_ref().ok_or_else(|| Error::malformed(PART, "it has no credential"))
    }

    /// The intent, which must say exactly: this credential, into this record of this wallet, at the head of now.
    fn check<'a>(&self, prepared: &'a Prepared, own: &NewCredential) -> Result<(EncodedIntent, &'a Record), Error> {
        let act = self.0.act.as_ref().ok_or_else(|| Error::malformed(PART, "it has no act"))?;
        let fields = strongroom_proto::intent::decode(&act.intent).map_err(|error| Error::malformed(PART, error))?;
        let credential = self.credential()?;
        expect_bytes(PART, "credential", &credential.id, &own.id)?;
        expect_bytes(PART, "credential's key", &credential.public_key, &own.public_key)?;
        expect_bytes(PART, "tenant", &fields.tenant, prepared.statement().tenant())?;
        expect(PART, "wallet", fields.wallet.as_str(), prepared.wallet())?;
        let Some(Action::AddPasskey(action)) = &fields.action else {
            return Err(Error::malformed(PART, "its intent adds no passkey"));
        };
        let named =
            action.credential.as_ref().ok_or_else(|| Error::malformed(PART, "its intent names no credential"))?;
        expect_bytes(PART, "credential in the intent", &named.id, &own.id)?;
        expect_bytes(PART, "key hash in the intent", &named.key_hash, ContentHash::of(&own.public_key))?;
        let role = prepared.role(Role::Client)?;
        let (Some(part), None) = (&fields.client, &fields.custodian) else {
            return Err(Error::malformed(PART, "its intent is not about the client role alone"));
        };
        let record = role.view.records().iter().find(|record| part.record_id == record.id.0);
        let record = record.ok_or_else(|| Error::malformed(PART, "it is about no record of this wallet"))?;
        if !part.message_hash.is_empty() || !part.recipient.is_empty() {
            return Err(Error::malformed(PART, "its intent releases or brings something"));
        }
        if part.head != record.head.0 {
            let detail = format!("addition: the record has moved to version {} since; begin again", record.version);
            return Err(Error::would_be_refused(Reason::RecordStale, detail));
        }
        if fields.not_after_ms <= role.view.time().unix_ms() {
            return Err(Error::would_be_refused(Reason::IntentExpired, "addition: too old; begin again"));
        }
        check_newcomer(record, credential)?;
        Ok((EncodedIntent::new(fields)?, record))
    }
}

impl Device {
    /// The first half of adding a passkey, on a device whose passkey is in the backup: builds the intent and signs it. The newcomer's
    /// device finishes within ten minutes.
    ///
    /// # Errors
    /// [`Error::WouldBeRefused`] before anybody is asked, and what the consents fail.
    pub async fn begin_adding(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        newcomer: &Newcomer,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Addition, Error> {
        let record = choose(prepared, backup)?;
        check_newcomer(record, newcomer.credential())?;
        let intent = intent::add_passkey(&prepared.base(Role::Client)?, record, newcomer)?;
        let signed = self.sign(prepared, record, &intent, record.policy.tenant_signature, authenticator).await?;
        Ok(Addition(AddPasskeyRequest {
            request_id: request_id()?,
            act: Some(signed.act),
            credential: Some(newcomer.credential().clone()),
        }))
    }

    /// The second half, on the newcomer's device: checks that the intent adds `own` and nothing else, signs the same bytes with it,
    /// sends both assertions, and checks the receipt.
    ///
    /// # Errors
    /// [`Error::Mismatch`] and [`Error::Malformed`] for an addition that says something else, [`Error::WouldBeRefused`] for one that
    /// came too late; [`Error::Refused`], or what the receipt fails, after.
    pub async fn finish_adding(
        &self,
        prepared: &Prepared,
        addition: &Addition,
        own: &NewCredential,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        let (intent, record) = addition.check(prepared, own)?;
        let mut request = addition.0.clone();
        let act = request.act.get_or_insert_default();
        let [first] = act.assertions.as_slice() else {
            return Err(Error::malformed(PART, "it has not one assertion by a passkey of the backup"));
        };
        record.check_credential(&first.credential_id)?;
        let credential_id = first.credential_id.clone();
        let second = authenticator.assert(&record.rp_id, &intent.hash, &[&own.id])?;
        expect_bytes("assertion", "credential", &second.credential_id, &own.id)?;
        act.assertions.push(second);
        let tenant_signature = act.tenant_signature.clone();

        let response = self.client.add_passkey(&request).await?;
        let sent = Sent {
            role: Role::Client,
            intent: &intent,
            record: Some(record),
            credential_id: &credential_id,
            tenant_signature: tenant_signature.as_ref(),
            release: None,
        };
        self.receipted(prepared, &response.receipts, &sent).await
    }

    /// Removes a passkey, at once or after the policy's delay: the receipt says which.
    ///
    /// # Errors
    /// [`Error::WouldBeRefused`] before anybody is asked; [`Error::Refused`], or what the receipt fails, after.
    pub async fn remove_passkey(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        credential_id: &[u8],
        pace: Pace,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        let record = choose(prepared, backup)?;
        let credential = removable(prepared, record, credential_id)?;
        let tenant = record.policy.tenant_signature || pace == Pace::WithTheTenant;
        if record.policy.delay_seconds > 0 && !tenant {
            check_room(record, OpenActKind::PasskeyRemoval, prepared.role(Role::Client)?.view.time())?;
        }
        let intent = intent::remove_passkey(&prepared.base(Role::Client)?, record, credential)?;
        let signed = self.sign(prepared, record, &intent, tenant, authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = self.client.remove_passkey(&request).await?;
        self.receipted(prepared, &response.receipts, &signed.sent(&intent, record)).await
    }

    /// Gives a passkey another label.
    ///
    /// # Errors
    /// [`Error::Input`] and [`Error::WouldBeRefused`] before anybody is asked; [`Error::Refused`], or what the receipt fails, after.
    pub async fn rename_passkey(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        credential_id: &[u8],
        label: &str,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        let record = choose(prepared, backup)?;
        let credential = known(record, credential_id, "rename_passkey")?;
        let intent = intent::rename_passkey(&prepared.base(Role::Client)?, record, credential, label)?;
        let signed = self.sign(prepared, record, &intent, record.policy.tenant_signature, authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = self.client.rename_passkey(&request).await?;
        self.receipted(prepared, &response.receipts, &signed.sent(&intent, record)).await
    }

    /// Changes the policy, with the consents and after the delay of the one in force: the receipt says whether it waits.
    ///
    /// # Errors
    /// As [`Device::remove_passkey`].
    pub async fn change_policy(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        policy: ClientPolicy,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        let record = choose(prepared, backup)?;
        let at = prepared.role(Role::Client)?.view.time();
        check_satisfiable(prepared, policy, at)?;
        if record.policy.delay_seconds > 0 {
            check_room(record, OpenActKind::PolicyChange, at)?;
        }
        let intent = intent::change_policy(&prepared.base(Role::Client)?, record, policy)?;
        let signed = self.sign(prepared, record, &intent, record.policy.tenant_signature, authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = self.client.change_policy(&request).await?;
        self.receipted(prepared, &response.receipts, &signed.sent(&intent, record)).await
    }
}
