//! A tenant's backend in this process, which does for real what `tenant::custodian` gives it to do.

use std::sync::Mutex;

use strongroom_proto::id::RecordId;

use super::host::Both;
use super::*;
use crate::exchange::{CustodianSeal, SentDraft, SignedDraft};
use crate::intent::{ClientPolicy, CustodianPolicy, Policies};
use crate::statement::VerifiedStatement;
use crate::tenant::custodian::{Held, Order, OrderedAct, Service};
use crate::testing::{WALLET, operational_key, verified_statement_of_both};

/// What the backend does wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wrong {
    pub(super) seal: fn(&mut CustodianSeal),
    pub(super) signed: fn(&mut SignedDraft),
    pub(super) sent: fn(&mut SentDraft),
}

pub(super) const RIGHT: Wrong = Wrong { seal: |_| {}, signed: |_| {}, sent: |_| {} };

#[derive(Debug)]
pub(super) struct Desk {
    prepared: Prepared,
    client: Client,
    statement: VerifiedStatement,
    /// `None`: a new backup of this name.
    put: Option<RecordId>,
    wrong: Wrong,
    held: Mutex<Option<Held>>,
}

pub(super) const POLICIES: Policies =
    Policies { client: Some(ClientPolicy::PASSKEY), custodian: Some(CustodianPolicy::PASSKEY) };

impl Desk {
    pub(super) fn new(both: &Both, put: Option<RecordId>, wrong: Wrong) -> Arc<Self> {
        Arc::new(Self {
            prepared: both.prepared.clone(),
            client: both.client.clone(),
            statement: verified_statement_of_both(),
            put,
            wrong,
            held: Mutex::new(None),
        })
    }

    fn answer(&self, draft: &[u8]) -> Result<CustodianSeal, Error> {
        let act = match self.put {
            Some(record_id) => OrderedAct::PutShares { record_id },
            None => OrderedAct::CreateBackup { backup: "new", method: "PASSKEY", policies: POLICIES },
        };
        let order = Order { wallet: WALLET, pairs: &pairs(), act, newest: &[] };
        let checked = Service::new(&self.prepared, &self.statement)?.check_draft(draft, &order)?;
        let (held, mut answer) = checked.seal(vec![share("b", 6), share("a", 4)])?;
        *self.held.lock().unwrap() = Some(Held::from_bytes(&held.to_bytes())?);
        (self.wrong.seal)(&mut answer);
        Ok(answer)
    }

    async fn finish(&self, mut signed: SignedDraft) -> Result<SentDraft, Error> {
        (self.wrong.signed)(&mut signed);
        let held = self.held.lock().unwrap().take().unwrap();
        let ready = held.finish(signed)?.sign(&operational_key())?;
        let (acted, mut sent) = ready.send(&self.client, &self.prepared).await?;
        assert_eq!(acted.receipts().count(), 2);
        (self.wrong.sent)(&mut sent);
        Ok(sent)
    }
}

impl TenantBackend for Desk {
    fn consent<'a>(&'a self, intent: &'a [u8]) -> Consent<'a> {
        Box::pin(async move { operational_key().sign_intent(intent) })
    }

    fn seal<'a>(&'a self, draft: &'a [u8]) -> Answer<'a, CustodianSeal> {
        Box::pin(async move { self.answer(draft) })
    }

    fn send(&self, signed: SignedDraft) -> Answer<'_, SentDraft> {
        Box::pin(self.finish(signed))
    }
}
