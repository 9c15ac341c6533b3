//! Policies: what a release from each role needs.

use strongroom_proto::v1::{ActRequest, OpenActKind};

use super::checks::{check_room, check_satisfiable, select};
use super::{Acted, Authenticator, Device, request_id};
use crate::error::Error;
use crate::intent::{self, Policies};
use crate::prepare::Prepared;

impl Device {
    /// Changes the policies of the roles that have one here, with the consents and after the delay of the one in force in each role: that
    /// role's receipt says whether it waits.
    ///
    /// # Errors
    /// As [`Device::remove_passkey`].
    pub async fn change_policy(
        &self,
        prepared: &Prepared,
        backup: Option<&str>,
        policies: impl Into<Policies>,
        authenticator: &mut dyn Authenticator,
    ) -> Result<Acted, Error> {
        let policies = policies.into();
        let selected = select(prepared, backup)?;
        let base = prepared.base_for(selected.roles())?;
        let intent = intent::change_policy(&base, selected, policies)?;
        let none = || Error::input("policy", "none is given");
        let backup = selected.filter(|role, _| policies.of(role).is_some(), none)?;
        check_satisfiable(prepared, backup, policies)?;
        for (role, record) in backup.records().filter(|(_, record)| record.policy.delay_seconds > 0) {
            check_room(prepared, role, record, OpenActKind::PolicyChange)?;
        }
        let tenant = backup.records().any(|(_, record)| record.policy.tenant_signature);
        let signed = self.sign(prepared, backup, &intent, tenant, authenticator).await?;
        let request = ActRequest { request_id: request_id()?, act: Some(signed.act.clone()) };
        let response = self.client.change_policy(&request).await?;
        self.receipted(prepared, &response.receipts, (&signed, &intent, backup)).await
    }
}
