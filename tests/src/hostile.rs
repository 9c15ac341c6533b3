//! A host gone bad: it has the whole database, the enclave's socket, and everything that devices ever sent through it.

use std::path::Path;

use anyhow::{Context, Result, bail};
use prost::Message;
use strongroom_host::keys::{self, Name};
use strongroom_host::rows::{KekRow, RecordRow, ShareRow};
use strongroom_host::store::{SqliteStore, Store};
use strongroom_proto::enclave::v1::{
    CreateRecord, GetView, KekRef, Recover, Rehearse, SealedRecord, SealedShare, StatementRef, request, response,
};
use strongroom_proto::id::{ContentHash, RecordId, TenantId};
use strongroom_proto::v1::{Act, CreateBackupRequest, Reason, Role, SignedStatement};

use crate::frames::Frames;

/// Most rows that a wallet of a story has.
const ROWS_MAX: usize = 64;

/// What the host's database holds of one wallet.
#[derive(Clone, Debug)]
pub struct Loot {
    /// Whose wallet it is.
    pub tenant: TenantId,
    /// The tenant's statement.
    pub statement: SignedStatement,
    /// Epoch 1, wrapped.
    pub wrapped_kek: Vec<u8>,
    /// The wallet's records in the client role.
    pub records: Vec<SealedRecord>,
    /// The shares of generation 1 of each record, in the same order.
    pub shares: Vec<Vec<SealedShare>>,
}

/// Reads everything about a wallet.
pub async fn loot(database: &Path, tenant: TenantId, wallet: &str) -> Result<Loot> {
    let store = SqliteStore::open(database)?;
    let wallet = Name::parse("wallet", wallet)?;
    let statement = store.get(keys::statement(&tenant)).await?.context("no statement")?;
    let kek = store.get(keys::kek(&tenant, Role::Client, 1)).await?.context("no KEK")?;
    let mut loot = Loot {
        tenant,
        statement: SignedStatement::decode(statement.as_slice())?,
        wrapped_kek: KekRow::decode(kek.as_slice())?.wrapped,
        records: Vec::new(),
        shares: Vec::new(),
    };
    for (_, row) in store.scan(keys::records(&tenant, &wallet, Role::Client), None, ROWS_MAX).await? {
        let record = RecordRow::decode(row.as_slice())?.record.context("a row without a record")?;
        let id = RecordId::from_slice(&record.record_id).context("a record without an id")?;
        let prefix = keys::shares(&tenant, &id, Role::Client, 1);
        let mut shares = Vec::new();
        for (key, row) in store.scan(prefix.clone(), None, ROWS_MAX).await? {
            let pair = keys::last_name(&prefix, &key).context("a share without a pair")?;
            let ShareRow { sealed, epoch } = ShareRow::decode(row.as_slice())?;
            shares.push(SealedShare { generation: 1, pair: pair.as_str().to_owned(), sealed, epoch });
        }
        loot.records.push(record);
        loot.shares.push(shares);
    }
    Ok(loot)
}

impl Loot {
    /// The statement, with its bytes.
    #[must_use]
    pub fn statement(&self) -> StatementRef {
        StatementRef {
            sha256: ContentHash::of(&self.statement.encode_to_vec()).0.to_vec(),
            signed: Some(self.statement.clone()),
        }
    }

    /// The KEK, with its bytes.
    #[must_use]
    pub fn kek(&self) -> KekRef {
        KekRef { epoch: 1, sha256: ContentHash::of(&self.wrapped_kek).0.to_vec(), wrapped: self.wrapped_kek.clone() }
    }

    /// The recovery of the first record, as an honest host would ask for it.
    #[must_use]
    pub fn recover(&self, act: Act, recipient_key: &[u8]) -> Recover {
        Recover {
            tenant: self.tenant.0.to_vec(),
            statement: Some(self.statement()),
            kek: Some(self.kek()),
            act: Some(act),
            recipient_key: recipient_key.to_vec(),
            record: self.records.first().cloned(),
            shares: self.shares.first().cloned().unwrap_or_default(),
            other_kek: None,
        }
    }

    /// The rehearsal of the first record.
    #[must_use]
    pub fn rehearse(&self, act: Act) -> Rehearse {
        let Recover { tenant, statement, kek, act, record, shares, .. } = self.recover(act, &[]);
        Rehearse { tenant, statement, kek, act, record, shares, other_kek: None }
    }

    /// A creation, as an honest host would ask for it.
    #[must_use]
    pub fn create(&self, request: &CreateBackupRequest) -> CreateRecord {
        CreateRecord {
            tenant: self.tenant.0.to_vec(),
            statement: Some(self.statement()),
            kek: Some(self.kek()),
            act: request.act.clone(),
            credential: request.credential.clone(),
            message: request.client_message.clone(),
        }
    }

    /// The view of all records.
    #[must_use]
    pub fn view(&self, wallet: &str, nonce: &[u8]) -> GetView {
        GetView {
            tenant: self.tenant.0.to_vec(),
            kek: Some(self.kek()),
            wallet: wallet.to_owned(),
            nonce: nonce.to_vec(),
            records: self.records.clone(),
            other_kek: None,
        }
    }
}

/// What an enclave refused, and why.
#[derive(Debug, Eq, PartialEq)]
pub struct Refused {
    /// The stable id.
    pub reason: Reason,
    /// The sentence.
    pub detail: String,
}

/// Asks for something that must be refused.
pub fn refused(frames: &mut Frames, body: request::Body) -> Result<Refused> {
    match frames.ask(body)? {
        response::Body::Error(error) => Ok(Refused { reason: error.reason(), detail: error.detail }),
        other => bail!("not refused: {other:?}"),
    }
}
