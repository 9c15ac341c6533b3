//! Who keeps what: sealed shares on the caller's side, and ciphertext that no enclave can open, over real enclaves.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use strongroom_host::keys;
use strongroom_host::store::{SqliteStore, Store};
use strongroom_proto::v1::{
    BackupPart, BackupReason, BackupState, GetBackupRequest, GetClientCiphertextsRequest, ReportStoredRequest, Role,
};
use strongroom_sdk::ciphertext::{Ciphertexts, Known, NewPassword, PASSWORD, Password, encrypt, open};
use strongroom_sdk::device::{Device, Own, select};
use strongroom_sdk::kept::Folder;
use strongroom_tests::company::Company;
use strongroom_tests::rotation::{list, publish, rotate};
use strongroom_tests::stack::roles::BOTH;
use strongroom_tests::stack::{RP_ID, Stack};
use strongroom_tests::user::{User, pairs, shares, tenant, trust};

use crate::stack;

const CLIENT: [&[u8]; 2] = [b"the user's secp256k1 share", b"the user's ed25519 share"];
const NEXT: [&[u8]; 2] = [b"the next secp256k1 share", b"the next ed25519 share"];
const CUSTODIAN: [&[u8]; 2] = [b"the company's secp256k1 share", b"the company's ed25519 share"];

/// The user's device, which keeps its own part in a folder.
fn keeping(stack: &Stack, user: &User, folder: &Path) -> Device {
    fs::create_dir_all(folder).unwrap();
    let device = Device::new(user.client.clone(), tenant(stack).unwrap(), trust(stack).unwrap());
    device.with_keeper(Arc::new(Folder::new(folder)))
}

async fn recovered(device: &Device, user: &User) -> Vec<Vec<u8>> {
    let prepared = device.prepare(&user.wallet).await.unwrap();
    let recovered = device.recover(&prepared, None, &mut user.asked()).await.unwrap();
    recovered.shares.iter().map(|share| share.bytes.expose().to_vec()).collect()
}

async fn backup(user: &User) -> strongroom_proto::v1::Backup {
    let request = GetBackupRequest { wallet: user.wallet.clone(), backup: "main".to_owned() };
    user.client.get_backup(&request).await.unwrap().backup.unwrap()
}

#[tokio::test]
async fn what_the_caller_keeps_is_not_with_the_host_and_follows_a_rotation() {
    let (folder, stack) = stack().await;
    let user = User::new(&stack, "wallet-1").await.unwrap();
    let kept = folder.path().join("kept");
    let device = keeping(&stack, &user, &kept);
    let prepared = device.prepare("wallet-1").await.unwrap();
    device.backup(&prepared, &user.creation_of("main"), shares(CLIENT), &mut user.asked()).await.unwrap();
    let told = backup(&user).await;
    assert_eq!((told.state(), told.parts), (BackupState::Active, vec![BackupPart::ClientStored.into()]));
    let record = select(&device.prepare("wallet-1").await.unwrap(), None).unwrap().id();
    let store = SqliteStore::open(&stack.database()).unwrap();
    let rows = store.scan(keys::shares(&tenant(&stack).unwrap(), &record, Role::Client, 1), None, 8).await.unwrap();
    assert!(rows.is_empty(), "the host has shares that the caller keeps");
    assert_eq!(recovered(&device, &user).await, CLIENT);

    // Without what it keeps, the service has nothing to open.
    let without = keeping(&stack, &user, &folder.path().join("empty"));
    let prepared = without.prepare("wallet-1").await.unwrap();
    assert!(without.recover(&prepared, None, &mut user.asked()).await.is_err());

    // Under a new epoch a recovery hands them back sealed anew; both open, until the new ones are brought.
    rotate(&stack).await.unwrap();
    publish(&stack, None).await.unwrap();
    let before = folder.path().join("before");
    copy(&kept, &before);
    assert_eq!(recovered(&device, &user).await, CLIENT);
    assert_eq!(recovered(&keeping(&stack, &user, &before), &user).await, CLIENT, "what was brought still opens");
    assert_eq!(recovered(&device, &user).await, CLIENT, "and so does what the first device has");
    let epochs = list(&stack).await.unwrap();
    assert_eq!(epochs.len(), 2);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[tokio::test]
async fn a_generation_that_the_caller_could_not_store_leaves_the_one_before_in_force() {
    let (folder, stack) = stack().await;
    let user = User::new(&stack, "wallet-1").await.unwrap();
    let kept = folder.path().join("kept");
    let device = keeping(&stack, &user, &kept);
    let prepared = device.prepare("wallet-1").await.unwrap();
    device.backup(&prepared, &user.creation_of("main"), shares(CLIENT), &mut user.asked()).await.unwrap();
    // The disk is gone when the next generation comes.
    let away = folder.path().join("away");
    fs::rename(&kept, &away).unwrap();
    fs::write(&kept, b"no folder").unwrap();
    let prepared = device.prepare("wallet-1").await.unwrap();
    device.put(&prepared, None, &pairs(), shares(NEXT), &mut user.asked()).await.unwrap_err();
    let told = backup(&user).await;
    assert_eq!((told.generation, told.reason()), (1, BackupReason::Failed));
    assert_eq!(recovered(&keeping(&stack, &user, &away), &user).await, CLIENT);
    let report = |success| ReportStoredRequest {
        wallet: "wallet-1".to_owned(),
        backup: "main".to_owned(),
        generation: 2,
        pairs: Vec::new(),
        success,
        method: "PASSKEY".to_owned(),
    };
    user.client.report_stored(&report(true)).await.unwrap();
    assert_eq!(backup(&user).await.generation, 2);
    let other = ReportStoredRequest { method: "GDRIVE".to_owned(), ..report(true) };
    assert_eq!(user.client.report_stored(&other).await.unwrap_err().reason(), Some("METHOD_NOT_ALLOWED"));
}

#[tokio::test]
async fn a_password_opens_its_own_generation_and_a_host_that_swaps_gains_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start_with(folder.path(), BOTH).await.unwrap();
    let user = User::new(&stack, "wallet-1").await.unwrap();
    let company = Company::new(&stack, "wallet-1", CUSTODIAN).await.unwrap();
    let backend = company.clone();
    let device =
        Device::new(user.client.clone(), tenant(&stack).unwrap(), trust(&stack).unwrap()).with_backend(backend);
    let text = "three tall herons skipping breakfast";
    let known = Known { wallet: "wallet-1", backup: "paper", rp_id: RP_ID };
    let password = || Password::new(text.to_owned()).unwrap();
    let store = async |own: &Own<'_>, secrets: [&[u8]; 2]| {
        let new = NewPassword::new(password(), &known).unwrap();
        let ciphertexts = encrypt(&own.belongs(), &pairs(), &shares(secrets), &new).unwrap();
        device.store_own(own, &ciphertexts).await.unwrap();
    };
    let prepared = device.prepare("wallet-1").await.unwrap();
    store(&Own::new(&prepared, "paper", PASSWORD).unwrap(), CLIENT).await;
    let prepared = device.prepare("wallet-1").await.unwrap();
    store(&Own::next(&prepared, Some("paper")).unwrap(), NEXT).await;

    let prepared = device.prepare("wallet-1").await.unwrap();
    for (number, secrets) in [(1, CLIENT), (2, NEXT)] {
        let (own, generation) = Own::opening(&prepared, Some("paper"), Some(number)).unwrap();
        let ciphertexts = device.fetch_own(&own, generation).await.unwrap();
        let opened = open(&own.belongs(), &ciphertexts, &password()).unwrap();
        assert!(opened.iter().map(|share| share.bytes.expose()).eq(secrets), "generation {number}");
    }
    // The older generation's ciphertext, shown as the newer one's.
    let (own, generation) = Own::opening(&prepared, Some("paper"), Some(2)).unwrap();
    let request =
        GetClientCiphertextsRequest { wallet: "wallet-1".to_owned(), backup: "paper".to_owned(), generation: 1 };
    let mut old = user.client.get_client_ciphertexts(&request).await.unwrap();
    old.generation = 2;
    let old = Ciphertexts::read(old, generation, None).unwrap();
    assert!(open(&own.belongs(), &old, &password()).is_err());
    // The company's part comes by its signature alone, and to its MPC server alone.
    assert_eq!(company.release_alone("paper").await.unwrap(), CUSTODIAN);
}
