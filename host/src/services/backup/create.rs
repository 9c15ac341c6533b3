//! Carries out a creation: one frame to the enclave of each role that the intent names, one commit, then the answer.

use prost::Message;
use strongroom_proto::enclave::v1::{CreateRecord, Moved, SealedShare, request, response};
use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::{
    ClientCiphertext, CreateBackupAction, CreateBackupRequest, CreateBackupResponse, NewCredential, Receipt, Role,
    Storage, intent::Action,
};
use strongroom_proto::{intent, names};

use super::show::show;
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Kind, Name};
use crate::rows::{BackupRow, GenerationNote, RecordRow, WalletRow, decode};
use crate::services::act::{Call, answer};
use crate::services::books::{self, Books, Put};
use crate::services::check::{self, CheckedAct, EPOCHS, MESSAGES};
use crate::services::listing::{self, Place};
use crate::services::load::{self, StoredStatement};
use crate::services::replies::{self, Found, Ticket};
use crate::services::roles::{ByRole, at_once};
use crate::services::{App, brought};
use crate::store::{Expect, Write};

/// What the request was found to ask for.
struct Creation {
    tenant: TenantId,
    request_id: Name,
    request_sha256: [u8; 32],
    checked: CheckedAct,
    action: CreateBackupAction,
    backup: Name,
    record_id: RecordId,
    credential: Option<NewCredential>,
    storage: Storage,
    ciphertexts: Vec<ClientCiphertext>,
}

impl Creation {
    /// The backup's row.
    fn row(&self) -> BackupRow {
        BackupRow {
            record_id: self.record_id.0.to_vec(),
            method: self.action.method.clone(),
            secret: self.action.secret,
            pairs: self.action.pairs.clone(),
            roles: self.checked.roles.iter().map(|role| i32::from(*role)).collect(),
            created_ms: now_ms(),
            storage: self.storage.into(),
        }
    }
}

/// What it asks of one role.
struct Part {
    role: Role,
    message: Vec<u8>,
    epoch: u64,
}

pub(super) async fn create(
    app: &App,
    tenant: TenantId,
    message: CreateBackupRequest,
) -> Result<CreateBackupResponse, Error> {
    let (creation, parts) = check(app, tenant, message)?;
    let rows = app
        .store
        .get_all(vec![
            Ticket::key(&tenant, &creation.request_id),
            keys::wallet(&tenant, &creation.checked.wallet),
            keys::backup(&tenant, &creation.checked.wallet, &creation.backup),
            keys::statement(&tenant),
        ])
        .await?;
    let [reply, wallet, backup, statement] = rows.as_slice() else {
        return Err(Error::Internal("rows are missing"));
    };
    let ticket = match replies::find(&tenant, &creation.request_id, creation.request_sha256, reply.as_deref())? {
        Found::Reply(reply) => return Ok(reply),
        Found::Fresh(ticket) => ticket,
    };
    if backup.is_some() {
        return Err(Error::AlreadyExists("backup"));
    }
    let mut place = place(&creation, wallet.as_deref())?;
    let statement = StoredStatement::read(statement.as_deref())?;
    let work = |part| ask(app, &creation, &statement, part);
    let created = at_once(parts, |part| part.role, work).await?;
    let epochs: Vec<(Role, u64)> = created.iter().map(|(role, moved)| (*role, epoch_of(moved))).collect();
    let (response, results) = results(&creation, created)?;
    // Ends: each conflict says that another creation has taken one of the wallet's few places.
    loop {
        let writes = results.iter().cloned().chain([place]).collect();
        match replies::commit(&*app.store, &ticket, response.clone(), writes).await {
            Err(Error::Conflict(Kind::Wallet)) => {
                let wallet = app.store.get(keys::wallet(&tenant, &creation.checked.wallet)).await?;
                place = self::place(&creation, wallet.as_deref())?;
            }
            Err(Error::Conflict(Kind::Backup)) => return Err(Error::AlreadyExists("backup")),
            result => {
                app.came_late(&tenant, &epochs).await;
                return result;
            }
        }
    }
}

fn epoch_of(created: &Moved) -> u64 {
    created.record.as_ref().map_or(0, |record| record.epoch)
}

/// The write that takes one more place in the wallet, which has a limit of them.
fn place(creation: &Creation, wallet: Option<&[u8]>) -> Result<Write, Error> {
    let row: WalletRow = decode(wallet.ok_or(Error::NotFound("wallet"))?)?;
    if usize::try_from(row.backups).unwrap_or(usize::MAX) >= RECORDS_MAX {
        return Err(Error::State("the wallet has 16 backups"));
    }
    let counted = WalletRow { backups: row.backups.saturating_add(1), ..row };
    Ok(Write {
        key: keys::wallet(&creation.tenant, &creation.checked.wallet),
        expect: Expect::unchanged(wallet),
        put: Some(counted.encode_to_vec()),
    })
}

fn check(app: &App, tenant: TenantId, mut message: CreateBackupRequest) -> Result<(Creation, Vec<Part>), Error> {
    let request_id = Name::parse("request_id", &message.request_id)?;
    check::credential(message.credential.as_ref())?;
    let request_sha256 = replies::request_hash(Call::CreateBackup.rpc(), &message);
    let checked = app.checked_act(&tenant, Call::CreateBackup, message.act.take())?;
    let mut messages = ByRole::new(MESSAGES, [message.client_message, message.custodian_message]);
    let mut epochs = ByRole::new(EPOCHS, [message.client_epoch, message.custodian_epoch]);
    messages.check(&checked.roles, check::message)?;
    epochs.check(&checked.roles, |_, _| Ok(()))?;
    let Some(Action::CreateBackup(action)) = &checked.intent.action else {
        return Err(Error::bad("act.intent.action", "must be create_backup"));
    };
    let action = action.clone();
    let backup = Name::parse("act.intent.create_backup.backup", &action.backup)?;
    if !names::is_method(&action.method) {
        return Err(Error::bad("act.intent.create_backup.method", "1 to 32 bytes of [A-Z0-9_-]"));
    }
    check::pairs("act.intent.create_backup.pairs", &action.pairs)?;
    let record_id = intent::record_id(&checked.intent);
    let mut part = |role: Role| Part { role, message: messages.take(role), epoch: epochs.take(role) };
    let parts = checked.roles.iter().map(|role| part(*role)).collect();
    let (credential, ciphertexts) = (message.credential, message.client_ciphertexts);
    let storage = books::storage(message.storage)?;
    check::ciphertexts(&ciphertexts, &action.pairs)?;
    let creation = Creation {
        tenant,
        request_id,
        request_sha256,
        checked,
        action,
        backup,
        record_id,
        credential,
        storage,
        ciphertexts,
    };
    books::check_ciphertexts(&creation.row(), &creation.ciphertexts)?;
    Ok((creation, parts))
}

async fn ask(app: &App, creation: &Creation, statement: &StoredStatement, part: Part) -> Result<(Role, Moved), Error> {
    let role = part.role;
    let epoch = statement.epochs(role)?.of_message(part.epoch)?;
    let keks = app.keks(&creation.tenant, role, statement, &[epoch]).await?;
    let body = CreateRecord {
        tenant: creation.tenant.0.to_vec(),
        statement: Some(statement.reference()),
        kek: keks.references().0,
        act: Some(creation.checked.act.clone()),
        credential: creation.credential.clone(),
        message: part.message,
    };
    let known = keks.known(Some(&statement.signed));
    match app.enclave_of(role, statement)?.ask(request::Body::CreateRecord(body), &known).await? {
        response::Body::Moved(created) => Ok((role, created)),
        _ => Err(Error::Internal("an enclave's answer to CreateRecord")),
    }
}

/// The answer, and the rows that must stand before it is given.
fn results(creation: &Creation, created: Vec<(Role, Moved)>) -> Result<(CreateBackupResponse, Vec<Write>), Error> {
    let Creation { tenant, checked, action, backup, record_id, .. } = creation;
    let row = creation.row();
    let mut writes = vec![Write::new(keys::backup(tenant, &checked.wallet, backup), row.encode_to_vec())];
    let (mut records, mut receipts, mut stages, mut kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (role, moved) in created {
        let receipt = load::receipt(moved.receipt.as_ref())?;
        let stored = moved.record.as_ref().is_some_and(|record| record.record_id == record_id.0);
        if !stored || receipt.record_id != record_id.0 {
            return Err(Error::Internal("the enclave answered for another record"));
        }
        let signed = moved.receipt.clone().unwrap_or_default();
        let place = Place { tenant: *tenant, wallet: checked.wallet.clone(), role, record: *record_id };
        let (record, shares) = record(creation, &row, role, &receipt, moved);
        writes.push(Write::new(keys::event(tenant, record_id, role, receipt.version), signed.encode_to_vec()));
        writes.extend(listing::writes(&place, None, &record));
        if record.outside {
            kept.extend(shares.into_iter().map(brought::handed));
        } else {
            writes.extend(load::new_shares(&place, shares)?);
        }
        records.push((role, record));
        receipts.push(signed);
        stages.push(receipt.stages);
    }
    let put = Put {
        tenant,
        wallet: &checked.wallet,
        backup,
        row: &row,
        generation: action.generation,
        pairs: &action.pairs,
        ciphertexts: &creation.ciphertexts,
    };
    let (books, more) = put.writes(&Books::read(tenant, record_id, None)?, |_| true)?;
    writes.extend(more);
    let records: Vec<_> = records.iter().map(|(role, record)| (*role, record)).collect();
    let response = CreateBackupResponse {
        backup: Some(show(&checked.wallet, backup, &row, &records, &books)?),
        receipts,
        stages: answer::stages(stages.iter().map(Option::as_ref)),
        client_shares: kept,
    };
    Ok((response, writes))
}

/// The row of one role's record, and its shares.
fn record(
    creation: &Creation,
    row: &BackupRow,
    role: Role,
    receipt: &Receipt,
    moved: Moved,
) -> (RecordRow, Vec<SealedShare>) {
    let outside = row.keeps_outside(role);
    let note = GenerationNote {
        generation: creation.action.generation,
        pairs: creation.action.pairs.clone(),
        epoch: moved.shares.first().map_or(0, |share| share.epoch),
        put_version: receipt.version,
        seals: if outside { moved.shares.iter().map(brought::seal).collect() } else { Vec::new() },
        ciphertexts: !creation.ciphertexts.is_empty() && role == books::keeper(&creation.checked.roles),
    };
    let (record, receipt, generations) = (moved.record, moved.receipt, vec![note]);
    (RecordRow { record, receipt, generations, outside, ..RecordRow::default() }, moved.shares)
}
