//! What a user does: back up, lose everything, recover.

use strongroom_proto::v1::RecoverRequest;
use strongroom_sdk::passkey::Passkey;
use strongroom_tests::share;
use strongroom_tests::user::User;

use crate::stack;

#[tokio::test]
async fn a_share_survives_the_death_of_every_process() {
    let (folder, mut stack) = stack().await;
    let [(_, _, first), (_, _, second)] = share::two_curves();
    let phone = User::new(&stack, "w").await.unwrap();
    phone.backup("main", [&first, &second]).await.unwrap();
    let synced = folder.path().join("passkey");
    phone.passkey.write(&synced).unwrap();

    stack.kill();
    stack.start_enclaves_and_host().await.unwrap();

    let laptop = User::returning(&stack, "w", Passkey::read(&synced).unwrap()).await.unwrap();
    assert_eq!(laptop.recover().await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(laptop.recover().await.unwrap(), [first, second], "a second time, from the new head");
}

#[tokio::test]
async fn a_rehearsal_opens_the_shares_and_moves_nothing() {
    let (_folder, stack) = stack().await;
    let user = User::new(&stack, "w").await.unwrap();
    user.backup("main", [b"one", b"two"]).await.unwrap();
    let before = user.prepare().await.unwrap();
    for _ in 0..2 {
        let rehearsal = user.device.rehearse(&before, None, &mut user.asked()).await.unwrap();
        assert!(rehearsal.opens);
    }
    let after = user.prepare().await.unwrap();
    let versions = [&before, &after].map(|prepared| {
        let record = &prepared.roles()[0].view.records()[0];
        (record.version, record.head)
    });
    assert_eq!(versions[0], versions[1]);
}

#[tokio::test]
async fn a_lost_answer_is_given_again_for_the_same_bytes_only() {
    let (_folder, mut stack) = stack().await;
    let user = User::new(&stack, "w").await.unwrap();
    user.backup("main", [b"one", b"two"]).await.unwrap();
    let (act, recipient) = user.recovery(&user.prepare().await.unwrap()).unwrap();
    let request = RecoverRequest {
        request_id: "r-1".to_owned(),
        act: Some(act),
        client_recipient_key: recipient.public_key().to_vec(),
        ..RecoverRequest::default()
    };
    let first = user.client.recover(&request).await.unwrap();
    stack.restart_host().await.unwrap();
    let user = User::returning(&stack, "w", user.passkey).await.unwrap();
    assert_eq!(user.client.recover(&request).await.unwrap(), first, "after a restart, without a prompt");

    let (other, key) = user.recovery(&user.prepare().await.unwrap()).unwrap();
    let reused =
        RecoverRequest { act: Some(other), client_recipient_key: key.public_key().to_vec(), ..request.clone() };
    let refusal = user.client.recover(&reused).await.unwrap_err().to_string();
    assert!(refusal.contains("REQUEST_ID_REUSED"), "{refusal}");

    let replay = RecoverRequest { request_id: "r-2".to_owned(), ..request };
    let refusal = user.client.recover(&replay).await.unwrap_err().to_string();
    assert!(refusal.contains("RECORD_STALE"), "the head has moved: {refusal}");
}
