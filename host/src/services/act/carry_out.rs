//! What waited and is due: carried out because a caller says so, or because its time has come.

use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::limits::CHANNEL_KEY_BYTES;
use strongroom_proto::v1::{
    Act, ActResponse, CarryOutRequest, OpenActKind, RecoverResponse, ReleaseRecoveryRequest, Role, intent::Action,
};

use super::call::waits_by_itself;
use super::{Asked, Call, Order, Outcome, Work, receipts, release, run};
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{BackupRow, decode};
use crate::services::listing::Place;
use crate::services::load::{StoredRecord, StoredStatement};
use crate::services::{App, check, replies};

const ROLE: Role = Role::Client;

/// Carries out what is no recovery.
pub(in crate::services) async fn asked_for(
    app: &App,
    tenant: TenantId,
    message: CarryOutRequest,
) -> Result<ActResponse, Error> {
    let request_id = Name::parse("request_id", &message.request_id)?;
    let request_sha256 = replies::request_hash(Call::CarryOut.rpc(), &message);
    let kind = message.kind();
    if !waits_by_itself(kind) {
        return Err(Error::bad("kind", "a policy change, a passkey removal or a deletion"));
    }
    let work = Work::CarryOut { kind, recipient_key: Vec::new(), started_by: None };
    let second = Second { call: Call::CarryOut, kind, act: message.act };
    let order = order(app, tenant, &message.wallet, &message.backup, second, work).await?;
    run(app, &Asked { request_id, request_sha256, order }, |outcome| Ok(receipts(outcome))).await
}

/// Releases a recovery that was started.
pub(in crate::services) async fn released(
    app: &App,
    tenant: TenantId,
    message: ReleaseRecoveryRequest,
) -> Result<RecoverResponse, Error> {
    let request_id = Name::parse("request_id", &message.request_id)?;
    check::exactly("recovery", message.recovery.len(), 32)?;
    check::exactly("client_recipient_key", message.client_recipient_key.len(), CHANNEL_KEY_BYTES)?;
    let request_sha256 = replies::request_hash(Call::ReleaseRecovery.rpc(), &message);
    let kind = OpenActKind::Recovery;
    let recipient_key = message.client_recipient_key;
    let work = Work::CarryOut { kind, recipient_key, started_by: Some(message.recovery) };
    let second = Second { call: Call::ReleaseRecovery, kind, act: message.act };
    let order = order(app, tenant, &message.wallet, &message.backup, second, work).await?;
    run(app, &Asked { request_id, request_sha256, order }, |outcome| Ok(release(outcome))).await
}

/// Carries out what an intent started and is due by the host's clock, and gives the rows to be stored of it; `None` where it waits no
/// more.
pub(in crate::services) async fn due(
    app: &App,
    place: Place,
    kind: OpenActKind,
    intent: &[u8],
) -> Result<Option<Outcome>, Error> {
    let rows = app.store.get_all(vec![keys::statement(&place.tenant), place.key()]).await?;
    let [statement, record] = rows.as_slice() else { return Err(Error::Internal("rows are missing")) };
    let record = StoredRecord::read(record.as_deref())?;
    let statement = StoredStatement::read(statement.as_deref())?;
    if !record.row.open_acts.iter().any(|open| open.kind() == kind && open.intent_hash == intent) {
        return Ok(None);
    }
    let work = Work::CarryOut { kind, recipient_key: Vec::new(), started_by: None };
    super::carry_out(app, &Order { place, act: None, work }, statement, &record).await.map(Some)
}

/// The tenant's second signature, where the call brings one.
struct Second {
    call: Call,
    kind: OpenActKind,
    act: Option<Act>,
}

/// The order about the record of a backup.
async fn order(
    app: &App,
    tenant: TenantId,
    wallet: &str,
    backup: &str,
    second: Second,
    work: Work,
) -> Result<Order, Error> {
    let wallet = Name::parse("wallet", wallet)?;
    let backup = Name::parse("backup", backup)?;
    let checked = match second.act {
        Some(act) => Some(check::act(&tenant, second.call, Some(act))?),
        None => None,
    };
    let row = app.store.get(keys::backup(&tenant, &wallet, &backup)).await?.ok_or(Error::NotFound("backup"))?;
    let row: BackupRow = decode(&row)?;
    let record_id = RecordId::from_slice(&row.record_id).ok_or(Error::Internal("a backup's row holds no record id"))?;
    if let Some(checked) = &checked {
        if checked.wallet != wallet {
            return Err(Error::bad("act.intent.wallet", "the wallet of the call"));
        }
        if check::record_id(&checked.intent, ROLE)? != record_id {
            return Err(Error::bad("act.intent.client.record_id", "the record of the backup"));
        }
        if !matches!(&checked.intent.action, Some(Action::CarryOut(action)) if action.kind() == second.kind) {
            return Err(Error::bad("act.intent.carry_out.kind", "the kind of the call"));
        }
    }
    let act = checked.map(|checked| checked.act);
    Ok(Order { place: Place { tenant, wallet, role: ROLE, record: record_id }, act, work })
}
