//! What waited and is due: carried out because a caller says so, or because its time has come.

use strongroom_proto::id::TenantId;
use strongroom_proto::limits::CHANNEL_KEY_BYTES;
use strongroom_proto::v1::{
    Act, ActResponse, CarryOutRequest, OpenActKind, RecoverResponse, ReleaseRecoveryRequest, Role, intent::Action,
};

use super::call::waits_by_itself;
use super::{Asked, Call, Order, Outcome, Part, Work, answer, run};
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::{BackupRow, decode};
use crate::services::brought::Brought;
use crate::services::check::{self, CheckedAct, Fields};
use crate::services::listing::Place;
use crate::services::load::{StoredRecord, StoredStatement};
use crate::services::recoveries::show;
use crate::services::roles::ByRole;
use crate::services::{App, replies};

/// Carries out what is no recovery: in the roles that the act names, or without one wherever it waits.
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
    let second = Second { call: Call::CarryOut, kind, act: message.act };
    let (found, checked) = find(app, tenant, &message.wallet, &message.backup, second).await?;
    let roles = checked.as_ref().map_or_else(|| found.row.roles().collect(), |checked| checked.roles.clone());
    let work = |_| Work::CarryOut { kind, recipient_key: Vec::new(), started_by: None };
    let orders = found.orders(&roles, checked.as_ref(), work)?;
    let act = checked.map(|checked| checked.act);
    let brought = Brought::default();
    run(app, &Asked { tenant, request_id, request_sha256, act, orders, brought }, |done| Ok(answer::receipts(done)))
        .await
}

/// Releases a recovery that was started: in both roles, where it waits in both, or in none.
pub(in crate::services) async fn released(
    app: &App,
    tenant: TenantId,
    message: ReleaseRecoveryRequest,
) -> Result<RecoverResponse, Error> {
    let request_id = Name::parse("request_id", &message.request_id)?;
    let recovery = check::hash("recovery", &message.recovery)?;
    let request_sha256 = replies::request_hash(Call::ReleaseRecovery.rpc(), &message);
    let brought = Brought::shares(message.client_shares)?;
    let mut keys = ByRole::new(RECIPIENT_KEYS, [message.client_recipient_key, message.custodian_recipient_key]);
    let kind = OpenActKind::Recovery;
    let second = Second { call: Call::ReleaseRecovery, kind, act: message.act };
    let (found, checked) = find(app, tenant, &message.wallet, &message.backup, second).await?;
    let roles: Vec<Role> = found.row.roles().collect();
    // In which of them it waits is seen later.
    keys.check(&roles, |field, key| if key.is_empty() { Ok(()) } else { recipient_key(field, key) })?;
    let started_by = message.recovery;
    let work = |role| Work::CarryOut { kind, recipient_key: keys.take(role), started_by: Some(started_by.clone()) };
    let orders = found.orders(&roles, checked.as_ref(), work)?;
    let act = checked.map(|checked| checked.act);
    let asked = Asked { tenant, request_id, request_sha256, act, orders, brought };
    match run(app, &asked, answer::release).await {
        Err(Error::NotFound("recovery")) => {
            let backup = Name::parse("backup", &message.backup)?;
            Err(show::why_not(app, &tenant, &found.wallet, &backup, &recovery).await)
        }
        result => result,
    }
}

/// The fields of the recipients' keys.
pub(in crate::services) const RECIPIENT_KEYS: [&str; 2] = ["client_recipient_key", "custodian_recipient_key"];

/// The form of a recipient's key.
#[expect(clippy::ptr_arg, reason = "a field is checked as it stands in its message")]
pub(in crate::services) fn recipient_key(field: &'static str, key: &Vec<u8>) -> Result<(), Error> {
    check::exactly(field, key.len(), CHANNEL_KEY_BYTES)
}

/// Of orders to carry out what waits those in whose records it does. All others stay as they are.
pub(super) fn where_it_waits(parts: Vec<Part<'_>>) -> Result<Vec<Part<'_>>, Error> {
    if !parts.iter().any(Part::is_searched) {
        return Ok(parts);
    }
    let deleted = parts.iter().all(|part| part.record.row.closed);
    let (waiting, others): (Vec<Part<'_>>, Vec<Part<'_>>) = parts.into_iter().partition(Part::waits);
    match waiting.first().or(others.first()).map(|part| &part.order.work) {
        _ if deleted => Err(Error::State("the backup was deleted")),
        Some(Work::CarryOut { started_by: Some(_), .. }) if waiting.is_empty() => Err(Error::NotFound("recovery")),
        Some(Work::CarryOut { started_by: Some(_), .. }) => {
            waiting.iter().try_for_each(|part| part.check_recipient(true))?;
            others.iter().try_for_each(|part| part.check_recipient(false))?;
            Ok(waiting)
        }
        _ if waiting.is_empty() => Err(Error::State("nothing of this kind waits")),
        _ => Ok(waiting),
    }
}

impl Part<'_> {
    /// Whether the order is to carry out what waits wherever it does. Who signs a second time names the roles himself.
    fn is_searched(&self) -> bool {
        match &self.order.work {
            Work::CarryOut { started_by, .. } => started_by.is_some() || !self.order.consents,
            _ => false,
        }
    }

    /// Whether what is to be carried out waits in the record, as far as the host noted.
    fn waits(&self) -> bool {
        let Work::CarryOut { kind, started_by, .. } = &self.order.work else { return false };
        let named = |intent: &[u8]| started_by.as_deref().is_none_or(|started_by| started_by == intent);
        self.record.row.open_acts.iter().any(|open| open.kind() == *kind && named(&open.intent_hash))
    }

    /// Checks that a recipient's key was given exactly where the recovery waits.
    fn check_recipient(&self, waits: bool) -> Result<(), Error> {
        let Work::CarryOut { recipient_key, .. } = &self.order.work else { return Ok(()) };
        let field = if self.order.place.role == Role::Client { RECIPIENT_KEYS[0] } else { RECIPIENT_KEYS[1] };
        match recipient_key.is_empty() {
            true if waits => Err(Error::bad(field, format!("exactly {CHANNEL_KEY_BYTES} bytes"))),
            false if !waits => Err(Error::bad(field, "empty: the recovery does not wait in this role")),
            _ => Ok(()),
        }
    }
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
    let order = Order { place, consents: false, work };
    super::carry_out(app, None, &statement, &mut Part { order: &order, record, shares: None, brought: Vec::new() })
        .await
        .map(Some)
}

/// The tenant's second signature, where the call brings one.
struct Second {
    call: Call,
    kind: OpenActKind,
    act: Option<Act>,
}

/// The backup of a call.
struct Found {
    tenant: TenantId,
    wallet: Name,
    row: BackupRow,
}

impl Found {
    /// The orders about the backup's records in these roles.
    fn orders(
        &self,
        roles: &[Role],
        checked: Option<&CheckedAct>,
        mut work: impl FnMut(Role) -> Work,
    ) -> Result<Vec<Order>, Error> {
        let record = self.row.record_id()?;
        let mut order = |role: Role| {
            let consents = checked.is_some_and(|checked| checked.roles.contains(&role));
            let place = Place { tenant: self.tenant, wallet: self.wallet.clone(), role, record };
            Order { place, consents, work: work(role) }
        };
        Ok(roles.iter().map(|role| order(*role)).collect())
    }
}

/// Finds the backup of a call, and checks that the second signature is about it.
async fn find(
    app: &App,
    tenant: TenantId,
    wallet: &str,
    backup: &str,
    second: Second,
) -> Result<(Found, Option<CheckedAct>), Error> {
    let wallet = Name::parse("wallet", wallet)?;
    let backup = Name::parse("backup", backup)?;
    let checked = match second.act {
        Some(act) => Some(app.checked_act(&tenant, second.call, Some(act))?),
        None => None,
    };
    let row = app.store.get(keys::backup(&tenant, &wallet, &backup)).await?.ok_or(Error::NotFound("backup"))?;
    let row: BackupRow = decode(&row)?;
    if let Some(checked) = &checked {
        if checked.wallet != wallet {
            return Err(Error::bad("act.intent.wallet", "the wallet of the call"));
        }
        if checked.record_id()? != row.record_id()? {
            return Err(Error::bad(Fields::of(checked.roles.first()).record_id, "the record of the backup"));
        }
        if !matches!(&checked.intent.action, Some(Action::CarryOut(action)) if action.kind() == second.kind) {
            return Err(Error::bad("act.intent.carry_out.kind", "the kind of the call"));
        }
    }
    Ok((Found { tenant, wallet, row }, checked))
}
