//! `ImportCapsule`: a capsule into a store that has nothing of its backup, in one commit.

use prost::Message;
use strongroom_proto::canonical;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::{Capsule, CapsuleChunk, ImportCapsuleResponse, Statement};
use tonic::Streaming;

use super::{CAPSULE_BYTES_MAX, CHUNK_BYTES_MAX, check, rows};
use crate::error::Error;
use crate::keys::{self, Kind};
use crate::services::{App, tenant};

pub(in crate::services) async fn import(
    app: &App,
    mut chunks: Streaming<CapsuleChunk>,
) -> Result<ImportCapsuleResponse, Error> {
    let _room = app.capsules.import()?;
    let bytes = gather(&mut chunks).await?;
    let capsule: Capsule =
        canonical::decode(&bytes, CAPSULE_BYTES_MAX).map_err(|error| Error::bad("capsule", error.to_string()))?;
    drop(bytes);
    let signed = capsule.statement.clone().ok_or_else(|| Error::bad("statement", "required"))?;
    let keys = Statement::decode(signed.statement.as_slice())
        .map_err(|_| Error::bad("statement.statement", "an encoded statement"))?;
    let tenant = TenantId::of(&keys.root_key, &keys.standby_key);
    app.store.get(keys::tenant(&tenant)).await?.ok_or(Error::NotFound("tenant"))?;
    let statement = tenant::checked(tenant, &signed)?;
    let checked = check::check(tenant, signed, statement, capsule)?;
    store(app, &checked).await?;
    // What lies under an older epoch than the newest is sealed again, here as anywhere.
    app.sweep.wake(tenant);
    let (wallet, backup) = (checked.wallet.as_str().to_owned(), checked.backup.as_str().to_owned());
    Ok(ImportCapsuleResponse { tenant: tenant.0.to_vec(), wallet, backup })
}

/// The capsule's bytes. Ends early where they are too many.
async fn gather(chunks: &mut Streaming<CapsuleChunk>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let cut = |status: tonic::Status| Error::bad("capsule", format!("a whole stream: {}", status.message()));
    while let Some(CapsuleChunk { data }) = chunks.message().await.map_err(cut)? {
        if !(1..=CHUNK_BYTES_MAX).contains(&data.len()) {
            return Err(Error::bad("data", format!("1 to {CHUNK_BYTES_MAX} bytes")));
        }
        if bytes.len().saturating_add(data.len()) > CAPSULE_BYTES_MAX {
            return Err(Error::bad("capsule", format!("at most {CAPSULE_BYTES_MAX} bytes")));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Writes everything or nothing. Ends: each conflict that is tried again says that another import or creation of the tenant came first.
async fn store(app: &App, checked: &check::Checked) -> Result<(), Error> {
    loop {
        let writes = rows::writes(app, checked).await?;
        match app.store.commit(writes).await {
            Err(Error::Conflict(Kind::Wallet | Kind::Statement | Kind::StatementSerial | Kind::Kek)) => {}
            Err(Error::Conflict(Kind::Backup)) => return Err(Error::AlreadyExists("backup")),
            Err(Error::Conflict(_)) => return Err(Error::AlreadyExists("record")),
            result => return result,
        }
    }
}
