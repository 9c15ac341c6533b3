//! `RehearseBackup`: takes the consents of a release, says whether the shares open in each role that the intent names, and writes
//! nothing.

use strongroom_proto::enclave::v1::{Rehearse, SealedShare, request, response};
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{
    Act, Rehearsal, RehearseBackupRequest, RehearseBackupResponse, SignedRehearsal, intent::Action,
};

use crate::error::Error;
use crate::keys;
use crate::rows::decode;
use crate::services::act::{Call, answer};
use crate::services::listing::Place;
use crate::services::load::{StoredRecord, StoredStatement};
use crate::services::roles::{self, at_once};
use crate::services::{App, brought};

pub(super) async fn rehearse(
    app: &App,
    tenant: TenantId,
    message: &RehearseBackupRequest,
) -> Result<RehearseBackupResponse, Error> {
    brought::check(&message.client_shares)?;
    let checked = app.checked_act(&tenant, Call::RehearseBackup, message.act.clone())?;
    let Some(Action::Rehearse(action)) = &checked.intent.action else {
        return Err(Error::Internal("an intent of another action"));
    };
    let record = checked.record_id()?;
    let place = |role| Place { tenant, wallet: checked.wallet.clone(), role, record };
    let places: Vec<Place> = checked.roles.iter().map(|role| place(*role)).collect();
    let keys = [keys::statement(&tenant)].into_iter().chain(places.iter().map(Place::key));
    let rows = app.store.get_all(keys.collect()).await?;
    let [statement, records @ ..] = rows.as_slice() else { return Err(Error::Internal("rows are missing")) };
    let read = |(place, row): (Place, &Option<Vec<u8>>)| {
        let of_both = |error: Error| if records.len() > 1 { error.in_role(roles::name(place.role)) } else { error };
        StoredRecord::read(row.as_deref()).map_err(of_both).map(|record| (place.clone(), record))
    };
    let parts = places.into_iter().zip(records).map(read).collect::<Result<Vec<_>, _>>()?;
    let statement = StoredStatement::read(statement.as_deref())?;
    brought::check_needed(&message.client_shares, parts.iter().map(|(_, record)| record))?;
    let mut outside = Vec::new();
    if let Some((_, record)) = parts.iter().find(|(_, record)| record.row.outside) {
        outside = brought::sealed(record, action.generation, &message.client_shares)?;
    }
    let work = |part| in_role(app, &statement, (&checked.act, action.generation), &outside, part);
    let rehearsals = at_once(&parts, |(place, _)| place.role, work).await?;
    let reports = rehearsals.iter().map(|signed| decode(&signed.rehearsal)).collect::<Result<Vec<Rehearsal>, _>>()?;
    let stages = answer::stages(reports.iter().map(|report| report.stages.as_ref()));
    Ok(RehearseBackupResponse { rehearsals, stages })
}

async fn in_role(
    app: &App,
    statement: &StoredStatement,
    (act, generation): (&Act, u64),
    outside: &[SealedShare],
    (place, record): &(Place, StoredRecord),
) -> Result<SignedRehearsal, Error> {
    let shares = if record.row.outside { outside.to_vec() } else { app.shares(place, record, generation).await? };
    let keks = app.keks_of(place, statement, record, &shares, None).await?;
    let (kek, other_kek) = keks.references();
    let body = Rehearse {
        tenant: place.tenant.0.to_vec(),
        statement: Some(statement.reference()),
        kek,
        act: Some(act.clone()),
        record: Some(record.sealed.clone()),
        shares,
        other_kek,
    };
    let known = keks.known(Some(&statement.signed));
    match app.enclave_of(place.role, statement)?.ask(request::Body::Rehearse(body), &known).await? {
        response::Body::Rehearsed(rehearsed) => rehearsed.rehearsal.ok_or(Error::Internal("a rehearsal is missing")),
        _ => Err(Error::Internal("an enclave's answer to Rehearse")),
    }
}
