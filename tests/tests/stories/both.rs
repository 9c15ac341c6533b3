//! Both shares of a wallet: two enclaves, two KMS keys, one assertion.

use std::sync::Arc;

use strongroom_proto::contents::Share;
use strongroom_proto::v1::{BackupState, GetBackupRequest, OpenActKind, RecoverRequest, Role};
use strongroom_sdk::Error;
use strongroom_sdk::device::{Device, Recovery, select};
use strongroom_sdk::intent::{self, Creation, Purpose, Recipients};
use strongroom_sdk::prepare::Prepared;
use strongroom_sdk::seal::RecipientKey;
use strongroom_tests::company::{CUSTODIAN_POLICY, Company};
use strongroom_tests::stack::Stack;
use strongroom_tests::stack::roles::BOTH;
use strongroom_tests::user::{User, pairs, shares, tenant, trust};
use tempfile::TempDir;

const CLIENT: [&[u8]; 2] = [b"the user's secp256k1 share", b"the user's ed25519 share"];
const CUSTODIAN: [&[u8]; 2] = [b"the company's secp256k1 share", b"the company's ed25519 share"];

pub(super) async fn stack_of_both() -> (TempDir, Stack) {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start_with(folder.path(), BOTH).await.unwrap();
    (folder, stack)
}

/// A user's device that reaches the company's backend.
pub(super) fn device(stack: &Stack, user: &User, company: &Arc<Company>) -> Device {
    let backend = company.clone();
    Device::new(user.client.clone(), tenant(stack).unwrap(), trust(stack).unwrap()).with_backend(backend)
}

pub(super) fn creation(user: &User) -> Creation {
    Creation { custodian: Some(CUSTODIAN_POLICY), ..user.creation_of("main") }
}

/// A wallet that is backed up in both roles.
async fn backed_up(stack: &Stack) -> (User, Arc<Company>, Device) {
    let user = User::new(stack, "wallet-1").await.unwrap();
    let company = Company::new(stack, "wallet-1", CUSTODIAN).await.unwrap();
    let device = device(stack, &user, &company);
    let prepared = device.prepare("wallet-1").await.unwrap();
    let acted = device.backup(&prepared, &creation(&user), shares(CLIENT), &mut user.asked()).await.unwrap();
    assert_eq!(acted.receipts().map(|it| it.role).collect::<Vec<_>>(), [Role::Client, Role::Custodian]);
    (user, company, device)
}

/// Both shares by one assertion: the user's on the device, the company's at its MPC server.
pub(super) async fn recovered(user: &User, company: &Company, device: &Device) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let prepared = device.prepare(&user.wallet).await.unwrap();
    let recipient = company.recipient().unwrap();
    let recovery = Recovery { custodian: Some(&recipient), ..Recovery::default() };
    let recovered = device.recover_with(&prepared, &recovery, &mut user.asked()).await.unwrap();
    let record = select(&prepared, None).unwrap().id();
    let client = recovered.shares.iter().map(|share| share.bytes.expose().to_vec()).collect();
    (client, company.open(&recovered.custodian.unwrap(), record).unwrap())
}

fn is(found: &[Vec<u8>], expected: [&[u8]; 2]) -> bool {
    found.iter().map(Vec::as_slice).eq(expected)
}

async fn states(user: &User) -> Vec<(u64, BackupState)> {
    let request = GetBackupRequest { wallet: user.wallet.clone(), backup: "main".to_owned() };
    let backup = user.client.get_backup(&request).await.unwrap().backup.unwrap();
    backup.generations.iter().map(|it| (it.generation, it.state())).collect()
}

#[tokio::test]
async fn both_shares_survive_the_death_of_every_process_and_come_back_by_one_assertion() {
    let (_folder, mut stack) = stack_of_both().await;
    let (user, _, _) = backed_up(&stack).await;
    stack.kill();
    stack.start_enclaves_and_host().await.unwrap();
    let user = User::returning(&stack, "wallet-1", user.passkey).await.unwrap();
    let company = Company::new(&stack, "wallet-1", CUSTODIAN).await.unwrap();
    let device = device(&stack, &user, &company);
    let (client, custodian) = recovered(&user, &company, &device).await;
    assert!(is(&client, CLIENT) && is(&custodian, CUSTODIAN));
}

#[tokio::test]
async fn a_new_generation_is_in_force_in_both_roles_after_its_commit_and_not_before() {
    let (_folder, stack) = stack_of_both().await;
    let (user, company, device) = backed_up(&stack).await;
    let (next_client, next_custodian): ([&[u8]; 2], [&[u8]; 2]) = ([b"c2-secp", b"c2-ed"], [b"k2-secp", b"k2-ed"]);
    company.refresh(next_custodian);
    let prepared = device.prepare("wallet-1").await.unwrap();
    let put = device.put(&prepared, None, &pairs(), shares(next_client), &mut user.asked()).await.unwrap();
    assert_eq!(states(&user).await, [(1, BackupState::Active), (2, BackupState::Pending)]);
    let (client, custodian) = recovered(&user, &company, &device).await;
    assert!(is(&client, CLIENT) && is(&custodian, CUSTODIAN), "what waits opens nothing");

    let prepared = device.prepare("wallet-1").await.unwrap();
    device.commit(&prepared, None).await.unwrap();
    assert_eq!(put.receipts().count(), 2);
    assert_eq!(states(&user).await, [(1, BackupState::Superseded), (2, BackupState::Active)]);
    let (client, custodian) = recovered(&user, &company, &device).await;
    assert!(is(&client, next_client) && is(&custodian, next_custodian));
}

#[tokio::test]
async fn the_custodian_releases_nothing_without_the_company() {
    let (_folder, stack) = stack_of_both().await;
    let (user, company, _) = backed_up(&stack).await;
    // A device without the company's backend gets no signature, and the custodian asks for one.
    let alone = Device::new(user.client.clone(), tenant(&stack).unwrap(), trust(&stack).unwrap());
    let prepared: Prepared = alone.prepare("wallet-1").await.unwrap();
    let recipient = company.recipient().unwrap();
    let recovery = Recovery { custodian: Some(&recipient), ..Recovery::default() };
    let refused = alone.recover_with(&prepared, &recovery, &mut user.asked()).await;
    assert!(matches!(refused, Err(Error::TenantNeeded { .. })), "{refused:?}");
    // The client role alone still recovers: neither share is enough, and each role decides for itself.
    let client = alone.recover(&prepared, None, &mut user.asked()).await.unwrap();
    assert!(client.custodian.is_none() && client.shares.len() == 2);
}

#[tokio::test]
async fn one_role_that_refuses_moves_neither() {
    let (_folder, stack) = stack_of_both().await;
    let (user, company, device) = backed_up(&stack).await;
    let before = device.prepare("wallet-1").await.unwrap();
    let versions = |prepared: &Prepared| {
        let backup = select(prepared, None).unwrap();
        backup.records().map(|(role, record)| (role, record.version)).collect::<Vec<_>>()
    };
    let (own, mpc) = (RecipientKey::generate().unwrap(), company.recipient().unwrap());
    let backup = select(&before, None).unwrap();
    let recipients = Recipients { client: Some(own.hash()), custodian: Some(mpc.hash()) };
    let intent =
        intent::release(&before.base_for(BOTH.iter().copied()).unwrap(), backup, 1, recipients, Purpose::Recovery)
            .unwrap();
    // Without the tenant's signature the custodian refuses; the client alone would have released.
    let request = RecoverRequest {
        request_id: "r".to_owned(),
        act: Some(user.sign(&intent).unwrap()),
        client_recipient_key: own.public_key().to_vec(),
        custodian_recipient_key: mpc.public_key().to_vec(),
        ..RecoverRequest::default()
    };
    let refused = user.client.recover(&request).await.unwrap_err();
    assert_eq!(refused.reason(), Some("POLICY_DENIED"), "{refused}");
    let after = device.prepare("wallet-1").await.unwrap();
    assert_eq!(versions(&before), versions(&after));
}

#[tokio::test]
async fn an_eject_takes_a_passkey_and_a_window_of_the_tenants_which_any_passkey_can_close() {
    let (_folder, stack) = stack_of_both().await;
    let (user, company, device) = backed_up(&stack).await;
    let prepared = device.prepare("wallet-1").await.unwrap();
    let closed = device.eject(&prepared, None, &mut user.asked()).await.unwrap_err();
    assert_eq!(closed.reason(), Some("EJECT_NOT_ENABLED"), "{closed}");

    company.open_window(None).await.unwrap();
    let prepared = device.prepare("wallet-1").await.unwrap();
    let ejected = device.eject(&prepared, None, &mut user.asked()).await.unwrap();
    let bytes = |shares: &[Share]| shares.iter().map(|share| share.bytes.expose().to_vec()).collect::<Vec<_>>();
    assert!(is(&bytes(&ejected.client), CLIENT) && is(&bytes(&ejected.custodian), CUSTODIAN));

    let prepared = device.prepare("wallet-1").await.unwrap();
    device.cancel(&prepared, None, OpenActKind::EjectWindow, &mut user.asked()).await.unwrap();
    let prepared = device.prepare("wallet-1").await.unwrap();
    let closed = device.eject(&prepared, None, &mut user.asked()).await.unwrap_err();
    assert_eq!(closed.reason(), Some("EJECT_NOT_ENABLED"), "{closed}");
}
