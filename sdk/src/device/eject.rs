//! Ejects: the user takes both roles' shares to his device, by one assertion, while a window of the tenant's is open.

use strongroom_proto::v1::{Act, ActRequest, OpenActKind, Reason, RecoverRequest, RecoverResponse, Role, StoredShare};

use super::asking::SignedAct;
use super::checks::{check_delayed, openable, releasable, select};
use super::keeping::resealed;
use super::release::{Keys, Released, To, Wanted, release_of};
use super::{Acted, Authenticator, Device, Ejected, request_id};
use crate::error::Error;
use crate::intent::{self, EncodedIntent, Purpose};
use crate::kept::Kept;
use crate::prepare::Prepared;
use crate::receipt::{self, Sent};
use crate::seal::RecipientKey;
use crate::view::{Backup, Generation};

/// An eject that is signed, with the keys that were made for it.
pub struct Eject<'a> {
    backup: Backup<'a>,
    generation: &'a Generation,
    client: RecipientKey,
    custodian: RecipientKey,
    intent: EncodedIntent,
    signed: SignedAct,
    kept: Vec<StoredShare>,
    request_id: String,
}

impl Eject<'_> {
    /// The act, with its consents.
    #[must_use]
    pub fn act(&self) -> &Act {
        &self.signed.act
    }

    /// The request that carries it: the same bytes each time, so that a lost answer costs no second prompt.
    #[must_use]
    pub fn request(&self) -> RecoverRequest {
        RecoverRequest {
            request_id: self.request_id.clone(),
            act: Some(self.signed.act.clone()),
            client_recipient_key: self.client.public_key().to_vec(),
            custodian_recipient_key: self.custodian.public_key().to_vec(),
            client_shares: self.kept.clone(),
        }
    }
}

impl std::fmt::Debug for Eject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Eject({}, [redacted])", self.intent.hash)
    }
}

impl Device {
    /// Ejects a backup at once: both roles' shares, to this device.
    ///
    /// # Errors
    /// As [`Device::sign_eject`] before anything is sent; [`Error::Refused`], or as [`Device::open_eject`], after.
    pub async fn eject(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Ejected, Error> {
        let eject = self.sign_eject(prepared, backup, authenticator).await?;
        let response = self.client.eject(&eject.request()).await?;
        self.open_eject(prepared, &eject, &response).await
    }

    /// Signs the eject of a backup: the generation that both roles have in common, each role's shares to a key made for this call.
    ///
    /// # Errors
    /// As [`select`] and [`releasable`]; `EJECT_NOT_ENABLED` where no window of the tenant's is open; what the consents fail.
    pub async fn sign_eject<'a>(
        &self,
        prepared: &'a Prepared,
        backup: Option<&str>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Eject<'a>, Error> {
        let backup = select(prepared, backup)?.whole()?;
        check_window(prepared, backup)?;
        let generation = releasable(backup, None)?;
        let kept = self.brought(backup, generation)?;
        let (client, custodian) = (RecipientKey::generate()?, RecipientKey::generate()?);
        let recipients = Keys { client: Some(&client), custodian: Some(To::Own(&custodian)) }.recipients();
        let base = prepared.base_for(backup.roles())?;
        let intent = intent::release(&base, backup, generation.number, recipients, Purpose::Eject)?;
        let signed = self.sign(prepared, backup, &intent, asks_tenant(backup), authenticator).await?;
        Ok(Eject { backup, generation, client, custodian, intent, signed, kept, request_id: request_id()? })
    }

    /// Checks both receipts of an eject, and opens both releases.
    ///
    /// # Errors
    /// What a receipt or a release fails.
    pub async fn open_eject(
        &self,
        prepared: &Prepared,
        eject: &Eject<'_>,
        response: &RecoverResponse,
    ) -> Result<Ejected, Error> {
        let (backup, generation) = (eject.backup, eject.generation);
        let keys = Keys { client: Some(&eject.client), custodian: Some(To::Own(&eject.custodian)) };
        let wanted = Wanted { backup, generation, keys, intent: eject.intent.hash, bytes: None };
        let sent = |role| {
            let release = Some(release_of(response, role));
            Sent { release, ..eject.signed.sent(&eject.intent, backup, role) }
        };
        let check = |role, receipt: &_, statement: &_| receipt::verify(receipt, statement, &sent(role));
        let (acted, released) = self.open_releases(prepared, response, &wanted, check).await?;
        let resealed = resealed(response.client_shares.clone(), &acted, generation)?;
        Ok(ejected(acted, released, generation, resealed))
    }

    /// Starts an eject under policies with a delay, to keys that the caller keeps until it is due. The window must be open now, and not when
    /// it is released.
    ///
    /// # Errors
    /// As [`Device::sign_eject`], and `STATE_INVALID` where a role's policy has no delay; [`Error::Refused`], or what a receipt fails,
    /// after.
    pub async fn start_eject(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        keys: EjectKeys<'_>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        let backup = select(prepared, backup)?.whole()?;
        check_window(prepared, backup)?;
        let generation = openable(backup, None)?;
        for (role, record) in backup.records() {
            check_delayed(prepared, role, record)?;
        }
        let base = prepared.base_for(backup.roles())?;
        let recipients = keys.keys().recipients();
        let intent = intent::start_release(&base, backup, generation.number, recipients, Purpose::Eject)?;
        let signed = self.sign(prepared, backup, &intent, asks_tenant(backup), authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = self.client.start_recovery(&request).await?;
        self.receipted(prepared, &response.receipts, (&signed, &intent, backup)).await
    }

    /// Releases an eject that is due, to the keys that it was started for.
    ///
    /// # Errors
    /// As [`Device::release_recovery`].
    pub async fn release_eject(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        keys: EjectKeys<'_>,
    ) -> Result<Ejected, Error> {
        let backup = select(prepared, backup)?.whole()?;
        let (acted, released, generation, resealed) =
            self.release_due(prepared, backup, keys.keys(), None, Purpose::Eject).await?;
        Ok(ejected(acted, released, generation, resealed))
    }
}

/// The keys of an eject that waits: one for each role, both of this device.
#[derive(Clone, Copy, Debug)]
pub struct EjectKeys<'a> {
    /// For the client role's release.
    pub client: &'a RecipientKey,
    /// For the custodian role's release.
    pub custodian: &'a RecipientKey,
}

impl<'a> EjectKeys<'a> {
    fn keys(self) -> Keys<'a> {
        Keys { client: Some(self.client), custodian: Some(To::Own(self.custodian)) }
    }
}

/// The tenant's window is open, as the custodian's view shows it.
fn check_window(prepared: &Prepared, backup: Backup<'_>) -> Result<(), Error> {
    let window = backup.record(Role::Custodian)?.open_act(OpenActKind::EjectWindow);
    let at = prepared.role(Role::Custodian)?.view.time();
    if window.is_some_and(|window| window.is_due(at)) {
        return Ok(());
    }
    Err(Error::would_be_refused(Reason::EjectNotEnabled, "eject: no window of the tenant's is open"))
}

/// In the custodian role the window stands for the tenant's signature, but not for its word on the newest head.
fn asks_tenant(backup: Backup<'_>) -> bool {
    backup.records().any(|(role, record)| match role {
        Role::Custodian => record.policy.newest_head,
        _ => record.policy.tenant_signature,
    })
}

/// Both roles' shares, the client's first.
fn ejected(acted: Acted, released: Vec<(Role, Released)>, generation: &Generation, resealed: Option<Kept>) -> Ejected {
    let mut of = released.into_iter().map(|(_, released)| match released {
        Released::Shares(shares) => shares,
        Released::Delivery(_) => Vec::new(),
    });
    let (client, custodian) = (of.next().unwrap_or_default(), of.next().unwrap_or_default());
    Ejected { client, custodian, pairs: generation.pairs.clone(), generation: generation.number, acted, resealed }
}
