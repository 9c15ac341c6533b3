//! Backups whose client share no enclave keeps: the device encrypts it itself, and the tenant makes the custodian's record beside it.
//!
//! The enclave knows nothing of the ciphertext. So the device makes sure that the host gives it back before it says that it is stored,
//! and at recovery takes the one that its hash names and that was made for the very generation.

use strongroom_attestation::Time;
use strongroom_proto::id::RecordId;
use strongroom_proto::intent as form;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{GetClientCiphertextsRequest, Intent, Pair, Role, RolePart, SecretKind, Storage};

use super::asking::check_tenant;
use super::checks::{openable, select};
use super::keeping::Named;
use super::{Acted, Device, check_room_for};
use crate::ciphertext::{Belongs, Ciphertexts};
use crate::error::{Error, array, expect, expect_bytes};
use crate::exchange::{OwnCiphertexts, SentAlone};
use crate::intent::EncodedIntent;
use crate::kept::{Kept, Kind};
use crate::prepare::Prepared;
use crate::receipt::{self, Sent};
use crate::tenant::{Expected, ExpectedAct, RecordAct, check_intent};
use crate::view::{Backup, Generation};

/// A backup in the custodian role alone, or the generation of one, that ciphertexts belong to.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    prepared: &'a Prepared,
    /// `None`: a new one.
    record: Option<Backup<'a>>,
    backup: &'a str,
    method: &'a str,
    generation: u64,
}

impl<'a> Own<'a> {
    /// A new backup.
    ///
    /// # Errors
    /// [`Error::Input`] where the name is taken, or one too many; [`Error::RoleNotServed`] without a custodian role.
    pub fn new(prepared: &'a Prepared, backup: &'a str, method: &'a str) -> Result<Self, Error> {
        check_room_for(prepared, Role::Custodian, backup)?;
        crate::intent::check_names(backup, method)?;
        Ok(Self { prepared, record: None, backup, method, generation: 1 })
    }

    /// The generation after the highest that the record of a backup has seen.
    ///
    /// # Errors
    /// As [`select`]; [`Error::Input`] for a backup whose client share an enclave keeps.
    pub fn next(prepared: &'a Prepared, backup: Option<&str>) -> Result<Self, Error> {
        let own = Self::find(prepared, backup)?;
        let highest = own.record.map_or(0, |it| it.any().highest_generation);
        Ok(Self { generation: highest.saturating_add(1), ..own })
    }

    /// A generation that opens: by its number, or the active one.
    ///
    /// # Errors
    /// As [`Own::next`], and `NO_VALID_BACKUP`.
    pub fn opening(
        prepared: &'a Prepared,
        backup: Option<&str>,
        number: Option<u64>,
    ) -> Result<(Self, &'a Generation), Error> {
        let own = Self::find(prepared, backup)?;
        let record = own.record.ok_or_else(|| Error::input("backup", "is a new one"))?;
        let generation = openable(record, number)?;
        Ok((Self { generation: generation.number, ..own }, generation))
    }

    fn find(prepared: &'a Prepared, backup: Option<&str>) -> Result<Self, Error> {
        let found = select(prepared, backup)?;
        let record = found.any();
        if !record.is_alone_in(Role::Custodian) {
            let problem = format!("{} has its client share in an enclave: there is a passkey for it", record.backup);
            return Err(Error::input("backup", problem));
        }
        Ok(Self { prepared, record: Some(found), backup: &record.backup, method: &record.method, generation: 0 })
    }

    /// What its ciphertexts belong to.
    #[must_use]
    pub fn belongs(&self) -> Belongs<'a> {
        let Self { prepared, backup, method, generation, .. } = *self;
        Belongs { tenant: prepared.statement().tenant(), wallet: prepared.wallet(), backup, method, generation }
    }

    /// The generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn record_id(&self) -> Option<RecordId> {
        self.record.map(Backup::id)
    }
}

impl Device {
    /// Has the tenant's backend make the custodian's record of a backup, or its next generation, beside these ciphertexts, and checks what
    /// it signed and what the enclave receipted. The host then keeps the ciphertexts, and gives them back when asked; where this device
    /// has a keeper, that keeps them.
    ///
    /// # Errors
    /// [`Error::CustodianNeeded`] and [`Error::Input`] before anything is sent; what the backend's act or the receipt fails, after;
    /// [`Error::Mismatch`] where the host does not give back what it was given.
    pub async fn store_own(&self, own: &Own<'_>, ciphertexts: &Ciphertexts) -> Result<Acted, Error> {
        let storage = self.storage();
        let request = OwnCiphertexts {
            wallet: own.prepared.wallet().to_owned(),
            backup: own.backup.to_owned(),
            method: own.method.to_owned(),
            record_id: own.record_id().map(|id| id.0.to_vec()).unwrap_or_default(),
            generation: own.generation,
            pairs: ciphertexts.pairs().cloned().collect(),
            ciphertexts: ciphertexts.to_wire(storage),
            storage: storage.into(),
        };
        let sent = self.custodian()?.send_alone(request).await?;
        let acted = self.check_alone(own, ciphertexts, &sent).await?;
        match self.keeper.as_deref() {
            Some(keeper) => {
                let kept = Kept::of_ciphertexts(ciphertexts, acted.receipt().record_id, own.generation);
                let named = Named { wallet: own.prepared.wallet(), backup: own.backup, method: own.method };
                self.keep_all(keeper, &named, own.generation, &[kept]).await?;
            }
            None => self.check_given_back(own, ciphertexts).await?,
        }
        Ok(acted)
    }

    /// Fetches the ciphertexts of a generation, from the host or from this device's keeper, and checks each against its hash.
    ///
    /// # Errors
    /// [`Error::Refused`], what the keeper fails, or as [`Ciphertexts::read`].
    pub async fn fetch_own(&self, own: &Own<'_>, generation: &Generation) -> Result<Ciphertexts, Error> {
        let kept = match (&self.keeper, own.record_id()) {
            (Some(keeper), Some(record_id)) => {
                Some(keeper.bring(Kind::Ciphertexts, &record_id, generation.number)?.ciphertexts(&generation.pairs)?)
            }
            _ => None,
        };
        self.fetch(own.prepared.wallet(), own.backup, generation, kept.as_ref()).await
    }

    /// Fetches what a key in escrow opens: the ciphertexts of a generation of a backup in the client role.
    ///
    /// # Errors
    /// As [`Device::fetch_own`]; [`Error::Input`] for a backup that has none.
    pub async fn fetch_escrowed(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        number: Option<u64>,
    ) -> Result<Ciphertexts, Error> {
        let backup = select(prepared, backup)?;
        let record = backup.record(Role::Client)?;
        if record.secret != SecretKind::Key {
            return Err(Error::input(
                "backup",
                format!("{} has a share in the enclave, and no ciphertext", record.backup),
            ));
        }
        let generation = openable(backup, number)?;
        let kept = self.keeper.as_ref().map(|keeper| {
            keeper.bring(Kind::Ciphertexts, &backup.id(), generation.number)?.ciphertexts(&generation.pairs)
        });
        self.fetch(prepared.wallet(), &record.backup, generation, kept.transpose()?.as_ref()).await
    }

    async fn fetch(
        &self,
        wallet: &str,
        backup: &str,
        generation: &Generation,
        kept: Option<&Ciphertexts>,
    ) -> Result<Ciphertexts, Error> {
        let request = GetClientCiphertextsRequest {
            wallet: wallet.to_owned(),
            backup: backup.to_owned(),
            generation: generation.number,
        };
        Ciphertexts::read(self.client.get_client_ciphertexts(&request).await?, generation, kept)
    }

    /// A host that lost them, or put others in their place, is found out while the user still has the share.
    async fn check_given_back(&self, own: &Own<'_>, ciphertexts: &Ciphertexts) -> Result<(), Error> {
        let request = GetClientCiphertextsRequest {
            wallet: own.prepared.wallet().to_owned(),
            backup: own.backup.to_owned(),
            generation: own.generation,
        };
        let answer = self.client.get_client_ciphertexts(&request).await?;
        expect("answer", "generation", answer.generation, own.generation)?;
        if answer.client_ciphertexts == ciphertexts.to_wire(Storage::Managed) {
            return Ok(());
        }
        Err(Error::malformed("answer", "the host does not give back the ciphertexts that it was given"))
    }

    /// What the backend made, signed and sent: in the custodian role alone, for this very backup, generation and pairs.
    async fn check_alone(&self, own: &Own<'_>, ciphertexts: &Ciphertexts, sent: &SentAlone) -> Result<Acted, Error> {
        let intent = EncodedIntent::new(check_act(own, ciphertexts, &sent.intent)?)?;
        let missing = || Error::malformed("backend's answer", "it has no tenant signature");
        let signature = sent.tenant_signature.as_ref().ok_or_else(missing)?;
        check_tenant(own.prepared, [Role::Custodian], &intent, signature)?;
        let found = receipt::of_roles(&sent.receipts, [Role::Custodian])?;
        let of = Sent {
            role: Role::Custodian,
            intent: &intent,
            record: own.record.map(Backup::any),
            credential_id: &[],
            tenant_signature: Some(signature),
            release: None,
        };
        self.judge_all(own.prepared, &found, |_, signed, statement| receipt::verify(signed, statement, &of)).await
    }
}

/// Reads the backend's intent and compares it with what the device asked for.
fn check_act(own: &Own<'_>, ciphertexts: &Ciphertexts, intent: &[u8]) -> Result<Intent, Error> {
    const INTENT: &str = "backend's intent";
    let act = own.record_id().map_or(ExpectedAct::CreateBackup { backup: own.backup }, |record_id| {
        ExpectedAct::OnRecord { record_id, act: RecordAct::PutShares }
    });
    let not_after = form::decode(intent).map_err(|error| Error::malformed(INTENT, error))?.not_after_ms;
    let expected = Expected {
        tenant: own.prepared.statement().tenant(),
        wallet: own.prepared.wallet(),
        act,
        statement_serial: own.prepared.statement().serial(),
        newest: &[],
        // It was carried out already: the receipt's time is compared with it, however long the backend took.
        now: Time::from_unix_ms(not_after.saturating_sub(1)),
    };
    let fields = check_intent(intent, &expected)?;
    if form::part(&fields, Role::Client).is_some() {
        return Err(Error::malformed(INTENT, "it names the client role, whose share no enclave keeps"));
    }
    let part: RolePart = form::part(&fields, Role::Custodian).cloned().unwrap_or_default();
    array::<32>(INTENT, "message_hash", &part.message_hash)?;
    expect_bytes(INTENT, "recipient", &part.recipient, [])?;
    let head = own.record.map(|it| it.any().head.0.to_vec()).unwrap_or_default();
    expect_bytes(INTENT, "head", &part.head, head)?;
    let (pairs, generation): (&[Pair], u64) = match &fields.action {
        Some(Action::CreateBackup(it)) => {
            expect(INTENT, "method", it.method.as_str(), own.method)?;
            if it.credential.is_some() || it.client_policy.is_some() || it.secret() != SecretKind::Share {
                return Err(Error::malformed(INTENT, "it makes more than a record of the custodian's shares"));
            }
            (&it.pairs, it.generation)
        }
        Some(Action::PutShares(it)) => (&it.pairs, it.generation),
        _ => return Err(Error::malformed(INTENT, "it stores no shares")),
    };
    expect(INTENT, "generation", generation, own.generation)?;
    let wanted: Vec<Pair> = ciphertexts.pairs().cloned().collect();
    if pairs != wanted {
        return Err(Error::malformed(INTENT, "its pairs are not those of the ciphertexts"));
    }
    Ok(fields)
}
