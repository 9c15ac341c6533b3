//! Passkeys of a backup, in every role of it: added in two halves, which may be two devices, removed, renamed.

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::id::ContentHash;
use strongroom_proto::intent::part;
use strongroom_proto::limits::INTENT_BYTES_MAX;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{ActRequest, AddPasskeyRequest, Intent, NewCredential, OpenActKind, Reason, Role};

use super::asking::SignedAct;
use super::checks::{check_room, known, lacking, removable, select};
use super::{Acted, Authenticator, Device, request_id};
use crate::error::{Error, expect, expect_bytes};
use crate::intent::{self, EncodedIntent, Newcomer};
use crate::prepare::Prepared;
use crate::view::Backup;

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
    fn check<'a>(&self, prepared: &'a Prepared, own: &NewCredential) -> Result<(EncodedIntent, Backup<'a>), Error> {
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
        let backup = backup_of(prepared, &fields, credential)?;
        if fields.not_after_ms <= prepared.base_for(backup.roles())?.enclave_time.unix_ms() {
            return Err(Error::would_be_refused(Reason::IntentExpired, "addition: too old; begin again"));
        }
        Ok((EncodedIntent::new(fields)?, backup))
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
        let backup = lacking(select(prepared, backup)?.whole()?, newcomer.credential())?;
        let intent = intent::add_passkey(&prepared.base_for(backup.roles())?, backup, newcomer)?;
        let signed = self.sign(prepared, backup, &intent, asks_tenant(backup), authenticator).await?;
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
        let (intent, backup) = addition.check(prepared, own)?;
        let mut request = addition.0.clone();
        let act = request.act.get_or_insert_default();
        let [first] = act.assertions.as_slice() else {
            return Err(Error::malformed(PART, "it has not one assertion by a passkey of the backup"));
        };
        backup.check_credential(&first.credential_id)?;
        let credential_id = first.credential_id.clone();
        let second = authenticator.assert(&backup.any().rp_id, &intent.hash, &[&own.id])?;
        expect_bytes("assertion", "credential", &second.credential_id, &own.id)?;
        act.assertions.push(second);
        let signed = SignedAct { act: act.clone(), credential_id };

        let response = self.client.add_passkey(&request).await?;
        self.receipted(prepared, &response.receipts, (&signed, &intent, backup)).await
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
        let backup = select(prepared, backup)?.whole()?;
        let credential = removable(backup, credential_id)?;
        let tenant = asks_tenant(backup) || pace == Pace::WithTheTenant;
        for (role, record) in backup.records().filter(|(_, it)| it.policy.delay_seconds > 0 && !tenant) {
            check_room(prepared, role, record, OpenActKind::PasskeyRemoval)?;
        }
        let intent = intent::remove_passkey(&prepared.base_for(backup.roles())?, backup, credential)?;
        let signed = self.sign(prepared, backup, &intent, tenant, authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = self.client.remove_passkey(&request).await?;
        self.receipted(prepared, &response.receipts, (&signed, &intent, backup)).await
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
        let (backup, credential) = known(select(prepared, backup)?.whole()?, credential_id, "rename_passkey")?;
        let intent = intent::rename_passkey(&prepared.base_for(backup.roles())?, backup, credential, label)?;
        let signed = self.sign(prepared, backup, &intent, asks_tenant(backup), authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = self.client.rename_passkey(&request).await?;
        self.receipted(prepared, &response.receipts, (&signed, &intent, backup)).await
    }
}

/// Whether the policy of a role that the act names takes the tenant's signature.
fn asks_tenant(backup: Backup<'_>) -> bool {
    backup.records().any(|(_, record)| record.policy.tenant_signature)
}

/// The backup whose records the intent names: each role's that lacks the credential, and no other, at the head of now.
fn backup_of<'a>(prepared: &'a Prepared, fields: &Intent, credential: &NewCredential) -> Result<Backup<'a>, Error> {
    let parts: Vec<_> =
        [Role::Client, Role::Custodian].into_iter().filter_map(|role| Some((role, part(fields, role)?))).collect();
    let backups = prepared.backups()?;
    let is_named = |it: &&Backup<'_>| parts.first().is_some_and(|(_, part)| part.record_id == it.id().0);
    let found = backups.iter().find(is_named);
    let found = found.ok_or_else(|| Error::malformed(PART, "it is about no record of this wallet"))?;
    let backup = lacking(found.whole()?, credential)?;
    if !backup.roles().eq(parts.iter().map(|(role, _)| *role)) {
        return Err(Error::malformed(PART, "its intent does not name the roles of the backup that lack the passkey"));
    }
    for (role, part) in parts {
        let record = backup.record(role)?;
        expect_bytes(PART, "record", &part.record_id, record.id)?;
        if !part.message_hash.is_empty() || !part.recipient.is_empty() {
            return Err(Error::malformed(PART, "its intent releases or brings something"));
        }
        if part.head != record.head.0 {
            let detail = format!("addition: the record has moved to version {} since; begin again", record.version);
            return Err(Error::would_be_refused(Reason::RecordStale, detail));
        }
    }
    Ok(backup)
}
