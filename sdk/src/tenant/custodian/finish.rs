//! The backend's second half: what the passkey signed is the draft and nothing else, and goes to the host with both messages.

use strongroom_proto::id::ContentHash;
use strongroom_proto::intent as form;
use strongroom_proto::v1::intent::Action;
use strongroom_proto::v1::{
    Act, Assertion, ClientCiphertext, CreateBackupRequest, Intent, NewCredential, Pair, PutSharesRequest, Role,
    SignedReceipt, Storage, StoredShare, TenantSignature,
};

use prost::Message;

use crate::ciphertext::{Ciphertexts, check_wire};
use crate::client::Client;
use crate::device::{Acted, Receipted};
use crate::error::{Error, expect_bytes};
use crate::exchange::{HeldDraft, OwnCiphertexts, SentAlone, SentDraft, SignedDraft, read};
use crate::intent::{EncodedIntent, with_messages};
use crate::keys::SigningKey;
use crate::prepare::Prepared;
use crate::receipt::{Sent, of_roles, verify};
use crate::tenant::consent::{not_expected, same, same_bytes};

const PART: &str = "signed draft";
const OWN: &str = "device's ciphertexts";

/// A draft whose custodian part is sealed: kept until the device has signed.
#[derive(Clone, Debug)]
pub struct Held {
    held: HeldDraft,
    draft: EncodedIntent,
}

/// A message for one role: the bytes, and the epoch that they are sealed to.
type Sealed = (Vec<u8>, u64);

/// What the passkey signed: the draft with both messages. Of the custodian alone, what the backend made itself.
#[derive(Debug)]
pub struct Final {
    intent: EncodedIntent,
    assertion: Option<Assertion>,
    credential: Option<NewCredential>,
    client: Sealed,
    custodian: Sealed,
    storage: Storage,
    ciphertexts: Vec<ClientCiphertext>,
}

/// An act with every consent and every message, to be sent as often as it takes.
#[derive(Debug)]
pub struct Ready {
    request_id: String,
    signature: TenantSignature,
    whole: Final,
}

impl Held {
    pub(super) fn new(held: HeldDraft) -> Result<Self, Error> {
        let fields = form::decode(&held.draft).map_err(|error| Error::malformed("held draft", error))?;
        Ok(Self { draft: EncodedIntent::new(fields)?, held })
    }

    /// As it is kept between the two halves: ciphertext, but whoever changes it changes what is stored.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.held.encode_to_vec()
    }

    /// Reads what [`Held::to_bytes`] gave.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::new(read("held draft", bytes)?)
    }

    /// Compares what the device signed with the draft: equal but for the two message hashes, the custodian's own one unchanged and the
    /// client's that of the message beside it.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::NotExpected`] with the field.
    pub fn finish(self, signed: SignedDraft) -> Result<Final, Error> {
        let fields = form::decode(&signed.intent).map_err(|error| Error::malformed(PART, error))?;
        let client = ContentHash::of(&signed.client_message);
        let custodian = ContentHash::of(&self.held.message);
        for (role, found, expected) in [("client", &fields.client, client), ("custodian", &fields.custodian, custodian)]
        {
            let found = found.as_ref().map(|part| part.message_hash.as_slice()).unwrap_or_default();
            if found != expected.0 {
                let field = if role == "client" { "client's message hash" } else { "custodian's message hash" };
                return Err(not_expected(field, &hex::encode(found), &expected));
            }
        }
        let expected = with_messages(self.draft.intent, Some(client), Some(custodian))?;
        if fields != expected.intent || signed.intent != expected.bytes {
            return Err(not_expected("content", &"another than the draft's", &"the draft with its two message hashes"));
        }
        let storage = signed.storage();
        let assertion = signed.assertion.ok_or_else(|| Error::malformed(PART, "it has no assertion"))?;
        check_credential(&expected, &assertion, signed.credential.as_ref())?;
        if !signed.client_ciphertexts.is_empty() {
            check_wire(&signed.client_ciphertexts, pairs_of(&expected.intent), storage)?;
        }
        Ok(Final {
            intent: expected,
            assertion: Some(assertion),
            credential: signed.credential,
            client: (signed.client_message, signed.client_epoch),
            custodian: (self.held.message, self.held.epoch),
            storage,
            ciphertexts: signed.client_ciphertexts,
        })
    }
}

/// The pairs that an intent brings shares of.
fn pairs_of(intent: &Intent) -> &[Pair] {
    match &intent.action {
        Some(Action::CreateBackup(action)) => &action.pairs,
        Some(Action::PutShares(action)) => &action.pairs,
        _ => &[],
    }
}

/// A creation brings the credential that it names, and that one has signed; no other act brings one.
fn check_credential(intent: &EncodedIntent, assertion: &Assertion, given: Option<&NewCredential>) -> Result<(), Error> {
    let named = match &intent.intent.action {
        Some(Action::CreateBackup(action)) => action.credential.as_ref(),
        _ => None,
    };
    match (named, given) {
        (Some(named), Some(given)) => {
            expect_bytes(PART, "credential", &given.id, &named.id)?;
            expect_bytes(PART, "credential's key hash", ContentHash::of(&given.public_key), &named.key_hash)?;
            expect_bytes(PART, "assertion's credential", &assertion.credential_id, &named.id)
        }
        (None, None) => Ok(()),
        (Some(_), None) => Err(Error::malformed(PART, "it does not bring the credential that its intent names")),
        (None, Some(_)) => Err(Error::malformed(PART, "it brings a credential that its intent does not name")),
    }
}

impl Final {
    pub(super) fn alone(intent: EncodedIntent, message: Vec<u8>, epoch: u64) -> Self {
        let custodian = (message, epoch);
        let (storage, ciphertexts) = (Storage::Unspecified, Vec::new());
        Self { intent, assertion: None, credential: None, client: Sealed::default(), custodian, storage, ciphertexts }
    }

    /// With what the user's device encrypted itself, where it is for this very act.
    ///
    /// # Errors
    /// [`Error::NotExpected`] with the field, [`Error::Mismatch`] for a hash that is another ciphertext's.
    pub fn with_device(self, own: OwnCiphertexts) -> Result<Self, Error> {
        let fields = &self.intent.intent;
        same("wallet", &fields.wallet, &own.wallet)?;
        let part = form::part(fields, Role::Custodian).cloned().unwrap_or_default();
        same_bytes("record_id", &part.record_id, &own.record_id)?;
        let generation = match &fields.action {
            Some(Action::CreateBackup(action)) => {
                same("backup", &action.backup, &own.backup)?;
                same("method", &action.method, &own.method)?;
                action.generation
            }
            Some(Action::PutShares(action)) => action.generation,
            _ => return Err(Error::malformed("act", "it brings no shares")),
        };
        same("generation", &generation.to_string(), &own.generation.to_string())?;
        if pairs_of(fields) != own.pairs {
            return Err(Error::malformed(OWN, "its pairs are not those of the custodian's shares"));
        }
        let storage = own.storage();
        check_wire(&own.ciphertexts, &own.pairs, storage)?;
        Ok(Self { storage, ciphertexts: own.ciphertexts, ..self })
    }

    /// With ciphertexts that came to the backend by its own way.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where they are not one of each pair.
    pub fn with_ciphertexts(self, ciphertexts: &Ciphertexts, storage: Storage) -> Result<Self, Error> {
        let ciphertexts = ciphertexts.to_wire(storage);
        check_wire(&ciphertexts, pairs_of(&self.intent.intent), storage)?;
        Ok(Self { storage, ciphertexts, ..self })
    }

    /// The intent, for a person to read before it is signed.
    #[must_use]
    pub fn intent(&self) -> &EncodedIntent {
        &self.intent
    }

    /// Signs for the tenant. What is signed twice is the same request, to which the host has the same answer.
    ///
    /// # Errors
    /// [`Error::Input`] for a key that signs no intents.
    pub fn sign(self, key: &SigningKey) -> Result<Ready, Error> {
        let signature = key.sign_intent(&self.intent.bytes)?;
        Ok(Ready { request_id: hex::encode(self.intent.hash), signature, whole: self })
    }
}

impl Ready {
    fn act(&self) -> Act {
        Act {
            intent: self.whole.intent.bytes.clone(),
            assertions: self.whole.assertion.clone().into_iter().collect(),
            tenant_signature: Some(self.signature.clone()),
        }
    }

    /// Sends the act with its messages, and checks the receipts of every role that it names. `prepared` is the service as it was before
    /// the act.
    ///
    /// # Errors
    /// [`Error::Refused`], or what a receipt fails.
    pub async fn send(&self, client: &Client, prepared: &Prepared) -> Result<(Acted, SentDraft), Error> {
        let (receipts, client_shares) = self.ask(client).await?;
        let acted = self.check(&receipts, prepared)?;
        Ok((acted, SentDraft { tenant_signature: Some(self.signature.clone()), receipts, client_shares }))
    }

    /// What the device is told of an act that the backend made alone.
    #[must_use]
    pub fn told(&self, sent: SentDraft) -> SentAlone {
        let SentDraft { tenant_signature, receipts, .. } = sent;
        SentAlone { intent: self.whole.intent.bytes.clone(), tenant_signature, receipts }
    }

    /// The receipts, and the sealed shares that the device keeps: it compares them with the receipts itself.
    async fn ask(&self, client: &Client) -> Result<(Vec<SignedReceipt>, Vec<StoredShare>), Error> {
        let whole = &self.whole;
        let ((client_message, client_epoch), (custodian_message, custodian_epoch)) =
            (whole.client.clone(), whole.custodian.clone());
        let (request_id, act) = (self.request_id.clone(), Some(self.act()));
        let client_ciphertexts = whole.ciphertexts.clone();
        match &whole.intent.intent.action {
            Some(Action::CreateBackup(_)) => {
                let credential = whole.credential.clone();
                let request = CreateBackupRequest {
                    request_id,
                    act,
                    credential,
                    client_message,
                    client_epoch,
                    custodian_message,
                    custodian_epoch,
                    storage: whole.storage.into(),
                    client_ciphertexts,
                };
                let response = client.create_backup(&request).await?;
                Ok((response.receipts, response.client_shares))
            }
            Some(Action::PutShares(_)) => {
                let request = PutSharesRequest {
                    request_id,
                    act,
                    client_message,
                    client_epoch,
                    custodian_message,
                    custodian_epoch,
                    client_ciphertexts,
                };
                let response = client.put_shares(&request).await?;
                Ok((response.receipts, response.client_shares))
            }
            _ => Err(Error::malformed("act", "it brings no shares")),
        }
    }

    /// Checks the receipt of every role that the act names.
    fn check(&self, receipts: &[SignedReceipt], prepared: &Prepared) -> Result<Acted, Error> {
        let intent = &self.whole.intent;
        let named = [Role::Client, Role::Custodian].into_iter();
        let named = named.filter(|role| form::part(&intent.intent, *role).is_some());
        let backups = prepared.backups()?;
        let credential_id = self.whole.assertion.as_ref().map_or(&[][..], |assertion| &assertion.credential_id);
        let receipted = of_roles(receipts, named)?.into_iter().map(|(role, signed)| {
            let id = form::part(&intent.intent, role).map(|part| part.record_id.as_slice()).unwrap_or_default();
            let record = backups.iter().find(|it| it.id().0 == id).and_then(|it| it.record(role).ok());
            let sent =
                Sent { role, intent, record, credential_id, tenant_signature: Some(&self.signature), release: None };
            let receipt = verify(signed, prepared.statement(), &sent)?;
            Ok(Receipted { role, receipt, signed: signed.clone() })
        });
        let receipted = receipted.collect::<Result<Vec<_>, Error>>()?;
        Acted::of(receipted).ok_or_else(|| Error::malformed("answer", "it has no receipt"))
    }
}
