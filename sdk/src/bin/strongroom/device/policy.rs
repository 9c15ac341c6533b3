//! `strongroom device change-policy`.

use clap::Args;
use strongroom_sdk::device::PasskeyAt;
use strongroom_sdk::intent::{ClientPolicy, Delay, TenantConsent, shown};
use strongroom_sdk::passkey::Passkey;
use strongroom_sdk::{Error, Trust, files};

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

pub(super) async fn change(options: &Change, trust: Trust, show: Show) -> Result<(), Error> {
    let policy = options.policy.policy()?;
    options.on.receipt.iter().try_for_each(|path| files::check_new(path))?;
    let passkey = Passkey::read(&options.common.passkey)?;
    let (device, prepared) = prepare(&options.common.service, trust, show).await?;
    show.heading("Changing the policy");
    show.waiting("signing, and waiting for the enclave");
    let mut authenticator = PasskeyAt { passkey: &passkey, origin: origin(&options.common, &prepared)? };
    let done = device.change_policy(&prepared, options.on.backup.as_deref(), policy, &mut authenticator).await?;
    acted(show, &options.on, &done, &format!("a release needs {}", shown::policy(&policy.into())))
}
