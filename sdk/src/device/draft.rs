//! Messages for both roles: each step is a type, and gives the next one only. An intent whose messages are not sealed yet is a draft; the
//! backend seals the custodian's part of it, the device its own, and only then is there anything to sign.

use strongroom_proto::contents::Share;
use strongroom_proto::id::{ContentHash, IntentHash, RecordId};
use strongroom_proto::v1::{
    Act, Assertion, ClientCiphertext, Intent, NewCredential, Pair, Role, SignedReceipt, Storage, StoredShare,
    TenantSignature,
};

use super::asking::{TenantBackend, check_tenant};
use super::{Device, check_shares};
use crate::error::{Error, array, expect, expect_bytes};
use crate::exchange::{CustodianSeal, SignedDraft};
use crate::intent::{EncodedIntent, with_messages};
use crate::prepare::Prepared;
use crate::seal;

const SEAL: &str = "custodian's seal";

/// An intent whose messages are not sealed yet.
pub(super) struct Draft<'a> {
    prepared: &'a Prepared,
    intent: Intent,
    record_id: RecordId,
}

/// A draft whose custodian part is sealed, where it has one.
pub(super) struct Answered<'a> {
    draft: Draft<'a>,
    custodian: Option<ContentHash>,
}

/// An intent that names every message, with the client's: ready to be signed.
pub(super) struct Sealed {
    pub(super) intent: EncodedIntent,
    pub(super) message: Vec<u8>,
    pub(super) epoch: u64,
    /// The backend keeps the custodian's message: it signs and sends.
    pub(super) by_backend: bool,
}

/// What came back for an act that the backend signed and sent.
pub(super) struct Returned {
    pub(super) act: Act,
    pub(super) receipts: Vec<SignedReceipt>,
    /// Where this device keeps them: its sealed shares.
    pub(super) client_shares: Vec<StoredShare>,
}

/// What goes beside an act's messages.
#[derive(Clone, Default)]
pub(super) struct Beside {
    pub(super) storage: Storage,
    pub(super) ciphertexts: Vec<ClientCiphertext>,
}

impl<'a> Draft<'a> {
    /// Refuses roles that nothing can be sealed to.
    pub(super) fn new(prepared: &'a Prepared, intent: Intent, record_id: RecordId) -> Result<Self, Error> {
        for (named, role) in [(&intent.client, Role::Client), (&intent.custodian, Role::Custodian)] {
            if named.is_some() {
                prepared.role(role)?.attested.identity.check_sealable(prepared.statement())?;
            }
        }
        Ok(Self { prepared, intent, record_id })
    }

    /// Has the backend seal the custodian's part, where the intent has one.
    pub(super) async fn answered(self, device: &Device) -> Result<Answered<'a>, Error> {
        if self.intent.custodian.is_none() {
            return Ok(Answered { draft: self, custodian: None });
        }
        let bare = EncodedIntent::new(self.intent.clone())?;
        let answer = device.custodian()?.seal(&bare.bytes).await?;
        let custodian = Some(check_seal(self.prepared, &bare.hash, &answer)?);
        Ok(Answered { draft: self, custodian })
    }
}

/// The answer must be to this very draft, and sealed to an epoch that the statement names and has not given up.
fn check_seal(prepared: &Prepared, draft: &IntentHash, answer: &CustodianSeal) -> Result<ContentHash, Error> {
    expect_bytes(SEAL, "draft", &answer.draft, draft)?;
    prepared.statement().epoch(Role::Custodian, answer.epoch)?;
    prepared.statement().require_in_force(Role::Custodian, answer.epoch)?;
    Ok(ContentHash(array(SEAL, "message_hash", &answer.message_hash)?))
}

impl Answered<'_> {
    /// Seals the client's shares, one for each pair.
    pub(super) fn sealed(self, mut shares: Vec<Share>, pairs: &[Pair]) -> Result<Sealed, Error> {
        let Self { draft: Draft { prepared, intent, record_id }, custodian } = self;
        check_shares(&shares)?;
        shares.sort_by(|a, b| a.pair.cmp(&b.pair));
        check_pairs(&shares, pairs)?;
        let identity = &prepared.role(Role::Client)?.attested.identity;
        let message = seal::seal_shares(identity, &record_id, &shares)?;
        let intent = with_messages(intent, Some(ContentHash::of(&message)), custodian)?;
        Ok(Sealed { intent, message, epoch: identity.epoch, by_backend: custodian.is_some() })
    }
}

impl Device {
    pub(super) fn custodian(&self) -> Result<&dyn TenantBackend, Error> {
        self.backend.as_deref().ok_or(Error::CustodianNeeded)
    }

    /// Hands what the passkey signed to the backend, which signs and sends it. Its signature is checked here too.
    pub(super) async fn send_by_backend(
        &self,
        prepared: &Prepared,
        (sealed, beside): (&Sealed, Beside),
        assertion: &Assertion,
        credential: Option<&NewCredential>,
    ) -> Result<Returned, Error> {
        let signed = SignedDraft {
            intent: sealed.intent.bytes.clone(),
            assertion: Some(assertion.clone()),
            credential: credential.cloned(),
            client_message: sealed.message.clone(),
            client_epoch: sealed.epoch,
            storage: beside.storage.into(),
            client_ciphertexts: beside.ciphertexts,
        };
        let sent = self.custodian()?.send(signed).await?;
        let missing = || Error::malformed("backend's answer", "it has no tenant signature");
        let signature: TenantSignature = sent.tenant_signature.ok_or_else(missing)?;
        check_tenant(prepared, [Role::Client, Role::Custodian], &sealed.intent, &signature)?;
        let intent = sealed.intent.bytes.clone();
        let act = Act { intent, assertions: vec![assertion.clone()], tenant_signature: Some(signature) };
        Ok(Returned { act, receipts: sent.receipts, client_shares: sent.client_shares })
    }
}

/// Refuses shares that are not one of each pair. Both are sorted.
pub(crate) fn check_pairs(shares: &[Share], pairs: &[Pair]) -> Result<(), Error> {
    let mut pairs: Vec<&str> = pairs.iter().map(|pair| pair.id.as_str()).collect();
    pairs.sort_unstable();
    let given: Vec<&str> = shares.iter().map(|share| share.pair.as_str()).collect();
    expect("backup", "list of shares", given.join(", "), pairs.join(", "))
}
