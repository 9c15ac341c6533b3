//! `WalletService`: the wallets of the caller's tenant.

use prost::Message;
use strongroom_proto::id::TenantId;
use strongroom_proto::v1::wallet_service_server::WalletService;
use strongroom_proto::v1::{
    CreateWalletRequest, CreateWalletResponse, GetWalletRequest, GetWalletResponse, ListWalletsRequest,
    ListWalletsResponse, Wallet,
};
use tonic::{Request, Response, Status};

use super::{App, service};
use crate::clock::now_ms;
use crate::error::Error;
use crate::keys::{self, Kind, Name};
use crate::rows::{WalletRow, decode};
use crate::store::Write;

/// Wallets on a page where the request says nothing.
const PAGE_SIZE_DEFAULT: u32 = 100;
/// Most wallets on a page.
const PAGE_SIZE_MAX: u32 = 1000;

service! {
    /// The service.
    Wallets
}

#[tonic::async_trait]
impl WalletService for Wallets {
    async fn create_wallet(
        &self,
        request: Request<CreateWalletRequest>,
    ) -> Result<Response<CreateWalletResponse>, Status> {
        let work = |tenant, message: CreateWalletRequest| async move {
            let text = match message.wallet {
                empty if empty.is_empty() => uuid::Uuid::new_v4().to_string(),
                given => given,
            };
            let id = Name::parse("wallet", &text)?;
            let row = WalletRow { created_ms: now_ms(), ..WalletRow::default() };
            match self.0.store.commit(vec![Write::new(keys::wallet(&tenant, &id), row.encode_to_vec())]).await {
                Ok(()) => Ok(CreateWalletResponse { wallet: Some(wallet(&id, &row)) }),
                Err(Error::Conflict(Kind::Wallet)) => Err(Error::AlreadyExists("wallet")),
                Err(error) => Err(error),
            }
        };
        self.0.call("CreateWallet", request, work).await
    }

    async fn get_wallet(&self, request: Request<GetWalletRequest>) -> Result<Response<GetWalletResponse>, Status> {
        let work = |tenant: TenantId, message: GetWalletRequest| async move {
            let id = Name::parse("wallet", &message.wallet)?;
            let row = self.0.store.get(keys::wallet(&tenant, &id)).await?.ok_or(Error::NotFound("wallet"))?;
            Ok(GetWalletResponse { wallet: Some(wallet(&id, &decode(&row)?)) })
        };
        self.0.call("GetWallet", request, work).await
    }

    async fn list_wallets(
        &self,
        request: Request<ListWalletsRequest>,
    ) -> Result<Response<ListWalletsResponse>, Status> {
        let work = |tenant, message| async move { list(&self.0, tenant, &message).await };
        self.0.call("ListWallets", request, work).await
    }
}

async fn list(app: &App, tenant: TenantId, message: &ListWalletsRequest) -> Result<ListWalletsResponse, Error> {
    let size = match message.page_size {
        0 => PAGE_SIZE_DEFAULT,
        size if size <= PAGE_SIZE_MAX => size,
        _ => return Err(Error::bad("page_size", format!("0 to {PAGE_SIZE_MAX}"))),
    };
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let after = match message.page_token.as_str() {
        "" => None,
        token => Some(keys::wallet(&tenant, &Name::parse("page_token", token)?)),
    };
    let prefix = keys::wallets(&tenant);
    // One more than the page tells whether there is a next one.
    let mut rows = app.store.scan(prefix.clone(), after, size.saturating_add(1)).await?;
    let more = rows.len() > size;
    rows.truncate(size);
    let read = |(key, row): (Vec<u8>, Vec<u8>)| {
        let id = keys::last_name(&prefix, &key).ok_or(Error::Internal("a wallet's key does not parse"))?;
        Ok(wallet(&id, &decode(&row)?))
    };
    let wallets = rows.into_iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    let next_page_token = wallets.last().filter(|_| more).map(|last| last.wallet.clone()).unwrap_or_default();
    Ok(ListWalletsResponse { wallets, next_page_token })
}

fn wallet(id: &Name, row: &WalletRow) -> Wallet {
    Wallet { wallet: id.as_str().to_owned(), created_ms: row.created_ms, ejected_ms: row.ejected_ms }
}
