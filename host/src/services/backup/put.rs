//! `PutShares`: a new generation of shares for an existing record.

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{PutSharesRequest, PutSharesResponse, intent::Action};

use super::show::show;
use crate::error::Error;
use crate::keys::Name;
use crate::services::act::{self, Asked, Call, Outcome, Work};
use crate::services::{App, check, replies};

pub(super) async fn put(app: &App, tenant: TenantId, message: PutSharesRequest) -> Result<PutSharesResponse, Error> {
    let request_id = Name::parse("request_id", &message.request_id)?;
    check::message("client_message", &message.client_message)?;
    let request_sha256 = replies::request_hash(Call::PutShares.rpc(), &message);
    let checked = check::act(&tenant, Call::PutShares, message.act)?;
    let Some(Action::PutShares(action)) = &checked.intent.action else {
        return Err(Error::Internal("an intent of another action"));
    };
    check::pairs("act.intent.put_shares.pairs", &action.pairs)?;
    let work = Work::PutShares {
        generation: action.generation,
        pairs: action.pairs.clone(),
        message: message.client_message,
        epoch: message.client_epoch,
    };
    let order = checked.order(tenant, work)?;
    let (wallet, role) = (order.place.wallet.clone(), order.place.role);
    let answer = |outcome: &Outcome| {
        let (id, row) = outcome.backup.as_ref().ok_or(Error::Internal("a put without its backup"))?;
        Ok(PutSharesResponse {
            backup: Some(show(&wallet, id, row, &[(role, outcome.row.clone())])?),
            receipts: vec![outcome.signed.clone()],
            stages: outcome.receipt.stages.clone(),
        })
    };
    act::run(app, &Asked { request_id, request_sha256, order }, answer).await
}
