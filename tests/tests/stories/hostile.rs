//! A hostile host against the real enclave, the real KMS and the real device code.

use strongroom_proto::enclave::v1::{request, response};
use strongroom_proto::v1::{Reason, Role, WalletView};
use strongroom_tests::attacks::Attack;
use strongroom_tests::frames::Frames;
use strongroom_tests::hostile::{loot, refused};
use strongroom_tests::stack::Stack;
use strongroom_tests::user::{User, tenant};
use tempfile::TempDir;

use prost::Message;

use crate::stack;

async fn victim() -> (TempDir, Stack, User) {
    let (folder, stack) = stack().await;
    let user = User::new(&stack, "w").await.unwrap();
    user.backup("main", [b"one", b"two"]).await.unwrap();
    (folder, stack, user)
}

#[tokio::test]
async fn a_swapped_recipient_is_refused() {
    let (_folder, stack, user) = victim().await;
    Attack::on(&stack, &user).await.unwrap().swapped_recipient().await.unwrap();
}

#[tokio::test]
async fn the_users_ciphertext_opens_in_no_other_record() {
    let (_folder, stack, user) = victim().await;
    Attack::on(&stack, &user).await.unwrap().ciphertext_in_own_record().await.unwrap();
}

#[tokio::test]
async fn an_altered_record_does_not_open() {
    let (_folder, stack, user) = victim().await;
    Attack::on(&stack, &user).await.unwrap().altered_record().await.unwrap();
}

#[tokio::test]
async fn a_device_refuses_the_genuine_image_on_another_kms_key() {
    let (_folder, stack, user) = victim().await;
    Attack::on(&stack, &user).await.unwrap().genuine_image_on_another_key().await.unwrap();
}

#[tokio::test]
async fn kms_refuses_another_image() {
    let (_folder, stack, user) = victim().await;
    Attack::on(&stack, &user).await.unwrap().another_image().unwrap();
}

#[tokio::test]
async fn a_captured_recovery_releases_nothing_once_it_was_carried_out() {
    let (_folder, stack, user) = victim().await;
    let old = loot(&stack.database(), tenant(&stack).unwrap(), "w").await.unwrap();
    let (act, recipient) = user.recovery(&user.prepare().await.unwrap()).unwrap();
    let mut frames = Frames::connect(&stack.enclave_socket(Role::Client)).unwrap();
    let captured = request::Body::Recover(old.recover(act, recipient.public_key()));
    let response::Body::Moved(done) = frames.ask(captured.clone()).unwrap() else { panic!("not recovered") };

    let request::Body::Recover(mut replay) = captured else { unreachable!() };
    replay.record = done.record;
    let refused = refused(&mut frames, request::Body::Recover(replay)).unwrap();
    assert_eq!(refused.reason, Reason::RecordStale, "{}", refused.detail);
}

#[tokio::test]
async fn wallets_of_one_tenant_share_nothing() {
    let (_folder, stack, user) = victim().await;
    let other = User::new(&stack, "other").await.unwrap();
    other.backup("main", [b"three", b"four"]).await.unwrap();
    let tenant = tenant(&stack).unwrap();
    let mine = loot(&stack.database(), tenant, "w").await.unwrap();
    let theirs = loot(&stack.database(), tenant, "other").await.unwrap();
    let mut frames = Frames::connect(&stack.enclave_socket(Role::Client)).unwrap();

    let (act, recipient) = user.recovery(&user.prepare().await.unwrap()).unwrap();
    let mut swapped_shares = mine.recover(act.clone(), recipient.public_key());
    swapped_shares.shares.clone_from(&theirs.shares[0]);
    let refusal = refused(&mut frames, request::Body::Recover(swapped_shares)).unwrap();
    assert_eq!(refusal.reason, Reason::CiphertextHashMismatch, "{}", refusal.detail);

    let mut swapped_record = mine.recover(act, recipient.public_key());
    swapped_record.record = theirs.records.first().cloned();
    let refusal = refused(&mut frames, request::Body::Recover(swapped_record)).unwrap();
    assert_eq!(refusal.reason, Reason::BadRequest, "{}", refusal.detail);
    assert!(refusal.detail.contains("record_id"), "{}", refusal.detail);
}

/// What is *not* promised: below a newest-head policy the host can restore an older record. The answer says so.
#[tokio::test]
async fn a_restored_record_is_taken_and_the_view_says_that_nobody_ruled_it_out() {
    let (_folder, stack, user) = victim().await;
    let old = loot(&stack.database(), tenant(&stack).unwrap(), "w").await.unwrap();
    user.recover().await.unwrap();
    let mut frames = Frames::connect(&stack.enclave_socket(Role::Client)).unwrap();
    let response::Body::View(view) = frames.ask(request::Body::GetView(old.view("w", &[1; 32]))).unwrap() else {
        panic!("no view")
    };
    let view = WalletView::decode(view.view.unwrap().view.as_slice()).unwrap();
    assert_eq!(view.records[0].version, 1, "the older record");
    assert_eq!(view.stages.unwrap().freshness(), strongroom_proto::v1::Freshness::None);
}
