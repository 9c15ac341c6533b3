//! The company's half through its backend: drafts, signatures, both shares.

use std::sync::Arc;

use strongroom_proto::intent as form;
use strongroom_proto::v1::tenant_backend_service_client::TenantBackendServiceClient;
use strongroom_proto::v1::{Role, SealDraftRequest, SignIntentRequest, SignedDraft};
use strongroom_sdk::ciphertext::{Known, NewPassword, PASSWORD, Password, encrypt, open};
use strongroom_sdk::device::{Device, Own, Recovery, select};
use strongroom_sdk::intent::{self, ClientPolicy, Creation, CustodianPolicy, EncodedIntent, Policies};
use strongroom_sdk::seal::{MpcKey, MpcRecipient};
use strongroom_tests::stack::roles::BOTH;
use strongroom_tests::user::{pairs, shares};
use tonic::Code;

use super::*;

const CLIENT: [&[u8]; 2] = [b"the user's secp256k1 share", b"the user's ed25519 share"];
const CUSTODIAN: [&[u8]; 2] = [b"the company's secp256k1 share", b"the company's ed25519 share"];

async fn stack_of_both() -> (tempfile::TempDir, Stack) {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start_with(folder.path(), BOTH).await.unwrap();
    (folder, stack)
}

/// The company's backend, which has shares of ann's and of eve's wallet.
fn company(stack: &Stack) -> Backend {
    let folder = stack.folder().join("backend-custodian");
    let files = [("eth-main", "secp256k1", CUSTODIAN[0]), ("sol-main", "ed25519", CUSTODIAN[1])];
    let settings = Settings::of(stack, &[("ann", "wallet-1"), ("eve", "wallet-2")]).unwrap();
    settings.with_shares(stack, &files).unwrap().write(&folder).unwrap();
    let root = stack.folder().join("attestation-root.der");
    Example::Rust.start_with(&folder, &["--development-root", path_text(&root).unwrap()]).unwrap()
}

/// A user whose device asks the company's backend for its half.
async fn user_of(stack: &Stack, backend: &Backend, name: &str, wallet: &str) -> User {
    let user = user(stack, backend, name, wallet).await;
    let device = Device::new(user.client.clone(), user::tenant(stack).unwrap(), user::trust(stack).unwrap());
    User { device: device.with_backend(Arc::new(user.client.clone())), ..user }
}

fn creation(user: &User, custodian: CustodianPolicy) -> Creation {
    Creation { custodian: Some(custodian), ..user.creation_of("main") }
}

#[tokio::test]
async fn both_shares_are_backed_up_and_recovered_through_the_companys_backend() {
    let (_folder, stack) = stack_of_both().await;
    stack.create_wallet("wallet-1").unwrap();
    let backend = company(&stack);
    let ann = user_of(&stack, &backend, "ann", "wallet-1").await;
    let prepared = ann.prepare().await.unwrap();
    let wanted = creation(&ann, CustodianPolicy::PASSKEY_AND_TENANT);
    ann.device.backup(&prepared, &wanted, shares(CLIENT), &mut ann.asked()).await.unwrap();

    let prepared = ann.prepare().await.unwrap();
    let mpc = MpcKey::read(&stack.mpc_key_file(), || panic!("it has no passphrase")).unwrap();
    let recipient = MpcRecipient::listed(mpc.public_key(), prepared.statement()).unwrap();
    let recovery = Recovery { custodian: Some(&recipient), ..Recovery::default() };
    let recovered = ann.device.recover_with(&prepared, &recovery, &mut ann.asked()).await.unwrap();
    let own: Vec<&[u8]> = recovered.shares.iter().map(|share| share.bytes.expose()).collect();
    assert_eq!(own, CLIENT);
    let record = select(&prepared, None).unwrap().id();
    let delivery = recovered.custodian.unwrap();
    let opened = mpc.open(&delivery, prepared.statement(), "wallet-1", record, &pairs()).unwrap();
    let opened: Vec<&[u8]> = opened.iter().map(|share| share.bytes.expose()).collect();
    assert_eq!(opened, CUSTODIAN);
    // The creation and the recovery, in each role.
    assert_eq!(backend.kept().unwrap().len(), 4);

    // And beside it a backup that no passkey opens: the company makes its record alone.
    let known = Known { wallet: "wallet-1", backup: "paper", rp_id: RP_ID };
    let text = || Password::new("three tall herons skipping breakfast".to_owned()).unwrap();
    let prepared = ann.prepare().await.unwrap();
    let paper = Own::new(&prepared, "paper", PASSWORD).unwrap();
    let password = NewPassword::new(text(), &known).unwrap();
    let ciphertexts = encrypt(&paper.belongs(), &pairs(), &shares(CLIENT), &password).unwrap();
    ann.device.store_own(&paper, &ciphertexts).await.unwrap();
    let prepared = ann.prepare().await.unwrap();
    let (paper, generation) = Own::opening(&prepared, Some("paper"), None).unwrap();
    let opened = open(&paper.belongs(), &ann.device.fetch_own(&paper, generation).await.unwrap(), &text()).unwrap();
    assert!(opened.iter().map(|share| share.bytes.expose()).eq(CLIENT));
    assert_eq!(backend.kept().unwrap().len(), 5);
}

#[tokio::test]
async fn the_company_seals_and_signs_for_nothing_but_what_its_user_may_ask() {
    let (_folder, stack) = stack_of_both().await;
    stack.create_wallet("wallet-1").unwrap();
    stack.create_wallet("wallet-2").unwrap();
    let backend = company(&stack);
    let ann = user_of(&stack, &backend, "ann", "wallet-1").await;
    let prepared = ann.prepare().await.unwrap();
    // A draft whose custodian share the passkey alone would release.
    let weak = creation(&ann, CustodianPolicy::PASSKEY);
    let refused = ann.device.backup(&prepared, &weak, shares(CLIENT), &mut ann.asked()).await.unwrap_err();
    assert!(refused.to_string().contains("custodian policy"), "{refused}");
    let wanted = creation(&ann, CustodianPolicy::PASSKEY_AND_TENANT);
    ann.device.backup(&prepared, &wanted, shares(CLIENT), &mut ann.asked()).await.unwrap();

    let prepared = ann.prepare().await.unwrap();
    let (base, backup) = (prepared.base_for(BOTH.iter().copied()).unwrap(), select(&prepared, None).unwrap());
    let weaker = Policies { client: Some(ClientPolicy::PASSKEY), custodian: Some(CustodianPolicy::PASSKEY) };
    let signed: [(&str, EncodedIntent); 3] = [
        ("delete", intent::delete_backup(&base, backup).unwrap()),
        ("policy", intent::change_policy(&base, backup, weaker).unwrap()),
        ("put", intent::put_shares(&base, backup, &pairs()).and_then(EncodedIntent::new).unwrap()),
    ];
    let mut service = TenantBackendServiceClient::new(channel(&backend.url).await);
    let (own, foreign) = (backend.session("ann").unwrap(), backend.session("eve").unwrap());
    for (name, intent) in &signed {
        let request = SignIntentRequest { intent: intent.bytes.clone() };
        let refused = service.sign_intent(bearing(request, &own)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}: {refused}");
    }
    // Another user's wallet, in whatever she asks.
    let put = &signed[2].1;
    let sign = SignIntentRequest { intent: put.bytes.clone() };
    let seal = SealDraftRequest { draft: put.bytes.clone() };
    let send = SignedDraft { intent: put.bytes.clone(), ..SignedDraft::default() };
    assert_eq!(service.sign_intent(bearing(sign, &foreign)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(service.seal_draft(bearing(seal.clone(), &foreign)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(service.send_draft(bearing(send.clone(), &foreign)).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(service.seal_draft(bearing(seal.clone(), "sr_none")).await.unwrap_err().code(), Code::Unauthenticated);
    // What was sealed for is one draft: the creation still lies there, and this put is another.
    assert_eq!(service.send_draft(bearing(send, &own)).await.unwrap_err().code(), Code::PermissionDenied);
    // A draft with another head than the newest.
    let mut old = form::decode(&put.bytes).unwrap();
    old.custodian.as_mut().unwrap().head[0] ^= 1;
    let old = SealDraftRequest { draft: EncodedIntent::new(old).unwrap().bytes };
    assert_eq!(service.seal_draft(bearing(old, &own)).await.unwrap_err().code(), Code::PermissionDenied);
    service.seal_draft(bearing(seal, &own)).await.unwrap();
    assert!(prepared.role(Role::Custodian).is_ok());
    // A window lies in the company's hands, and no user opens one.
    let window = intent::open_eject_window(&base, backup, intent::EjectWindow::default()).unwrap();
    let request = SignIntentRequest { intent: window.bytes.clone() };
    assert_eq!(service.sign_intent(bearing(request, &own)).await.unwrap_err().code(), Code::InvalidArgument);
}
