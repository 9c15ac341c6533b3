//! Commits: what a put brought to both roles comes into force in both, or is found to be in force already.

use strongroom_proto::v1::{CommitBackupRequest, Reason, Role, SignedReceipt};

use super::checks::select;
use super::{Acted, Device, Receipted};
use crate::client::Client;
use crate::error::Error;
use crate::prepare::Prepared;
use crate::receipt::{Committing, verify_commit};
use crate::statement::VerifiedStatement;
use crate::view::{Backup, Record};

impl Committing {
    /// What a put in both roles, as its receipts tell, leaves to be committed.
    ///
    /// # Errors
    /// `STATE_INVALID` where the receipts are not of both roles, or name no generation that waits in both.
    pub fn of_put(wallet: &str, backup: &str, put: &Acted) -> Result<Self, Error> {
        let found: Vec<&Receipted> = put.receipts().collect();
        let [client, custodian] = found.as_slice() else { return Err(nothing_waits()) };
        let (Some(pending), true) = (client.receipt.pending, client.receipt.pending == custodian.receipt.pending)
        else {
            return Err(nothing_waits());
        };
        Ok(Self {
            wallet: wallet.to_owned(),
            backup: backup.to_owned(),
            record_id: client.receipt.record_id,
            generation: pending.0,
            put_intent: pending.1,
            before: [client, custodian].map(|it| (it.role, it.receipt.version, it.receipt.head)),
        })
    }

    /// What waits in a backup, as its views tell: in both roles, or in the client role where the custodian has committed it already.
    ///
    /// # Errors
    /// `STATE_INVALID` where nothing waits, or where the roles hold different puts; as [`Backup::whole`].
    pub fn of_view(wallet: &str, backup: Backup<'_>) -> Result<Self, Error> {
        let backup = backup.whole()?;
        let (client, custodian) = (backup.record(Role::Client)?, backup.record(Role::Custodian)?);
        let pending = client.pending().ok_or_else(nothing_waits)?;
        let holds = |record: &Record| {
            let (waits, active) = (record.pending(), record.active());
            [waits, active]
                .into_iter()
                .flatten()
                .any(|it| (it.number, it.put_intent) == (pending.number, pending.put_intent))
        };
        if !holds(custodian) {
            return Err(nothing_waits());
        }
        // A custodian that has committed already moves nothing.
        let is_done = custodian.pending().is_none_or(|it| it.put_intent != pending.put_intent);
        let version = custodian.version.saturating_sub(u64::from(is_done));
        Ok(Self {
            wallet: wallet.to_owned(),
            backup: client.backup.clone(),
            record_id: backup.id(),
            generation: pending.number,
            put_intent: pending.put_intent,
            before: [(Role::Client, client.version, client.head), (Role::Custodian, version, custodian.head)],
        })
    }

    /// Asks the host to commit, and checks both receipts, each against the put and against the other.
    ///
    /// # Errors
    /// [`Error::Refused`], or as [`verify_commit`].
    pub async fn commit(&self, client: &Client, statement: &VerifiedStatement) -> Result<Acted, Error> {
        self.check(&self.ask(client).await?, statement)
    }

    async fn ask(&self, client: &Client) -> Result<Vec<SignedReceipt>, Error> {
        let request = CommitBackupRequest { wallet: self.wallet.clone(), backup: self.backup.clone() };
        Ok(client.commit_backup(&request).await?.receipts)
    }

    fn check(&self, receipts: &[SignedReceipt], statement: &VerifiedStatement) -> Result<Acted, Error> {
        let verified = verify_commit(receipts, statement, self)?.into_iter();
        let receipted = verified.map(|(role, receipt, signed)| Receipted { role, receipt, signed: signed.clone() });
        Acted::of(receipted.collect()).ok_or_else(|| Error::malformed("answer", "it has no receipt"))
    }
}

impl Device {
    /// Commits what a put of this device, or another's, left waiting in both roles of a backup.
    ///
    /// # Errors
    /// As [`Committing::of_view`] before anything is sent, and as [`Committing::commit`].
    pub async fn commit(&self, prepared: &Prepared, backup: Option<&str>) -> Result<Acted, Error> {
        let committing = Committing::of_view(prepared.wallet(), select(prepared, backup)?)?;
        self.carry_through(prepared, &committing).await
    }

    /// Commits what [`Device::put`] just put into both roles.
    ///
    /// # Errors
    /// As [`Committing::of_put`] before anything is sent, and as [`Committing::commit`].
    pub async fn commit_put(&self, prepared: &Prepared, backup: Option<&str>, put: &Acted) -> Result<Acted, Error> {
        let name = &select(prepared, backup)?.any().backup;
        self.carry_through(prepared, &Committing::of_put(prepared.wallet(), name, put)?).await
    }

    async fn carry_through(&self, prepared: &Prepared, committing: &Committing) -> Result<Acted, Error> {
        let receipts = committing.ask(&self.client).await?;
        self.judge(prepared, |statement| committing.check(&receipts, statement)).await
    }
}

fn nothing_waits() -> Error {
    Error::would_be_refused(Reason::StateInvalid, "commit: no generation of the same put waits in both roles")
}
