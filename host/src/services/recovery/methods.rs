//! `ListRecoveryMethods`: each backup of a wallet as a way to recover, and what stands against it now.
//!
//! What a release takes comes from the enclaves' views. One that does not answer leaves its part of the list empty, and says so there:
//! what another role or another backup can do is told all the same.

use std::collections::BTreeMap;

use strongroom_proto::id::TenantId;
use strongroom_proto::limits::RECORDS_MAX;
use strongroom_proto::v1::{
    Backup, BackupReason, BackupState, ListRecoveryMethodsRequest, ListRecoveryMethodsResponse, RecordView,
    RecoveryMethod, Role, WalletView,
};

use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{BackupRow, decode};
use crate::services::App;
use crate::services::backup::show;
use crate::services::passkey::view;
use crate::services::roles::{ROLES, name};
use crate::status::reason_name;

/// What each role's enclave says of the wallet.
type Views = BTreeMap<Role, Result<WalletView, Error>>;

pub(super) async fn list(
    app: &App,
    tenant: TenantId,
    message: &ListRecoveryMethodsRequest,
) -> Result<ListRecoveryMethodsResponse, Error> {
    let wallet = Name::parse("wallet", &message.wallet)?;
    app.store.get(keys::wallet(&tenant, &wallet)).await?.ok_or(Error::NotFound("wallet"))?;
    let prefix = keys::backups(&tenant, &wallet);
    let mut backups = Vec::new();
    for (key, row) in app.store.scan(prefix.clone(), None, RECORDS_MAX).await? {
        let id = keys::last_name(&prefix, &key).ok_or(Error::Internal("a backup's key does not parse"))?;
        let row: BackupRow = decode(&row)?;
        let shown = show::stored(app, &tenant, &wallet, &id, row.clone()).await?;
        backups.push((row, shown));
    }
    let mut views = Views::new();
    for role in ROLES.into_iter().filter(|role| backups.iter().any(|(row, _)| row.roles().any(|it| it == *role))) {
        views.insert(role, view::read(app, &tenant, &wallet, role).await);
    }
    let methods = backups.iter().map(|(row, shown)| method(row, shown, &views)).collect();
    Ok(ListRecoveryMethodsResponse { methods })
}

fn method(row: &BackupRow, shown: &Backup, views: &Views) -> RecoveryMethod {
    let records: Vec<(Role, Result<&RecordView, String>)> =
        row.roles().map(|role| (role, record(role, &row.record_id, views))).collect();
    let policy = |wanted: Role| {
        let record = records.iter().find(|(role, _)| *role == wanted)?;
        record.1.as_ref().ok()?.policy
    };
    let problem = problem(shown, &records).unwrap_or_default();
    RecoveryMethod {
        backup: shown.backup.clone(),
        method: shown.method.clone(),
        generation: shown.generation,
        pairs: shown.pairs.clone(),
        client_policy: policy(Role::Client),
        custodian_policy: policy(Role::Custodian),
        passkeys: u32::try_from(consenting(&records).len()).unwrap_or(u32::MAX),
        secret: row.secret,
        storage: shown.storage,
        works: problem.is_empty(),
        problem,
    }
}

/// A record as its enclave sees it, or why that is not known.
fn record<'a>(role: Role, id: &[u8], views: &'a Views) -> Result<&'a RecordView, String> {
    let of_role = |what: &str| format!("{}: {what}", name(role));
    match views.get(&role) {
        Some(Ok(view)) => {
            let record = view.records.iter().find(|record| record.record_id == id);
            record.ok_or_else(|| of_role("the record is missing or does not open"))
        }
        Some(Err(Error::EnclaveUnavailable(_))) => Err(of_role("the enclave does not answer")),
        Some(Err(Error::State(why))) => Err(of_role(why)),
        Some(Err(error)) => Err(of_role(reason_name(error.reason()))),
        None => Err(of_role("not asked")),
    }
}

/// The passkeys that could consent in every role whose policy asks for one.
fn consenting<'a>(records: &[(Role, Result<&'a RecordView, String>)]) -> Vec<&'a [u8]> {
    let asking = records.iter().filter_map(|(_, record)| record.as_ref().ok());
    let mut asking = asking.filter(|record| record.policy.is_some_and(|policy| policy.passkey));
    let Some(first) = asking.next() else { return Vec::new() };
    let mut ids: Vec<&[u8]> = first.credentials.iter().map(|credential| credential.id.as_slice()).collect();
    for other in asking {
        ids.retain(|id| other.credentials.iter().any(|credential| credential.id == *id));
    }
    ids
}

/// The first thing that stands against a recovery, if there is any.
fn problem(shown: &Backup, records: &[(Role, Result<&RecordView, String>)]) -> Option<String> {
    if shown.state() == BackupState::Closed {
        let deleted = shown.reason() == BackupReason::Deleted;
        return Some(if deleted { "the backup was deleted" } else { "its generation was given up" }.to_owned());
    }
    if let Some(unknown) = records.iter().find_map(|(_, record)| record.as_ref().err()) {
        return Some(unknown.clone());
    }
    for (role, record) in records {
        let Ok(record) = record else { continue };
        if record.closed {
            return Some(format!("{}: the record was deleted", name(*role)));
        }
        if record.generations.iter().all(|it| it.generation != shown.generation) && shown.generation > 0 {
            return Some(format!("{}: the record does not name the generation", name(*role)));
        }
    }
    if shown.generation == 0 {
        return Some("no generation is in force in every role".to_owned());
    }
    let asks = records
        .iter()
        .filter_map(|(_, record)| record.as_ref().ok())
        .any(|record| record.policy.is_some_and(|policy| policy.passkey));
    (asks && consenting(records).is_empty()).then(|| "no passkey is in every role whose policy asks for one".to_owned())
}
