//! Carries out a creation: one frame to the enclave, one commit, then the answer.

use prost::Message;
use strongroom_proto::enclave::v1::{CreateRecord, Moved, request, response};
use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::{CreateBackupAction, CreateBackupRequest, CreateBackupResponse, Role, intent::Action};
use strongroom_proto::{intent, names};

use super::show::show;
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Kind, Name};
use crate::rows::{BackupRow, GenerationNote, RecordRow, WalletRow, decode};
use crate::services::act::Call;
use crate::services::check::CheckedAct;
use crate::services::listing::{self, Place};
use crate::services::load::{self, StoredStatement};
use crate::services::replies::{self, Found, Ticket};
use crate::services::{App, check};
use crate::store::{Expect, Write};

const ROLE: Role = Role::Client;

/// What the request was found to ask for.
struct Creation {
    tenant: TenantId,
    request_id: Name,
    request_sha256: [u8; 32],
    checked: CheckedAct,
    action: CreateBackupAction,
    backup: Name,
    record_id: RecordId,
}

pub(super) async fn create(
    app: &App,
    tenant: TenantId,
    mut message: CreateBackupRequest,
) -> Result<CreateBackupResponse, Error> {
    let creation = check(tenant, &mut message)?;
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
    let created = ask(app, &creation, statement, message).await?;
    let epoch = created.record.as_ref().map_or(0, |record| record.epoch);
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
                app.came_late(&tenant, ROLE, epoch).await;
                return result;
            }
        }
    }
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

fn check(tenant: TenantId, message: &mut CreateBackupRequest) -> Result<Creation, Error> {
    let request_id = Name::parse("request_id", &message.request_id)?;
    check::message("client_message", &message.client_message)?;
    check::credential(message.credential.as_ref())?;
    let request_sha256 = replies::request_hash(Call::CreateBackup.rpc(), message);
    let checked = check::act(&tenant, Call::CreateBackup, message.act.take())?;
    let Some(Action::CreateBackup(action)) = &checked.intent.action else {
        return Err(Error::bad("act.intent.action", "must be create_backup"));
    };
    let action = action.clone();
    let backup = Name::parse("act.intent.create_backup.backup", &action.backup)?;
    if !names::is_method(&action.method) {
        return Err(Error::bad("act.intent.create_backup.method", "1 to 32 bytes of [A-Z0-9_-]"));
    }
    check::pairs("act.intent.create_backup.pairs", &action.pairs)?;
    if checked.intent.client.is_none() {
        return Err(Error::bad("act.intent.client", "required"));
    }
    let record_id = intent::record_id(&checked.intent);
    Ok(Creation { tenant, request_id, request_sha256, checked, action, backup, record_id })
}

async fn ask(
    app: &App,
    creation: &Creation,
    statement: StoredStatement,
    message: CreateBackupRequest,
) -> Result<Moved, Error> {
    let epoch = statement.epochs(ROLE)?.of_message(message.client_epoch)?;
    let keks = app.keks(&creation.tenant, ROLE, &statement, &[epoch]).await?;
    let body = CreateRecord {
        tenant: creation.tenant.0.to_vec(),
        statement: Some(statement.reference()),
        kek: keks.references().0,
        act: Some(creation.checked.act.clone()),
        credential: message.credential,
        message: message.client_message,
    };
    match app.enclave(ROLE)?.ask(request::Body::CreateRecord(body), &keks.known(Some(statement.signed))).await? {
        response::Body::Moved(created) => Ok(created),
        _ => Err(Error::Internal("an enclave's answer to CreateRecord")),
    }
}

/// The answer, and the rows that must stand before it is given.
fn results(creation: &Creation, created: Moved) -> Result<(CreateBackupResponse, Vec<Write>), Error> {
    let Creation { tenant, checked, action, backup, record_id, .. } = creation;
    let receipt = load::receipt(created.receipt.as_ref())?;
    let stored = created.record.as_ref().is_some_and(|record| record.record_id == record_id.0);
    if !stored || receipt.record_id != record_id.0 {
        return Err(Error::Internal("the enclave answered for another record"));
    }
    let row = BackupRow {
        record_id: record_id.0.to_vec(),
        method: action.method.clone(),
        secret: action.secret,
        pairs: action.pairs.clone(),
        roles: vec![ROLE.into()],
        created_ms: now_ms(),
    };
    let epoch = created.shares.first().map_or(0, |share| share.epoch);
    let record = RecordRow {
        record: created.record,
        receipt: created.receipt.clone(),
        generations: vec![GenerationNote { generation: action.generation, pairs: action.pairs.clone(), epoch }],
        ..RecordRow::default()
    };
    let signed = created.receipt.unwrap_or_default();
    let mut writes = vec![
        Write::new(keys::backup(tenant, &checked.wallet, backup), row.encode_to_vec()),
        Write::new(keys::event(tenant, record_id, ROLE, receipt.version), signed.encode_to_vec()),
    ];
    let place = Place { tenant: *tenant, wallet: checked.wallet.clone(), role: ROLE, record: *record_id };
    writes.extend(listing::writes(&place, None, &record));
    writes.extend(load::new_shares(&place, created.shares)?);
    let response = CreateBackupResponse {
        backup: Some(show(&checked.wallet, backup, &row, &[(ROLE, record)])?),
        receipts: vec![signed],
        stages: receipt.stages,
    };
    Ok((response, writes))
}
