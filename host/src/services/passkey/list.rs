//! `ListPasskeys`: the passkeys of a wallet's backups, as the enclave sees them.

use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{ListPasskeysRequest, ListPasskeysResponse, Passkey, WalletView};

use super::Subject;
use crate::error::Error;
use crate::keys::{self, Name};
use crate::rows::decode;
use crate::services::App;
use crate::services::load::StoredStatement;

pub(super) async fn list(
    app: &App,
    tenant: TenantId,
    message: &ListPasskeysRequest,
) -> Result<ListPasskeysResponse, Error> {
    let wallet = Name::parse("wallet", &message.wallet)?;
    let rows = app.store.get_all(vec![keys::wallet(&tenant, &wallet), keys::statement(&tenant)]).await?;
    let [Some(_), statement] = rows.as_slice() else { return Err(Error::NotFound("wallet")) };
    let statement = StoredStatement::read(statement.as_deref())?;
    let mut passkeys = Vec::new();
    for enclaves in app.roles().map(|role| app.enclave_of(role, &statement)) {
        let enclave = enclaves?;
        let Some(epoch) = statement.newest_epoch(enclave.role()) else { continue };
        // Nobody verifies this view, so that its nonce needs no randomness.
        let subject = Subject { app, enclave, tenant: &tenant, wallet: &wallet, statement: &statement, epoch };
        let signed = subject.view(vec![0; 32]).await?;
        let view: WalletView = decode(&signed.view)?;
        for record in view.records {
            let backup = &record.backup;
            let credentials = record.credentials.into_iter();
            passkeys.extend(credentials.map(|credential| Passkey {
                backup: backup.clone(),
                role: enclave.role().into(),
                credential: Some(credential),
            }));
        }
    }
    // Stable: the passkeys of a record stay in the order of their coming.
    passkeys.sort_by(|one, other| (&one.backup, one.role).cmp(&(&other.backup, other.role)));
    Ok(ListPasskeysResponse { passkeys })
}
