//! Rotations of a stack's KEK: the operator's calls, and statements as a tenant signs them.

use anyhow::{Context, Result};
use strongroom_attestation::Image;
use strongroom_proto::v1::admin_service_client::AdminServiceClient;
use strongroom_proto::v1::{Kek, ListKeksRequest, Role, RotateKekRequest};
use strongroom_sdk::client::{ApiKey, Client, connect};
use strongroom_sdk::device::now;
use strongroom_sdk::keys::{KeyUse, Passphrase, SigningKey};
use strongroom_sdk::statement::sign;
use strongroom_sdk::tenant::{Draft, Folder, attest_role, previous};

use crate::stack::{ORIGIN, PASSPHRASE, RP_ID, Stack};
use crate::user::{tenant, trust};

/// Makes the KEK of the next epoch; gives the epoch.
pub async fn rotate(stack: &Stack) -> Result<u64> {
    let mut admin = AdminServiceClient::new(connect(&format!("unix:{}", stack.admin_socket().display())).await?);
    let request = RotateKekRequest { tenant: tenant(stack)?.0.to_vec(), role: Role::Client.into() };
    Ok(admin.rotate_kek(request).await?.into_inner().epoch)
}

/// The epochs of the stack's tenant, ascending.
pub async fn list(stack: &Stack) -> Result<Vec<Kek>> {
    let mut admin = AdminServiceClient::new(connect(&format!("unix:{}", stack.admin_socket().display())).await?);
    let request = ListKeksRequest { tenant: tenant(stack)?.0.to_vec() };
    Ok(admin.list_keks(request).await?.into_inner().keks)
}

/// Publishes the next statement. It names every epoch that there is; `lowest` is the lowest one to seal to, or the newest.
pub async fn publish(stack: &Stack, lowest: Option<u64>) -> Result<u64> {
    let client = Client::connect(&stack.api()?, ApiKey::read(&stack.api_key_file())?).await?;
    let folder = Folder::new(&stack.folder().join("tenant/keys"));
    let before = previous(&folder, &client, tenant(stack)?).await?.context("the stack has a statement")?;
    let measured = stack.measurements()?;
    let image = Image { pcr0: measured.pcr0, pcr1: measured.pcr1, pcr2: measured.pcr2 };
    let attested =
        attest_role(&client, tenant(stack)?, Role::Client, std::slice::from_ref(&image), &trust(stack)?).await?;
    let passphrase = || Ok(Passphrase::new(PASSPHRASE.to_owned()));
    let operational = SigningKey::read(&folder.key_file(KeyUse::Operational), KeyUse::Operational, passphrase)?;
    let draft = Draft {
        keys: folder.tenant_keys()?,
        previous: Some(before.statement()),
        operational_key: *operational.public_key(),
        now: now(),
        images: vec![image],
        attested,
        manifests: Vec::new(),
        keep: true,
        lowest_epoch: lowest,
        rp_id: RP_ID.to_owned(),
        origins: vec![ORIGIN.to_owned()],
        top_origins: Vec::new(),
        mpc_recipients: Vec::new(),
    };
    draft.check_lowest_epoch()?;
    let statement = draft.build();
    let root = SigningKey::read(&folder.key_file(KeyUse::Root), KeyUse::Root, passphrase)?;
    let signed = sign(&statement, &root)?;
    folder.keep(&signed)?;
    Ok(client.put_statement(signed).await?)
}
