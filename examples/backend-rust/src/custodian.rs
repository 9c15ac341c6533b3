//! The company's half of a backup: its own shares, sealed to the custodian enclave for a draft that was read, and its signature.
//!
//! It asks for its own signature on every release of its shares, and gives it to whichever of its users asks for his own wallet. A real
//! company has its own approval before that.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_proto::contents::Share;
use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::intent as form;
use strongroom_proto::limits::SHARE_BYTES_MAX;
use strongroom_proto::names::is_id;
use strongroom_proto::secret::Secret;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{
    CustodianSeal, Intent, OwnCiphertexts, Pair, Role, SentAlone, SentDraft, SignedDraft, SignedReceipt,
    TenantSignature,
};
use strongroom_sdk::client::Client;
use strongroom_sdk::device::{Device, now};
use strongroom_sdk::intent::{Alone, ClientPolicy, CustodianPolicy, Policies};
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::receipt::newest_of_roles;
use strongroom_sdk::statement::VerifiedStatement;
use strongroom_sdk::tenant::custodian::{Held, Order, OrderedAct, Service};
use strongroom_sdk::tenant::{Expected, ExpectedAct, RecordAct, consent};
use strongroom_sdk::{Error, Trust, curve_of, files};

use crate::config::{Custodian, User};
use crate::statement::Current;

/// The method of the backups that this company makes.
const METHOD: &str = "PASSKEY";
/// What releases need: the user's passkey in both roles, and the company's signature where its own share goes.
const POLICIES: Policies =
    Policies { client: Some(ClientPolicy::PASSKEY), custodian: Some(CustodianPolicy::PASSKEY_AND_TENANT) };

/// Where the company answers drafts.
pub(crate) struct Desk {
    company: Custodian,
    client: Client,
    trust: Trust,
    tenant: TenantId,
    statement: Arc<Current>,
    /// What was sealed last for each user, until the next: a lost answer can be asked for again.
    held: Mutex<HashMap<String, Held>>,
}

impl Desk {
    pub(crate) fn new(company: Custodian, client: Client, trust: Trust, statement: Arc<Current>) -> Self {
        let tenant = statement.tenant();
        Self { company, client, trust, tenant, statement, held: Mutex::default() }
    }

    /// Signs a release or a rehearsal of the user's own wallet. `known`: the newest receipts of the record.
    pub(crate) fn sign(&self, user: &User, intent: &[u8], known: &[SignedReceipt]) -> Result<TenantSignature, Error> {
        let fields = decode(intent)?;
        let act = match &fields.action {
            Some(Action::Recover(action)) if !action.eject => RecordAct::Recover,
            Some(Action::Rehearse(_)) => RecordAct::Rehearse,
            _ => return Err(refused("intent.action", "this company signs releases and rehearsals only")),
        };
        let statement = self.statement.get();
        let newest = newest_of_roles(known, &statement.verified)?;
        let expected = Expected {
            tenant: self.tenant,
            wallet: &user.wallet,
            act: ExpectedAct::OnRecord { record_id: record(&fields)?, act },
            statement_serial: statement.verified.serial(),
            newest: &newest,
            now: now(),
        };
        consent(&self.company.key, intent, &expected)
    }

    /// Seals the company's shares of the user's wallet for a draft.
    pub(crate) async fn seal(
        &self,
        user: &User,
        draft: &[u8],
        known: &[SignedReceipt],
    ) -> Result<CustodianSeal, Error> {
        let fields = decode(draft)?;
        let act = match &fields.action {
            Some(Action::CreateBackup(action)) => {
                OrderedAct::CreateBackup { backup: &action.backup, method: METHOD, policies: POLICIES }
            }
            _ => OrderedAct::PutShares { record_id: record(&fields)? },
        };
        let (pairs, shares) = self.shares(&user.wallet)?;
        let statement = self.statement.get();
        let newest = newest_of_roles(known, &statement.verified)?;
        let prepared = self.prepare(user, &statement.verified).await?;
        let order = Order { wallet: &user.wallet, pairs: &pairs, act, newest: &newest };
        let checked = Service::new(&prepared, &statement.verified)?.check_draft(draft, &order)?;
        let (held, seal) = checked.seal(shares)?;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(user.name.clone(), held);
        Ok(seal)
    }

    /// Signs what the passkey signed, where it is the draft, and sends it.
    pub(crate) async fn send(&self, user: &User, signed: SignedDraft) -> Result<SentDraft, Error> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).get(&user.name).cloned();
        let held = held.ok_or_else(|| refused("draft", "nothing was sealed for this user: SealDraft comes first"))?;
        let ready = held.finish(signed)?.sign(&self.company.key)?;
        let prepared = self.prepare(user, &self.statement.get().verified).await?;
        Ok(ready.send(&self.client, &prepared).await?.1)
    }

    /// Makes the company's record beside what the user's device encrypted itself, or its next generation; signs alone, and sends both.
    pub(crate) async fn send_alone(&self, user: &User, own: OwnCiphertexts) -> Result<SentAlone, Error> {
        let (pairs, shares) = self.shares(&user.wallet)?;
        let statement = self.statement.get();
        let prepared = self.prepare(user, &statement.verified).await?;
        let service = Service::new(&prepared, &statement.verified)?;
        let whole = if let Some(record_id) = RecordId::from_slice(&own.record_id) {
            service.put_alone(record_id, &pairs, shares)?
        } else {
            let (backup, method) = (own.backup.clone(), own.method.clone());
            service.create_alone(&Alone { backup, method, pairs, policy: CustodianPolicy::TENANT }, shares)?
        };
        // The wallet and every name in it are compared with what the company made.
        let ready = whole.with_device(own)?.sign(&self.company.key)?;
        let (_, sent) = ready.send(&self.client, &prepared).await?;
        Ok(ready.told(sent))
    }

    /// The service, checked as a device checks it.
    async fn prepare(&self, user: &User, statement: &VerifiedStatement) -> Result<Prepared, Error> {
        let device = Device::new(self.client.clone(), self.tenant, self.trust.clone());
        device.with_serial(statement.serial()).prepare(&user.wallet).await
    }

    /// The company's shares of a wallet, from the files `PAIR.CURVE` in the wallet's folder.
    fn shares(&self, wallet: &str) -> Result<(Vec<Pair>, Vec<Share>), Error> {
        let folder = self.company.shares.join(wallet);
        let problem = |problem: &str| Error::File { path: folder.clone(), problem: problem.to_owned() };
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|_| problem("the company has no shares of this wallet"))? {
            let path = entry.map_err(|_| problem("cannot be listed"))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let parsed = name.rsplit_once('.').and_then(|(id, curve)| Some((id, curve_of(curve)?)));
            let (id, curve) =
                parsed.filter(|(id, _)| is_id(id)).ok_or_else(|| problem("holds a file that is not PAIR.CURVE"))?;
            let bytes = Secret::new(files::read(&path, SHARE_BYTES_MAX)?.to_vec());
            found.push((Pair { id: id.to_owned(), curve: curve.into() }, Share { pair: id.to_owned(), bytes }));
        }
        Ok(found.into_iter().unzip())
    }
}

fn decode(intent: &[u8]) -> Result<Intent, Error> {
    form::decode(intent).map_err(|error| refused("intent", &error.to_string()))
}

/// The record that an intent is on: the same in every role that it names.
fn record(intent: &Intent) -> Result<RecordId, Error> {
    let part = [Role::Client, Role::Custodian].into_iter().find_map(|role| form::part(intent, role));
    let id = part.and_then(|part| RecordId::from_slice(&part.record_id));
    id.ok_or_else(|| refused("intent", "it names no record"))
}

fn refused(field: &str, problem: &str) -> Error {
    Error::Input { field: field.to_owned(), problem: problem.to_owned() }
}
