//! `PutShares`: a new generation of shares for an existing record, in the roles that the intent names.

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{PutSharesRequest, PutSharesResponse, intent::Action};

use super::show::show;
use crate::error::Error;
use crate::keys::Name;
use crate::services::act::{self, Asked, Call, Done, PutBackup, Work};
use crate::services::brought::Brought;
use crate::services::check::{self, EPOCHS, MESSAGES};
use crate::services::roles::ByRole;
use crate::services::{App, books, replies};

pub(super) async fn put(app: &App, tenant: TenantId, message: PutSharesRequest) -> Result<PutSharesResponse, Error> {
    let request_id = Name::parse("request_id", &message.request_id)?;
    let request_sha256 = replies::request_hash(Call::PutShares.rpc(), &message);
    let checked = app.checked_act(&tenant, Call::PutShares, message.act)?;
    let Some(Action::PutShares(action)) = &checked.intent.action else {
        return Err(Error::Internal("an intent of another action"));
    };
    let mut messages = ByRole::new(MESSAGES, [message.client_message, message.custodian_message]);
    let mut epochs = ByRole::new(EPOCHS, [message.client_epoch, message.custodian_epoch]);
    messages.check(&checked.roles, check::message)?;
    epochs.check(&checked.roles, |_, _| Ok(()))?;
    check::pairs("act.intent.put_shares.pairs", &action.pairs)?;
    check::ciphertexts(&message.client_ciphertexts, &action.pairs)?;
    let brought = Brought { ciphertexts: message.client_ciphertexts, ..Brought::default() };
    let work = |role| Work::PutShares {
        ciphertexts: !brought.ciphertexts.is_empty() && role == books::keeper(&checked.roles),
        generation: action.generation,
        pairs: action.pairs.clone(),
        message: messages.take(role),
        epoch: epochs.take(role),
    };
    let orders = checked.orders(tenant, work)?;
    let act = Some(checked.act);
    run(app, Asked { tenant, request_id, request_sha256, act, orders, brought }, &checked.wallet).await
}

async fn run(app: &App, asked: Asked, wallet: &Name) -> Result<PutSharesResponse, Error> {
    let answer = |done: &Done| {
        let PutBackup { id, row, books } = done.backup.as_ref().ok_or(Error::Internal("a put without its backup"))?;
        let records: Vec<_> = done.outcomes.iter().map(|outcome| (outcome.place.role, &outcome.row)).collect();
        Ok(PutSharesResponse {
            backup: Some(show(wallet, id, row, &records, books)?),
            receipts: done.outcomes.iter().map(|outcome| outcome.signed.clone()).collect(),
            stages: done.stages(),
            client_shares: done.outcomes.iter().flat_map(|outcome| outcome.handed.clone()).collect(),
        })
    };
    act::run(app, &asked, answer).await
}
