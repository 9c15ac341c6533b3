//! `RehearseBackup`: takes the consents of a release, says whether the shares open, and writes nothing.

use strongroom_proto::enclave::v1::{Rehearse, request, response};
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{Rehearsal, RehearseBackupRequest, RehearseBackupResponse, Role, intent::Action};

use crate::error::Error;
use crate::keys;
use crate::rows::decode;
use crate::services::act::Call;
use crate::services::listing::Place;
use crate::services::load::{StoredRecord, StoredStatement};
use crate::services::{App, check};

pub(super) async fn rehearse(
    app: &App,
    tenant: TenantId,
    message: &RehearseBackupRequest,
) -> Result<RehearseBackupResponse, Error> {
    let role = Role::Client;
    let checked = check::act(&tenant, Call::RehearseBackup, message.act.clone())?;
    let Some(Action::Rehearse(action)) = &checked.intent.action else {
        return Err(Error::Internal("an intent of another action"));
    };
    let record = check::record_id(&checked.intent, role)?;
    let place = Place { tenant, wallet: checked.wallet.clone(), role, record };
    let rows = app.store.get_all(vec![keys::statement(&tenant), place.key()]).await?;
    let [statement, record] = rows.as_slice() else { return Err(Error::Internal("rows are missing")) };
    let record = StoredRecord::read(record.as_deref())?;
    let statement = StoredStatement::read(statement.as_deref())?;
    let shares = app.shares(&place, &record, action.generation).await?;
    let keks = app.keks_of(&place, &statement, &record, &shares, None).await?;
    let (kek, other_kek) = keks.references();
    let body = Rehearse {
        tenant: tenant.0.to_vec(),
        statement: Some(statement.reference()),
        kek,
        act: Some(checked.act),
        record: Some(record.sealed),
        shares,
        other_kek,
    };
    match app.enclave(role)?.ask(request::Body::Rehearse(body), &keks.known(Some(statement.signed))).await? {
        response::Body::Rehearsed(rehearsed) => {
            let signed = rehearsed.rehearsal.ok_or(Error::Internal("a rehearsal is missing"))?;
            let report: Rehearsal = decode(&signed.rehearsal)?;
            Ok(RehearseBackupResponse { rehearsals: vec![signed], stages: report.stages })
        }
        _ => Err(Error::Internal("an enclave's answer to Rehearse")),
    }
}
