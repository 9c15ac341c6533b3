//! A backup over its roles: one record in each, as the roles' views show them.
//!
//! What can never differ between two records of one creation is compared; what can, while an act reached one role and not yet the other,
//! is told apart for people.

use std::fmt;

use strongroom_proto::id::RecordId;
use strongroom_proto::v1::{OpenActKind, Role};

use super::{Credential, Generation, OpenAct, Record};
use crate::error::{Error, expect, expect_bytes};
use crate::role::role_name;

const PART: &str = "view";

/// The records of a backup that an act is on: one for each role that its intent names.
#[derive(Clone, Copy, Debug)]
pub struct Backup<'a> {
    first: (Role, &'a Record),
    /// The custodian's, beside the client's.
    second: Option<&'a Record>,
}

/// In what the records of a backup differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Difference {
    /// A passkey was added, removed or renamed in one role only.
    Passkeys,
    /// A generation is not put or not committed in both roles.
    Generations,
    /// Something waits in one role only, or not the same.
    Waiting,
    /// One record is closed.
    Closed,
}

impl<'a> Backup<'a> {
    /// One backup from a record of each role.
    ///
    /// # Errors
    /// [`Error::Malformed`] without a record, [`Error::Mismatch`] where they are not of one creation.
    pub(crate) fn join(client: Option<&'a Record>, custodian: Option<&'a Record>) -> Result<Self, Error> {
        if let (Some(client), Some(custodian)) = (client, custodian) {
            let of = "of the custodian's record, beside the client's,";
            expect_bytes(PART, "record_id, of the roles' records of one backup,", custodian.id, client.id)?;
            expect(PART, "backup", custodian.backup.as_str(), client.backup.as_str())?;
            expect(PART, "method", custodian.method.as_str(), client.method.as_str())?;
            expect(PART, "relying party", custodian.rp_id.as_str(), client.rp_id.as_str())?;
            let roles = |record: &Record| record.roles.iter().map(|role| role_name(*role)).collect::<Vec<_>>();
            expect(PART, "list of roles", roles(custodian).join(", "), roles(client).join(", "))?;
            for generation in &custodian.generations {
                let same = client.generations.iter().find(|it| it.put_intent == generation.put_intent);
                if let Some(same) =
                    same.filter(|same| same.number != generation.number || same.pairs != generation.pairs)
                {
                    let number = same.number;
                    return Err(Error::malformed(PART, format_args!("generation {number} {of} is another one")));
                }
            }
        }
        Self::of(client, custodian).ok_or_else(|| Error::malformed(PART, "a backup has no record"))
    }

    fn of(client: Option<&'a Record>, custodian: Option<&'a Record>) -> Option<Self> {
        match (client, custodian) {
            (Some(client), second) => Some(Self { first: (Role::Client, client), second }),
            (None, Some(custodian)) => Some(Self { first: (Role::Custodian, custodian), second: None }),
            (None, None) => None,
        }
    }

    /// The records, each with its role: the client's first.
    pub fn records(self) -> impl Iterator<Item = (Role, &'a Record)> {
        [self.first].into_iter().chain(self.second.map(|record| (Role::Custodian, record)))
    }

    /// The roles whose records are here, the client's first.
    pub fn roles(self) -> impl Iterator<Item = Role> + 'a {
        self.records().map(|(role, _)| role)
    }

    /// The record in a role.
    ///
    /// # Errors
    /// [`Error::RoleNotServed`].
    pub fn record(self, role: Role) -> Result<&'a Record, Error> {
        let found = self.records().find(|(here, _)| *here == role);
        found.map(|(_, record)| record).ok_or(Error::RoleNotServed { role: role_name(role) })
    }

    /// The first record: the client's, where it is here. For what is the same in every role.
    #[must_use]
    pub fn any(self) -> &'a Record {
        self.first.1
    }

    /// Its record id, the same in every role.
    #[must_use]
    pub fn id(self) -> RecordId {
        self.any().id
    }

    /// Only the roles whose records `keep` takes.
    ///
    /// # Errors
    /// What `otherwise` gives, where none is left.
    pub(crate) fn filter(
        self,
        keep: impl Fn(Role, &'a Record) -> bool,
        otherwise: impl FnOnce() -> Error,
    ) -> Result<Self, Error> {
        let of = |wanted| self.records().find(|(role, record)| *role == wanted && keep(*role, record));
        let of = |wanted| of(wanted).map(|(_, record)| record);
        Self::of(of(Role::Client), of(Role::Custodian)).ok_or_else(otherwise)
    }

    /// Only one role.
    ///
    /// # Errors
    /// [`Error::RoleNotServed`] where its record is not here.
    pub fn only(self, role: Role) -> Result<Self, Error> {
        self.filter(|here, _| here == role, || Error::RoleNotServed { role: role_name(role) })
    }

    /// Itself, where the record of every role that its creation named is here.
    ///
    /// # Errors
    /// [`Error::RoleNotServed`] names the one that is missing: an act on the others alone would let the roles drift apart.
    pub fn whole(self) -> Result<Self, Error> {
        self.any().roles.iter().try_for_each(|role| self.record(*role).map(|_| ()))?;
        Ok(self)
    }

    /// A generation that opens in every role whose record is here, by the same put: by its number, or the highest one.
    #[must_use]
    pub fn common(self, number: Option<u64>) -> Option<&'a Generation> {
        let first = self.any();
        let opens = |it: &&Generation| {
            self.records()
                .all(|(_, record)| record.opening(it.number).is_some_and(|own| own.put_intent == it.put_intent))
        };
        let wanted = |it: &&Generation| number.is_none_or(|number| it.number == number);
        first.generations.iter().filter(wanted).rfind(opens)
    }

    /// The credentials that every record here lists: those by which an act on all of them can be signed.
    #[must_use]
    pub fn credentials(self) -> Vec<&'a Credential> {
        let everywhere = |it: &&Credential| self.records().all(|(_, record)| knows(record, it));
        self.any().credentials.iter().filter(everywhere).collect()
    }

    /// What waits of a kind in any role, the client's first.
    #[must_use]
    pub fn open_act(self, kind: OpenActKind) -> Option<&'a OpenAct> {
        self.records().find_map(|(_, record)| record.open_act(kind))
    }

    /// In what its records differ, to be shown before anybody is asked.
    #[must_use]
    pub fn differences(self) -> Vec<Difference> {
        let ((_, client), Some(custodian)) = (self.first, self.second) else { return Vec::new() };
        let passkeys = |record: &Record| {
            record.credentials.iter().map(|it| (it.id.clone(), it.key_hash, it.label.clone())).collect::<Vec<_>>()
        };
        let generations = |record: &Record| {
            let of = |it: Option<&Generation>| it.map(|it| (it.number, it.put_intent));
            (of(record.active()), of(record.pending()))
        };
        // A window is of the custodian role alone.
        let waits = |record: &Record| {
            let open = record.open_acts.iter().filter(|it| it.kind() != OpenActKind::EjectWindow);
            open.map(|it| (it.kind(), it.intent)).collect::<Vec<_>>()
        };
        [
            (client.closed != custodian.closed, Difference::Closed),
            (passkeys(client) != passkeys(custodian), Difference::Passkeys),
            (generations(client) != generations(custodian), Difference::Generations),
            (waits(client) != waits(custodian), Difference::Waiting),
        ]
        .into_iter()
        .filter_map(|(differs, what)| differs.then_some(what))
        .collect()
    }

    /// Refuses a credential that a record does not list.
    ///
    /// # Errors
    /// [`Error::UnknownCredential`].
    pub fn check_credential(self, credential_id: &[u8]) -> Result<(), Error> {
        self.records().try_for_each(|(_, record)| record.check_credential(credential_id).map(|_| ()))
    }
}

/// A backup as far as its client's record goes: an act on it names that role alone.
impl<'a> From<&'a Record> for Backup<'a> {
    fn from(client: &'a Record) -> Self {
        Self { first: (Role::Client, client), second: None }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passkeys => "passkeys: one was added, removed or renamed in one role only",
            Self::Generations => "generations: one is not committed in both roles; commit it",
            Self::Waiting => "what waits: not the same in both roles",
            Self::Closed => "one role's record is closed, and the other's is not",
        })
    }
}

fn knows(record: &Record, credential: &Credential) -> bool {
    record.credentials.iter().any(|it| it.id == credential.id && it.key_hash == credential.key_hash)
}
