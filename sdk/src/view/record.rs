//! One record of a view, field by field.

use super::open_act::OpenAct;
use super::{
    CREDENTIAL_ID_BYTES_MAX, CREDENTIALS_MAX, ContentHash, Curve, GenerationState, Head, IntentHash, PAIRS_MAX, PART,
    Pair, Policy, RecordId, Role, SecretKind, is_id, is_label, is_method,
};
use crate::error::{Error, array};
use strongroom_proto::limits::{DELAY_SECONDS_MAX, GENERATIONS_MAX};
use strongroom_proto::v1::{CredentialView, GenerationView, OpenActKind, RecordView};

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
    /// Highest generation that it has seen.
    pub highest_generation: u64,
    /// What waits, at most one act of a kind.
    pub open_acts: Vec<OpenAct>,
    /// It was deleted: it has neither credentials nor generations and takes no act.
    pub closed: bool,
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
        check_generations(&generations, view.highest_generation, &roles).map_err(refuse)?;
        let open_acts = view.open_acts.iter().map(OpenAct::read).collect::<Result<Vec<_>, _>>()?;
        if !open_acts.is_sorted_by(|a, b| a.kind() < b.kind()) {
            return Err(refuse("the order of what waits, or the number of one kind,"));
        }
        let is_empty = view.credentials.is_empty() && generations.is_empty() && open_acts.is_empty();
        if view.closed != generations.is_empty() || view.closed && !is_empty {
            return Err(refuse("what a closed record has, or an open one lacks,"));
        }
        let policy = view.policy.ok_or_else(|| Error::malformed(PART, format_args!("record {id} has no policy")))?;
        if !is_policy(policy) {
            return Err(refuse("the policy"));
        }
        let credentials = view.credentials.into_iter().map(Credential::read).collect::<Result<Vec<_>, _>>()?;
        if credentials.iter().enumerate().any(|(at, one)| credentials.iter().skip(at + 1).any(|it| it.id == one.id)) {
            return Err(refuse("a credential, which is there twice,"));
        }
        Ok(Self {
            id,
            head: Head(array(PART, "head", &view.head)?),
            version: view.version,
            backup: view.backup,
            method: view.method,
            secret,
            rp_id: view.rp_id,
            credentials,
            policy,
            generations,
            roles,
            statement_serial: view.statement_serial,
            highest_generation: view.highest_generation,
            open_acts,
            closed: view.closed,
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

    /// A generation that opens: the active one or a former one.
    #[must_use]
    pub fn opening(&self, number: u64) -> Option<&Generation> {
        self.generations.iter().find(|it| it.number == number && it.state != GenerationState::Pending)
    }

    /// What waits of a kind.
    #[must_use]
    pub fn open_act(&self, kind: OpenActKind) -> Option<&OpenAct> {
        self.open_acts.iter().find(|open| open.kind() == kind)
    }

    /// Whether its creation named this role and no other: then a put is in force at once.
    #[must_use]
    pub fn is_alone_in(&self, role: Role) -> bool {
        self.roles == [role]
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

/// Numbers ascend up to the highest that was seen, former ones lie below the active one and the pending one above it; a record of one
/// role commits at once. Names the rule that is broken.
fn check_generations(generations: &[Generation], highest: u64, roles: &[Role]) -> Result<(), &'static str> {
    if generations.len() > GENERATIONS_MAX {
        return Err("the number of generations");
    }
    if !generations.is_sorted_by(|a, b| a.number < b.number) {
        return Err("the order of generations");
    }
    let of = |state| generations.iter().filter(move |generation| generation.state == state);
    let (active, pending) = (of(GenerationState::Active).next(), of(GenerationState::Pending).next());
    if of(GenerationState::Active).count() > 1 {
        return Err("the number of active generations");
    }
    if of(GenerationState::Pending).count() > 1 || pending.is_some() && roles.len() == 1 {
        return Err("the number of pending generations");
    }
    if generations.last().is_some_and(|last| last.number > highest) {
        return Err("the highest generation");
    }
    let before = |generation: &Generation| match generation.state {
        GenerationState::Former => active.is_some_and(|active| generation.number < active.number),
        GenerationState::Pending => generation.number == highest,
        GenerationState::Active | GenerationState::Unspecified => true,
    };
    if !generations.iter().all(before) || !generations.is_empty() && active.is_none() && pending.is_none() {
        return Err("the state of a generation");
    }
    Ok(())
}

/// Whether a policy keeps the rules of every role.
pub(super) fn is_policy(policy: Policy) -> bool {
    // The newest head is named by the tenant's signature; a delay alone asks for nothing.
    let asks = policy.tenant_signature || policy.passkey && !policy.newest_head;
    asks && policy.delay_seconds <= DELAY_SECONDS_MAX
}
