//! One record of a view, field by field.

use super::{
    CREDENTIAL_ID_BYTES_MAX, CREDENTIALS_MAX, ContentHash, Curve, GenerationState, Head, IntentHash, PAIRS_MAX, PART,
    Pair, Policy, RecordId, Role, SecretKind, is_id, is_label, is_method,
};
use crate::error::{Error, array};
use strongroom_proto::v1::{CredentialView, GenerationView, RecordView};

/// What a device needs to know of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id.
    pub id: RecordId,
    /// The head that the next act starts from.
    pub head: Head,
    /// How many acts it has seen, from 1.
    pub version: u64,
    /// The backup that it belongs to.
    pub backup: String,
    /// The backup's method.
    pub method: String,
    /// What it keeps.
    pub secret: SecretKind,
    /// The relying party id that its credentials are for.
    pub rp_id: String,
    /// Its credentials, in order of their coming.
    pub credentials: Vec<Credential>,
    /// What a release needs.
    pub policy: Policy,
    /// Its generations, in order of their numbers.
    pub generations: Vec<Generation>,
    /// Roles that its creation named, ascending.
    pub roles: Vec<Role>,
    /// Highest statement serial that it has seen.
    pub statement_serial: u64,
}

/// A passkey of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    /// WebAuthn credential id.
    pub id: Vec<u8>,
    /// SHA-256 of its `COSE_Key`.
    pub key_hash: ContentHash,
    /// What the user calls it.
    pub label: String,
    /// When it came, by the enclave's time in milliseconds.
    pub added_ms: u64,
}

/// A generation of shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// Whether it opens.
    pub state: GenerationState,
    /// Its pairs, sorted by id.
    pub pairs: Vec<Pair>,
    /// The intent that put it.
    pub put_intent: IntentHash,
    /// When it came, by the enclave's time in milliseconds.
    pub added_ms: u64,
}

impl Record {
    pub(super) fn read(view: RecordView) -> Result<Self, Error> {
        let id = RecordId(array(PART, "record_id", &view.record_id)?);
        let refuse = |what: &str| Error::malformed(PART, format_args!("{what} of record {id}"));
        let secret = view.secret();
        if !is_id(&view.backup) || !is_method(&view.method) || secret == SecretKind::Unspecified {
            return Err(refuse("backup, method or secret"));
        }
        if view.credentials.len() > CREDENTIALS_MAX {
            return Err(refuse("the number of credentials"));
        }
        let roles: Vec<Role> = view.roles().collect();
        if roles.is_empty() || roles.contains(&Role::Unspecified) || !roles.is_sorted_by(|a, b| a < b) {
            return Err(refuse("the list of roles"));
        }
        let generations = view.generations.into_iter().map(Generation::read).collect::<Result<Vec<_>, _>>()?;
        if !generations.is_sorted_by(|a, b| a.number < b.number) {
            return Err(refuse("the order of generations"));
        }
        if generations.iter().filter(|generation| generation.state == GenerationState::Active).count() > 1 {
            return Err(refuse("the number of active generations"));
        }
        Ok(Self {
            id,
            head: Head(array(PART, "head", &view.head)?),
            version: view.version,
            backup: view.backup,
            method: view.method,
            secret,
            rp_id: view.rp_id,
            credentials: view.credentials.into_iter().map(Credential::read).collect::<Result<_, _>>()?,
            policy: view.policy.ok_or_else(|| Error::malformed(PART, format_args!("record {id} has no policy")))?,
            generations,
            roles,
            statement_serial: view.statement_serial,
        })
    }

    /// The generation that a recovery releases.
    #[must_use]
    pub fn active(&self) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.state == GenerationState::Active)
    }

    /// The generation that was put and is not yet committed.
    #[must_use]
    pub fn pending(&self) -> Option<&Generation> {
        self.generations.iter().find(|generation| generation.state == GenerationState::Pending)
    }

    /// Refuses a credential that the record does not list.
    ///
    /// # Errors
    /// [`Error::UnknownCredential`].
    pub fn check_credential(&self, credential_id: &[u8]) -> Result<&Credential, Error> {
        self.credentials.iter().find(|credential| credential.id == credential_id).ok_or_else(|| {
            Error::UnknownCredential { credential: hex::encode(credential_id), backup: self.backup.clone() }
        })
    }
}

impl Credential {
    fn read(view: CredentialView) -> Result<Self, Error> {
        if !(1..=CREDENTIAL_ID_BYTES_MAX).contains(&view.id.len()) || !is_label(&view.label) {
            return Err(Error::malformed(PART, "id or label of a credential"));
        }
        let key_hash = ContentHash(array(PART, "key_hash", &view.key_hash)?);
        Ok(Self { id: view.id, key_hash, label: view.label, added_ms: view.added_ms })
    }
}

impl Generation {
    fn read(view: GenerationView) -> Result<Self, Error> {
        let state = view.state();
        let sorted = view.pairs.is_sorted_by(|a, b| a.id < b.id);
        let known = view.pairs.iter().all(|pair| is_id(&pair.id) && pair.curve() != Curve::Unspecified);
        if state == GenerationState::Unspecified
            || view.generation == 0
            || !(1..=PAIRS_MAX).contains(&view.pairs.len())
            || !sorted
            || !known
        {
            return Err(Error::malformed(PART, format_args!("generation {}", view.generation)));
        }
        let put_intent = IntentHash(array(PART, "put_intent_hash", &view.put_intent_hash)?);
        Ok(Self { number: view.generation, state, pairs: view.pairs, put_intent, added_ms: view.added_ms })
    }
}
