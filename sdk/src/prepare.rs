//! Prepare: everything that a device checks before it prompts its user, in one place and in one order.
//!
//! The tenant id is the only pin. Statement first, then for each role that the statement names: document, identity, view.

use strongroom_attestation::{Span, Time};
use strongroom_proto::canonical;
use strongroom_proto::id::{RecordId, TenantId};
use strongroom_proto::limits::FRAME_BYTES_MAX;
use strongroom_proto::statement as form;
use strongroom_proto::v1::{PrepareResponse, Role, RolePreparation, SignedView, WalletView};

use crate::attest::{self, AttestedIdentity};
use crate::error::{Error, expect};
use crate::intent::Base;
use crate::role::role_name;
use crate::statement::VerifiedStatement;
use crate::trust::Trust;
use crate::view::{Asked, Backup, CLOCK_OFF_MS_MAX, Record, VerifiedView};

/// What a device asked, and what it takes.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The device's pin.
    pub tenant: TenantId,
    /// The lowest statement serial that it takes: the highest that it has seen, or 0.
    pub serial: u64,
    /// Wallet, nonce and time.
    pub asked: Asked<'a>,
    /// The root of attestation.
    pub trust: &'a Trust,
}

/// A service that passed every check, and what it keeps of the wallet.
#[derive(Clone, Debug)]
pub struct Prepared {
    wallet: String,
    statement: VerifiedStatement,
    roles: Vec<PreparedRole>,
}

/// One role of a [`Prepared`] service.
#[derive(Clone, Debug)]
pub struct PreparedRole {
    /// Its identity, attested and equal to the statement, with the checks of its document.
    pub attested: AttestedIdentity,
    /// Its view of the wallet.
    pub view: VerifiedView,
}

/// Checks a whole answer.
///
/// Roles that the statement does not name are left out: nobody vouches for them, and no act can use them.
///
/// # Errors
/// The first check that fails. Where the document was refused for the time and the service's clock is another than the device's,
/// [`Error::ClockOff`] says so.
pub fn check(response: &PrepareResponse, question: &Question<'_>) -> Result<Prepared, Error> {
    let signed = response.statement.as_ref().ok_or_else(|| Error::malformed("answer", "it has no statement"))?;
    let statement = VerifiedStatement::verify(signed, question.tenant)?;
    statement.require_at_least(question.serial)?;
    if !response.roles.is_sorted_by(|a, b| a.role < b.role) {
        return Err(Error::malformed("answer", "roles are not in order, or one is there twice"));
    }
    let named = response.roles.iter().filter(|role| form::role(statement.statement(), role.role()).is_some());
    let roles = named.map(|role| check_role(role, &statement, question)).collect::<Result<Vec<_>, _>>()?;
    Ok(Prepared { wallet: question.asked.wallet.to_owned(), statement, roles })
}

fn check_role(
    answer: &RolePreparation,
    statement: &VerifiedStatement,
    question: &Question<'_>,
) -> Result<PreparedRole, Error> {
    let part = |what| Error::malformed("answer", format_args!("the {} role has no {what}", role_name(answer.role())));
    let attestation = answer.attestation.as_ref().ok_or_else(|| part("attestation"))?;
    let view = answer.view.as_ref().ok_or_else(|| part("view"))?;
    let at = question.asked.at;
    expect("attestation", "role", role_name(attestation.role()), role_name(answer.role()))?;
    let attested = attest::by_statement(attestation, statement, answer.role(), None, question.trust, at)
        .map_err(|error| blame_clock(error, view, at))?;
    check_view(attested, view, statement, &question.asked)
}

/// The view of an identity that is attested already, under the statement that vouches for it.
fn check_view(
    attested: AttestedIdentity,
    view: &SignedView,
    statement: &VerifiedStatement,
    asked: &Asked<'_>,
) -> Result<PreparedRole, Error> {
    statement.require_in_force(attested.identity.role, attested.identity.epoch)?;
    let view = VerifiedView::verify(view, &attested.identity, asked)?;
    // A record remembers the newest statement that it was used under: an older one is not the tenant's word any more.
    view.records().iter().try_for_each(|record| statement.require_at_least(record.statement_serial))?;
    Ok(PreparedRole { attested, view })
}

/// Looks at a view that nobody vouches for yet, and only to say what may be wrong with a refusal that stands anyway.
fn blame_clock(error: Error, view: &SignedView, at: Time) -> Error {
    let Ok(view) = canonical::decode::<WalletView>(&view.view, FRAME_BYTES_MAX) else { return error };
    let apart = view.time_ms.abs_diff(at.unix_ms());
    if !attest::is_about_time(&error) || apart <= CLOCK_OFF_MS_MAX {
        return error;
    }
    let there = Time::from_unix_ms(view.time_ms).to_string();
    Error::ClockOff { by: Span::from_ms(apart), here: at.to_string(), there }
}

impl Prepared {
    /// The statement.
    #[must_use]
    pub fn statement(&self) -> &VerifiedStatement {
        &self.statement
    }

    /// The wallet asked for.
    #[must_use]
    pub fn wallet(&self) -> &str {
        &self.wallet
    }

    /// The roles that the statement names and the host runs.
    #[must_use]
    pub fn roles(&self) -> &[PreparedRole] {
        &self.roles
    }

    /// One role.
    ///
    /// # Errors
    /// [`Error::RoleNotServed`].
    pub fn role(&self, role: Role) -> Result<&PreparedRole, Error> {
        let found = self.roles.iter().find(|prepared| prepared.attested.identity.role == role);
        found.ok_or(Error::RoleNotServed { role: role_name(role) })
    }

    /// The backups of the wallet, each with its record in every role that shows one, in the order of their records' ids.
    ///
    /// # Errors
    /// [`Error::Mismatch`] or [`Error::Malformed`] where the roles' records of one backup are not of one creation.
    pub fn backups(&self) -> Result<Vec<Backup<'_>>, Error> {
        let of = |role| self.role(role).map_or(&[][..], |prepared| prepared.view.records());
        let (client, custodian) = (of(Role::Client), of(Role::Custodian));
        let mut ids: Vec<_> = client.iter().chain(custodian).map(|record| record.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().map(|id| Backup::join(find_in(client, id), find_in(custodian, id))).collect()
    }

    /// What every intent of this device says first, timed by a role's enclave.
    ///
    /// # Errors
    /// [`Error::RoleNotServed`].
    pub fn base(&self, role: Role) -> Result<Base<'_>, Error> {
        Ok(self.base_at(self.role(role)?.view.time()))
    }

    /// As [`base`](Self::base), for an act in several roles: timed by the enclave whose clock is behind.
    ///
    /// # Errors
    /// [`Error::RoleNotServed`].
    pub fn base_for(&self, roles: impl IntoIterator<Item = Role>) -> Result<Base<'_>, Error> {
        let times = roles.into_iter().map(|role| self.role(role).map(|prepared| prepared.view.time()));
        let times = times.collect::<Result<Vec<_>, _>>()?;
        Ok(self.base_at(times.into_iter().min().unwrap_or(Time::from_unix_ms(0))))
    }

    fn base_at(&self, enclave_time: Time) -> Base<'_> {
        Base {
            tenant: self.statement.tenant(),
            wallet: &self.wallet,
            statement_serial: self.statement.serial(),
            enclave_time,
        }
    }
}

fn find_in(records: &[Record], id: RecordId) -> Option<&Record> {
    records.iter().find(|record| record.id == id)
}

#[cfg(test)]
mod tests;
