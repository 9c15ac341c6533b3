//! What callers meet: keys, other tenants, sockets, malformed requests.

use std::collections::BTreeSet;
use std::fs;

use strongroom_proto::v1::backup_service_client::BackupServiceClient;
use strongroom_proto::v1::passkey_service_client::PasskeyServiceClient;
use strongroom_proto::v1::wallet_service_client::WalletServiceClient;
use strongroom_proto::v1::{GetBackupRequest, GetWalletRequest, ListBackupsRequest, PrepareRequest};
use strongroom_tests::stack::Stack;
use strongroom_tests::user::User;
use tonic::{Code, Request, Status};

use crate::stack;

fn signed<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

/// Every refusal that a caller with `key` gets when it asks for `wallet`.
async fn refusals(stack: &Stack, key: &str, wallet: &str) -> Vec<Status> {
    let channel = tonic::transport::Endpoint::new(stack.api().unwrap()).unwrap().connect().await.unwrap();
    let wallet = wallet.to_owned();
    let prepare = PrepareRequest { wallet: wallet.clone(), nonce: vec![1; 32] };
    let get_backup = GetBackupRequest { wallet: wallet.clone(), backup: "main".to_owned() };
    let mut wallets = WalletServiceClient::new(channel.clone());
    let mut passkeys = PasskeyServiceClient::new(channel.clone());
    let mut backups = BackupServiceClient::new(channel);
    vec![
        wallets.get_wallet(signed(GetWalletRequest { wallet: wallet.clone() }, key)).await.unwrap_err(),
        passkeys.prepare(signed(prepare, key)).await.unwrap_err(),
        backups.list_backups(signed(ListBackupsRequest { wallet }, key)).await.unwrap_err(),
        backups.get_backup(signed(get_backup, key)).await.unwrap_err(),
    ]
}

fn looks(statuses: &[Status]) -> Vec<(Code, String, Vec<u8>)> {
    statuses.iter().map(|status| (status.code(), status.message().to_owned(), status.details().to_vec())).collect()
}

#[tokio::test]
async fn another_tenants_wallet_and_an_unknown_one_look_alike() {
    let (_folder, stack) = stack().await;
    User::new(&stack, "theirs").await.unwrap().backup("main", [b"one", b"two"]).await.unwrap();
    let other = stack.add_tenant("other").unwrap();
    let theirs = refusals(&stack, &other, "theirs").await;
    let unknown = refusals(&stack, &other, "unknown").await;
    assert_eq!(looks(&theirs), looks(&unknown));
    assert!(theirs.iter().all(|status| status.code() == Code::NotFound), "{theirs:?}");
}

#[tokio::test]
async fn without_a_valid_key_every_call_is_refused_alike() {
    let (_folder, stack) = stack().await;
    User::new(&stack, "w").await.unwrap();
    let unknown = refusals(&stack, &format!("sr_{}", "0".repeat(64)), "w").await;
    let malformed = refusals(&stack, "sr_short", "w").await;
    assert_eq!(looks(&unknown), looks(&malformed));
    assert!(unknown.iter().all(|status| status.code() == Code::Unauthenticated), "{unknown:?}");
}

#[tokio::test]
async fn servers_listen_on_loopback_and_unix_sockets_only() {
    let (_folder, stack) = stack().await;
    let mut found = 0;
    for id in stack.process_ids().unwrap() {
        let sockets = socket_inodes(id);
        for table in ["tcp", "tcp6"] {
            for line in fs::read_to_string(format!("/proc/{id}/net/{table}")).unwrap().lines().skip(1) {
                let fields: Vec<&str> = line.split_whitespace().collect();
                // State 0A is LISTEN; field 9 is the socket's inode.
                if fields[3] == "0A" && sockets.contains(fields[9]) {
                    assert!(fields[1].starts_with("0100007F:"), "process {id} listens on {}", fields[1]);
                    found += 1;
                }
            }
        }
    }
    assert_eq!(found, 2, "the API and the development KMS");
}

fn socket_inodes(id: u32) -> BTreeSet<String> {
    fs::read_dir(format!("/proc/{id}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect()
}
