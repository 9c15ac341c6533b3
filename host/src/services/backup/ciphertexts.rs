//! `GetClientCiphertexts`: what a device encrypted itself, of one generation.

use strongroom_proto::id::{TenantId, sha256};
use strongroom_proto::limits::PAIRS_MAX;
use strongroom_proto::v1::{ClientCiphertext, GetClientCiphertextsRequest, GetClientCiphertextsResponse};

use crate::error::Error;
use crate::keys;
use crate::rows::{CiphertextRow, decode};
use crate::services::App;
use crate::services::books::Stored;

pub(super) async fn get(
    app: &App,
    tenant: TenantId,
    message: &GetClientCiphertextsRequest,
) -> Result<GetClientCiphertextsResponse, Error> {
    const NONE: Error = Error::NotFound("client ciphertext");
    let stored = Stored::find(app, &tenant, &message.wallet, &message.backup).await?;
    let generation = match message.generation {
        0 => stored.generations()?.in_force().ok_or(NONE)?,
        given => given,
    };
    let prefix = keys::ciphertexts(&tenant, &stored.record, generation);
    let rows = app.store.scan(prefix.clone(), None, PAIRS_MAX).await?;
    let read = |(key, row): (Vec<u8>, Vec<u8>)| {
        let pair = keys::last_name(&prefix, &key).ok_or(Error::Internal("a ciphertext's key does not parse"))?;
        let CiphertextRow { ciphertext, sha256: hash } = decode(&row)?;
        if !ciphertext.is_empty() && sha256(&[&ciphertext]) != *hash {
            return Err(Error::Internal("a ciphertext is not what was stored"));
        }
        Ok(ClientCiphertext { pair: pair.as_str().to_owned(), ciphertext, sha256: hash })
    };
    let client_ciphertexts = rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if client_ciphertexts.is_empty() {
        return Err(NONE);
    }
    Ok(GetClientCiphertextsResponse { generation, client_ciphertexts })
}
