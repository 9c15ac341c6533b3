//! What a call has once for each role: its fields, and work that both enclaves do at the same time.

use strongroom_proto::intent;
use strongroom_proto::v1::{Intent, Role};

use crate::error::Error;

/// The roles in the order in which answers name them.
pub(super) const ROLES: [Role; 2] = [Role::Client, Role::Custodian];

/// What messages for people call a role.
pub(super) fn name(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Custodian => "custodian",
        Role::Unspecified => "no role",
    }
}

/// The roles that an intent names, at least one.
///
/// # Errors
/// `BAD_REQUEST` where it names none.
pub(super) fn named(intent: &Intent) -> Result<Vec<Role>, Error> {
    let roles: Vec<Role> = ROLES.into_iter().filter(|role| intent::part(intent, *role).is_some()).collect();
    if roles.is_empty() {
        return Err(Error::bad("act.intent.client", "required, or act.intent.custodian"));
    }
    Ok(roles)
}

/// One field of a call for each role.
pub(super) struct ByRole<T> {
    fields: [&'static str; 2],
    values: [T; 2],
}

impl<T: Default + PartialEq> ByRole<T> {
    /// The fields' names and values, the client's first.
    pub(super) fn new(fields: [&'static str; 2], values: [T; 2]) -> Self {
        Self { fields, values }
    }

    /// Checks the form of the fields of these roles, and that the other's is empty.
    ///
    /// # Errors
    /// `BAD_REQUEST` that names the field.
    pub(super) fn check(
        &self,
        roles: &[Role],
        form: impl Fn(&'static str, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for ((role, field), value) in ROLES.iter().zip(self.fields).zip(&self.values) {
            if roles.contains(role) {
                form(field, value)?;
            } else if *value != T::default() {
                return Err(Error::bad(field, "empty: the role takes no part in this"));
            }
        }
        Ok(())
    }

    /// The field of a role, which is empty from here on.
    pub(super) fn take(&mut self, role: Role) -> T {
        match (role, &mut self.values) {
            (Role::Client, [value, _]) | (Role::Custodian, [_, value]) => std::mem::take(value),
            (Role::Unspecified, _) => T::default(),
        }
    }
}

/// Does the work of one role or of both at once, and gives the results in their order. Where both take part, an error says whose it
/// was; of two errors the first role's is given.
pub(super) async fn at_once<I, T, F>(
    parts: impl IntoIterator<Item = I>,
    role: impl Fn(&I) -> Role,
    work: impl Fn(I) -> F,
) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut parts = parts.into_iter();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(one), None, _) => Ok(vec![work(one).await?]),
        (Some(one), Some(other), None) => {
            let roles = [&one, &other].map(|part| name(role(part)));
            let (first, second) = tokio::join!(work(one), work(other));
            Ok(vec![first.map_err(|error| error.in_role(roles[0]))?, second.map_err(|error| error.in_role(roles[1]))?])
        }
        _ => Err(Error::Internal("work for no role, or for more than there are")),
    }
}

#[cfg(test)]
mod tests {
    use strongroom_proto::v1::RolePart;

    use super::*;

    #[test]
    fn a_field_is_there_exactly_where_its_role_is() {
        use Role::{Client, Custodian};
        let form = |field, value: &Vec<u8>| if value.len() == 2 { Ok(()) } else { Err(Error::bad(field, "2 bytes")) };
        for (roles, client, custodian, wrong) in [
            (&[Client][..], 2, 0, None),
            (&[Custodian], 0, 2, None),
            (&[Client, Custodian], 2, 2, None),
            (&[Client], 0, 0, Some("one")),
            (&[Client], 1, 0, Some("one")),
            (&[Client], 2, 2, Some("other")),
            (&[Client], 2, 1, Some("other")),
            (&[Custodian], 2, 2, Some("one")),
            (&[Custodian], 0, 3, Some("other")),
            (&[Client, Custodian], 2, 0, Some("other")),
            (&[Client, Custodian], 0, 2, Some("one")),
            (&[], 0, 2, Some("other")),
        ] {
            let mut fields = ByRole::new(["one", "other"], [vec![1; client], vec![2; custodian]]);
            match fields.check(roles, form) {
                Ok(()) => assert_eq!(wrong, None, "{roles:?} {client} {custodian}"),
                Err(Error::BadRequest { field, .. }) => {
                    assert_eq!(wrong, Some(field), "{roles:?} {client} {custodian}");
                }
                Err(other) => panic!("{other}"),
            }
            assert_eq!((fields.take(Client), fields.take(Custodian)), (vec![1; client], vec![2; custodian]));
            assert!(fields.take(Client).is_empty() && fields.take(Custodian).is_empty());
        }
    }

    #[test]
    fn an_intent_names_its_roles_in_order() {
        let part = || Some(RolePart::default());
        let of = |client, custodian| named(&Intent { client, custodian, ..Intent::default() });
        assert_eq!(of(part(), None).unwrap(), [Role::Client]);
        assert_eq!(of(None, part()).unwrap(), [Role::Custodian]);
        assert_eq!(of(part(), part()).unwrap(), ROLES);
        assert!(matches!(of(None, None), Err(Error::BadRequest { field: "act.intent.client", .. })));
    }

    #[tokio::test]
    async fn of_two_errors_the_first_roles_is_told() {
        let work = async |role: &Role| match role {
            Role::Client => {
                tokio::task::yield_now().await;
                Err::<(), _>(Error::NotFound("record"))
            }
            _ => Err(Error::Auth),
        };
        let told = async |roles: &[Role]| at_once(roles, |role| **role, work).await.unwrap_err().to_string();
        assert_eq!(told(&ROLES).await, "client: no such record");
        assert_eq!(told(&[Role::Custodian, Role::Client]).await, "custodian: no valid API key");
        assert_eq!(told(&[Role::Custodian]).await, "no valid API key", "there is but one");
        assert!(matches!(at_once(&[], |role| **role, work).await, Err(Error::Internal(_))));
    }
}
