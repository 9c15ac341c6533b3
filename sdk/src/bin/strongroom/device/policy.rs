//! `strongroom device change-policy`.

use clap::{Args, ValueEnum};
use strongroom_sdk::device::PasskeyAt;
use strongroom_sdk::intent::{ClientPolicy, CustodianPolicy, Delay, Policies, TenantConsent, shown};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::proto::v1::{Policy, Role};
use strongroom_sdk::{Error, Trust, role_name};

use super::{Common, On, acted, origin, prepare};
use crate::show::Show;

#[derive(Args, Debug)]
pub(crate) struct Change {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    policy: PolicyFlags,
    #[command(flatten)]
    custodian: CustodianFlags,
    /// Change the custodian role's policy alone.
    #[arg(long, requires = "custodian")]
    custodian_only: bool,
}

/// A policy of the client role. A passkey is always needed.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PolicyFlags {
    /// A release needs the tenant's signature too.
    #[arg(long)]
    tenant_signature: bool,
    /// And that signature vouches for the newest head.
    #[arg(long, requires = "tenant_signature")]
    newest_head: bool,
    /// A release waits so many seconds; at most 30 days.
    #[arg(long, value_name = "N", default_value_t = 0)]
    delay_seconds: u32,
}

impl PolicyFlags {
    pub(crate) fn policy(self) -> Result<ClientPolicy, Error> {
        let tenant = match (self.tenant_signature, self.newest_head) {
            (_, true) => TenantConsent::NewestHead,
            (true, false) => TenantConsent::Signature,
            (false, false) => TenantConsent::NotNeeded,
        };
        Ok(ClientPolicy { tenant, delay: Delay::from_seconds(self.delay_seconds)? })
    }
}

/// A policy of the custodian role.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct CustodianFlags {
    /// The custodian role too: the tenant's backend seals its shares.
    #[arg(long)]
    custodian: bool,
    /// Whose consent a release from the custodian role needs.
    #[arg(long, value_enum, default_value_t = Needs::Passkey, requires = "custodian")]
    custodian_needs: Needs,
    /// And the tenant's signature vouches for the newest head.
    #[arg(long, requires = "custodian")]
    custodian_newest_head: bool,
    /// A release from the custodian role waits so many seconds; at most 30 days.
    #[arg(long, value_name = "N", default_value_t = 0, requires = "custodian")]
    custodian_delay_seconds: u32,
}

/// Whose consent a release needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Needs {
    /// A passkey of the backup.
    Passkey,
    /// The tenant's signature.
    Tenant,
    /// Both.
    Both,
}

impl CustodianFlags {
    pub(crate) fn policy(self) -> Result<Option<CustodianPolicy>, Error> {
        let policy = Policy {
            passkey: self.custodian_needs != Needs::Tenant,
            tenant_signature: self.custodian_needs != Needs::Passkey,
            delay_seconds: self.custodian_delay_seconds,
            newest_head: self.custodian_newest_head,
        };
        if self.custodian { CustodianPolicy::try_from(policy).map(Some) } else { Ok(None) }
    }
}

pub(super) async fn change(options: &Change, trust: Trust, show: Show) -> Result<(), Error> {
    let client = if options.custodian_only { None } else { Some(options.policy.policy()?) };
    let policies = Policies { client, custodian: options.custodian.policy()? };
    options.on.check_new()?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    show.heading("Changing the policy");
    show.waiting("signing, and waiting for the enclave");
    let mut authenticator = PasskeyAt { passkey: &passkey, origin: origin(&options.common, &prepared)? };
    let done = device.change_policy(&prepared, options.on.backup.as_deref(), policies, &mut authenticator).await?;
    let of =
        |role| policies.of(role).map(|it| format!("from the {} role needs {}", role_name(role), shown::policy(&it)));
    let texts: Vec<String> = [Role::Client, Role::Custodian].into_iter().filter_map(of).collect();
    acted(show, &options.on, &done, &format!("a release {}", texts.join("; ")))
}
